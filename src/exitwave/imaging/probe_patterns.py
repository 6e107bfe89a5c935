"""Diffraction patterns from the waves of probes behind a structure, as a multislice gives them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import map_coordinates

from exitwave.imaging.patterns import Geometry

_FINER = 3
"""Times that a spectrum is refined before it is interpolated; its square is known exactly from twice on."""


def render_waves(
    amplitudes: NDArray[np.complex64], edge: float, position: tuple[float, float], geometry: Geometry
) -> NDArray[np.float32]:
    """Share of the electrons in each pixel.

    A wave that ends within its box has a spectrum that is known between its frequencies too, by a finer transform. The
    box is taken around the probe. The pattern is read off there, where the lenses put its pixels; no pattern is
    resampled.

    Parameters
    ----------
    amplitudes : complex64 [phonon, ky, kx]
        Spectra with frequency 0 at ``n // 2``, spacing ``1 / edge``; their intensities are averaged. The sum of the
        intensities of the probe is 1.
    edge : float
        Edge of the box [Å].
    position : tuple of float
        Place of the probe in it (x, y) [Å].
    geometry : Geometry

    Returns
    -------
    float32 [y, x]
    """
    size = amplitudes.shape[-1]
    fine = _FINER * size
    # The probe comes to the middle of the box.
    k = (np.arange(size) - size // 2) / edge
    along_x, along_y = (np.exp(2j * np.pi * k * (place - edge / 2)) for place in position)
    start = (fine - size) // 2
    power = np.zeros((fine, fine))
    for spectrum in amplitudes:
        wave = fft.ifft2(fft.ifftshift(spectrum * np.outer(along_y, along_x)), workers=1)
        wider = np.zeros((fine, fine), np.complex128)
        wider[start : start + size, start : start + size] = wave
        power += np.abs(fft.fftshift(fft.fft2(wider, workers=1))) ** 2
    y, x = np.mgrid[: geometry.size, : geometry.size]
    away = np.stack([x, y], axis=-1) - geometry.size // 2 - np.array(geometry.shift)
    q = away @ np.linalg.inv(geometry.distortion) * edge * _FINER + fine // 2
    values = map_coordinates(power / len(amplitudes), [q[..., 1], q[..., 0]], order=3, mode="constant")
    # An intensity a frequency of the box comes to one a pixel of the pattern.
    area = edge**2 / np.linalg.det(geometry.distortion)
    return np.asarray(np.maximum(values, 0) * area, np.float32)
