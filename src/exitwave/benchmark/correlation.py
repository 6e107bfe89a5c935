"""Disks found by correlation with the vacuum probe: what a network has to beat.

The correlation of a pattern I with the probe T is

    c = F⁻¹( |m|ᵖ exp(i arg m) ),     m = F(I) F(T)*,

with a power p of 1 for the correlation, 0 for the phase correlation, and anything between (T. C. Pekin et al.,
Ultramicroscopy 176, 170 (2017)). It is smoothed by a Gaussian, and has a peak where a disk is. The places of peaks are
read off its Fourier interpolation (M. Guizar-Sicairos et al., Opt. Lett. 33, 156 (2008)), as in py4DSTEM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, ifftshift, irfft2, rfft2, rfftfreq

from exitwave.data.peaks import find_peaks

FloatArray = NDArray[np.float64]

FINE = 16
"""Points of the interpolation along a pixel."""
_NET = np.arange(-12, 13) / FINE
"""Steps of the net about a peak on which its highest point is looked for [px]."""


_SCALES: dict[str, Callable[[FloatArray], FloatArray]] = {"sqrt": np.sqrt, "linear": np.asarray, "log": np.log1p}


@dataclass(frozen=True)
class Correlation:
    """How disks are looked for.

    Attributes
    ----------
    power : float
        p, from 0 to 1.
    sigma : float
        Standard deviation of the Gaussian [px].
    least : float
        Smallest height of a peak over that of the second highest, since the direct beam may be of any height.
    spacing : float
        Of two peaks closer than so many radii of a disk the higher stays.
    scale : {'sqrt', 'linear', 'log'}
        What is done to pattern and probe before, lest the direct beam rules: ``log`` is log(1 + counts).
    trench : float
        Outer radius, in radii of a disk, of a ring about the probe that is taken off it, so that the sum is 0 and a
        smooth background has no correlation; 0: none.
    """

    power: float
    sigma: float
    least: float
    spacing: float
    scale: Literal["sqrt", "linear", "log"]
    trench: float = 0.0


def correlate(pattern: NDArray[np.floating], probe: NDArray[np.floating], how: Correlation) -> NDArray[np.float32]:
    """Correlation of a pattern with the probe.

    Parameters
    ----------
    pattern, probe : float [H, W]
        The probe has its middle at ``(H // 2, W // 2)``.
    how : Correlation

    Returns
    -------
    float32 [H, W]
        Highest where disks have their middle.
    """
    return np.asarray(irfft2(_spectrum(pattern, probe, how), pattern.shape), np.float32)


def find_disks(pattern: NDArray[np.floating], probe: NDArray[np.floating], how: Correlation) -> FloatArray:
    """Disks of a pattern by correlation; parameters as of :func:`correlate`.

    Returns
    -------
    float64 [n, 3]
        Places x, y [px] and heights, the highest first.
    """
    spectrum = _spectrum(pattern, probe, how)
    image = np.asarray(irfft2(spectrum, pattern.shape), np.float32)
    return interpolated(spectrum, peaks_of(image, how, disk_radius(probe)), pattern.shape)


def peaks_of(image: NDArray[np.floating], how: Correlation, radius: float) -> FloatArray:
    """Peaks [n, 3] of a correlation, with places of a parabola; ``radius`` is that of disks [px]."""
    found = find_peaks(image, 0.0, how.spacing * radius)
    return found[found[:, 2] >= how.least * found[min(1, len(found) - 1), 2]] if len(found) else found


def disk_radius(probe: NDArray[np.floating]) -> float:
    """Radius of a disk with the area of a probe above half its largest value [px]."""
    return float(np.sqrt(np.count_nonzero(probe > probe.max() / 2) / np.pi))


def _spectrum(pattern: NDArray[np.floating], probe: NDArray[np.floating], how: Correlation) -> NDArray[np.complex128]:
    """Half of the Fourier transform of the correlation."""
    scale = _SCALES[how.scale]
    # The probe may be given as counts or as shares of them; only its shape may count.
    template = scale(np.maximum(probe, 0).astype(np.float64) / probe.max())
    template /= template.sum()
    if how.trench > 0:
        template -= _ring(template.shape, disk_radius(probe), how.trench)
    product = rfft2(scale(np.maximum(pattern, 0).astype(np.float64))) * np.conj(rfft2(ifftshift(template)))
    height, width = pattern.shape
    if how.power != 1:
        modulus = np.abs(product)
        # Noise of rounding must not count where there is nothing.
        product *= np.maximum(modulus, 1e-7 * modulus.max() + np.finfo(float).tiny) ** (how.power - 1)
    if how.sigma > 0:
        falls = [np.exp(-2 * (np.pi * how.sigma * k) ** 2) for k in (fftfreq(height), rfftfreq(width))]
        product *= np.outer(*falls).astype(np.float32)
    return np.asarray(product)


@lru_cache(maxsize=32)
def _ring(shape: tuple[int, ...], radius: float, outer: float) -> FloatArray:
    """Ring about a disk, with the sum 1."""
    y, x = (np.arange(edge) - edge // 2 for edge in shape)
    distance = np.hypot(y[:, None], x)
    # Half a pixel of the edge of a disk belongs to it; the ring is a pixel wide at least.
    ring = (distance > radius + 0.5) & (distance <= max(outer * radius, radius + 1.6))
    return np.asarray(ring / ring.sum())


def interpolated(spectrum: NDArray[np.complex128], peaks: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Peaks with the places of the Fourier interpolation about them, from half the spectrum of their map."""
    if not len(peaks):
        return peaks
    places = np.rint(peaks[:, :2] * 2) / 2
    patches = _patches(spectrum, places, shape)
    rows, columns = np.divmod(patches.reshape(len(places), -1).argmax(axis=1), len(_NET))
    places = places + _NET[np.column_stack([columns, rows])]
    found, last = peaks.copy(), len(_NET) - 1
    found[:, :2] = places
    for number, (patch, row, column) in enumerate(zip(patches, rows, columns, strict=True)):
        if 0 < row < last and 0 < column < last:
            for axis, line in enumerate((patch[row, column - 1 : column + 2], patch[row - 1 : row + 2, column])):
                bent = line[0] - 2 * line[1] + line[2]
                if bent < 0:
                    found[number, axis] += (line[0] - line[2]) / (2 * bent) / FINE
    return found


def _patches(spectrum: NDArray[np.complex128], places: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Fourier interpolation on a net about each place [n, y, x]."""
    height, width = shape
    # By place and by step of the net: exponentials of both would be most of the time.
    along_x, along_y = (
        np.exp(2j * np.pi * places[:, axis, None] * k)[:, None] * np.exp(2j * np.pi * _NET[:, None] * k)
        for axis, k in enumerate((rfftfreq(width), fftfreq(height)))
    )
    # What half of the spectrum leaves out is the conjugate of the rest, but for the first column and the last.
    along_x[..., 1 : (width + 1) // 2] *= 2
    if height % 2 == 0:
        # The highest frequency stands for that of both signs.
        along_y[..., height // 2].imag = 0
    rows = (along_y.reshape(-1, height) @ spectrum).reshape(len(places), len(_NET), -1)
    return np.asarray((rows @ along_x.swapaxes(1, 2)).real)
