"""Densities above layers: their fall into the vacuum, where they are continued from, symmetry, and the bundled maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from exitwave.config.monolayers import MAPS, map_files
from exitwave.errors import StructureError
from exitwave.waves.ldos import HEIGHTS
from exitwave.waves.local_density import continued
from exitwave.waves.vacuum_states import (
    HBAR2_2M,
    VacuumStates,
    decays_of,
    density_above,
    occupations,
    read,
    write,
)
from surface_states import CELL, kappa, on_grid, states

BUNDLED = map_files(None)
ALL = np.ones(1)


def at(height: float) -> int:
    return int(np.argmin(np.abs(HEIGHTS - height)))


def bundled(name: str) -> VacuumStates:
    return read(MAPS / f"{name}.npz")


# --- continuation -----------------------------------------------------------------------------


@pytest.mark.parametrize("across", [0.0, 1.7])
def test_in_the_vacuum_the_logarithm_falls_by_twice_kappa(across: float) -> None:
    point = np.array([[across, 0.0]]) @ np.linalg.inv(2 * np.pi * np.linalg.inv(CELL).T)
    one = states(k_points=point, beams=np.zeros((1, 2), int), coefficients=np.ones((1, 1), complex))
    density = density_above(one, ALL, HEIGHTS).mean(axis=(1, 2))
    slope = -np.log(density[at(8)] / density[at(2)]) / 6
    assert slope == pytest.approx(2 * kappa(-4.5, across), rel=1e-6)


def test_a_density_of_several_beams_is_that_in_closed_form() -> None:
    grid, _cell, _ = on_grid(planes=32)
    found = density_above(states(), ALL, np.array([2.0, 4.0, 5.5]))
    spectrum = np.fft.fft2(found, norm="forward")
    for place, plane in enumerate((12, 16, 19)):  # z = 6, 8, 9.5 Å, of an atom at 4 Å
        expected = np.fft.fft2(grid[:, :, plane].T, norm="forward")
        for order in (0, 1, 2):
            assert spectrum[place, 0, order] == pytest.approx(expected[0, order], rel=1e-5)


def test_decays_follow_a_potential_as_an_ordinary_solver_has_them() -> None:
    heights = np.arange(1.0, 4.01, 0.1)
    one = states(heights=heights, potential=-3.0 * np.exp(-(heights - 2)), beams=np.array([[0, 0], [0, 1]]),
        coefficients=np.ones((1, 2), complex))  # fmt: skip
    found = decays_of(one, np.array([2.0, 3.0, 6.0]))[:, 0]
    reciprocal = 2 * np.pi * np.linalg.inv(CELL).T
    for beam, across in enumerate((0.0, float(np.linalg.norm(reciprocal[1])))):

        def slope(z: float, f: np.ndarray, across: float = across) -> list[float]:
            return [f[1], ((-3.0 * np.exp(-(z - 2)) + 4.5) / HBAR2_2M + across**2) * f[0]]

        far = kappa(-4.5, across)
        solved = solve_ivp(slope, (14.0, 2.0), [1.0, -far], t_eval=[6.0, 3.0, 2.0], rtol=1e-10, atol=0)
        np.testing.assert_allclose(found[:, beam], solved.y[0][::-1] / solved.y[0][-1], rtol=3e-3)


def test_it_does_not_matter_on_which_plane_a_continuation_begins() -> None:
    low = bundled("MoS2")
    shares = occupations(low, 0.5, "band_edge", 0.05)
    higher = low.coefficients * decays_of(low, np.array([3.0]))[0]
    high = replace(low, plane=3.0, coefficients=higher)
    heights = np.array([3.0, 4.0, 6.0, 8.0])
    np.testing.assert_allclose(
        density_above(low, shares, heights), density_above(high, shares, heights), rtol=5e-3, atol=0
    )


def test_states_are_read_as_they_were_written(tmp_path: Path) -> None:
    write(states(), tmp_path / "one.npz")
    found = read(tmp_path / "one.npz")
    np.testing.assert_allclose(found.coefficients, states().coefficients, rtol=1e-3)
    assert found.facts == states().facts
    assert not list(tmp_path.glob("*.partial"))


# --- densities of files -----------------------------------------------------------------------


def test_a_density_of_a_file_goes_on_as_its_states_do() -> None:
    grid, cell, positions = on_grid()
    found = continued(grid, cell, positions[:, 2].max(), HEIGHTS, 3.0, "by hand", depth=0.0)
    exact = density_above(states(), ALL, HEIGHTS)
    for height in (2.5, 3.0, 4.0, 8.0):
        mean, expected = found[at(height)].mean(), exact[at(height)].mean()
        assert mean == pytest.approx(expected, rel=0.02), height
    slope = -np.log(found[at(8)].mean() / found[at(2)].mean()) / 6
    assert slope == pytest.approx(2 * kappa(-4.5), rel=0.02)
    # Corrugation, while there is one.
    for height in (2.5, 4.0):
        spectrum, expected_spectrum = (np.fft.fft2(d[at(height)], norm="forward") for d in (found, exact))
        assert abs(spectrum[0, 1]) == pytest.approx(abs(expected_spectrum[0, 1]), rel=0.03)


@pytest.mark.parametrize("name", ["graphene", "MoS2"])
def test_a_density_of_a_file_goes_on_as_that_of_bundled_states(name: str) -> None:
    one = bundled(name)
    shares = occupations(one, -0.5, "band_edge", 0.05)
    z = np.arange(2.0, 4.05, 0.1)
    grid = np.zeros((4 * int(np.abs(one.beams).max()) + 1,) * 2 + (160,))
    grid[:, :, 40:61] = density_above(one, shares, z).transpose(2, 1, 0)
    grid[:, :, 39] = grid[:, :, 40]  # below what is asked for
    cell = np.diag([0.0, 0.0, 16.0])
    cell[:2, :2] = one.cell
    found, exact = continued(grid, cell, 2.0, HEIGHTS, 3.5, name), density_above(one, shares, HEIGHTS)
    for height in (4.0, 5.0, 6.0):
        assert found[at(height)].mean() == pytest.approx(exact[at(height)].mean(), rel=0.15), height
        spread, expected = (np.ptp(d[at(height)]) / d[at(height)].mean() for d in (found, exact))
        assert spread == pytest.approx(expected, rel=0.3, abs=0.01), height


def test_a_density_that_is_nothing_or_does_not_fall_is_refused() -> None:
    grid, cell, _positions = on_grid()
    with pytest.raises(StructureError, match="'by hand' has a mean density of 0"):
        continued(0 * grid, cell, 4.0, HEIGHTS, 3.0, "by hand")
    with pytest.raises(StructureError, match="does not fall"):
        continued(grid[:, :, ::-1], cell, 4.0, HEIGHTS, 3.0, "by hand")


# --- bundled maps -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: Path(file).stem)
def test_every_bundled_map_gives_densities_that_fall_as_they_must(file: str) -> None:
    one = read(Path(file))
    assert Path(file).stat().st_size <= 20_000
    assert {"engine", "cutoff", "mesh", "mesh_of_states", "structure", "window"} <= set(one.facts)
    for bias in (0.5, -0.5):
        shares = occupations(one, bias, "band_edge", 0.05)
        assert shares.sum() > 0.5
        density = density_above(one, shares, HEIGHTS)
        assert (density > 0).all()
        slopes = -np.diff(np.log(density.mean(axis=(1, 2)))) / np.diff(HEIGHTS)
        seen = shares > 1e-6
        reciprocal = 2 * np.pi * np.linalg.inv(one.cell).T
        across = ((one.k_points[seen, None] + one.beams) @ reciprocal) ** 2
        least = np.sqrt((-one.fermi - one.energies[seen]) / HBAR2_2M + across.sum(axis=-1).min(axis=1)).min()
        # Far away no slower than the slowest state, and ever more nearly as slow.
        assert slopes[at(8)] >= 2 * least * 0.98
        assert (np.diff(slopes[at(9) :]) < 2e-3).all()


def test_graphene_is_a_honeycomb_at_both_signs_of_the_bias() -> None:
    one = bundled("graphene")
    for bias in (0.5, -0.5):
        density = density_above(one, occupations(one, bias, "fermi", 0.05), np.array([2.0, 4.0]))
        number = density.shape[1]
        # Six-fold about the hollow at the origin, and mirrors: places of a grid go to places of it.
        v, u = np.mgrid[:number, :number]
        for matrix in ([[0, -1], [1, -1]], [[-1, 0], [0, -1]], [[0, 1], [1, 0]]):
            x, y = (np.tensordot(np.array(matrix), np.stack([u, v]), 1)) % number
            np.testing.assert_allclose(density, density[:, y, x], rtol=2e-3)
        spectrum = np.fft.fft2(density[1], norm="forward")

        def value(first: float, second: float, spectrum: np.ndarray = spectrum) -> float:
            index = np.fft.fftfreq(len(spectrum), 1 / len(spectrum))
            phase = np.exp(2j * np.pi * (index[None] * first + index[:, None] * second))
            return float((spectrum * phase).sum().real)

        atoms = [value(1 / 3, 2 / 3), value(2 / 3, 1 / 3)]
        bond, hollow = value(0.5, 0.5), value(0, 0)
        assert atoms[0] == pytest.approx(atoms[1], rel=1e-3)
        assert hollow < 0.4 * atoms[0]
        assert hollow < bond < atoms[0]


def test_a_dichalcogenide_shows_the_chalcogen_above_when_electrons_leave_it() -> None:
    one = bundled("MoS2")
    density = density_above(one, occupations(one, -0.5, "band_edge", 0.05), np.array([3.0]))[0]
    number = len(density)
    fractions = np.linalg.solve(one.cell.T, one.positions[:, :2].T).T
    brightest = np.array(np.unravel_index(density.argmax(), density.shape))[::-1] / number
    sulphur = fractions[(one.numbers == 16) & (one.positions[:, 2] > -0.1)][0]
    off = (brightest - sulphur + 0.5) % 1 - 0.5
    assert np.linalg.norm(off @ one.cell) < 0.2


def test_a_window_in_the_gap_holds_no_states() -> None:
    one = bundled("MoS2")
    assert occupations(one, 0.3, "fermi", 0.02).sum() < 1e-6
    assert occupations(one, 0.3, "band_edge", 0.02).sum() > 0.5
