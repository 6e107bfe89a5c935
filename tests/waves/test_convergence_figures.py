"""The measures of docs/convergence.py, on waves whose errors are known."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

FIELD = 32.0


@pytest.fixture(scope="module")
def convergence() -> ModuleType:
    path = Path(__file__).parents[2] / "docs/convergence.py"
    spec = importlib.util.spec_from_file_location("convergence", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fringes(size: int, amplitude: float, periods: int) -> NDArray[np.complex64]:
    """A plane wave with fringes along x."""
    x = np.arange(size) / size
    line = 1 + amplitude * 1j * np.cos(2 * np.pi * (periods * x + 0.1))
    return np.broadcast_to(line, (1, size, size)).astype(np.complex64)


@pytest.mark.parametrize(("coarse", "fine"), [(40, 60), (60, 40), (64, 64)])
def test_a_wave_within_both_bands_is_resampled_exactly(convergence: ModuleType, coarse: int, fine: int) -> None:
    np.testing.assert_allclose(convergence.resampled(fringes(coarse, 0.2, 7), fine), fringes(fine, 0.2, 7), atol=1e-6)


def test_error_of_the_scattered_wave_leaves_out_the_incoming_one_and_what_only_the_finer_grid_holds(
    convergence: ModuleType,
) -> None:
    truth = fringes(128, 0.2, 7) + fringes(128, 0.1, 40) - 1
    assert convergence.scattered_error(fringes(64, 0.21, 7), truth) == pytest.approx(5, rel=1e-3)


def test_contrast_error_of_fringes_too_strong_is_their_excess(convergence: ModuleType) -> None:
    image = 1 + np.cos(np.linspace(0, 2 * np.pi, 64, endpoint=False))
    assert convergence.contrast_error(1.1 * image - 0.1, image) == pytest.approx(10)


def test_fringe_is_the_amplitude_of_the_two_beams_at_the_spacing(convergence: ModuleType) -> None:
    assert convergence.fringe(fringes(64, 0.2, 7), FIELD / 7) == pytest.approx(0.2 / np.sqrt(2), rel=1e-4)


def test_a_particle_cut_by_the_edge_of_the_cell_is_made_whole(convergence: ModuleType) -> None:
    whole = convergence.centred(convergence.particle_on_carbon("Au", film=False)).positions
    assert np.abs(whole[:, :2]).max() < convergence.RADIUS + 1
