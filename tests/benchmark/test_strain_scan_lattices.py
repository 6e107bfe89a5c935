"""Lattices of the positions of a scan, strain maps, their errors, and what is not trusted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from exitwave.benchmark.disk_finders import Found
from exitwave.benchmark.lattice import Lattice
from exitwave.benchmark.scan_lattices import FIELDS, fit_position, start_lattice
from exitwave.benchmark.scan_strain import (
    EMPTY,
    FEW,
    GOOD,
    LOOSE,
    NO_FIT,
    OTHER,
    STRAY,
    given_reference,
    reference_of,
    strain_maps,
    vectors_of,
)
from exitwave.errors import ScanError
from strained_scan import STRAIN, TURN, VECTORS, deformed

INDEX = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), axis=-1).reshape(-1, 2)
START = Lattice(np.array([32.0, 32.0]), VECTORS, 0.0, 25)


def disks(vectors, scatter=0.0, rng=None, origin=(32.3, 31.8), index=INDEX):
    """Disks of a lattice [n, 3], the strongest first."""
    places = np.array(origin) + index @ vectors.T
    if scatter:
        places = places + rng.normal(0, scatter, places.shape)
    weights = np.exp(-np.linalg.norm(index, axis=1) / 3)
    peaks = np.column_stack([places, weights])
    return peaks[np.argsort(-weights, kind="stable")]


def found(peaks):
    """Disks with a map of Gaussians at their places."""
    rows, columns = np.ogrid[:64, :64]
    image = np.zeros((64, 64))
    for x, y, weight in peaks:
        image += weight * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2)
    return Found(np.column_stack([peaks, np.full(len(peaks), np.nan)]), image.astype(np.float32), 1.0, np.zeros(2))


def turned(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]]) @ VECTORS


def scan_of(patterns, start=START, fit="disks"):
    """Values [1, n, 13] and codes of a line of patterns."""
    values = np.array([[fit_position(found(peaks), start, fit).values for peaks in patterns]])
    return values, np.zeros(values.shape[:2], np.uint8)


@pytest.mark.parametrize("fit", ["disks", "map"])
def test_known_strain_and_rotation_come_out(fit):
    values, read = scan_of([disks(VECTORS)] * 6 + [disks(deformed(VECTORS))] * 2, fit=fit)
    reference = reference_of(values, read, (slice(0, 1), slice(0, 6)), "a part")
    maps = strain_maps(values, read, reference, 0.0)
    least = 1e-9 if fit == "disks" else 2e-4
    assert (maps.trust == GOOD).all()
    for name, expected in (("xx", STRAIN[0, 0]), ("yy", STRAIN[1, 1]), ("xy", STRAIN[0, 1]), ("rotation", TURN)):
        np.testing.assert_allclose(getattr(maps, name)[0, :6], 0, atol=least)
        np.testing.assert_allclose(getattr(maps, name)[0, 6:], expected, atol=least)


@pytest.mark.parametrize("degrees", [0, 30, -75, 90])
def test_axes_of_the_strain_turn_as_a_tensor_does(degrees):
    values, read = scan_of([disks(VECTORS)] * 6 + [disks(deformed(VECTORS))])
    reference = reference_of(values, read, (slice(0, 1), slice(0, 6)), "a part")
    maps = strain_maps(values, read, reference, math.radians(degrees))
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along = np.array([[c, -s], [s, c]])
    expected = along.T @ STRAIN @ along
    components = [maps.xx[0, 6], maps.yy[0, 6], maps.xy[0, 6]]
    assert components == pytest.approx([expected[0, 0], expected[1, 1], expected[0, 1]], abs=1e-9)
    assert maps.rotation[0, 6] == pytest.approx(TURN, abs=1e-9)


def test_standard_errors_are_the_scatter_that_strain_has():
    rng = np.random.default_rng(0)
    values, read = scan_of([disks(VECTORS, 0.05, rng) for _ in range(400)])
    maps = strain_maps(values, read, reference_of(values, read, None, "the whole scan"), 0.5)
    for name in ("xx", "yy", "xy", "rotation"):
        told = float(np.sqrt(np.mean(maps.errors[name] ** 2)))
        assert told == pytest.approx(float(np.std(getattr(maps, name))), rel=0.25), name


def test_the_lattice_of_a_scan_is_that_of_most_of_its_disks():
    rng = np.random.default_rng(1)
    strays = np.column_stack([rng.uniform(5, 60, (6, 2)), rng.uniform(0.01, 0.3, 6)])
    # Every other row of disks is missing in some, nothing but the direct beam is in others.
    patterns = [
        *(np.vstack([disks(VECTORS, 0.03, rng), strays]) for _ in range(6)),
        *(disks(VECTORS, 0.03, rng, index=INDEX[INDEX[:, 1] % 2 == 0]) for _ in range(3)),
        *(disks(VECTORS)[:1] for _ in range(5)),
    ]
    lattice = start_lattice(patterns)
    assert abs(np.linalg.det(lattice.vectors)) == pytest.approx(abs(np.linalg.det(VECTORS)), rel=0.01)
    with pytest.raises(ScanError, match="no lattice was found in 5 patterns that were looked at, of at most 1 disks"):
        start_lattice(patterns[-5:])


def test_indices_stay_the_same_when_a_lattice_is_turned_or_shifted():
    values, read = scan_of([disks(VECTORS)] * 5 + [disks(turned(angle), origin=(34.5, 29)) for angle in (-9, 6, 15)])
    maps = strain_maps(values, read, reference_of(values, read, (slice(0, 1), slice(0, 5)), "a part"), 0.0)
    assert (maps.trust == GOOD).all()
    np.testing.assert_allclose(np.degrees(maps.rotation[0, 5:]), [-9, 6, 15], atol=1e-6)
    np.testing.assert_allclose(maps.xx, 0, atol=1e-9)
    assert values[0, 6, FIELDS.index("origin_x")] == pytest.approx(34.5)


def test_what_cannot_be_trusted_is_told_apart():
    rng = np.random.default_rng(2)
    rows, columns = np.meshgrid(np.linspace(6, 58, 7), np.linspace(6, 58, 7))
    strays = np.column_stack([rng.uniform(2, 62, (60, 2)), np.full(60, 0.9)])
    patterns = [
        *[disks(VECTORS)] * 6,
        disks(VECTORS)[:2],
        disks(VECTORS, index=INDEX[INDEX[:, 1] == 0]),
        np.column_stack([rows.ravel() * 0.7, columns.ravel() * 0.8, np.ones(49)]),
        np.vstack([disks(VECTORS), strays]),
        disks(VECTORS, 0.9, rng)[:7],
        disks(turned(28)),
        np.zeros((0, 3)),
    ]
    values, read = scan_of(patterns)
    read[0, 0] = EMPTY
    values[0, 0] = np.nan
    maps = strain_maps(values, read, reference_of(values, read, (slice(0, 1), slice(1, 6)), "a part"), 0.0)
    assert maps.trust[0, 0] == EMPTY
    assert (maps.trust[0, 1:6] == GOOD).all()
    line = {FEW, NO_FIT}
    assert maps.trust[0, 6] == FEW
    assert maps.trust[0, 7] in line
    assert maps.trust[0, 8] in {OTHER, STRAY, NO_FIT}
    assert maps.trust[0, 9] in {STRAY, OTHER, LOOSE}
    assert maps.trust[0, 10] in {LOOSE, STRAY, OTHER}
    assert maps.trust[0, 11] == OTHER
    assert maps.trust[0, 12] == FEW
    assert np.isnan(maps.xx[0, [0, 6, 7, 12]]).all()


def test_strain_of_three_disks_is_not_trusted_since_nothing_says_how_well_they_fit():
    three = INDEX[(np.abs(INDEX) <= 1).all(axis=1) & (INDEX >= 0).all(axis=1) & (INDEX.sum(axis=1) < 2)]
    values, read = scan_of([disks(VECTORS)] * 5 + [disks(VECTORS, index=three)])
    maps = strain_maps(values, read, reference_of(values, read, (slice(0, 1), slice(0, 5)), "a part"), 0.0)
    assert maps.trust[0, 5] == LOOSE
    assert maps.xx[0, 5] == pytest.approx(0, abs=1e-9)


def test_a_reference_is_the_median_of_the_lattice_that_most_have():
    rng = np.random.default_rng(3)
    patterns = [disks(VECTORS, 0.02, rng) for _ in range(30)] + [disks(turned(17)) for _ in range(12)]
    values, read = scan_of(patterns)
    reference = reference_of(values, read, None, "the whole scan")
    np.testing.assert_allclose(reference.vectors, VECTORS, atol=0.02)
    assert reference.mask.sum() == 30
    read[:] = EMPTY
    with pytest.raises(ScanError, match="reference: found a lattice at 0 of 42 positions of the whole scan; allowed"):
        reference_of(values, read, None, "the whole scan")


def test_a_known_lattice_is_turned_as_the_scan_is():
    values, _ = scan_of([disks(turned(8)) for _ in range(6)])
    lengths = np.linalg.norm(VECTORS, axis=0)
    angle = math.acos(VECTORS[:, 0] @ VECTORS[:, 1] / lengths.prod())
    reference = given_reference(values, (1.01 * lengths[0], 1.01 * lengths[1]), angle, "a lattice")
    np.testing.assert_allclose(reference.vectors, 1.01 * turned(8), atol=1e-9)
    maps = strain_maps(values, np.zeros((1, 6), np.uint8), reference, 0.0)
    # Reciprocal vectors that are shorter are of a crystal that is longer.
    np.testing.assert_allclose([maps.xx, maps.yy], 0.01, atol=1e-9)
    np.testing.assert_allclose(maps.rotation, 0, atol=1e-9)
    with pytest.raises(ScanError, match=r"a lattice is strained by \d+ % against the scan, where g1 has 11.46 px"):
        given_reference(values, (2 * lengths[0], lengths[1]), angle, "a lattice")


def test_vectors_are_columns():
    values, _ = scan_of([disks(VECTORS)])
    np.testing.assert_allclose(vectors_of(values)[0, 0], VECTORS, atol=1e-9)


def test_a_map_with_other_pixels_than_the_pattern_gives_the_same_lattice():
    peaks = disks(VECTORS)
    inside = peaks.copy()
    # A map of half as many pixels along either edge, of which the first is at (-3.5, 2.5) of the pattern.
    inside[:, :2] = (peaks[:, :2] - [-3.5, 2.5]) / 2
    unknown = np.full(len(peaks), np.nan)
    smaller = replace(found(inside), peaks=np.column_stack([peaks, unknown]), scale=2.0, corner=np.array([-3.5, 2.5]))
    fitted = fit_position(smaller, START, "map")
    np.testing.assert_allclose(fitted.lattice.vectors, VECTORS, atol=0.02)
    np.testing.assert_allclose(fitted.lattice.origin, [32.3, 31.8], atol=0.02)
