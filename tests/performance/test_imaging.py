"""Images with focal spread: against a loop over abTEM's transfer function, and against the bare Fourier transforms."""

from __future__ import annotations

import time
from typing import Any

import abtem
import numpy as np
import pytest
from abtem.core.axes import FrozenPhononsAxis
from abtem.distributions import from_values
from numpy.typing import NDArray

from exitwave.imaging.coherence import focal_quadrature
from exitwave.imaging.hrtem import ImagingConditions, expected_image, intensity

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

ENERGY, SAMPLING, SIZE, PHONONS, NODES = 300e3, 0.4, 256, 2, 7
CONDITIONS = ImagingConditions(
    defocus=80.0,
    aberrations={"C12": 20.0, "phi12": 0.4, "C21": 300.0, "phi21": 1.0, "C30": 1e5},
    focal_spread=15.0,
    objective_aperture=20.0,
    plasmon_weight=0.0,
    dose=100.0,
    detector_blur=0.0,
)


@pytest.fixture
def waves() -> NDArray[np.complex64]:
    """Waves [phonon, y, x] of a random phase object."""
    phase = np.random.default_rng(0).normal(0, 0.3, (PHONONS, SIZE, SIZE))
    return np.exp(1j * phase).astype(np.complex64)


def lens(defocus: Any) -> abtem.CTF:
    return abtem.CTF(
        energy=ENERGY,
        defocus=defocus,
        semiangle_cutoff=CONDITIONS.objective_aperture,
        soft=False,
        **CONDITIONS.aberrations,
    )


def held_by_abtem(waves: NDArray[np.complex64]) -> abtem.Waves:
    return abtem.Waves(
        np.ascontiguousarray(waves.swapaxes(-1, -2)),
        energy=ENERGY,
        sampling=SAMPLING,
        ensemble_axes_metadata=[FrozenPhononsAxis()],
    )


def with_abtem_loop(waves: NDArray[np.complex64]) -> NDArray[np.float32]:
    """One transfer function after another."""
    held = held_by_abtem(waves)
    total = np.zeros((SIZE, SIZE), np.float32)
    for offset, weight in zip(*focal_quadrature(CONDITIONS.focal_spread, NODES), strict=True):
        focused = held.apply_ctf(lens(CONDITIONS.defocus + offset))
        total += np.float32(weight) * focused.intensity().array.mean(axis=0)
    return total.T


def with_abtem_ensemble(waves: NDArray[np.complex64]) -> NDArray[np.float32]:
    """All transfer functions as one ensemble, the mean over it last."""
    offsets, weights = focal_quadrature(CONDITIONS.focal_spread, NODES)
    focused = held_by_abtem(waves).apply_ctf(lens(from_values(CONDITIONS.defocus + offsets)))
    return np.tensordot(weights.astype(np.float32), focused.intensity().array.mean(axis=1), 1).T


@pytest.mark.parametrize(
    ("step", "form"),
    [("image at the points of the wave", intensity), ("image averaged over pixels", expected_image)],
    ids=["intensity", "expected_image"],
)
def test_image_with_focal_spread(
    step: str, form: Any, waves: NDArray[np.complex64], side_by_side: Any, bare_transforms: Any
) -> None:
    def ours() -> NDArray[np.float32]:
        return form(waves, CONDITIONS, ENERGY, SAMPLING, NODES)

    results = side_by_side(
        f"{step}, {SIZE}², {NODES} nodes, {PHONONS} phonons",
        ours,
        {
            "abTEM, loop over defocus": lambda: with_abtem_loop(waves),
            "abTEM, ensemble of defocus": lambda: with_abtem_ensemble(waves),
            "its own FFTs alone": bare_transforms(ours),
        },
        rounds=9,
    )
    for reference in (results["abTEM, loop over defocus"], results["abTEM, ensemble of defocus"]):
        if form is intensity:
            assert np.abs(results["ours"] - reference).max() < 1e-3 * reference.mean()
        else:  # the area average is another quantity at each pixel, with the same mean
            assert results["ours"].mean() == pytest.approx(reference.mean(), rel=1e-4)
