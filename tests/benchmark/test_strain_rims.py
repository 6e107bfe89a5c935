"""Disks are placed by their rims, whatever is inside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from exitwave.benchmark.correlation import find_disks
from exitwave.benchmark.disk_finders import CORRELATION, MOVED_BY_SCATTERING, CorrelationFinder
from exitwave.benchmark.disk_maps import SURE, weighted
from exitwave.benchmark.lattice import Lattice, find_lattice, fit_lattice
from exitwave.benchmark.probes import centred_probe
from exitwave.benchmark.rims import ALIKE, DOUBT, Rims, sharpened, weights_of
from exitwave.benchmark.strain import strain_of
from exitwave.config.exit_waves import ScatteringMatrix
from exitwave.electron import wavelength
from exitwave.imaging.aperture import aperture_table
from exitwave.imaging.patterns import Geometry, Optics, disks_of, render, vacuum_probe
from exitwave.items import Asked
from exitwave.structures.materials import load_material
from exitwave.structures.transforms import orient
from exitwave.structures.unit_cell import UnitCell
from exitwave.waves import scattering_matrix

SIZE = 64


def sharp(x, y, radius, size=SIZE, points=50):
    """Share of each pixel within a circle, by counting points in those around it."""
    half = int(radius) + 2
    left, top = round(x) - half, round(y) - half
    at = np.arange(2 * half + 1)[:, None] + (np.arange(points) + 0.5) / points - 0.5
    inside = np.hypot((top + at).reshape(-1, 1) - y, (left + at).ravel() - x) <= radius
    share = np.zeros((size + 4 * half, size + 4 * half))  # with room for what the edge cuts
    rows, columns = (slice(start + 2 * half, start + 4 * half + 1) for start in (top, left))
    share[rows, columns] = inside.reshape(2 * half + 1, points, 2 * half + 1, points).mean(axis=(1, 3))
    return share[2 * half : -2 * half, 2 * half : -2 * half]


def filled(places, radius, inside, counts=2000.0, seed=0):
    """Noisy disks that are filled by a function of u and v, and their probe."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)
    expected = np.full((SIZE, SIZE), 0.002)
    for x, y in places:
        expected += sharp(x, y, radius) * inside((columns - x) / radius, (rows - y) / radius)
    probe = sharp(SIZE // 2, SIZE // 2, radius)
    return np.random.default_rng(seed).poisson(counts * expected).astype(np.float32), probe


@pytest.mark.parametrize("radius", [2.4, 4.7, 7.0])
@pytest.mark.parametrize(
    "inside",
    [
        lambda u, v: np.full_like(u, 0.3),
        lambda u, v: 0.3 * np.clip(1 - 0.8 * u - 0.3 * v, 0.02, None),
        lambda u, v: 0.3 * (0.6 + 0.5 * np.cos(2.2 * u + 1.0)),
    ],
    ids=["even", "one side", "fringe"],
)
def test_what_is_inside_a_disk_does_not_move_it(radius, inside):
    places = np.array([[20.3, 21.8], [43.75, 20.1], [21.4, 44.6], [42.5, 43.5]])
    pattern, probe = filled(places, radius, inside)
    roughly = places + np.array([[0.4, -0.3], [-0.3, 0.2], [0.1, 0.4], [-0.2, -0.4]])
    found = Rims(probe).measure(pattern, roughly)
    # Of the few pixels of a small disk fringes leave no rim that is sharp.
    assert np.abs(found[:, :2] - places).max() < (0.15 if radius > 3 else 0.35)
    assert (np.linalg.norm(found[:, :2] - places, axis=1) < 4 * DOUBT * found[:, 2]).all()
    # Its centre of mass is elsewhere, unless it is even.
    rows, columns = np.mgrid[:SIZE, :SIZE]
    near = np.hypot(columns - places[0, 0], rows - places[0, 1]) < radius + 1
    mass = np.average(columns[near], weights=pattern[near])
    assert abs(mass - places[0, 0]) > 0.03 * radius or np.allclose(inside(np.ones(1), np.ones(1)), 0.3)


def test_the_standard_deviation_is_that_of_counting_where_disks_are_even():
    places = np.array([[20.3, 21.8], [43.75, 20.1], [21.4, 44.6], [42.5, 43.5]])
    _, probe = filled(places, 4.7, lambda u, v: np.full_like(u, 0.3))
    rims, errors, told = Rims(probe), [], []
    for seed in range(25):
        pattern, _ = filled(places, 4.7, lambda u, v: np.full_like(u, 0.3), 200.0, seed)
        found = rims.measure(pattern, places)
        errors.append(found[:, :2] - places)
        told.append(found[:, 2])
    assert np.sqrt(np.nanmean(np.square(errors))) == pytest.approx(np.nanmedian(told), rel=0.35)


def test_disks_that_touch_or_are_cut_or_are_not_there_are_left_out():
    places = np.array([[20.0, 20.0], [27.5, 20.0], [4.0, 40.0], [44.0, 44.0]])
    pattern, probe = filled(places[:3], 4.7, lambda u, v: np.full_like(u, 0.3))
    found = Rims(probe).measure(np.where(pattern > 50, pattern, 0), places)
    assert np.isnan(found).all(axis=1)[:3].all()
    assert np.isnan(found[3]).all()  # nothing is there, and nothing has no rim
    assert Rims(probe).measure(pattern, np.zeros((0, 2))).shape == (0, 3)


def test_places_from_rims_count_by_how_sure_they_are():
    disks = np.array(
        [[10.0, 10.0, 1.0, 0.2], [30.0, 10.0, 1.0, 0.2], [10.0, 30.0, 1.0, 0.2], [30.0, 30.0, 1.0, np.nan]]
    )
    measured = np.array([[10.3, 10.0, 0.1], [32.0, 10.0, 0.1], [np.nan] * 3, [30.1, 30.1, 0.1]])
    found = sharpened(disks, measured)
    assert 10 < found[0, 0] < 10.3
    before, rim = 1 / (0.2**2 + ALIKE**2), 1 / ((DOUBT * 0.1) ** 2 + SURE**2)
    assert found[0, 0] == pytest.approx(10 + 0.3 * rim / (before + rim))
    assert weighted(found)[0, 2] == pytest.approx(before + rim)
    # Too far away, not seen, and not known how sure before.
    np.testing.assert_array_equal(found[1:, :3], disks[1:, :3])
    np.testing.assert_allclose(weighted(found)[1:3, 2], before)
    assert np.isnan(found[3, 3])


def leaning(radius, size=128):
    """A lattice of disks that are brighter towards the direct beam, their true places and their probe."""
    rows, columns = np.mgrid[:size, :size].astype(float)
    index = np.array([(h, k) for h in range(-2, 3) for k in range(-2, 3)])
    places = size / 2 + 0.3 + index @ np.array([[21.3, 2.2], [-3.1, 20.2]])
    expected = np.full((size, size), 0.002)
    for (h, k), (x, y) in zip(index, places, strict=True):
        u, v = (columns - x) / radius, (rows - y) / radius
        inside = 0.3 * np.clip(1 - 0.35 * (h * u + k * v), 0.02, None)
        expected += sharp(x, y, radius, size) * inside
    probe = sharp(size // 2, size // 2, radius, size)
    return np.random.default_rng(0).poisson(2000 * expected).astype(np.float32), places, probe


def by_correlation(pattern, probe):
    finder = CorrelationFinder(centred_probe(probe, "probe"), CORRELATION)
    (found,) = finder.find(pattern[None])
    return finder.sharpened(pattern, found, None)


def test_what_is_off_the_lattice_hides_no_rims():
    pattern, places, probe = leaning(4.7)
    lattice = Lattice(places[12], np.array([[21.3, -3.1], [2.2, 20.2]]), 0.0, 25)
    # Two false disks beside each.
    false = np.concatenate([places + np.array([5.0, 2.0]), places - np.array([4.0, 5.0])])
    disks = np.concatenate([false, places + np.array([0.4, -0.3])])
    rims = Rims(probe)
    assert np.isnan(rims.measure(pattern, disks)).all()
    found = rims.measure_on(pattern, disks, lattice)
    assert np.isnan(found[: len(false)]).all()
    assert np.abs(found[len(false) :, :2] - places).max() < 0.1
    np.testing.assert_array_equal(rims.measure_on(pattern, places, None), rims.measure(pattern, places))


def test_correlation_takes_the_places_of_rims():
    pattern, places, probe = leaning(4.7)
    found = by_correlation(pattern, probe)
    alone = find_disks(pattern, probe, CORRELATION)
    error, nearest = cKDTree(found.peaks[:, :2]).query(places)
    assert error.max() < 0.15
    assert np.median(cKDTree(alone[:, :2]).query(places)[0]) > 3 * np.median(error)
    assert (error < 4 * np.hypot(found.peaks[nearest, 3], SURE)).all()


def test_without_rims_correlation_says_nothing_of_how_sure_it_is():
    pattern, places, probe = leaning(4.7)
    one = np.hypot(*(np.indices(pattern.shape) - places[12, ::-1, None, None])) < 12
    few = by_correlation(pattern * one, probe)
    assert len(few.peaks)
    assert np.isnan(few.peaks[:, 3]).all()
    # Beside disks with rims, two that touch have the error of correlations.
    touching = pattern + np.roll(pattern * one, 9, axis=1)
    found = by_correlation(touching, probe)
    error = np.hypot(*(found.peaks[:, :2] - places[12]).T)
    assert (found.peaks[error < 11, 3] == MOVED_BY_SCATTERING).all()
    assert (error < 11).sum() >= 2
    assert (found.peaks[error > 15, 3] < MOVED_BY_SCATTERING).all()


@pytest.mark.parametrize("radius", [2.34, 4.68])
def test_where_between_pixels_a_disk_stands_does_not_move_it(radius):
    rims, rng = Rims(sharp(SIZE // 2, SIZE // 2, radius)), np.random.default_rng(3)
    columns, errors = np.arange(SIZE, dtype=float), []
    for place in SIZE // 2 + rng.uniform(-0.5, 0.5, (16, 2)):
        inside = 3 - 1.5 * (columns - place[0]) / radius
        pattern = 0.01 + sharp(*place, radius) * inside
        errors.append(rims.measure(pattern.astype(np.float32), place[None] + 0.3)[0, :2] - place)
    assert np.sqrt(np.mean(np.square(errors))) < 0.03
    assert np.abs(errors).max() < 0.08


@pytest.mark.parametrize("semiangle", [1.0, 2.0])
def test_the_strain_of_a_thick_crystal_is_that_of_its_cell(semiangle):
    # Silicon along 011, 20 nm: disks are far from even, and most of all the outer ones.
    sampling, length = 0.0217, wavelength(300e3)
    crystal = load_material("Si")
    cell = UnitCell(crystal.cell, crystal.fractional, crystal.numbers, orient(crystal.cell, zone_axis=(0, 1, 1)))
    block = ScatteringMatrix(
        kind="scattering_matrix", structures="si", semiangle=2, thickness=200, thickness_step=200, storage_error=0
    )
    (waves,) = scattering_matrix.make(block, [Asked(0, (np.random.default_rng(0),), {}, {"structures": cell.arrays()})])
    beams = waves.arrays["beams"].values
    disks = disks_of(
        waves.arrays["amplitudes"].values[0],
        waves.arrays["tilts"].values,
        beams[:, 3:],
        block.tilt_step,
        200.0,
        length,
    )
    geometry = Geometry(128, sampling)
    optics = Optics(aperture_table("disk", semiangle * 1e-3 / length / sampling), length, 0.0, (0.4, 0.9))
    pattern = np.random.default_rng(0).poisson(1e6 * render(disks, geometry, optics)).astype(np.float32)
    bright = (np.abs(waves.arrays["amplitudes"].values[0]) ** 2).mean(axis=1) > 1e-4
    on_plane = np.abs(beams[:, 5]) < 1e-6
    true = geometry.places(beams[bright & on_plane, 3:5])
    found = Rims(vacuum_probe(geometry, optics)).measure(pattern, true + 0.2)
    seen = np.isfinite(found[:, 2])
    assert seen.sum() > 20
    peaks = np.column_stack([found[seen, :2], weights_of(found[seen, 2])])
    exact = find_lattice(np.column_stack([true, np.ones(len(true))]))
    strain = strain_of(fit_lattice(peaks, exact).vectors, exact.vectors)
    assert max(abs(strain.xx), abs(strain.yy), abs(strain.xy)) < 5e-4
