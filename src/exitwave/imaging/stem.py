"""Incoherent images by a probe that a lens forms: the density of the atoms, convolved with its intensity.

Atoms are laid out as Gaussians that are wide enough to be sampled, and the Fourier transform of the image is multiplied
by that of the probe over that of these Gaussians. So atoms are exact at any place between pixels, as far as the band of
the probe reaches: twice its semi-angle over the wavelength.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import ifft2, irfft2, next_fast_len, rfft2

from exitwave.electron import wavelength
from exitwave.imaging.convolution import render
from exitwave.waves.aberrations import reciprocal_grid, transfer_function

FloatArray = NDArray[np.float64]

MARGIN = 4.0
"""Beyond the image [Å] that is laid out as well: what the probe brings in from there."""
_FINE = 6.0
"""Pixels of the grid in the shortest period of the aperture, at least: thrice what sampling asks for."""
_WIDE = 64.0
"""Field on which a probe is made [Å]: it is that of a round aperture to 0.1 % of its height."""
_LAID = 1.2
"""Standard deviation of the Gaussians that are laid out [px of the grid]."""


@dataclass(frozen=True)
class Lens:
    """A probe-forming lens, in plain numbers.

    Attributes
    ----------
    energy : float
        [eV].
    semiangle : float
        [mrad].
    aberrations : mapping
        Krivanek coefficients [Å] with C10 = - defocus, and angles [rad].
    source : float
        Standard deviation of the image of the source [Å].
    """

    energy: float
    semiangle: float
    aberrations: Mapping[str, float]
    source: float

    def step(self, pixel: float) -> int:
        """Pixels of the grid in one of the image, so that the probe is sampled well; 2 at the least."""
        finest = wavelength(self.energy) / (1e-3 * self.semiangle) / _FINE
        return max(2, math.ceil(pixel / finest))

    def transfer(self, size: int, sampling: float) -> NDArray[np.complex128]:
        """Fourier transform [size, size // 2 + 1] of the intensity of the probe, 1 at frequency 0, without source."""
        # On a field so wide that the aperture has many pixels; of the probe its middle is kept.
        wide = next_fast_len(max(size, math.ceil(_WIDE / sampling)))
        grid = reciprocal_grid((wide, wide), sampling, self.energy)
        pixel = grid.wavelength / (wide * sampling)
        inside = np.clip((1e-3 * self.semiangle - np.sqrt(grid.alpha_squared)) / pixel + 0.5, 0, 1)
        wave = ifft2(inside * transfer_function(grid, self.aberrations))
        kept = np.fft.fftfreq(size, 1 / size).astype(int)
        part = wave[np.ix_(kept, kept)]
        spectrum = rfft2(part.real**2 + part.imag**2)
        return np.asarray(spectrum / spectrum[0, 0].real)

    def width(self, blur: float) -> float:
        """Full width at half maximum [Å] of the Gaussian that is as high as this probe.

        Parameters
        ----------
        blur : float
            Standard deviation of what blurs it beside the source [Å].
        """
        sampling = wavelength(self.energy) / (1e-3 * self.semiangle) / _FINE
        size = next_fast_len(max(128, math.ceil(60 / sampling)))
        ky, kx = np.fft.fftfreq(size, sampling), np.fft.rfftfreq(size, sampling)
        blurred = np.exp(-2 * np.pi**2 * (self.source**2 + blur**2) * (ky[:, None] ** 2 + kx**2))
        probe = irfft2(self.transfer(size, sampling) * blurred, s=(size, size)) / sampling**2
        return math.sqrt(4 * math.log(2) / (math.pi * float(probe.max())))


def render_by_lens(
    positions: FloatArray,
    weights: FloatArray,
    lens: Lens,
    blur: float,
    pixel: float,
    size: int,
    corner: tuple[float, float],
    period: tuple[float, float] = (math.inf, math.inf),
    reach: float = 0.0,
) -> tuple[FloatArray, int, int]:
    """Sum of the images of atoms by a lens, on a grid finer than the image.

    Parameters
    ----------
    positions : float64 [n, 2]
        x, y [Å].
    weights : float64 [n]
        What each image has in all.
    lens : Lens
    blur : float
        Standard deviation [Å] of what blurs it beside the source, such as the motion of the atoms.
    pixel, size, corner, period
        As for :func:`exitwave.imaging.convolution.render`.
    reach : float
        How far beyond the image the scan samples [Å].

    Returns
    -------
    image : float64 [m, m]
        Density [weight/Å²].
    step : int
        Pixels of the grid in one of the image.
    first : int
        Place of the first pixel of the image on the grid, along both axes.
    """
    step = lens.step(pixel)
    fine, pad = pixel / step, step * math.ceil((MARGIN + reach) / pixel)
    grid = next_fast_len(step * size + 2 * pad)
    # The centres of its pixels pad, pad + step, ... are those of the pixels of the image.
    shift = pad * fine - (pixel - fine) / 2
    laid = _LAID * fine
    density = render(positions, weights, laid, fine, grid, [corner[0] - shift, corner[1] - shift], period)
    ky, kx = np.fft.fftfreq(grid, fine), np.fft.rfftfreq(grid, fine)
    squared = ky[:, None] ** 2 + kx**2
    band = squared <= (2e-3 * lens.semiangle / wavelength(lens.energy)) ** 2
    width = lens.source**2 + blur**2 - laid**2
    shape = np.where(band, np.exp(-2 * np.pi**2 * width * np.where(band, squared, 0)), 0)
    spectrum = rfft2(density) * lens.transfer(grid, fine) * shape
    return np.asarray(irfft2(spectrum, s=density.shape)), step, pad
