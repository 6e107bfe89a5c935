"""Lattices: found from nothing, fitted and fitted to maps, against lattices that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exitwave.benchmark.affine import solve
from exitwave.benchmark.lattice import Lattice, find_lattice, fit_lattice, reduced, refine_lattice
from exitwave.benchmark.strain import Strain, strain_of
from exitwave.data.peaks import find_peaks
from exitwave.errors import LatticeError
from known_lattices import SIZE, any_peaks, any_vectors, points, same_lattice, spots, strained


def size_of(strain: Strain) -> float:
    return float(np.sqrt((strain.xx**2 + strain.yy**2 + strain.xy**2) / 3))


@pytest.mark.parametrize(
    ("noise", "missing", "stray", "least"), [(0.1, 0.2, 0.0, 0.99), (0.2, 0.4, 0.15, 0.96), (0.3, 0.6, 0.3, 0.86)]
)
def test_strain_lattices_of_any_shape_are_found_from_nothing(
    noise: float, missing: float, stray: float, least: float
) -> None:
    rng, hits = np.random.default_rng(1), []
    while len(hits) < 30:
        vectors = any_vectors(rng)
        _, index, peaks = any_peaks(rng, vectors, noise, missing, stray)
        if len(index) >= 8 and np.linalg.matrix_rank(index) == 2:
            hits.append(same_lattice(vectors, find_lattice(peaks).vectors))
    assert np.mean(hits) >= least


def test_strain_lattice_from_nothing_on_part_of_a_laue_circle() -> None:
    """Off a zone axis what is seen is a ring through the direct beam."""
    rng, hits = np.random.default_rng(2), []
    while len(hits) < 20:
        vectors = any_vectors(rng)
        _, index, peaks = any_peaks(rng, vectors, 0.15, 0.2, 0.0)
        centre = peaks[0, :2] + 25 * np.array([np.cos(len(hits)), np.sin(len(hits))])
        ring = np.abs(np.linalg.norm(peaks[:, :2] - centre, axis=1) - 25) < 6
        if ring.sum() >= 8 and np.linalg.matrix_rank(index[ring]) == 2:
            hits.append(same_lattice(vectors, find_lattice(peaks[ring]).vectors))
    assert np.mean(hits) >= 0.95


@pytest.mark.parametrize(
    ("strain", "turn", "noise", "missing", "stray"),
    [(0.01, 0.01, 0.1, 0.2, 0.0), (0.02, 0.03, 0.1, 0.2, 0.1), (0.03, 0.03, 0.2, 0.4, 0.2)],
)
def test_strain_of_fits_from_strained_starts_is_that_of_known_indices(
    strain: float, turn: float, noise: float, missing: float, stray: float
) -> None:
    """Beside least squares of the true disks with their true indices, which nobody has."""
    rng, found, best, failed = np.random.default_rng(3), [], [], 0
    while len(found) < 60:
        vectors = any_vectors(rng)
        origin, index, peaks = any_peaks(rng, vectors, noise, missing, stray)
        if len(index) < 8 or np.linalg.matrix_rank(index) < 2:
            continue
        try:
            fitted = fit_lattice(peaks, strained(rng, vectors, strain, rng.normal(0, turn)))
        except LatticeError:
            failed += 1
            continue
        found.append(size_of(strain_of(fitted.vectors, vectors)))
        affine, _ = solve(index, peaks[: len(index), :2], np.ones(len(index)))
        best.append(size_of(strain_of(affine[1:].T, vectors)))
        off = np.linalg.solve(vectors, fitted.origin - origin)
        assert found[-1] > 0.02 or np.abs(off - np.rint(off)).max() < 0.2
    assert failed <= 2
    assert np.median(found) < 1.5 * np.median(best)
    assert np.percentile(found, 90) < 2 * np.percentile(best, 90)


def test_strain_of_fits_to_exact_places_is_none_and_their_residual_0() -> None:
    rng = np.random.default_rng(4)
    vectors = any_vectors(rng)
    _, _, peaks = any_peaks(rng, vectors, 0.0, 0.3, 0.0)
    fitted = fit_lattice(peaks, strained(rng, vectors, 0.01, 0.0))
    np.testing.assert_allclose(fitted.vectors, vectors, atol=1e-9)
    assert fitted.residual < 1e-9
    assert fitted.used == len(peaks)


@pytest.mark.parametrize(
    ("noise", "jitter", "missing", "stray", "limit"),
    [(0.005, 0.0, 0.1, 0.0, 2.5e-4), (0.02, 0.05, 0.3, 0.1, 1.0e-3), (0.04, 0.15, 0.4, 0.3, 3e-3)],
)
@pytest.mark.parametrize("start", [0.0, 0.02])
def test_strain_of_lattices_fitted_to_maps(
    noise: float, jitter: float, missing: float, stray: float, limit: float, start: float
) -> None:
    """Maps as of a network: spots of 1 px, some missing or false, noise; from the right place and a strained one."""
    rng, found = np.random.default_rng(5), []
    for _ in range(20):
        vectors = any_vectors(rng)
        _, index, peaks = any_peaks(rng, vectors, jitter, missing, stray)
        if len(index) < 8:
            continue
        peaks[:, 2] = np.minimum(peaks[:, 2] / np.sort(peaks[:, 2])[-2], 1) ** 0.5
        image = np.maximum(spots(peaks) + rng.normal(0, noise, (SIZE, SIZE)), 0).astype(np.float32)
        fitted = refine_lattice(image, strained(rng, vectors, start, 0.0))
        found.append(size_of(strain_of(fitted.vectors, vectors)))
    assert np.median(found) < limit


def test_strain_lattice_of_a_map_counts_spots_and_leaves_what_is_not_finite() -> None:
    vectors = np.array([[14.0, 3.0], [-2.0, 11.0]])
    origin = np.array([64.3, 63.6])
    index = points(origin, vectors)
    peaks = np.column_stack([origin + index @ vectors.T, np.ones(len(index))])
    image = spots(peaks)
    image[0, 0], image[60, 70] = np.nan, np.inf
    fitted = refine_lattice(image, Lattice(np.array([64.0, 64.0]), vectors * 1.01, 0.0, 0))
    np.testing.assert_allclose(fitted.vectors, vectors, atol=2e-3)
    np.testing.assert_allclose(fitted.origin, origin, atol=5e-3)
    inside = ((peaks[:, :2] >= 2) & (peaks[:, :2] <= SIZE - 3)).all(axis=1)
    assert fitted.used == inside.sum()
    assert fitted.residual < 0.02


def test_strain_is_not_made_up_where_there_are_too_few_disks() -> None:
    start = Lattice(np.zeros(2), np.array([[10.0, 0], [0, 10]]), 0.0, 0)
    line = np.column_stack([10.0 * np.arange(6), np.zeros(6), np.ones(6)])
    for peaks, told in ((line[:2], "found 2 disks"), (line, "line")):
        with pytest.raises(LatticeError, match=told):
            find_lattice(peaks)
        with pytest.raises(LatticeError, match=told):
            fit_lattice(peaks, start)
    broken = np.array([[0.0, 0, 1], [10, 0, 1], [0, np.nan, 1]])
    with pytest.raises(LatticeError, match="found 2 disks"):
        fit_lattice(broken, start)
    away = np.array([[0.0, 0, 1], [10, 0, 1], [5.0, 5.0, 0.1]])
    with pytest.raises(LatticeError, match="2 of 3 disks"):
        fit_lattice(away, start)
    with pytest.raises(LatticeError, match="fewer than three"):
        refine_lattice(np.zeros((SIZE, SIZE)), start)
    with pytest.raises(LatticeError, match="no three points"):
        refine_lattice(np.ones((SIZE, SIZE)), Lattice(np.array([64.0, 64]), 200 * np.eye(2), 0.0, 0))
    with pytest.raises(LatticeError, match="line"):
        refine_lattice(spots(line + np.array([30, 64, 0])), Lattice(np.array([60.0, 64]), 10 * np.eye(2), 0.0, 0))
    with pytest.raises(LatticeError, match="parallel"):
        reduced(np.array([[1.0, 2.0], [1.0, 2.0]]))


def test_strain_lattice_is_found_despite_two_disks_at_one_point_and_a_bright_direct_beam() -> None:
    rng = np.random.default_rng(6)
    vectors = np.array([[12.0, 2.0], [1.0, 13.0]])
    _, index, peaks = any_peaks(rng, vectors, 0.02, 0.1, 0.0)
    peaks[0] += [0.6, 0.0, 0]  # displaced, and a thousand times as strong
    peaks[0, 2] *= 100
    double = peaks[5:8] + np.array([1.8, 0, 0])
    fitted = fit_lattice(np.concatenate([peaks, double]), strained(rng, vectors, 0.01, 0.0))
    assert fitted.used == len(index)
    assert size_of(strain_of(fitted.vectors, vectors)) < 1e-3


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(-3, 3), min_size=4, max_size=4))
def test_strain_lattices_are_reduced_to_the_same_vectors(seed: int, numbers: list[int]) -> None:
    vectors, whole = any_vectors(np.random.default_rng(seed)), np.array(numbers, float).reshape(2, 2)
    if abs(np.linalg.det(whole)) != 1:
        return
    found, change = reduced(vectors @ whole)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), np.linalg.norm(vectors, axis=0), rtol=1e-9)
    np.testing.assert_allclose(vectors @ whole @ change, found)
    assert np.linalg.det(found) > 0
    assert np.linalg.norm(found[:, 0]) <= np.linalg.norm(found[:, 1]) * (1 + 1e-9)


def test_strain_of_peaks_of_a_map_is_that_of_the_map() -> None:
    """Peaks and the map lead to the same lattice where nothing is wrong."""
    rng = np.random.default_rng(8)
    vectors = any_vectors(rng)
    _, _, peaks = any_peaks(rng, vectors, 0.0, 0.0, 0.0)
    peaks[:, 2] = np.minimum(peaks[:, 2] / np.sort(peaks[:, 2])[-2], 1)
    image = spots(peaks)
    start = strained(rng, vectors, 0.01, 0.0)
    fitted, refined = fit_lattice(find_peaks(image, 0.02), start), refine_lattice(image, start)
    assert size_of(strain_of(fitted.vectors, vectors)) < 2e-4
    assert size_of(strain_of(refined.vectors, fitted.vectors)) < 2e-4
