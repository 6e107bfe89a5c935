"""Diffraction patterns against a multislice of the probe in real space, and against what is known of their disks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import fft

from exitwave.config.patterns import Bullseye, MeasuredAperture
from exitwave.electron import interaction_parameter, wavelength
from exitwave.errors import ConfigError
from exitwave.imaging.aperture import FINE, aperture_table, radius_of
from exitwave.imaging.patterns import (
    Disks,
    Geometry,
    Optics,
    disk_intensities,
    disks_of,
    render,
    vacuum_probe,
    vacuum_sum,
)
from exitwave.waves.beam_space import propagate
from exitwave.waves.beams import coupling, excitation_errors, find_beams, structure_factors
from known_crystals import DISPLACEMENT, strontium_titanate, tilted

ENERGY = 300e3
LENGTH, SIGMA = wavelength(ENERGY), interaction_parameter(ENERGY)
EDGE, CELLS = 3.905, 8
STEP = 1 / (EDGE * CELLS)
"""Pixel that makes all reflections of SrTiO3 [001] lie on pixels."""


def tilts_within(reach: float) -> np.ndarray:
    edge = int(reach)
    y, x = np.mgrid[-edge : edge + 1, -edge : edge + 1]
    inside = np.hypot(y, x) <= reach
    return np.stack([y[inside], x[inside]], axis=1).astype(np.int16)


def kinematic(g: np.ndarray, thickness: float, radius: float, step: float) -> tuple[Disks, np.ndarray]:
    """Disks of weak beams, S_g(k) = i sinc(s t) exp(i π s t) with s = s_g - λ k·g; and their excitation errors."""
    tilts = tilts_within(radius + 2.5)
    s = excitation_errors(g, LENGTH)[:, None] - LENGTH * g[:, :2] @ (tilts[:, ::-1] * step).T
    amplitudes = (1j * np.sinc(s * thickness) * np.exp(1j * np.pi * s * thickness)).astype(np.complex64)
    return disks_of(amplitudes, tilts, g, step, thickness, LENGTH), s


def multislice_of_probe(
    semiangle: float, position: tuple[float, float], defocus: float, cells: int, size: int
) -> np.ndarray:
    """Pattern of SrTiO3 [001] in a periodic box, by slices of an eighth of the cell: shares of the electrons."""
    cell, points, slices = strontium_titanate(shift=0.13), 36, 8
    orders, upright = np.arange(-points // 2 + 1, points // 2), np.arange(-12, 13)
    hkl = np.stack(np.meshgrid(orders, orders, upright, indexing="ij"), axis=-1).reshape(-1, 3)
    factors = structure_factors(cell, hkl, np.full(5, DISPLACEMENT), "lobato")
    factors[(hkl == 0).all(axis=1)] = 0
    thickness, grid = EDGE / slices, points * CELLS
    k = np.fft.fftfreq(grid, EDGE / points)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    q2 = kx**2 + ky**2
    table = aperture_table("disk", semiangle * 1e-3 / LENGTH / STEP)
    places = [np.rint(along / STEP * FINE).astype(int) + len(table) // 2 for along in (ky, kx)]
    within = np.logical_and.reduce([(place >= 0) & (place < len(table)) for place in places])
    aperture = np.zeros_like(q2)
    aperture[within] = np.sqrt(table[places[0][within], places[1][within]])
    lens = np.exp(1j * np.pi * LENGTH * defocus * q2 - 2j * np.pi * (kx * position[0] + ky * position[1]))
    onward = np.exp(-1j * np.pi * LENGTH * thickness * q2) * (q2 < (grid / EDGE / CELLS / 3) ** 2)
    transmission = []
    for number in range(slices):
        phase = np.exp(2j * np.pi * hkl[:, 2] * (number + 0.5) / slices) * np.sinc(hkl[:, 2] / slices) * thickness
        spectrum = np.zeros((points, points), complex)
        np.add.at(spectrum, (hkl[:, 1] % points, hkl[:, 0] % points), factors * phase)
        transmission.append(np.exp(1j * SIGMA * np.fft.ifft2(spectrum).real * points**2))
    wave = aperture * lens * np.exp(-0.5j * np.pi * LENGTH * thickness * q2)
    for _ in range(cells):
        for slab in transmission:
            real = fft.ifft2(wave).reshape(CELLS, points, CELLS, points) * slab[None, :, None, :]
            wave = fft.fft2(real.reshape(grid, grid)) * onward
    pattern = fft.fftshift(np.abs(wave) ** 2) / np.sum(aperture**2)
    middle = slice(grid // 2 - size // 2, grid // 2 + size // 2)
    return np.asarray(pattern[middle, middle])


@pytest.mark.parametrize(
    ("semiangle", "position", "defocus"), [(4.0, (0.7, 1.9), 0.0), (4.0, (0.7, 1.9), 300.0), (2.5, (3.1, 0.2), -150.0)]
)
def test_diffraction_with_overlaps_is_that_of_a_multislice_of_the_probe(
    semiangle: float, position: tuple[float, float], defocus: float
) -> None:
    """At 4 mrad disks of {100} overlap, so that place and defocus of the probe decide what is seen there."""
    cell, tilts = strontium_titanate(shift=0.13), tilts_within(semiangle * 1e-3 / LENGTH / STEP + 2.5)
    beams = find_beams(cell, LENGTH, 2.7, 0.15, semiangle * 1e-3 / LENGTH)
    matrix = coupling(cell, beams, np.full(5, DISPLACEMENT), "lobato")
    s = excitation_errors(beams.g, LENGTH)[:, None] - LENGTH * beams.g[:, :2] @ (tilts[:, ::-1] * STEP).T
    (amplitudes,) = propagate(matrix, s, SIGMA, 24 * EDGE, 1)
    geometry = Geometry(96, STEP)
    optics = Optics(aperture_table("disk", semiangle * 1e-3 / LENGTH / STEP), LENGTH, defocus, position)
    found = render(disks_of(amplitudes, tilts, beams.g, STEP, 24 * EDGE, LENGTH), geometry, optics)
    expected = multislice_of_probe(semiangle, position, defocus, 24, 96)
    assert np.abs(found - expected).sum() / expected.sum() < 0.02
    moved = Optics(optics.table, LENGTH, defocus, (position[0] + 1, position[1]))
    if semiangle == 4.0:  # such a difference is not there by itself
        other = render(disks_of(amplitudes, tilts, beams.g, STEP, 24 * EDGE, LENGTH), geometry, moved)
        assert np.abs(other - expected).sum() / expected.sum() > 0.05


def test_disks_of_a_thin_crystal_are_centred_on_their_labels_in_diffraction() -> None:
    """To 0.05 px, at any place between pixels, shifted and distorted."""
    rng = np.random.default_rng(2)
    step, radius = 0.0217, 2e-3 / LENGTH / 0.0217
    worst = 0.0
    for _ in range(40):
        g = np.array([[*rng.uniform(-1, 1, 2), 0.0]])
        geometry = Geometry(128, step, tuple(rng.uniform(-3, 3, 2)), rng.uniform(0, 0.03), rng.uniform(0, np.pi))
        disks, _ = kinematic(g, 20.0, radius, step)
        # The rocking curve of a thin crystal is flat over the disk; what is left of it is taken out.
        flat = Disks(disks.amplitudes / np.abs(disks.amplitudes).clip(1e-9), g, step, 20.0)
        pattern = render(flat, geometry, Optics(aperture_table("disk", radius), LENGTH))
        y, x = np.mgrid[:128, :128]
        centre = np.array([(pattern * x).sum(), (pattern * y).sum()]) / pattern.sum()
        worst = max(worst, float(np.abs(centre - geometry.places(g[:, :2])[0]).max()))
    assert worst < 0.05


@pytest.mark.parametrize(("thickness", "limit"), [(200.0, 0.005), (500.0, 0.03)])
def test_outer_disks_of_thick_crystals_are_right_in_diffraction(thickness: float, limit: float) -> None:
    """At 2 1/Å the amplitude turns by many radians from tilt to tilt: 3 % at 50 nm."""
    step, radius = 0.0217, 2e-3 / LENGTH / 0.0217
    g = np.array([[1.37, 1.46, -LENGTH / 2 * (1.37**2 + 1.46**2)]])
    disks, _ = kinematic(g, thickness, radius, step)
    geometry, table = Geometry(256, step), aperture_table("disk", radius)
    optics = Optics(table, LENGTH)
    pattern = render(disks, geometry, optics).astype(np.float64) * vacuum_sum(geometry, optics)
    y, x = np.mgrid[:256, :256]
    k = np.stack([x - 128, y - 128], axis=-1) * step - g[0, :2]
    inside = np.hypot(k[..., 0], k[..., 1]) < (radius - 1) * step
    exact = np.sinc((excitation_errors(g, LENGTH)[0] - LENGTH * k @ g[0, :2]) * thickness) ** 2
    assert np.abs(pattern - exact)[inside].sum() / exact[inside].sum() < limit


def test_electrons_are_all_there() -> None:
    """A beam of amplitude 1 keeps all electrons, wherever it falls, distorted or not."""
    step, radius = 0.0217, 4e-3 / LENGTH / 0.0217
    disks, _ = kinematic(np.zeros((1, 3)), 0.0, radius, step)
    for geometry in (Geometry(64, step), Geometry(64, step, (0.37, -1.21), 0.02, 0.9)):
        optics = Optics(aperture_table("disk", radius), LENGTH)
        assert render(disks, geometry, optics).sum() == pytest.approx(1, abs=2e-3)
        assert vacuum_probe(geometry, optics).sum() == pytest.approx(1, abs=2e-3)


def test_incoherent_patterns_are_the_mean_over_places() -> None:
    cell, step = strontium_titanate(tilted(3, 0.3)), 0.03
    radius = 3.5e-3 / LENGTH / step
    tilts = tilts_within(radius + 2.5)
    beams = find_beams(cell, LENGTH, 0.9, 0.03, 0.2)
    matrix = coupling(cell, beams, np.full(5, DISPLACEMENT), "lobato")
    s = excitation_errors(beams.g, LENGTH)[:, None] - LENGTH * beams.g[:, :2] @ (tilts[:, ::-1] * step).T
    (amplitudes,) = propagate(matrix, s, SIGMA, 100.0, 1)
    disks, geometry = disks_of(amplitudes, tilts, beams.g, step, 100.0, LENGTH), Geometry(64, step)
    table = aperture_table("disk", radius)
    corners = [np.array(place) @ cell.vectors for place in np.ndindex(6, 6, 1)]
    each = [render(disks, geometry, Optics(table, LENGTH, 0.0, (c[0] / 6, c[1] / 6))) for c in corners]
    incoherent = render(disks, geometry, Optics(table, LENGTH, 0.0, None))
    assert np.abs(np.mean(each, axis=0) - incoherent).sum() < 0.005
    assert np.abs(each[3] - incoherent).sum() > 0.03


def test_intensity_in_a_disk_is_what_the_pattern_has_there() -> None:
    step, radius = 0.0217, 3e-3 / LENGTH / 0.0217
    g = np.array([[0.0, 0.0, 0.0], [0.55, 0.21, 0.004]])
    disks, _ = kinematic(g, 120.0, radius, step)
    table = aperture_table("disk", radius)
    pattern = render(disks, Geometry(128, step), Optics(table, LENGTH))
    around = np.hypot(*np.meshgrid(np.arange(128) - 64 - 0.55 / step, np.arange(128) - 64 - 0.21 / step)) < radius + 1.5
    assert disk_intensities(disks, table, step)[1] == pytest.approx(pattern[around].sum(), rel=0.01)


def test_apertures_have_their_areas() -> None:
    for radius in (2.34, 4.68, 9.36):
        table = aperture_table("disk", radius)
        assert table.sum() / FINE**2 == pytest.approx(np.pi * radius**2, rel=1e-3)
        assert table[len(table) // 2, len(table) // 2] == pytest.approx(1)
        assert np.abs(table - table[::-1]).max() < 1e-6
    radius, rings, spokes, width = 12.0, 2, 4, 0.1
    table = aperture_table(Bullseye(kind="bullseye", rings=rings, spokes=spokes, spoke_width=width), radius)
    ring = radius / (2 * rings + 1)
    open_rings = sum(np.pi * ((2 * n + 1) ** 2 - (2 * n) ** 2) * ring**2 for n in range(rings + 1))
    held = spokes * width * radius * rings * ring
    assert table.sum() / FINE**2 == pytest.approx(open_rings - held, rel=0.02)


def test_measured_aperture_is_found_in_its_picture(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64]
    disk = np.clip(6.3 + 0.5 - np.hypot(y - 30.4, x - 33.7), 0, 1)
    picture = (5000 * disk).astype(np.uint16)
    picture[31, 33] = 60000  # a hot pixel
    path = tmp_path / "vacuum.tif"
    Image.fromarray(picture).save(path)
    measured = MeasuredAperture(kind="measured", file=path, reciprocal_sampling=0.0217)
    table = aperture_table(measured, 0.0)
    assert table.sum() / FINE**2 == pytest.approx(np.pi * 6.3**2, rel=0.02)
    assert radius_of(measured) == pytest.approx(6.3, abs=0.5)
    step = 0.0217
    disks, _ = kinematic(np.zeros((1, 3)), 0.0, 8.0, step)
    pattern = render(disks, Geometry(64, step), Optics(table, LENGTH))
    centre = np.array([(pattern * x).sum(), (pattern * y).sum()]) / pattern.sum()
    assert centre == pytest.approx([32, 32], abs=0.05)


@pytest.mark.parametrize("radius", [2.34, 9.36])
def test_noise_and_hot_pixels_beside_a_measured_probe_do_not_count(tmp_path: Path, radius: float) -> None:
    """A small probe in a large picture, with the noise of a camera and pixels that are hot or stuck far from it."""
    y, x = np.mgrid[:256, :256]
    disk = np.clip(radius + 0.5 - np.hypot(y - 128.3, x - 127.6), 0, 1)
    rng = np.random.default_rng(0)
    picture = (rng.poisson(1000 * disk) + rng.normal(0, 10, disk.shape)).astype(np.float32)
    picture[20, 40], picture[200, 50], picture[128, 128] = 60000, 700, 60000
    Image.fromarray(picture).save(tmp_path / "vacuum.tif")
    measured = MeasuredAperture(kind="measured", file=tmp_path / "vacuum.tif", reciprocal_sampling=0.0217)
    table = aperture_table(measured, 0.0)
    assert table.sum() / FINE**2 == pytest.approx(np.pi * radius**2, rel=0.03)
    assert len(table) / FINE < 2 * radius + 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((8, 8, 3), np.uint8), "allowed: a grey picture of a probe"),
        (np.full((16, 16), 9, np.uint8), "reaches the edge"),
    ],
)
def test_pictures_without_a_probe_are_refused(tmp_path: Path, content: np.ndarray, said: str) -> None:
    path = tmp_path / "vacuum.tif"
    Image.fromarray(content).save(path)
    with pytest.raises(ConfigError, match=said):
        aperture_table(MeasuredAperture(kind="measured", file=path, reciprocal_sampling=0.0217), 0.0)
