"""The lens on a band of frequencies: transfer of the wave for one image, fast enough to be drawn anew for each.

Up to the fifth order the aberration function is a polynomial of sixth degree in the two components of the scattering
angle, so that on a grid it is the product of three small matrices, its gradient is the same with other coefficients,
and a tilt of the illumination is an expansion about another point.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exitwave.electron import wavelength as wavelength_of
from exitwave.imaging.coherence import fitted_quadrature, focal_quadrature, spatial_envelope, temporal_envelope
from exitwave.imaging.conditions import ImagingConditions
from exitwave.waves.aberrations import HARMONICS

Array = NDArray[np.float64]
TemporalCoherence = Literal["quadrature", "envelope"]
_DEGREES = 7
_NEGLIGIBLE = 1e-4
"""Damping below which a frequency is left out."""


def transfer(
    ky: Array, kx: Array, conditions: ImagingConditions, wavelength: float, envelope: bool
) -> NDArray[np.complex64]:
    """Transfer of the wave, ``A exp(-i chi)`` times the envelopes, on the frequencies of a band.

    The same as :func:`exitwave.waves.aberrations.transfer_function`, where aperture and tilt are explained.

    Parameters
    ----------
    ky, kx : array [y], [x]
        Frequencies along the axes [1/Å].
    conditions : ImagingConditions
        Defocus, aberrations, tilt, aperture, spreads.
    wavelength : float
        Electron wavelength [Å].
    envelope : bool
        Whether the focal spread is there as its envelope.

    Returns
    -------
    complex64 [y, x]
    """
    angles = wavelength * ky, wavelength * kx
    polynomial = phase_polynomial(conditions, wavelength)
    turns = _evaluate(polynomial, *angles)
    # Whole turns are taken off in double precision: chi reaches thousands of radians at high angles.
    turns -= np.rint(turns)
    phase = turns.astype(np.float32)
    phase *= np.float32(-2 * np.pi)
    values = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=values.real)
    np.sin(phase, out=values.imag)
    if envelope and conditions.focal_spread > 0:
        along_y, along_x = (
            _refocusing(k, tilt, wavelength) for k, tilt in zip((ky, kx), conditions.tilt[::-1], strict=True)
        )
        values *= temporal_envelope(along_y[:, None] + along_x, wavelength, conditions.focal_spread)
    if conditions.angular_spread > 0:
        slope_x, slope_y = (2 * np.pi * _evaluate(_derivative(polynomial, axis), *angles) for axis in (1, 0))
        values *= spatial_envelope((slope_x, slope_y), conditions.angular_spread)
    if conditions.objective_aperture is not None:
        towards_y, towards_x = (angle + 1e-3 * tilt for angle, tilt in zip(angles, conditions.tilt[::-1], strict=True))
        values[towards_y[:, None] ** 2 + towards_x**2 > (1e-3 * conditions.objective_aperture) ** 2] = 0
    return values


def refocus(k: Array, tilt: float, offsets: Array, wavelength: float) -> NDArray[np.complex128]:
    """Factor along one axis that changes the defocus of a wave, ``exp(i pi lambda offset (|k + q|² - q²))``.

    A tilted beam goes through the lens at ``q = tilt / lambda``: a change of defocus then also moves the image, which
    a focal spread makes a blur.

    Parameters
    ----------
    k : array [n]
        Frequencies along the axis [1/Å].
    tilt : float
        Tilt of the illumination along the axis [mrad].
    offsets : array [defocus]
        Changes of defocus [Å].
    wavelength : float
        Electron wavelength [Å].

    Returns
    -------
    complex128 [defocus, n]
    """
    factor: NDArray[np.complex128] = np.exp(
        1j * np.pi * wavelength * np.multiply.outer(offsets, _refocusing(k, tilt, wavelength))
    )
    return factor


def highest_frequency(conditions: ImagingConditions, wavelength: float, envelope: bool) -> tuple[float, float]:
    """Highest frequency along y and x that the lens lets through [1/Å]; infinite where nothing limits it."""
    limits = [np.inf, np.inf]
    if conditions.objective_aperture is not None:
        limits = [(conditions.objective_aperture + abs(tilt)) * 1e-3 / wavelength for tilt in conditions.tilt[::-1]]
    if envelope and conditions.focal_spread > 0:
        squared = np.sqrt(-2 * np.log(_NEGLIGIBLE)) / (np.pi * wavelength * conditions.focal_spread)
        beam = [tilt * 1e-3 / wavelength for tilt in conditions.tilt[::-1]]
        circle = np.sqrt(squared + beam[0] ** 2 + beam[1] ** 2)
        limits = [min(limit, circle + abs(q)) for limit, q in zip(limits, beam, strict=True)]
    return limits[0], limits[1]


def focal_reach(conditions: ImagingConditions, wavelength: float, highest: float) -> float:
    """Largest phase between two frequencies of a band that an ångström of defocus makes [rad/Å].

    Parameters
    ----------
    conditions : ImagingConditions
        Aperture and tilt.
    wavelength : float
        Electron wavelength [Å].
    highest : float
        Highest frequency of the wave [1/Å]; the band is the circle of this radius that the multislice leaves.
    """
    largest = highest + float(np.hypot(*conditions.tilt)) * 1e-3 / wavelength
    if conditions.objective_aperture is not None:
        largest = min(largest, conditions.objective_aperture * 1e-3 / wavelength)
    return float(np.pi * wavelength * largest**2)


def focal_nodes_of(
    conditions: ImagingConditions,
    energy: float,
    sampling: float,
    focal_nodes: int | Literal["auto"] = "auto",
    temporal_coherence: TemporalCoherence = "quadrature",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Defocus that an image is averaged over, known before there is a wave.

    Parameters
    ----------
    conditions : ImagingConditions
        Focal spread, tilt and aperture.
    energy : float
        Beam energy [eV].
    sampling : float
        Pixel of the wave [Å]; its band is the circle up to its Nyquist frequency.
    focal_nodes : int or 'auto'
        Gauss-Hermite nodes; auto: the fewest fitted ones (:func:`exitwave.imaging.coherence.fitted_quadrature`).
    temporal_coherence : {'quadrature', 'envelope'}
        One node if it is the envelope.

    Returns
    -------
    offsets, weights : array [nodes]
        Changes of defocus [Å] and weights of sum 1.
    """
    if temporal_coherence == "envelope":
        return np.zeros(1), np.ones(1)
    if focal_nodes != "auto":
        return focal_quadrature(conditions.focal_spread, focal_nodes)
    return fitted_quadrature(conditions.focal_spread, focal_reach(conditions, wavelength_of(energy), 0.5 / sampling))


def phase_polynomial(conditions: ImagingConditions, wavelength: float) -> Array:
    """Coefficients of the aberration function with defocus as a polynomial in the scattering angle.

    Parameters
    ----------
    conditions : ImagingConditions
        Defocus, aberrations and tilt.
    wavelength : float
        Electron wavelength [Å].

    Returns
    -------
    array [7, 7]
        Coefficients of ``alpha_y^i alpha_x^j`` [turns/rad^(i+j)]; with a tilted beam, angles are counted from the beam,
        and the constant and the linear terms are left out.
    """
    coefficients: Mapping[str, float] = {"C10": -conditions.defocus, **conditions.aberrations}
    polynomial = np.zeros((_DEGREES, _DEGREES))
    for (n, m), basis in _bases().items():
        coefficient = coefficients.get(f"C{n}{m}", 0.0)
        if coefficient != 0:
            turned = np.exp(-1j * m * coefficients.get(f"phi{n}{m}", 0.0)) * (coefficient / (wavelength * (n + 1)))
            polynomial += (turned * basis).real
    if conditions.tilt != (0.0, 0.0):
        along_x, along_y = (_expansion(tilt * 1e-3) for tilt in conditions.tilt)
        polynomial = along_y.T @ polynomial @ along_x
        polynomial[0, 0] = polynomial[0, 1] = polynomial[1, 0] = 0
    return polynomial


@cache
def _bases() -> dict[tuple[int, int], NDArray[np.complex128]]:
    """Coefficients of ``(alpha_x + i alpha_y)^m |alpha|^(n+1-m)`` of every term."""
    bases = {}
    for n, m in HARMONICS:
        bases[n, m] = basis = np.zeros((_DEGREES, _DEGREES), complex)
        half = (n + 1 - m) // 2
        for k in range(m + 1):
            for i in range(half + 1):
                basis[k + 2 * i, m - k + 2 * (half - i)] += comb(m, k) * 1j**k * comb(half, i)
    return bases


def _expansion(shift: float) -> Array:
    """Matrix T of ``(x + shift)^i = sum_k T_ik x^k``."""
    return np.array([[comb(i, k) * shift ** max(i - k, 0) for k in range(_DEGREES)] for i in range(_DEGREES)])


def _derivative(polynomial: Array, axis: int) -> Array:
    derived = np.roll(np.moveaxis(polynomial, axis, -1) * np.arange(_DEGREES), -1, axis=-1)
    return np.moveaxis(derived, -1, axis)


def _evaluate(polynomial: Array, angle_y: Array, angle_x: Array) -> Array:
    along_y, along_x = (np.vander(angle, _DEGREES, increasing=True) for angle in (angle_y, angle_x))
    values: Array = along_y @ polynomial @ along_x.T
    return values


def _refocusing(k: Array, tilt: float, wavelength: float) -> Array:
    """Share of one axis in ``|k + q|² - q²``."""
    return k * (k + 2e-3 * tilt / wavelength)
