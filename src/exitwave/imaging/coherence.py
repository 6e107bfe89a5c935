"""Partial coherence: focal spread by a quadrature or an envelope, angles of illumination, vibration and drift."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]
Single = NDArray[np.float32]
TOLERANCE = 1e-3
"""Largest error of a fitted quadrature, and of the mean intensity that its images are allowed in any pixel."""
LONGEST_FIT = 12.0
"""Largest product of spread and reach that nodes are fitted for; evenly spaced ones serve beyond."""


def focal_quadrature(spread: float, nodes: int) -> tuple[Array, Array]:
    """Gauss-Hermite quadrature of a Gaussian distribution of defocus.

    The expectation of ``f(defocus + x)`` over ``x ~ N(0, spread²)`` is ``sum_i w_i f(defocus + x_i)``, exactly for
    polynomials up to degree ``2 nodes - 1``.

    Parameters
    ----------
    spread : float
        Standard deviation of the defocus [Å]; abTEM's and Kirkland's focal spread is sqrt(2) times this.
    nodes : int
        Number of nodes; one node is used where the spread is 0.

    Returns
    -------
    offsets : array [nodes]
        Changes of defocus [Å].
    weights : array [nodes]
        Their weights, of sum 1.
    """
    if spread == 0:
        return np.zeros(1), np.ones(1)
    offsets, weights = _gauss_hermite(nodes)
    return spread * offsets, weights


@lru_cache(maxsize=64)
def _gauss_hermite(nodes: int) -> tuple[Array, Array]:
    offsets, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return offsets, weights / weights.sum()


def fitted_quadrature(spread: float, reach: float, tolerance: float = TOLERANCE) -> tuple[Array, Array]:
    """Quadrature of a Gaussian distribution of defocus with the fewest nodes that a band needs.

    Parameters
    ----------
    spread : float
        Standard deviation of the defocus [Å].
    reach : float
        Largest phase between two frequencies of the band that an ångström of defocus makes,
        ``pi lambda max |k² - k'²|`` [rad/Å].
    tolerance : float
        Bound of the error that is explained below.

    Returns
    -------
    offsets, weights : array [nodes]
        As of `focal_quadrature`.

    Notes
    -----
    The intensity is ``sum_kk' psi(k) psi*(k') T(s) exp(2 pi i (k - k') r)`` with ``s = pi lambda spread (k² - k'²)``,
    where the transmission cross-coefficient ``T(s) = exp(-s²/2)`` of the Gaussian is replaced by that of the
    quadrature, ``sum_i w_i cos(s x_i / spread)``. So what the interference of two frequencies contributes is wrong by
    at most ``max |T - T_quadrature|`` over ``|s| <= spread * reach`` of what it is without focal spread, and this
    maximum is what the tolerance bounds. Gauss-Hermite nodes are best about s = 0, with an error of at most
    ``n! / (2 n)! s^(2n)``. Nodes and weights fitted to the whole interval have a fraction of that error at its end: at
    300 kV and with a spread of 15 Å, 4 nodes do in place of 5 for a wave stored at 0.4 Å, and 9 in place of 22 for one
    at 0.2 Å.
    """
    # In steps, upwards, so that images with spreads from a distribution share fits.
    interval = np.ceil(25 * spread * reach) / 25
    offsets, weights = _fitted(float(interval), tolerance)
    return spread * offsets, weights


@lru_cache(maxsize=256)
def _fitted(interval: float, tolerance: float) -> tuple[Array, Array]:
    if -np.expm1(-(interval**2) / 2) <= tolerance:
        return np.zeros(1), np.ones(1)
    check = np.linspace(0, interval, 50 + int(50 * interval))
    # Even nodes: the error of the trapezoidal rule is that of its first alias and of the two ends.
    even = 2 * np.pi / (interval + 3.8)
    most = 2 * int(np.ceil(4 / even)) + 1
    # Beyond that, a fit takes seconds and saves few nodes.
    for nodes in range(max(2, int(1.1 * interval + 1.5)), most if interval <= LONGEST_FIT else 0):
        offsets, weights = _least_squares(nodes, interval, 1.1 * even)
        if quadrature_error(offsets, weights, check) <= tolerance:
            return offsets, weights
    evenly: Array = even * (np.arange(most, dtype=np.float64) - most // 2)
    shares: Array = np.exp(-(evenly**2) / 2)
    return evenly, shares / shares.sum()


def _least_squares(nodes: int, interval: float, step: float) -> tuple[Array, Array]:
    """Symmetric nodes and positive weights of sum 1, least squares of the error over points that crowd at the ends."""
    points = interval * np.sin(np.linspace(0, np.pi / 2, 6 * nodes + 10))
    wanted = np.exp(-(points**2) / 2)
    half = nodes // 2
    begin = step * (np.arange(half) + (1.0 if nodes % 2 else 0.5))

    def quadrature(values: Array) -> tuple[Array, Array]:
        offsets, roots = values[:half], values[half:]
        middle = [1.0] * (nodes % 2)  # the node at 0, against which the others are weighted
        weights = np.concatenate([roots[::-1] ** 2, middle, roots**2])
        return np.concatenate([-offsets[::-1], np.zeros(nodes % 2), offsets]), weights / weights.sum()

    def error(values: Array) -> Array:
        offsets, weights = quadrature(values)
        return np.cos(np.outer(points, offsets)) @ weights - wanted

    found: Array = least_squares(error, np.concatenate([begin, np.exp(-(begin**2) / 4)]), method="lm").x
    return quadrature(found)


def quadrature_error(offsets: Array, weights: Array, phases: Array) -> float:
    """Largest error of a quadrature's transmission cross-coefficient at phases ``pi lambda spread (k² - k'²)``.

    Parameters
    ----------
    offsets : array [nodes]
        Nodes, in standard deviations.
    weights : array [nodes]
        Weights.
    phases : array [...]
        Phases [rad].
    """
    return float(np.abs(np.cos(np.multiply.outer(phases, offsets)) @ weights - np.exp(-(phases**2) / 2)).max())


def temporal_envelope(k_squared: Array, wavelength: float, spread: float) -> Single:
    """Damping of the transfer by the focal spread, ``exp(-(pi lambda spread k²)² / 2)``.

    It is the mean of ``exp(i pi lambda x k²)`` over ``x ~ N(0, spread²)``: the interference with the unscattered beam,
    and so right for weak objects (Frank, Optik 38 (1973) 519; Kirkland, *Advanced Computing in Electron Microscopy*,
    chapter 3).

    Parameters
    ----------
    k_squared : array [...]
        Squared spatial frequency [1/Å²]; of a tilted beam, from the optic axis and less that of the direct beam.
    wavelength : float
        Electron wavelength [Å].
    spread : float
        Standard deviation of the defocus [Å]; abTEM's ``focal_spread`` is sqrt(2) times this.
    """
    phase = (np.pi * wavelength * spread * k_squared).astype(np.float32)
    damped: Single = np.exp(-(phase**2) / 2)
    return damped


def spatial_envelope(gradient: tuple[Array, Array], spread: float) -> Single:
    """Damping of the transfer by the angles of illumination, ``exp(-spread² |grad chi|² / 2)``.

    A beam from the direction b moves the phase of what interferes with it, in first order, by ``b . grad chi``; this is
    the mean of its exponential over Gaussian directions (Frank, Optik 38 (1973) 519; Kirkland, *Advanced Computing in
    Electron Microscopy*, chapter 3). Defocus is part of chi, at the centre of the focal spread.

    Parameters
    ----------
    gradient : tuple of array [...]
        Derivatives of chi with respect to the scattering angle along x and y [rad/rad].
    spread : float
        Standard deviation of the angles of illumination along an axis [mrad]; abTEM's ``angular_spread``, which its
        documentation calls a standard deviation, enters its envelope as ``exp(-spread² |grad chi|² / 4)`` and is
        sqrt(2) times this.
    """
    along_x, along_y = ((1e-3 * spread * component).astype(np.float32) for component in gradient)
    damped: Single = np.exp(-(along_x**2 + along_y**2) / 2)
    return damped


def vibration_transfer(k: Array, vibration: float) -> Array:
    """Factor of the intensity's spectrum along one axis for random shifts during the exposure.

    ``exp(-2 pi² vibration² k²)``, the Fourier transform of their Gaussian distribution.

    Parameters
    ----------
    k : array [n]
        Spatial frequencies along the axis [1/Å].
    vibration : float
        Standard deviation of the shifts along an axis [Å].
    """
    factor: Array = np.exp(-2 * (np.pi * vibration * k) ** 2)
    return factor


def drift_transfer(ky: Array, kx: Array, drift: tuple[float, float]) -> Array:
    """Factor of the intensity's spectrum for a steady drift during the exposure.

    ``sin(pi d . k) / (pi d . k)``, the Fourier transform of the line, from -d/2 to d/2, that a point is drawn out to.

    Parameters
    ----------
    ky, kx : array [y], [x]
        Spatial frequencies along the axes [1/Å].
    drift : tuple of float
        Length of the drift along x and y [Å].

    Returns
    -------
    array [y, x]
    """
    factor: Array = np.sinc(drift[1] * ky[:, None] + drift[0] * kx)
    return factor
