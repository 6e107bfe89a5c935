"""Images of partially coherent illumination: against an ensemble of abTEM's transfer functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import abtem
import numpy as np
import pytest
from abtem.core.axes import FrozenPhononsAxis
from abtem.distributions import from_values
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

from exitwave.config.images import Hrtem
from exitwave.imaging.coherence import focal_quadrature
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.hrtem import expected_image, form_images

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

ENERGY, SAMPLING, NODES, ROUNDS = 300e3, 0.4, 7, 9
OPEN = ImagingConditions(
    defocus=80.0,
    aberrations={"C12": 20.0, "phi12": 0.4, "C21": 300.0, "phi21": 1.0, "C30": 1e5},
    focal_spread=15.0,
    dose=100.0,
)
APERTURE = replace(OPEN, objective_aperture=20.0)
Averaged = Literal["quadrature", "envelope"]


def waves_of(size: int, phonons: int) -> NDArray[np.complex64]:
    """Waves [phonon, y, x] of a random phase object, limited to the circle that the multislice leaves."""
    rng = np.random.default_rng(0)
    phase = 1.5 * gaussian_filter(rng.normal(size=(phonons, size, size)), (0, 1.2, 1.2), mode="wrap")
    k = np.fft.fftfreq(size)
    inside = np.hypot(k[:, None], k) < 0.5
    return np.fft.ifft2(np.fft.fft2(np.exp(1j * phase)) * inside).astype(np.complex64)


def with_abtem(
    waves: NDArray[np.complex64], conditions: ImagingConditions, coherence: Averaged, sampling: float = SAMPLING
) -> NDArray[np.float32]:
    """Intensity at the points of the wave: all transfer functions as one ensemble, the mean over it last."""
    held = abtem.Waves(
        np.ascontiguousarray(waves.swapaxes(-1, -2)),
        energy=ENERGY,
        sampling=sampling,
        ensemble_axes_metadata=[FrozenPhononsAxis()],
    )
    options: dict[str, Any] = {"energy": ENERGY, "soft": False, **conditions.aberrations}
    if conditions.objective_aperture is not None:
        options["semiangle_cutoff"] = conditions.objective_aperture
    if coherence == "envelope":
        lens = abtem.CTF(defocus=conditions.defocus, focal_spread=np.sqrt(2) * conditions.focal_spread, **options)
        return np.asarray(held.apply_ctf(lens).intensity().array.mean(axis=0)).T
    offsets, weights = focal_quadrature(conditions.focal_spread, NODES)
    lens = abtem.CTF(defocus=from_values(conditions.defocus + offsets), **options)
    return np.tensordot(weights.astype(np.float32), held.apply_ctf(lens).intensity().array.mean(axis=1), 1).T


def averaged_with_abtem(
    waves: NDArray[np.complex64], conditions: ImagingConditions, coherence: Averaged
) -> NDArray[np.float32]:
    """The same on twice the points, where nothing is folded, averaged over the pixels of the wave."""
    n = waves.shape[-1]
    kept = np.r_[: n // 2, -(n // 2) : 0]
    spectra = np.zeros((len(waves), 2 * n, 2 * n), np.complex64)
    spectra[:, kept[:, None], kept] = 4 * fft.fft2(waves)
    fine = with_abtem(fft.ifft2(spectra), conditions, coherence, SAMPLING / 2)
    spectrum = fft.rfft2(fine)
    spectrum *= np.sinc(2 * fft.fftfreq(2 * n)).astype(np.float32)[:, None]
    spectrum *= np.sinc(2 * fft.rfftfreq(2 * n)).astype(np.float32)
    return fft.irfft2(spectrum)[::2, ::2]


CASES: list[tuple[int, int, ImagingConditions, Averaged, int | Literal["auto"]]] = [
    (256, 2, OPEN, "quadrature", NODES),
    (256, 1, OPEN, "quadrature", "auto"),
    (256, 2, OPEN, "quadrature", "auto"),
    (256, 4, OPEN, "quadrature", "auto"),
    (512, 2, OPEN, "quadrature", "auto"),
    (256, 2, APERTURE, "quadrature", "auto"),
    (512, 2, APERTURE, "quadrature", "auto"),
    (256, 2, OPEN, "envelope", 1),
    (256, 2, APERTURE, "envelope", 1),
]


@pytest.mark.parametrize(("size", "phonons", "conditions", "coherence", "nodes"), CASES)
def test_image(
    size: int, phonons: int, conditions: ImagingConditions, coherence: Averaged, nodes: Any, side_by_side: Any
) -> None:
    waves = waves_of(size, phonons)
    optics = "open" if conditions.objective_aperture is None else f"{conditions.objective_aperture:g} mrad"
    averaged = "envelope" if coherence == "envelope" else f"{nodes} nodes"
    results = side_by_side(
        f"image, {size}², {phonons} phonons, {averaged}, {optics}",
        lambda: expected_image(waves, conditions, ENERGY, SAMPLING, nodes, coherence),
        {
            "abTEM at the points of the wave": lambda: with_abtem(waves, conditions, coherence),
            "abTEM, the same image": lambda: averaged_with_abtem(waves, conditions, coherence),
        },
        rounds=ROUNDS,
    )
    same_image(results["ours"], results["abTEM, the same image"])


def test_images_of_one_structure(side_by_side: Any) -> None:
    waves, many = waves_of(256, 2), [replace(OPEN, defocus=defocus) for defocus in np.linspace(-200, 200, 8)]
    block = Hrtem(kind="hrtem", exit_waves="w", pixel_size=0.8, size=128, dose=100)
    formed: Callable[[], Any] = lambda: form_images(  # noqa: E731
        waves,
        many,
        block=block,
        energy=ENERGY,
        sampling=SAMPLING,
        offsets=[(0, 0)] * len(many),
        rngs=[np.random.default_rng(i) for i in range(len(many))],
    )
    results = side_by_side(
        "8 recorded images of 2 phonons, 256², auto nodes",
        formed,
        {"abTEM at the points of the wave": lambda: [with_abtem(waves, taken, "quadrature") for taken in many]},
        rounds=ROUNDS,
    )
    assert [image.counts.shape for image in results["ours"]] == [(128, 128)] * len(many)


def same_image(image: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    assert (image - reference).std() < 2e-3 * reference.std()
    assert np.abs(image - reference).max() < 5e-3 * reference.mean()
