"""Scattering matrices against the analytic two-beam case, abTEM's Bloch waves and a multislice in real space."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from exitwave.config.crystals import Crystals
from exitwave.config.exit_waves import ScatteringMatrix
from exitwave.config.graph import Node
from exitwave.electron import interaction_parameter, wavelength
from exitwave.errors import ConfigError, StructureError
from exitwave.items import Asked, Item
from exitwave.structures.unit_cell import UnitCell
from exitwave.waves.abtem_bloch import coupling_of_abtem
from exitwave.waves.beam_space import diagonalise, propagate
from exitwave.waves.beams import coupling, excitation_errors, find_beams, strongest, structure_factors
from exitwave.waves.scattering_matrix import check, make, tilts_of
from known_crystals import DISPLACEMENT, diamond, gold, strontium_titanate, tilted, triclinic

ENERGY = 300e3
LENGTH, SIGMA = wavelength(ENERGY), interaction_parameter(ENERGY)
CRYSTALS = {
    "SrTiO3 [001]": strontium_titanate(),
    "SrTiO3 tilted": strontium_titanate(tilted(12, 0.4)),
    "Si random": diamond(14, 5.431, Rotation.random(random_state=3).as_matrix()),
    "Au [110]": gold(Rotation.align_vectors([[0, 0, 1]], [[1, 1, 0]])[0].as_matrix()),
    "triclinic": triclinic(),
}


def block_of(**keys: Any) -> ScatteringMatrix:
    given = {"kind": "scattering_matrix", "structures": "any", "rms_displacement_of_others": DISPLACEMENT}
    same = dict.fromkeys(("Sr", "Ti", "O", "Si", "Au", "Fe", "Cu"), DISPLACEMENT)
    return ScatteringMatrix(**(given | {"rms_displacements": same} | keys))


def simulate(cell: UnitCell, **keys: Any) -> Item:
    (item,) = make(block_of(**keys), [Asked(0, (np.random.default_rng(0),), {}, {"structures": cell.arrays()})])
    return item


def rms_of(cell: UnitCell) -> np.ndarray:
    return np.full(len(cell.numbers), DISPLACEMENT)


def difference(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Sum of the differences of intensities over the sum of those expected, over the beams along the first axis."""
    return np.asarray(np.abs(found - expected).sum(axis=0) / expected.sum(axis=0))


def test_two_beams_follow_the_rocking_curve() -> None:
    """I = sin²(π t s_eff) / (s_eff ξ)², s_eff² = s² + 1/ξ², ξ = π / (σ V_g)  (Reimer, Transmission EM, eq. 7.42)."""
    potential = 6.0 * np.exp(0.7j)
    matrix = np.array([[0, potential.conjugate()], [potential, 0]])
    s = np.linspace(-0.02, 0.02, 81)
    extinction = np.pi / (SIGMA * abs(potential))
    effective = np.sqrt(s**2 + 1 / extinction**2)
    amplitudes = propagate(matrix, np.stack([np.zeros_like(s), s]), SIGMA, 20.0, 25)
    for plane, values in enumerate(amplitudes, start=1):
        expected = np.sin(np.pi * 20.0 * plane * effective) ** 2 / (effective * extinction) ** 2
        assert np.abs(np.abs(values[1]) ** 2 - expected).max() < 1e-4


@pytest.mark.parametrize("name", CRYSTALS)
def test_structure_and_amplitudes_are_those_of_abtem(name: str) -> None:
    cell = CRYSTALS[name]
    beams = find_beams(cell, LENGTH, 1.5, 0.04, 0.2)
    assert 20 < len(beams) < 300
    matrix = coupling(cell, beams, rms_of(cell), "lobato")
    reference = coupling_of_abtem(cell, beams, rms_of(cell), "lobato", ENERGY)
    assert np.abs(matrix - reference).max() < 1e-7 * np.abs(reference).max()
    s = excitation_errors(beams.g, LENGTH)
    thicknesses = np.array([20.0, 100.0, 260.0, 500.0])
    expected = np.abs(diagonalise(reference, s, SIGMA, thicknesses)) ** 2
    found = np.stack([values[:, 0] for values in propagate(matrix, s[:, None], SIGMA, 20.0, 25)], axis=1)
    assert (difference(np.abs(found[:, [0, 4, 12, 24]]) ** 2, expected) < 1e-3).all()


@pytest.mark.parametrize("energy", [60e3, 200e3])
@pytest.mark.parametrize("edge", [3.165, 4.0782])
def test_steps_are_short_enough_for_heavy_crystals(edge: float, energy: float) -> None:
    """Tungsten along [111] and gold along [110], the zone axes of their strongest columns, at 50 nm."""
    zone, number, vectors = ([1, 1, 0], 79, 1 - np.eye(3)) if edge > 4 else ([1, 1, 1], 74, 1 - 2 * np.eye(3))
    orientation = Rotation.align_vectors([[0, 0, 1]], [zone])[0].as_matrix()
    cell = UnitCell(edge / 2 * vectors, np.zeros((1, 3)), np.array([number], np.uint8), orientation)
    length, sigma, k = wavelength(energy), interaction_parameter(energy), np.array([[0, 0], [2, 1], [4, 0]])
    beams = find_beams(cell, length, 2.0, 0.05, 4e-3 / length)
    matrix = coupling(cell, beams, rms_of(cell), "lobato")
    s = beams.excitation_errors(length)[:, None] - length * beams.g[:, :2] @ (1e-3 * k / length).T
    *_, found = propagate(matrix, s, sigma, 20.0, 25)
    for tilt in range(len(k)):
        expected = np.abs(diagonalise(matrix, s[:, tilt], sigma, np.array([500.0]))[:, 0]) ** 2
        assert difference(np.abs(found[:, tilt]) ** 2, expected) < 1.2e-3


def test_engine_abtem_gives_the_same() -> None:
    keys = {"semiangle": 1, "tilt_step": 0.03, "thickness": 200, "thickness_step": 40, "g_max": 1.2, "s_max": 0.03}
    cell = triclinic()
    ours, theirs = (simulate(cell, engine=engine, storage_error=0, **keys) for engine in ("exitwave", "abtem"))
    values, expected = (np.abs(item.arrays["amplitudes"].values) ** 2 for item in (ours, theirs))
    assert (ours.arrays["beams"].values == theirs.arrays["beams"].values).all()
    assert difference(values.swapaxes(0, 1), expected.swapaxes(0, 1)).max() < 1e-3


@pytest.mark.parametrize("name", CRYSTALS)
def test_intensities_sum_to_one(name: str) -> None:
    item = simulate(CRYSTALS[name], semiangle=1, g_max=1.5, tolerance=None, storage_error=0, least_intensity=0)
    total = (np.abs(item.arrays["amplitudes"].values) ** 2).sum(axis=1, dtype=np.float64)
    assert np.abs(total - 1).max() < 1e-5
    # What was to be put right.
    assert item.row["intensity_error"] < 1e-4


def test_silicon_has_the_symmetry_of_its_zone_axis() -> None:
    """Along [001] of diamond the projected symmetry is 4mm, with the glide that makes {200} vanish in the ZOLZ."""
    item = simulate(diamond(14, 5.431), semiangle=1, thickness=300, thickness_step=100, storage_error=0)
    centre = int(np.flatnonzero((item.arrays["tilts"].values == 0).all(axis=1))[0])
    of = {
        tuple(hkl): values
        for hkl, values in zip(
            item.arrays["beams"].values[:, :3].astype(int).tolist(),
            (np.abs(item.arrays["amplitudes"].values[:, :, centre]) ** 2).T,
            strict=True,
        )
    }
    for family in ([(2, 2, 0), (-2, 2, 0), (2, -2, 0), (-2, -2, 0)], [(4, 0, 0), (0, 4, 0), (-4, 0, 0), (0, -4, 0)]):
        for member in family[1:]:
            # A Friedel pair among them: the first and the last.
            assert of[member] == pytest.approx(of[family[0]], rel=2e-3)
    assert of[2, 2, 0].min() > 1e-4
    assert of.get((2, 0, 0), np.zeros(3)).max() < 1e-6


def test_tilts_along_an_axis_are_mirrored() -> None:
    """I_g(k) = I_-g(-k) for a crystal with a twofold axis along the beam."""
    item = simulate(strontium_titanate(), semiangle=2, thickness=200, thickness_step=200, storage_error=0)
    powers, tilts = np.abs(item.arrays["amplitudes"].values[0]) ** 2, item.arrays["tilts"].values
    hkl = item.arrays["beams"].values[:, :3]
    opposite = [int(np.flatnonzero((tilts == -tilt).all(axis=1))[0]) for tilt in tilts]
    for beam, indices in enumerate(hkl):
        if indices[2] == 0:
            friedel = int(np.flatnonzero((hkl == -indices).all(axis=1))[0])
            assert np.abs(powers[beam] - powers[friedel, opposite]).max() < 1e-4


def multislice(cell: UnitCell, k: np.ndarray, thicknesses: list[float], points: int, slices: int) -> list[np.ndarray]:
    """Intensities [h, k] of a plane wave behind a crystal with an orthogonal cell along its axes, in real space.

    The potential of each slice is the integral of the Fourier series of the whole between its faces.
    """
    edge = float(cell.cell[0, 0])
    orders = np.arange(-points // 2 + 1, points // 2)
    upright = np.arange(-20, 21)
    hkl = np.stack(np.meshgrid(orders, orders, upright, indexing="ij"), axis=-1).reshape(-1, 3)
    factors = structure_factors(cell, hkl, rms_of(cell), "lobato")
    thickness = edge / slices
    transmission = []
    for number in range(slices):
        phase = np.exp(2j * np.pi * hkl[:, 2] * (number + 0.5) / slices) * np.sinc(hkl[:, 2] / slices) * thickness
        spectrum = np.zeros((points, points), complex)
        np.add.at(spectrum, (hkl[:, 1] % points, hkl[:, 0] % points), factors * phase)
        transmission.append(np.exp(1j * SIGMA * np.fft.ifft2(spectrum).real * points**2))
    g = np.fft.fftfreq(points, edge / points)
    q2 = (g[:, None] + k[1]) ** 2 + (g + k[0]) ** 2
    onward = np.exp(-1j * np.pi * LENGTH * thickness * q2) * (np.hypot(g[:, None], g) < points / edge / 3)
    wave, found = np.zeros((points, points), complex), []
    wave[0, 0] = 1
    wave *= np.exp(-0.5j * np.pi * LENGTH * thickness * q2)
    for cells in range(1, round(thicknesses[-1] / edge) + 1):
        for slab in transmission:
            wave = np.fft.fft2(np.fft.ifft2(wave) * slab) * onward
        if any(abs(cells * edge - wanted) < edge / 2 for wanted in thicknesses):
            found.append(np.abs(wave) ** 2)
    return found


def test_scattering_matrix_agrees_with_a_converged_multislice() -> None:
    """Limits of the specification for thermal displacements of 0.075 Å: 0.01 at 10 nm, 0.05 at 49 nm."""
    cell, edge = strontium_titanate(), 3.905
    beams = find_beams(cell, LENGTH, 2.7, 0.10, 0.2)
    matrix = coupling(cell, beams, rms_of(cell), "lobato")
    for k in (np.zeros(2), np.array([0.13, 0.0]), np.array([0.08, -0.11])):
        s = excitation_errors(beams.g, LENGTH) - LENGTH * beams.g[:, :2] @ k
        reference = multislice(cell, k, [26 * edge, 125 * edge], 54, 12)
        found = np.abs(diagonalise(matrix, s, SIGMA, edge * np.array([26.0, 125.0]))) ** 2
        for place, (expected, limit) in enumerate(zip(reference, (0.01, 0.05), strict=True)):
            ours = np.zeros_like(expected)
            np.add.at(ours, (beams.hkl[:, 1], beams.hkl[:, 0]), found[:, place])
            assert np.abs(ours - expected).sum() / expected.sum() < limit


def test_beams_are_all_that_there_are() -> None:
    cell, k_max = triclinic(), 0.2
    beams = find_beams(cell, LENGTH, 1.2, 0.05, k_max)
    edge = np.arange(-12, 13)
    hkl = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), axis=-1).reshape(-1, 3)
    g = hkl @ cell.reciprocal
    across = np.hypot(g[:, 0], g[:, 1])
    near = (across < 1.2) & (np.abs(excitation_errors(g, LENGTH)) - LENGTH * k_max * across < 0.05)
    assert {tuple(one) for one in hkl[near].tolist()} == {tuple(one) for one in beams.hkl.tolist()}
    assert beams.hkl[0].tolist() == [0, 0, 0]


def test_beams_of_higher_laue_zones_are_among_them() -> None:
    """The first-order zone of SrTiO3 [001] is met at g² = 2 / (λ a), 5.10 1/Å at 300 kV."""
    beams = find_beams(strontium_titanate(), LENGTH, 5.6, 0.02)
    first = beams.hkl[:, 2] == -1
    radius = np.hypot(beams.g[first, 0], beams.g[first, 1])
    assert first.any()
    assert np.sqrt(2 / (LENGTH * 3.905)) == pytest.approx(radius.mean(), rel=0.02)


def test_of_too_many_beams_the_strong_ones_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    cell = strontium_titanate()
    found = find_beams(cell, LENGTH, 2.0, 0.05, 0.2)
    kept = strongest(cell, found, rms_of(cell), "lobato", LENGTH, SIGMA, 60)
    assert len(kept) == 60
    assert kept.hkl[0].tolist() == [0, 0, 0]
    with caplog.at_level(logging.WARNING):
        item = simulate(cell, max_beams=60, tolerance=0.01, semiangle=1)
    assert item.row["beams"] == 60
    assert item.row["beams_left_out"] > 0
    assert item.row["beam_error"] > 0.01
    assert "is cut to 60 beams, max_beams being 60" in caplog.text


def test_forbidden_beams_that_feed_others_are_kept() -> None:
    """Diamond along [110]: {002} comes by double scattering alone, and without it the rest is wrong."""
    upright = Rotation.align_vectors([[0, 0, 1]], [[1, 1, 0]])[0].as_matrix()
    cell = diamond(32, 5.658, upright)
    found = find_beams(cell, LENGTH, 1.6, 0.05)
    factors = np.abs(structure_factors(cell, found.hkl, rms_of(cell), "lobato"))
    forbidden = (
        (factors < 1e-9) & (np.abs(found.hkl).max(axis=1) <= 2) & (np.abs(found.excitation_errors(LENGTH)) < 0.02)
    )
    assert forbidden.any()
    kept = strongest(cell, found, rms_of(cell), "lobato", LENGTH, SIGMA, len(found) * 2 // 3)
    assert {tuple(one) for one in found.hkl[forbidden].tolist()} <= {tuple(one) for one in kept.hkl.tolist()}


def test_tolerance_takes_more_beams() -> None:
    few = simulate(gold(), semiangle=1, thickness=200, tolerance=None)
    more = simulate(gold(), semiangle=1, thickness=200, tolerance=few.row["beam_error"] / 3, max_beams=3000)
    assert more.row["beams"] > few.row["beams"]
    assert more.row["beam_error"] < few.row["beam_error"] / 3
    assert more.row["s_max"] > few.row["s_max"]


def test_what_is_stored_is_rounded_and_cut_within_bounds() -> None:
    cell = strontium_titanate()
    exact = simulate(cell, semiangle=1, storage_error=0, least_intensity=0)
    stored = simulate(cell, semiangle=1, storage_error=5e-4, least_intensity=1e-5)
    before = {tuple(hkl): place for place, hkl in enumerate(exact.arrays["beams"].values[:, :3].tolist())}
    places = [before[tuple(hkl)] for hkl in stored.arrays["beams"].values[:, :3].tolist()]
    assert len(places) < len(before)
    off = stored.arrays["amplitudes"].values - exact.arrays["amplitudes"].values[:, places]
    assert max(np.abs(off.real).max(), np.abs(off.imag).max()) <= 5e-4
    left = np.delete(np.abs(exact.arrays["amplitudes"].values) ** 2, places, axis=1)
    assert left.max() < 1e-5
    assert stored.row["intensity_dropped"] == pytest.approx(float(left.sum(axis=1).max()), rel=1e-3)


def test_thermal_motion_damps_the_potential() -> None:
    cell = strontium_titanate()
    hkl = np.array([[1, 0, 0], [4, 0, 0]])
    still, moving = (np.abs(structure_factors(cell, hkl, np.full(5, u), "lobato")) for u in (0.0, 0.08))
    expected = np.exp(-2 * np.pi**2 * 0.08**2 * (np.array([1, 4]) / 3.905) ** 2)
    assert moving / still == pytest.approx(expected, rel=1e-12)


def test_torch_gives_what_numpy_does() -> None:
    cell = strontium_titanate()
    beams = find_beams(cell, LENGTH, 1.0, 0.05, 0.1)
    matrix = coupling(cell, beams, rms_of(cell), "lobato")
    s = excitation_errors(beams.g, LENGTH)[:, None] + np.linspace(0, 0.01, 7)
    for ours, theirs in zip(
        propagate(matrix, s, SIGMA, 50.0, 3), propagate(matrix, s, SIGMA, 50.0, 3, "cpu"), strict=True
    ):
        assert np.abs(ours - theirs).max() < 1e-5


def test_tilts_reach_around_the_aperture() -> None:
    tilts = tilts_of(block_of(semiangle=2, tilt_step=0.0217))
    radius = 2e-3 / LENGTH / 0.0217
    edge = np.hypot(*tilts.T)
    assert radius + 2 <= edge.max() <= radius + 2.5
    assert (
        len({tuple(tilt) for tilt in tilts.tolist()}) == len(tilts) == pytest.approx(np.pi * edge.max() ** 2, rel=0.1)
    )


def test_a_crystal_with_too_many_beams_names_its_item() -> None:
    huge = UnitCell(80 * np.eye(3), np.zeros((1, 3)), np.array([79], np.uint8), np.eye(3))
    with pytest.raises(StructureError, match=r"item 0: cell: .* more than 100000 beams .*; allowed: a smaller cell"):
        simulate(huge, g_max=3, s_max=0.2)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"rms_displacements": {"Q": 0.1}}, r"^rms_displacements: found 'Q'; allowed: symbols of elements$"),
        (
            {"rms_displacements": {}, "rms_displacement_of_others": None},
            r"^rms_displacements: there is no Debye-Waller factor for B, .* which structures 'library' have; allowed:",
        ),
        (
            {"semiangle": 0.1},
            r"^tilt_step: found 0\.0217 1/Å, with which the aperture of 0\.1 mrad has a radius",
        ),
        (
            {"semiangle": 25},
            r"^g_max: found 2 1/Å; allowed: 2\.54 1/Å, the diameter of the aperture of 25 mrad, or",
        ),
        (
            {"energy": 60e3},
            r"^tilt_step: found 0\.0217 1/Å; allowed: up to 0\.014 1/Å, .* crystal of 500 Å are lost$",
        ),
    ],
)
def test_matrices_that_cannot_be_are_refused(keys: dict[str, Any], said: str) -> None:
    library = Node("structures", "library", Crystals(kind="crystals", count=30), {})
    check(Node("exit_waves", "bloch", block_of(), {"structures": [library]}))
    with pytest.raises(ConfigError, match=said):
        check(Node("exit_waves", "bloch", block_of(**keys), {"structures": [library]}))


def test_disks_that_overlap_hold_all_electrons_if_beams_reach_across_the_aperture() -> None:
    """Waves that come in a reciprocal vector apart and leave together are orthogonal behind the crystal."""
    cell, k_max, apart = strontium_titanate(), 20e-3 / LENGTH, 4
    k = np.array([[k_max, 0.0], [k_max - apart / 3.905, 0.0]])
    left = []
    for g_max in (1.5 * k_max, 3 * k_max):
        beams = find_beams(cell, LENGTH, g_max, 0.05, k_max)
        s = beams.excitation_errors(LENGTH)[:, None] - LENGTH * beams.g[:, :2] @ k.T
        (waves,) = propagate(coupling(cell, beams, rms_of(cell), "lobato"), s, SIGMA, 200.0, 1)
        first, second = (dict(zip(map(tuple, beams.hkl.tolist()), wave, strict=True)) for wave in waves.T)
        left.append(abs(sum(wave * second.get((h + apart, *of), 0).conjugate() for (h, *of), wave in first.items())))
    assert left[0] > 0.05
    assert left[1] < 0.01


def node_of(**keys: Any) -> Node:
    crystals = Crystals(kind="crystals", count=2, prototypes=["NaCl"], substitutions=0)
    return Node("exit_waves", "bloch", block_of(**keys), {"structures": [Node("structures", "salt", crystals, {})]})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"max_beams": 10},
            r"^max_beams: found 10, and the largest crystal of structures 'salt', of 4\d\.\d+ Å³, has about 6\d beams "
            r"within g_max and s_max; allowed: a quarter of them or more, 1[67], or smaller crystals",
        ),
        ({"semiangle": 0.004}, r"^tilt_step: found 0\.0217 1/Å, .* radius of 0\.0094 steps; allowed: 1 \.\.\. 200"),
        ({"tilt_step": 1e-5}, r"^tilt_step: found 1e-05 1/Å, .* radius of 2e\+04 steps; allowed: 1 \.\.\. 200"),
        ({"rms_displacements": {"Xx": 0.1}}, r"^rms_displacements: found 'Xx'; allowed: symbols of elements$"),
        (
            {"rms_displacement_of_others": None},
            r"^rms_displacements: there is no Debye-Waller factor for Cl, Na, which structures 'salt' have; allowed: ",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused_before_the_first_job(keys: dict[str, Any], said: str) -> None:
    check(node_of())
    check(node_of(max_beams=40))
    with pytest.raises(ConfigError, match=said):
        check(node_of(**keys))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"thickness": 505}, "thickness is 505 Å with thickness_step 20 Å; allowed: whole steps, such as 500 Å"),
        ({"thickness": 10}, "thickness is 10 Å with thickness_step 20 Å; allowed: one step or more"),
        ({"thickness": 1e9}, "thickness is 1e\\+09 Å with thickness_step 20 Å; allowed: up to 1000 steps, 20000 Å"),
    ],
)
def test_thicknesses_are_a_few(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        block_of(**keys)


def test_beams_that_are_left_out_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    row = simulate(strontium_titanate(), thickness=100, tolerance=0.3).row
    assert row["beams_left_out"] == 0
    assert not caplog.records
    row = simulate(strontium_titanate(), thickness=100, tolerance=None, max_beams=50).row
    assert row["beams"] == 50
    (record,) = caplog.records
    told = "a crystal of 59.55 Å³ is cut to 50 beams, max_beams being 50; with more its intensities change by 0."
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(told)


def test_a_job_warns_of_crystals_that_more_beams_would_change(caplog: pytest.LogCaptureFixture) -> None:
    keys = {"semiangle": 1, "g_max": 1.0, "s_max": 0.02, "thickness": 200}
    asked = [Asked(item, (np.random.default_rng(0),), {}, {"structures": gold().arrays()}) for item in range(2)]
    rows = [item.row for item in make(block_of(**keys), asked)]
    assert min(row["beam_error"] for row in rows) > 0.2
    (record,) = caplog.records
    assert record.getMessage().startswith("of 2 crystals 2 change their intensities at 200 Å by more than 0.2")
    caplog.clear()
    assert len(list(make(block_of(**keys, tolerance=0.1), asked[:1]))) == 1
    assert "of 1 crystals" not in caplog.text
