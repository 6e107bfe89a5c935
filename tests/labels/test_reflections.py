"""Lists of reflections for diffraction patterns, against their definition and the recipe of Munshi et al. 2022."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.signal.windows import tukey

from exitwave.electron import wavelength
from exitwave.labels.reflections import FIELDS, LEAST_WEIGHT, WIDTH, reflections_of, structure_factor_image, weights
from exitwave.structures.unit_cell import UnitCell
from exitwave.waves.beams import excitation_errors, structure_factors
from exitwave.waves.scattering import fourier_component
from known_crystals import DISPLACEMENT, diamond, strontium_titanate, tilted, triclinic

LENGTH = wavelength(300e3)
BOX, POINTS, DEPTH = 46.08, 256, 100.0
"""Box of the paper [Å], its pixels after binning, and a thickness [Å]."""


def label_by_transform(slice_thickness: float) -> np.ndarray:
    """The published recipe for Si [001]: transform of the potential's slices, damped about the plane across the beam.

    Slices hold the projected potentials of their atoms; Tukey windows along all axes; ``exp(-q_z² / 2 0.05²)`` and the
    sum over q_z of the moduli. Frequency 0 at POINTS // 2; over the largest value but that in the middle.
    """
    cell = diamond(14, 5.431)
    cells = np.stack(np.meshgrid(*(np.arange(10), np.arange(10), np.arange(20)), indexing="ij"), axis=-1)
    positions = ((cells.reshape(-1, 1, 3) + cell.fractional).reshape(-1, 3)) * 5.431 + 0.3
    positions = positions[(positions[:, :2] < BOX).all(axis=1) & (positions[:, 2] < DEPTH)]
    count = round(DEPTH / slice_thickness)
    k = np.fft.fftfreq(POINTS, BOX / POINTS)
    q = np.hypot(k[:, None], k)
    factor = fourier_component(14, "lobato", q.ravel()).reshape(q.shape) * (q < POINTS / BOX / 2)
    volume = np.empty((count, POINTS, POINTS))
    for number in range(count):
        here = positions[(positions[:, 2] // slice_thickness).astype(int) == number]
        along_y, along_x = (np.exp(-2j * np.pi * np.outer(k, here[:, axis])) for axis in (1, 0))
        volume[number] = np.fft.ifft2(factor * (along_y @ along_x.T)).real
    window = tukey(POINTS, 0.5)
    volume *= window[:, None] * window * tukey(count, 0.5)[:, None, None]
    spectrum = np.abs(np.fft.fftn(volume))
    q_z = np.fft.fftfreq(count, slice_thickness)
    label = np.fft.fftshift((spectrum * np.exp(-(q_z**2) / (2 * 0.05**2))[:, None, None]).sum(axis=0))
    around = label.copy()
    around[POINTS // 2 - 4 : POINTS // 2 + 5, POINTS // 2 - 4 : POINTS // 2 + 5] = 0
    return np.asarray(label / around.max())


def peaks_of(label: np.ndarray, least: float) -> np.ndarray:
    """Places (x, y) of local maxima above a share of the largest, but that in the middle; refined by a parabola."""
    tops = (maximum_filter(label, 5) == label) & (label > least)
    found = []
    for y, x in np.argwhere(tops):
        if min(x, y) > 1 and max(x, y) < POINTS - 2 and max(abs(x - POINTS // 2), abs(y - POINTS // 2)) > 4:
            line_y, line_x = label[y - 1 : y + 2, x], label[y, x - 1 : x + 2]
            dy, dx = (0.5 * (line[0] - line[2]) / (line[0] - 2 * line[1] + line[2]) for line in (line_y, line_x))
            found.append([x + dx, y + dy, label[y, x]])
    return np.array(found)


@pytest.fixture(scope="module", params=[2.0, 1.0])
def by_transform(request: pytest.FixtureRequest) -> tuple[float, np.ndarray]:
    return request.param, peaks_of(label_by_transform(request.param), 0.05)


def test_the_published_recipe_shows_all_listed_reflections_and_false_ones(
    by_transform: tuple[float, np.ndarray],
) -> None:
    """Each reflection of the list is a spot of the recipe, at its place and as strong; not so the other way round.

    Slices of 2 Å alias reflections of higher Laue zones into the plane; half as thick ones do so less.
    """
    thickness, peaks = by_transform
    cell = diamond(14, 5.431)
    listed = reflections_of(cell, np.zeros(8), "lobato", LENGTH, 4.0)
    flat = weights(listed, "flat")
    centre = (listed[:, 2:5] == 0).all(axis=1)
    flat = flat / flat[~centre].max()
    strong = ~centre & (flat > 0.08) & (np.hypot(listed[:, 0], listed[:, 1]) < 2.2)
    places = listed[:, :2] * BOX + POINTS // 2
    distances = np.hypot(*(places[strong][:, None] - peaks[None, :, :2]).transpose(2, 0, 1))
    nearest = distances.argmin(axis=1)
    assert distances.min(axis=1).max() < 0.5
    assert np.median(distances.min(axis=1)) < 0.15
    assert np.corrcoef(flat[strong], peaks[nearest, 2])[0, 1] > 0.98
    # What the list has near a false spot is at the most half as strong as the weakest spot.
    anything = np.hypot(*(places[flat > 0.025][:, None] - peaks[None, :, :2]).transpose(2, 0, 1)).min(axis=0)
    false = anything > 1
    print(f"slices of {thickness} Å: {false.sum()} of {len(peaks)} spots are no reflection")
    # Of the spots above a twentieth of the largest one in six with slices of 2 Å, and one in twelve with slices of 1 Å.
    assert false.sum() >= (15 if thickness == 2.0 else 5)


def test_list_holds_what_it_says() -> None:
    cell = strontium_titanate(tilted(15, 0.7))
    listed = reflections_of(cell, np.full(5, DISPLACEMENT), "lobato", LENGTH, 1.4)
    g = listed[:, 2:5] @ cell.reciprocal
    assert listed[0, 2:5].tolist() == [0, 0, 0]
    assert listed[:, :2] == pytest.approx(g[:, :2])
    assert listed[:, FIELDS.index("g_z")] == pytest.approx(g[:, 2])
    s = -g[:, 2] - LENGTH / 2 * (g[:, 0] ** 2 + g[:, 1] ** 2)
    assert listed[:, FIELDS.index("excitation_error")] == pytest.approx(s)
    # The strongest of SrTiO3 near the zone axis is 110 or 200, by Kirkland's factors some 5 to 8 V.
    strongest = listed[1:][np.argmax(listed[1:, FIELDS.index("structure_factor")])]
    assert sorted(np.abs(strongest[2:5])) in ([0, 1, 1], [0, 0, 2])
    assert 3 < strongest[5] < 10
    assert np.hypot(g[:, 0], g[:, 1]).max() <= 1.4


def test_direct_beam_is_first_though_others_lie_on_it() -> None:
    """Along a period of 12 Å reflections of the next two zones, 0.083 1/Å apart, are at the place of 000."""
    cell = UnitCell(np.diag([4.0, 4.0, 12.0]), np.zeros((1, 3)), np.array([29], np.uint8), np.eye(3))
    listed = reflections_of(cell, np.full(1, DISPLACEMENT), "lobato", LENGTH, 1.0)
    assert listed[0, 2:5].tolist() == [0, 0, 0]
    on_it = np.hypot(listed[:, 0], listed[:, 1]) < 1e-9
    assert listed[on_it][:, 4].tolist() == [0, -2, -1, 1, 2]


@pytest.mark.parametrize("energy", [60e3, 300e3])
def test_list_has_every_reflection_of_some_weight(energy: float) -> None:
    """By looking at all; the crystal has no zone axis near the beam, so that distances to the sphere are many."""
    cell, rms, length = triclinic(), np.full(9, DISPLACEMENT), wavelength(energy)
    listed = reflections_of(cell, rms, "lobato", length, 1.3)
    span = np.arange(-10, 11)
    hkl = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 3)
    g = hkl @ cell.reciprocal
    factors = np.abs(structure_factors(cell, hkl, rms, "lobato"))
    distance = np.minimum(np.abs(g[:, 2]), np.abs(excitation_errors(g, length)))
    weight = factors * np.exp(-(distance**2) / (2 * WIDTH**2))
    weight[(np.hypot(g[:, 0], g[:, 1]) > 1.3) | (hkl == 0).all(axis=1)] = 0
    expected = {tuple(one) for one in hkl[weight >= LEAST_WEIGHT * weight.max()].tolist()}
    assert {tuple(one) for one in listed[1:, 2:5].astype(int).tolist()} == expected


def test_weights_are_those_of_the_two_definitions() -> None:
    row = np.zeros((1, len(FIELDS)))
    row[0, FIELDS.index("structure_factor")] = 4.0
    row[0, FIELDS.index("excitation_error")], row[0, FIELDS.index("g_z")] = 0.03, -0.08
    assert weights(row, "ewald")[0] == pytest.approx(4 * np.exp(-0.5 * (0.03 / WIDTH) ** 2))
    assert weights(row, "flat")[0] == pytest.approx(4 * np.exp(-0.5 * (0.08 / WIDTH) ** 2))


def test_images_of_structure_factors() -> None:
    listed = np.zeros((3, len(FIELDS)), np.float32)
    listed[:, :2] = [[32, 32], [40.25, 20.0], [63.5, 10]]
    listed[1:, 2:5] = [[1, 0, 0], [0, 2, 0]]
    listed[:, FIELDS.index("structure_factor")] = [20, 4, 1]
    image = structure_factor_image(listed, 64, gamma=0.5, sigma=1.0)
    assert image[32, 32] == 1  # 000 is cut off
    assert image.max() == 1
    assert image[20, 40] == pytest.approx(np.exp(-0.5 * 0.25**2))
    y, x = np.mgrid[:64, :64]
    part = image * (np.hypot(y - 20, x - 40.25) < 5)
    assert (part * x).sum() / part.sum() == pytest.approx(40.25, abs=0.02)
    assert image[10, 63] == pytest.approx(0.5 * np.exp(-0.5 * 0.5**2), rel=1e-4)
    linear = structure_factor_image(listed, 64, gamma=1.0, thickness=0.3)
    assert linear[10, 63] == pytest.approx(0.3 * 0.25 * np.exp(-0.5 * 0.5**2), rel=1e-4)
    assert structure_factor_image(listed[:1], 64).sum() > 0
    assert structure_factor_image(listed[:0], 64).max() == 0
