"""The lattice of an image: of every class, with noise, turned, of two kinds of columns, and of a real image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.shared.lattice_images import CELLS, PIXEL, SIZE, image_of

from exitwave.benchmark.cases import Case
from exitwave.benchmark.classification import plane_lattice
from exitwave.benchmark.plane_lattices import find_plane_lattice, tuned
from exitwave.errors import LatticeError
from exitwave.imaging.convolution import render
from exitwave.structures.lattice2d import CLASSES, reduced

KNOWN = Path(__file__).parents[2] / "resources/lattices"


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.1])
@pytest.mark.parametrize("name", CELLS)
def test_lattice_and_class_are_found(name, angle):
    image, cell = image_of(name, angle)
    found = find_plane_lattice(image, PIXEL)
    expected = np.sort(np.linalg.norm(reduced(cell), axis=1))
    assert np.sort(np.linalg.norm(found.vectors, axis=1)) == pytest.approx(expected, rel=2e-3)
    assert found.bravais(0.015).name == name
    assert found.error < 0.1
    # The lattice lies as it does in the image.
    index = found.vectors @ np.linalg.inv(cell)
    assert np.abs(index - np.rint(index)).max() < 0.01


def test_a_lattice_is_found_in_noise_that_hides_single_columns():
    image, cell = image_of("oblique", counts=15.0)
    found = find_plane_lattice(image, PIXEL)
    assert np.linalg.det(found.vectors) == pytest.approx(abs(np.linalg.det(cell)), rel=0.01)


def test_a_column_of_almost_the_same_weight_is_told_from_one_of_the_same():
    a, b, _gamma = CELLS["rectangular"]
    rng = np.random.default_rng(0)
    places = np.array([(i, j) for i in range(-5, 40) for j in range(-5, 40)]) * [a / 2, b]
    for contrast, shortest in ((1.0, a / 2), (0.6, a)):
        weights = np.where(np.arange(-5, 40) % 2, contrast, 1.0).repeat(45)
        density = render(places, weights, 0.4, PIXEL, SIZE)
        image = rng.poisson(500 * PIXEL**2 * density)
        found = find_plane_lattice(image, PIXEL, alike=0.87)
        assert np.linalg.norm(found.vectors, axis=1).min() == pytest.approx(shortest, rel=0.01)


@pytest.mark.parametrize("image", [np.zeros((128, 128)), np.random.default_rng(0).poisson(5.0, (128, 128))])
def test_where_there_is_no_lattice_none_is_found(image):
    with pytest.raises(LatticeError, match="allowed: an image of a lattice"):
        find_plane_lattice(image, PIXEL, alike=0.93)


def cases(number=30):
    made = []
    for seed in range(number):
        name = CLASSES[seed % 5]
        image, _ = image_of(name, 0.2 * seed, counts=100.0, seed=seed, size=128)
        made.append(Case(str(seed), image, np.array([CLASSES.index(name)]), PIXEL, str(seed)))
    return made


def test_the_baseline_of_classification_names_the_lattice():
    examples, held = cases()[:20], cases()[20:]
    how = tuned([one.image for one in examples], [PIXEL] * 20, [CLASSES[one.truth[0]] for one in examples])
    assert 0.005 <= how.tolerance <= 0.04
    rule = plane_lattice(examples, CLASSES)
    assert np.mean([rule(case).argmax() == case.truth[0] for case in held]) >= 0.9
    nothing = Case("nothing", np.zeros((64, 64), np.float32), np.array([0]), PIXEL, "nothing")
    assert rule(nothing).argmax() == len(CLASSES)


def test_the_lattice_of_silicon_is_seen_in_a_real_image():
    image = np.asarray(Image.open(KNOWN / "si110.png").convert("F"))
    found = find_plane_lattice(image, 50 / 512)
    lengths = np.sort(np.linalg.norm(found.vectors, axis=1))
    angle = np.degrees(np.arccos(found.vectors[0] @ found.vectors[1] / lengths.prod()))
    assert lengths == pytest.approx([3.60, 3.68], abs=0.01)
    assert angle == pytest.approx(69.96, abs=0.1)
    assert found.bravais(0.02).name == "rhombus"
    # Twice the size of the pixels: the same lattice.
    coarse = find_plane_lattice(image.reshape(256, 2, 256, 2).mean(axis=(1, 3)), 100 / 512)
    assert np.sort(np.linalg.norm(coarse.vectors, axis=1)) == pytest.approx(lengths, abs=0.02)
