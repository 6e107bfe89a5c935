"""The autocorrelation of images, and the quarter of it about a mirror line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from tests.shared.lattice_images import CELLS, PIXEL, image_of

from exitwave.config.models import QUARTER
from exitwave.data.autocorrelation import autocorrelation, mirror_quarter
from exitwave.training.symmetry import exchanged


def test_it_is_what_scipy_finds_where_images_overlap():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(24, 30))
    found = autocorrelation(image, 0, 200, 0.4)
    flat = image - image.mean()
    sums = correlate(flat, flat, "full") / correlate(np.ones_like(flat), np.ones_like(flat), "full")
    middle, reach = np.array(sums.shape) // 2, 9
    expected = sums[middle[0] - reach : middle[0] + reach + 1, middle[1] - reach : middle[1] + reach + 1]
    assert found.shape == (19, 19)
    np.testing.assert_allclose(found, expected / sums[tuple(middle)], atol=1e-3)


def test_the_edge_is_no_bias():
    image, _cell = image_of("square", angle=0.0, counts=1e6, size=160)
    found = autocorrelation(image, 1.75, 30, 0.5)
    middle, step = len(found) // 2, CELLS["square"][0] / PIXEL
    assert found[middle, middle] == 1
    near, far = (found[middle, round(middle + times * step)] for times in (2, 4))
    assert far == pytest.approx(near, rel=0.1)
    assert far > 0.85


@pytest.mark.parametrize("name", CELLS)
def test_mirror_lines_leave_nothing_that_they_change(name):
    quarter = mirror_quarter(image_of(name, second=0, counts=1e4)[0])
    assert quarter.shape == (2, QUARTER, QUARTER)
    kept, changed = (np.sqrt(np.mean(part[:64, :64] ** 2)) for part in quarter)
    if name == "oblique":
        assert changed > 0.3 * kept
    else:
        assert changed < 0.03 * kept


@pytest.mark.parametrize("name", ["rectangular", "rhombus"])
def test_it_is_the_same_wherever_and_however_the_lattice_lies(name):
    first = mirror_quarter(image_of(name, angle=0.3, counts=1e5)[0])[0, :64, :64]
    for angle in (0.0, 0.7, 2.2):
        other = mirror_quarter(image_of(name, angle=angle, counts=1e5)[0])[0, :64, :64]
        assert min(np.abs(first - other).mean(), np.abs(first - other.T).mean()) < 0.03


def test_a_rectangle_has_its_vectors_along_the_edges_and_a_rhombus_has_none_there():
    a, b, _gamma = CELLS["rectangular"]
    quarter = mirror_quarter(image_of("rectangular", counts=1e5, size=256)[0])[0]
    step = 115 / QUARTER * PIXEL
    heights = {quarter[round(a / step), 0], quarter[0, round(a / step)], quarter[round(b / step), 0]}
    heights.add(quarter[0, round(b / step)])
    assert sorted(heights)[-2] > 0.8
    half = 2 * CELLS["rhombus"][0] * np.array([np.cos(np.radians(53.5)), np.sin(np.radians(53.5))]) / step / 2
    rhombus = mirror_quarter(image_of("rhombus", counts=1e5, size=256)[0])[0]
    first, second = np.rint(half).astype(int)
    assert max(rhombus[first, second], rhombus[second, first]) > 0.8
    assert max(rhombus[0, first], rhombus[first, 0]) < 0.6


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.full((40, 90), 3.0)])
def test_an_even_image_has_none(image):
    assert not mirror_quarter(image).any()


def test_exchanged_quarters_are_those_about_the_other_line_or_from_the_other_side():
    rng = np.random.default_rng(0)
    quarters = torch.as_tensor(rng.normal(size=(64, 2, 5, 5)))
    seen = exchanged(quarters, rng)
    kinds = set()
    for before, after in zip(quarters, seen, strict=True):
        turned = bool(torch.equal(after[0], before[0].T))
        same = before.transpose(-2, -1) if turned else before
        assert torch.equal(after[0], same[0])
        sign = 1 if torch.equal(after[1], same[1]) else -1
        assert torch.equal(after[1], sign * same[1])
        kinds.add((turned, sign))
    assert len(kinds) == 4
