"""Images by convolution: against spread points and a Fourier transform, and against the dense matrix product."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft

from exitwave.imaging.convolution import render

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

SIGMA, PIXEL, SIZE, ATOMS, ROUNDS, IMAGES = 0.5, 0.2, 256, 1046, 9, 50
FloatArray = NDArray[np.float64]


def spread(positions: FloatArray, weights: FloatArray) -> FloatArray:
    """Each atom on the four pixels around it, convolved with the Gaussian by FFT; periodic."""
    x, y = positions.T / PIXEL - 0.5
    left, low = np.floor(x).astype(int), np.floor(y).astype(int)
    image = np.zeros((SIZE, SIZE))
    for i, share_y in ((low, low + 1 - y), (low + 1, y - low)):
        for j, share_x in ((left, left + 1 - x), (left + 1, x - left)):
            np.add.at(image, (i % SIZE, j % SIZE), weights * share_y * share_x / PIXEL**2)
    ky, kx = fft.fftfreq(SIZE, PIXEL), fft.rfftfreq(SIZE, PIXEL)
    blur = np.exp(-2 * np.pi**2 * SIGMA**2 * (ky[:, None] ** 2 + kx**2))
    return np.asarray(fft.irfft2(fft.rfft2(image) * blur, image.shape))


def dense(positions: FloatArray, weights: FloatArray) -> FloatArray:
    """All atoms at all pixels, as a product of matrices."""
    centres = (np.arange(SIZE) + 0.5) * PIXEL
    x, y = (np.exp(-0.5 * ((centres[:, None] - line) / SIGMA) ** 2) for line in positions.T)
    return np.asarray((y * (weights / (2 * np.pi * SIGMA**2))) @ x.T)


def many(image: Callable[[], FloatArray]) -> Callable[[], FloatArray]:
    """As many images as a clock of processor time needs; the last one."""
    return lambda: deque((image() for _ in range(IMAGES)), maxlen=1)[0]


def test_a_stem_image_costs_what_a_convolution_by_fft_does(
    side_by_side: Callable[..., dict[str, Any]],
) -> None:
    rng = np.random.default_rng(0)
    positions = rng.uniform(3, SIZE * PIXEL - 3, (ATOMS, 2))
    weights = rng.integers(1, 80, ATOMS) ** 1.7
    images = side_by_side(
        f"{IMAGES} STEM images of {SIZE}², {ATOMS} columns",
        many(lambda: render(positions, weights, SIGMA, PIXEL, SIZE)),
        {
            "points on four pixels and FFT": many(lambda: spread(positions, weights)),
            "dense product": many(lambda: dense(positions, weights)),
        },
        rounds=ROUNDS,
    )
    exact = images["dense product"]
    errors = {name: np.abs(image - exact).max() / exact.max() for name, image in images.items()}
    assert errors["ours"] <= 1e-5
    assert errors["points on four pixels and FFT"] > 1e-2
