"""HRTEM images of exit waves: partially coherent intensity, averaged over pixels, cut at a place, recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from exitwave.config.images import Hrtem
from exitwave.electron import wavelength
from exitwave.errors import ConfigError
from exitwave.imaging import kernels
from exitwave.imaging.background import apply_background
from exitwave.imaging.coherence import drift_transfer, vibration_transfer
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.detector import record, saturated
from exitwave.imaging.lens import TemporalCoherence, focal_nodes_of, highest_frequency, refocus, transfer

_POINTS = 3.6
"""Points that the intensity is evaluated on, in highest frequencies of the wave; see `expected_image`."""


@dataclass(frozen=True)
class FormedImage:
    """A recorded image.

    Parameters
    ----------
    counts : uint32 [size, size]
        What the camera gives.
    saturated : float
        Share of its pixels that are full.
    focal_nodes : int
        Nodes that the focal spread was averaged with.
    """

    counts: NDArray[np.uint32]
    saturated: float
    focal_nodes: int


def intensity(
    waves: NDArray[np.complex64],
    conditions: ImagingConditions,
    energy: float,
    sampling: float,
    focal_nodes: int | Literal["auto"] = "auto",
    temporal_coherence: TemporalCoherence = "quadrature",
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Image intensity at the points of the wave: mean over phonons and defocus of ``|F⁻¹[A E exp(-i chi) F psi]|²``.

    Intensities are averaged, not waves. Vibration and drift act on the intensity. Then
    ``I <- (1 - w) I + w mean(I)`` for the plasmon losses (Rangel DaCosta et al. 2024); since this is linear, doing it
    once after the mean over phonons equals doing it for each of them.

    Parameters
    ----------
    waves : complex64 [phonon, y, x]
        Exit waves, of amplitude 1 in the incoming beam, on even numbers of points.
    conditions : ImagingConditions
        The microscope; dose, background and camera play no part here.
    energy : float
        Beam energy [eV].
    sampling : float
        Pixel of the wave [Å].
    focal_nodes, temporal_coherence
        As in :func:`exitwave.imaging.lens.focal_nodes_of`.
    device : str
        PyTorch device to compute on; ``cpu`` is compiled code on one core.

    Returns
    -------
    float32 [y, x]
        1 in vacuum without an aperture.

    Raises
    ------
    ConfigError
        If a number of points is odd.
    """
    optics = _Optics(energy, sampling, focal_nodes, temporal_coherence)
    return _image(_spectra(waves, device), waves.shape[-2:], conditions, optics, False)


def expected_image(
    waves: NDArray[np.complex64],
    conditions: ImagingConditions,
    energy: float,
    sampling: float,
    focal_nodes: int | Literal["auto"] = "auto",
    temporal_coherence: TemporalCoherence = "quadrature",
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Image intensity averaged over the area of each wave pixel.

    The mean of these pixels over an image pixel is then the area average over that image pixel.

    Parameters
    ----------
    waves, conditions, energy, sampling, focal_nodes, temporal_coherence, device
        As in `intensity`.

    Returns
    -------
    float32 [y, x]
        1 in vacuum without an aperture.

    Notes
    -----
    A wave with frequencies up to B has an intensity with frequencies up to 2 B. On N points those above N / 2 are
    folded back; points of the wave's own grid, N = 2 B, fold all that lies above the Nyquist frequency. Here N is at
    least 3.6 B: what lies above 1.8 B is so little, since few pairs of frequencies are that far apart, that it may be.
    For a gold particle of 18 Å radius on 40 Å of carbon at 300 kV, with pixels of one, two or four times 0.2 or 0.4 Å,
    in focus or not, this changes the image by no more than 1e-3 of its contrast (root mean square) against 4 B.
    Intensity above the Nyquist frequency of the pixels is theirs by area averaging, as it is in a camera.
    """
    optics = _Optics(energy, sampling, focal_nodes, temporal_coherence)
    return _image(_spectra(waves, device), waves.shape[-2:], conditions, optics, True)


def form_images(
    waves: NDArray[np.complex64],
    conditions: Sequence[ImagingConditions],
    *,
    block: Hrtem,
    energy: float,
    sampling: float,
    offsets: Sequence[tuple[int, int]],
    rngs: Sequence[np.random.Generator],
    device: str = "cpu",
) -> list[FormedImage]:
    """Form images of one structure: expected intensity, cut at a place of the periodic field, background, camera.

    Parameters
    ----------
    waves : complex64 [phonon, y, x]
        Exit waves, of amplitude 1 in the incoming beam. Their Fourier transforms are shared by all images.
    conditions : sequence of ImagingConditions
        Microscope and exposure of each image.
    block : Hrtem
        Pixel and size of the images, and how to average over the focal spread.
    energy : float
        Beam energy [eV].
    sampling : float
        Pixel of the wave [Å]; the image pixel is a whole multiple.
    offsets : sequence of tuple of int
        Row and column of the wave where each image begins.
    rngs : sequence of numpy.random.Generator
        Randomness of each image's contamination and noise.
    device : str
        PyTorch device for the expected intensities.

    Returns
    -------
    list of FormedImage
        Each independent of the others.
    """
    spectra, binning = _spectra(waves, device), binning_of(block.pixel_size, sampling)
    optics = _Optics(energy, sampling, block.focal_nodes, block.temporal_coherence)
    images = []
    for taken, offset, rng in zip(conditions, offsets, rngs, strict=True):
        expected = _image(spectra, waves.shape[-2:], taken, optics, True)
        field = crop_periodic(expected, offset, binning, block.size)
        lit = apply_background(field, taken.background, block.pixel_size, rng)
        counts = record(lit, taken, block.pixel_size, rng)
        images.append(FormedImage(counts, saturated(counts, taken.camera), len(optics.defocus(taken)[0])))
    return images


def form_image(
    waves: NDArray[np.complex64],
    conditions: ImagingConditions,
    *,
    block: Hrtem,
    energy: float,
    sampling: float,
    offset: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.uint32]:
    """Counts of one image, uint32 [size, size]; see `form_images`."""
    images = form_images(
        waves, [conditions], block=block, energy=energy, sampling=sampling, offsets=[offset], rngs=[rng]
    )
    return images[0].counts


def crop_periodic(field: NDArray[np.floating], offset: tuple[int, int], binning: int, size: int) -> NDArray[np.float32]:
    """Cut a square out of a periodic field and average it over the area of each image pixel.

    Parameters
    ----------
    field : array [..., y, x]
        Periodic field.
    offset : tuple of int
        Row and column of ``field`` where the cut begins; it may run over the edge.
    binning : int
        Pixels of the field along an image pixel.
    size : int
        Edge of the cut [image px].

    Returns
    -------
    float32 [..., size, size]

    Raises
    ------
    ConfigError
        If the cut is larger than the field.
    """
    ny, nx = field.shape[-2:]
    edge = size * binning
    if edge > min(ny, nx):
        raise ConfigError(
            f"size {size} px needs {edge} pixels of the exit wave, which has {ny} x {nx}; "
            f"allowed: {min(ny, nx) // binning} px or less"
        )
    rows = (offset[0] + np.arange(edge)) % ny
    columns = (offset[1] + np.arange(edge)) % nx
    cut = np.take(np.take(field, rows, axis=-2), columns, axis=-1)
    lines = cut.reshape(*field.shape[:-2], size, binning, edge).sum(axis=-2, dtype=np.float32)
    # One addition of whole arrays for each pixel along x: a sum over so short a last axis takes several times as long.
    averaged: NDArray[np.float32] = sum(
        (lines[..., i::binning] for i in range(1, binning)), start=lines[..., ::binning]
    )
    averaged = averaged / np.float32(binning**2)
    return averaged


def binning_of(pixel_size: float, sampling: float) -> int:
    """Wave pixels along an image pixel.

    Raises
    ------
    ConfigError
        If the image pixel is not a whole multiple of the wave pixel.
    """
    binning = round(pixel_size / sampling)
    if binning < 1 or abs(binning * sampling - pixel_size) > 1e-6 * pixel_size:
        raise ConfigError(
            f"pixel_size is {pixel_size:g} Å; allowed: a whole multiple of the exit wave's sampling, {sampling:g} Å"
        )
    return binning


@dataclass(frozen=True)
class _Optics:
    """What all images of a wave have in common."""

    energy: float
    sampling: float
    focal_nodes: int | Literal["auto"]
    temporal_coherence: TemporalCoherence

    def defocus(self, conditions: ImagingConditions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return focal_nodes_of(conditions, self.energy, self.sampling, self.focal_nodes, self.temporal_coherence)


def _spectra(waves: NDArray[np.complex64], device: str) -> Any:
    """Spectra of the waves as plain sums, where they are to be used: an array, or a tensor on a device."""
    if any(n % 2 for n in waves.shape[-2:]):
        raise ConfigError(f"exit wave has {waves.shape[-2]} x {waves.shape[-1]} pixels; allowed: even numbers")
    if device != "cpu":
        from exitwave.imaging.torch_kernels import spectra_on

        return spectra_on(waves, device)
    return fft.fft2(waves.astype(np.complex64, copy=False))


def _image(
    spectra: Any, shape: tuple[int, ...], conditions: ImagingConditions, optics: _Optics, averaged: bool
) -> NDArray[np.float32]:
    """Image [y, x], averaged over wave pixels or at points."""
    length, envelope = wavelength(optics.energy), optics.temporal_coherence == "envelope"
    limits = highest_frequency(conditions, length, envelope)
    edges = [n * optics.sampling for n in shape]
    # Highest frequencies of the waves and of the intensity, in steps of 1 / edge.
    band = [int(min(limit * edge, n // 2 - 1)) + 1 for limit, edge, n in zip(limits, edges, shape, strict=True)]
    size = [kernels.grid_size(int(np.ceil(_POINTS * b)) if averaged else 4 * b) for b in band]
    highest = [min(2 * b, n - 1, (points - 1) // 2) for b, n, points in zip(band, shape, size, strict=True)]
    ky, kx = (fft.fftfreq(2 * b, edge / (2 * b)) for b, edge in zip(band, edges, strict=True))

    offsets, weights = optics.defocus(conditions)
    amplitudes = np.sqrt(weights / len(spectra))[:, None] / (shape[0] * shape[1])
    rows = refocus(ky, conditions.tilt[1], offsets, length) * amplitudes
    columns = refocus(kx, conditions.tilt[0], offsets, length)
    lens = transfer(ky, kx, conditions, length, envelope)
    if isinstance(spectra, np.ndarray):
        summed_spectrum: Any = kernels.summed_spectrum
    else:
        from exitwave.imaging.torch_kernels import summed_spectrum
    spectrum = summed_spectrum(
        spectra,
        lens,
        rows.astype(np.complex64),
        columns.astype(np.complex64),
        (size[0], size[1]),
        (highest[0], highest[1]),
    )

    frequencies_y = np.r_[: highest[0] + 1, -highest[0] : 0] / edges[0]
    frequencies_x = np.arange(highest[1] + 1) / edges[1]
    along_y, along_x = (vibration_transfer(k, conditions.vibration) for k in (frequencies_y, frequencies_x))
    if averaged:
        along_y = along_y * np.sinc(optics.sampling * frequencies_y)
        along_x = along_x * np.sinc(optics.sampling * frequencies_x)
    mean = spectrum[0, 0]
    spectrum *= ((1 - conditions.plasmon_weight) * along_y).astype(np.float32)[:, None]
    spectrum *= along_x.astype(np.float32)
    if conditions.drift != (0.0, 0.0):
        spectrum *= drift_transfer(frequencies_y, frequencies_x, conditions.drift).astype(np.float32)
    spectrum[0, 0] = mean  # the plasmon background has what the image has lost
    image = _at_points(spectrum, highest, shape)
    # An area average of an intensity is not negative; rounding in single precision can make it so in the dark.
    return np.maximum(image, 0, out=image) if averaged else image


def _at_points(spectrum: NDArray[np.complex64], highest: Sequence[int], shape: Sequence[int]) -> NDArray[np.float32]:
    """Real field at the points of the wave, from Fourier coefficients up to less than twice its Nyquist frequency."""
    (top, last), (ny, nx) = highest, shape
    rows = np.zeros((ny, last + 1), np.complex64)
    rows[: top + 1] = spectrum[: top + 1]
    rows[ny - top :] += spectrum[top + 1 :]
    half = np.zeros((ny, nx // 2 + 1), np.complex64)
    half[:, : last + 1] = rows[:, : nx // 2 + 1]
    # At these points a frequency of nx - k is one of -k: the complex conjugate of k at the opposite frequency along y.
    beyond = rows[:, nx // 2 :].conj()
    half[0, nx - last : nx // 2 + 1] += beyond[0, ::-1]
    half[1:, nx - last : nx // 2 + 1] += beyond[:0:-1, ::-1]
    points: NDArray[np.float32] = fft.irfft2(half, s=(ny, nx), norm="forward", overwrite_x=True)
    return points
