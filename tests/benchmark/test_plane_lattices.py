"""The lattice of an image: of every class, with noise, turned, of two kinds of columns, and of a real image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exitwave.benchmark.cases import Case
from exitwave.benchmark.classification import plane_lattice
from exitwave.benchmark.plane_lattices import autocorrelation, find_plane_lattice, tuned
from exitwave.errors import LatticeError
from exitwave.imaging.convolution import render
from exitwave.structures.lattice2d import CLASSES, reduced

PIXEL, SIZE = 0.2, 192
KNOWN = Path(__file__).parents[2] / "resources/lattices"
CELLS = {
    "hexagonal": (3.2, 3.2, 120),
    "square": (3.9, 3.9, 90),
    "rectangular": (3.3, 4.9, 90),
    "rhombus": (4.1, 4.1, 107),
    "oblique": (3.6, 4.7, 103),
}


def image_of(name, angle=0.3, second=0.5, counts=300.0, seed=0, size=SIZE):
    """Columns of two weights in each cell, and the vectors of the cell."""
    a, b, gamma = CELLS[name]
    cell = np.array([[a, 0], [b * np.cos(np.radians(gamma)), b * np.sin(np.radians(gamma))]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    cell = cell @ turn
    index = np.array([(i, j) for i in range(-60, 61) for j in range(-60, 61)])
    first = index @ cell + [20.0, 19.0]
    places = np.concatenate([first, first + [0.31, 0.64] @ cell])
    weights = np.repeat([1.0, second], len(first))
    density = render(places, weights, 0.5, PIXEL, size)
    rng = np.random.default_rng(seed)
    return rng.poisson(counts * PIXEL**2 * (density + 0.05)).astype(np.float32), cell


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


def test_the_autocorrelation_is_not_biased_by_the_edge():
    image, _cell = image_of("square", angle=0.0, counts=1e6, size=160)
    found = autocorrelation(image, PIXEL)
    middle, step = len(found) // 2, CELLS["square"][0] / PIXEL
    assert found[middle, middle] == 1
    near, far = (found[middle, round(middle + times * step)] for times in (2, 4))
    assert far == pytest.approx(near, rel=0.1)
    assert far > 0.85


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
