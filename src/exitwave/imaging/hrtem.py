"""HRTEM images of an exit wave: imaging conditions drawn, partially coherent image, position, camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from exitwave.config.imaging import Aberrations, Hrtem
from exitwave.config.distributions import draw
from exitwave.errors import ConfigError
from exitwave.imaging.aberrations import reciprocal_grid, transfer_function
from exitwave.imaging.coherence import focal_quadrature
from exitwave.imaging.detector import record


@dataclass(frozen=True)
class ImagingConditions:
    """The microscope and the exposure of one image.

    Parameters
    ----------
    defocus : float
        Defocus [Å], positive is underfocus.
    aberrations : mapping
        Krivanek coefficients ``C12``, ... [Å] and angles ``phi12``, ... [rad]; what is left out is 0.
    focal_spread : float
        Standard deviation of the focal spread [Å].
    objective_aperture : float, optional
        Semi-angle of the objective aperture [mrad]; none: open.
    plasmon_weight : float
        Weight of the constant background that stands for plasmon losses.
    dose : float
        Electron dose [e⁻/Å²].
    detector_blur : float
        Standard deviation of the camera's point spread [image px].
    """

    defocus: float
    aberrations: Mapping[str, float]
    focal_spread: float
    objective_aperture: float | None
    plasmon_weight: float
    dose: float
    detector_blur: float

    def as_row(self) -> dict[str, float]:
        """Every number as a column of the metadata table; NaN where the objective aperture is open."""
        return {
            "defocus": self.defocus,
            **{name: self.aberrations.get(name, 0.0) for name in Aberrations.model_fields},
            "focal_spread": self.focal_spread,
            "objective_aperture": float("nan") if self.objective_aperture is None else self.objective_aperture,
            "plasmon_weight": self.plasmon_weight,
            "dose": self.dose,
            "detector_blur": self.detector_blur,
        }


def draw_conditions(block: Hrtem, rng: np.random.Generator) -> ImagingConditions:
    """Draw the imaging conditions of one image from the distributions of an images block."""
    aberrations = {name: float(draw(getattr(block.aberrations, name), rng)) for name in Aberrations.model_fields}
    aperture = None if block.objective_aperture is None else float(draw(block.objective_aperture, rng))
    return ImagingConditions(
        defocus=float(draw(block.defocus, rng)),
        aberrations=aberrations,
        focal_spread=float(draw(block.focal_spread, rng)),
        objective_aperture=aperture,
        plasmon_weight=float(draw(block.plasmon_weight, rng)),
        dose=float(draw(block.dose, rng)),
        detector_blur=float(draw(block.detector_blur, rng)),
    )


def intensity(
    waves: NDArray[np.complex64],
    conditions: ImagingConditions,
    energy: float,
    sampling: float,
    focal_nodes: int,
    oversampling: int = 1,
) -> NDArray[np.float32]:
    """Image intensity at points: mean over phonons and focal spread of ``|F⁻¹[A exp(-i chi) F psi]|²``.

    Intensities are averaged, not waves. Then ``I <- (1 - w) I + w mean(I)`` for the plasmon losses (Rangel DaCosta et
    al. 2024); since this is linear, doing it once after the mean over phonons equals doing it for each of them.

    Parameters
    ----------
    waves : complex64 [phonon, y, x]
        Exit waves, of amplitude 1 in the incoming beam.
    conditions : ImagingConditions
        The microscope; dose and camera play no part here.
    energy : float
        Beam energy [eV].
    sampling : float
        Pixel of the wave [Å].
    focal_nodes : int
        Gauss-Hermite nodes of the focal spread.
    oversampling : int
        Points along a wave pixel. The intensity has twice the band of the wave: 1 point folds what lies above the
        Nyquist frequency back into the band, 2 are free of that.

    Returns
    -------
    float32 [oversampling y, oversampling x]
        1 in vacuum without an aperture.
    """
    n_phonons, ny, nx = waves.shape
    grid = reciprocal_grid((ny, nx), sampling, energy)
    coefficients = {"C10": -conditions.defocus, **conditions.aberrations}
    spectrum = fft.fft2(waves.astype(np.complex64, copy=False))
    spectrum *= transfer_function(grid, coefficients, conditions.objective_aperture)

    # Real and imaginary parts are squared and summed over nodes and phonons side by side, and paired up at the end.
    squares = np.zeros((oversampling, oversampling, ny, 2 * nx), np.float32)
    field = np.empty((ny, nx), np.complex64)
    for offset, weight in zip(*focal_quadrature(conditions.focal_spread, focal_nodes), strict=True):
        # Defocus and the shift to a point within the pixel are both separable.
        amplitude = np.sqrt(weight / n_phonons)
        shifts = [i * sampling / oversampling for i in range(oversampling)]
        rows = [amplitude * _defocus_and_shift(grid.ky, offset, shift, grid.wavelength) for shift in shifts]
        columns = [_defocus_and_shift(grid.kx, offset, shift, grid.wavelength) for shift in shifts]
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                factor = row.astype(np.complex64)[:, None] * column.astype(np.complex64)
                for phonon in spectrum:
                    np.multiply(phonon, factor, out=field)
                    parts = fft.ifft2(field, overwrite_x=True).view(np.float32)
                    np.multiply(parts, parts, out=parts)
                    squares[i, j] += parts
    points: NDArray[np.float32] = squares[..., 0::2] + squares[..., 1::2]
    image = points.transpose(2, 0, 3, 1).reshape(oversampling * ny, oversampling * nx)
    weight = conditions.plasmon_weight
    if weight > 0:
        background = weight * image.mean(dtype=np.float64)
        image *= np.float32(1 - weight)
        image += np.float32(background)
    return image


def expected_image(
    waves: NDArray[np.complex64], conditions: ImagingConditions, energy: float, sampling: float, focal_nodes: int
) -> NDArray[np.float32]:
    """Image intensity averaged over the area of each wave pixel.

    The mean of these pixels over an image pixel is then the exact area average over that image pixel.

    Parameters
    ----------
    waves, conditions, energy, sampling, focal_nodes
        As in `intensity`.

    Returns
    -------
    float32 [y, x]
        1 in vacuum without an aperture.

    Notes
    -----
    A wave with frequencies up to the Nyquist frequency N of its grid has an intensity with frequencies up to 2N, and
    ``|psi|²`` on the same grid folds those above N onto all frequencies, down to 0. The intensity is therefore
    evaluated on twice the points, unless the objective aperture keeps it within the band; there, area averaging is
    multiplication of its spectrum with two sincs. For a gold particle of 18 Å radius on 40 Å
    of carbon at 300 kV, points on the wave's own grid of 0.2-0.4 Å would put an error of 0.1-5 % of the image's
    contrast into pixels of 0.4-1.6 Å.
    """
    ny, nx = waves.shape[-2:]
    grid = reciprocal_grid((ny, nx), sampling, energy)
    aperture = conditions.objective_aperture
    band_limited = aperture is not None and 2 * aperture * 1e-3 < grid.wavelength / (2 * sampling)
    oversampling = 1 if band_limited else 2
    points = intensity(waves, conditions, energy, sampling, focal_nodes, oversampling)
    fine = sampling / oversampling
    spectrum = fft.rfft2(points)
    spectrum *= np.sinc(sampling * fft.fftfreq(points.shape[0], fine)).astype(np.float32)[:, None]
    spectrum *= np.sinc(sampling * fft.rfftfreq(points.shape[1], fine)).astype(np.float32)
    averaged = fft.irfft2(spectrum, s=points.shape, overwrite_x=True)[::oversampling, ::oversampling]
    # An area average of an intensity is not negative; rounding in single precision can make it so in the dark.
    image: NDArray[np.float32] = np.maximum(averaged, 0, dtype=np.float32)
    return image


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
    cut = field[..., rows[:, None], columns]
    averaged: NDArray[np.float32] = cut.reshape(*field.shape[:-2], size, binning, size, binning).mean(
        axis=(-3, -1), dtype=np.float32
    )
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


def form_image(
    waves: NDArray[np.complex64],
    conditions: ImagingConditions,
    energy: float,
    sampling: float,
    focal_nodes: int,
    pixel_size: float,
    size: int,
    offset: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.uint32]:
    """Form one image: expected intensity, cut at a place of the periodic field, camera.

    Parameters
    ----------
    waves : complex64 [phonon, y, x]
        Exit waves, of amplitude 1 in the incoming beam.
    conditions : ImagingConditions
        Microscope and exposure.
    energy : float
        Beam energy [eV].
    sampling : float
        Pixel of the wave [Å].
    focal_nodes : int
        Gauss-Hermite nodes of the focal spread.
    pixel_size : float
        Image pixel [Å], a whole multiple of ``sampling``.
    size : int
        Edge of the image [px].
    offset : tuple of int
        Row and column of the wave where the image begins.
    rng : numpy.random.Generator
        Randomness of the shot noise.

    Returns
    -------
    uint32 [size, size]
        Electrons.
    """
    expected = expected_image(waves, conditions, energy, sampling, focal_nodes)
    return record(crop_periodic(expected, offset, binning_of(pixel_size, sampling), size), conditions, pixel_size, rng)


def _defocus_and_shift(
    frequencies: NDArray[np.float64], defocus: float, shift: float, wavelength: float
) -> NDArray[np.complex128]:
    """Factor along one axis that changes the defocus [Å] and moves the point of evaluation by ``shift`` [Å]."""
    factor: NDArray[np.complex128] = np.exp(1j * np.pi * frequencies * (wavelength * defocus * frequencies + 2 * shift))
    return factor
