"""Fourier transforms of the projected potentials of independent atoms, for whole atoms and for the slices of an atom.

With the electron scattering factor f(q) of an element, its potential has the Fourier transform
``h² / (2π m e) f(q) = 47.878 V Å² f(q)`` (Kirkland, Advanced Computing in Electron Microscopy, appendix C); at
``q² = k² + k_z²`` with ``k_z = 0`` that is the transform of the projected potential [V Å³], k being the spatial
frequency across the beam. *Infinite* projection puts all of it into the slice that holds the atom's centre.

*Finite* projection puts into each slice what lies between its faces. The transform along the beam has a closed form,
term by term, for each of the parametrisations, and so has its integral H(k, z) from the atom's centre up to height z:
for a Gaussian an error function; for ``1 / (4π² q² + b²)`` and its square ``exp(-κ z)``, for the square times a
polynomial, with ``κ² = 4π² k² + b²``. A slice between the heights z₁ and z₂ above the atom holds
``H(k, z₂) - H(k, z₁)``. H is no product of a function of k and one of z, but it is a sum of few such products, found by
singular value decomposition; as they do not depend on the slices, one expansion serves every slice thickness. Its
errors cancel in the sum over slices, which telescopes, and it is scaled at each k to the infinite projection.

The parametrisations are abTEM's: Lobato & Van Dyck, Acta Cryst. A70 (2014) 636; Kirkland, appendix C; and that of
Peng, Ren, Dudarev & Whelan, Acta Cryst. A52 (1996) 257, of which abTEM takes the table fitted for s = q / 2 up to
6 Å⁻¹. Peng's Gaussians leave out the q⁻² tail of the nucleus beyond that; the other two have it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import erf

from exitwave.electron import ELECTRON_MASS, ELEMENTARY_CHARGE, PLANCK
from exitwave.errors import ConfigError

POTENTIAL = 1e20 * PLANCK**2 / (2 * math.pi * ELECTRON_MASS * ELEMENTARY_CHARGE)
"""Transform of the potential over the electron scattering factor, h² / (2π m e) [V Å²]."""
TOLERANCE = 1e-3
"""Largest error of the finite projection of an atom on any slice, over the infinite projection at the same k."""
LAST_ELEMENT = {"lobato": "Lr", "kirkland": "Lr", "peng": "Cf"}
"""Each parametrisation has all elements from H to this one; known here, so that no check need import abTEM."""
_FREQUENCIES = 400
_HEIGHTS = 257
_FARTHEST = 20.0
"""Height above an atom at which its potential ends [Å]; what is left there is below 1e-6 for every element."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Projected potential of an element as a sum over terms: a factor of k times a weight of the atom's depth.

    Parameters
    ----------
    factors : float32 array [term, n, n]
        In the order of ``fftfreq``, rows ky, columns kx [V Å³]; shared by all projections of the element on the grid.
    reach : float
        Distance from the faces of a slice up to which an atom outside matters [Å]; 0 for infinite projection, where
        the atom belongs to the slice that holds its centre.
    thickness : float
        Slice thickness [Å].
    """

    factors: NDArray[np.float32]
    reach: float
    thickness: float
    _integrals: Any = None

    def weights(self, depth: NDArray[np.float64]) -> NDArray[np.float32]:
        """Weights of the terms [term, n] for atoms at the height ``depth`` [n] above the entrance face [Å]."""
        if self._integrals is None:
            return np.ones((1, len(depth)), np.float32)
        heights = np.stack([self.thickness - depth, depth])
        integrals = self._integrals(np.sqrt(np.minimum(np.abs(heights) / self.reach, 1)))
        return np.ascontiguousarray(np.einsum("fn,fnt->tn", np.sign(heights), integrals), np.float32)


def projection(
    number: int, parametrization: str, size: int, sampling: float, kind: Literal["infinite", "finite"], thickness: float
) -> Projection:
    """Projected scattering factors of an element on a grid; whatever does not depend on the thickness is cached.

    Parameters
    ----------
    number : int
        Atomic number.
    parametrization : {'lobato', 'kirkland', 'peng'}
    size : int
        Edge of the square grid [px].
    sampling : float
        Its pixel [Å].
    kind : {'infinite', 'finite'}
    thickness : float
        Slice thickness [Å].

    Returns
    -------
    Projection
        One term of weight 1 if infinite. If finite, the fewest terms that keep to TOLERANCE for slices of any
        thickness: 4 to 6 on grids of 0.27 Å and coarser, up to 9 on one of 0.05 Å. Summed over all slices, both are
        the same.

    Raises
    ------
    ConfigError
        If the parametrisation does not have the element.
    """
    if kind == "infinite":
        return Projection(_infinite(number, parametrization, size, sampling)[np.newaxis], 0.0, thickness)
    factors, reach, integrals = _finite(number, parametrization, size, sampling)
    return Projection(factors, reach, thickness, integrals)


def check_parametrization(symbols: Iterable[str], parametrization: str) -> None:
    """Raise a ConfigError naming the elements for which the parametrisation has no scattering factor."""
    from ase.data import atomic_numbers

    last = LAST_ELEMENT[parametrization]
    unknown = sorted(symbol for symbol in set(symbols) if atomic_numbers[symbol] > atomic_numbers[last])
    if unknown:
        raise ConfigError(
            f"parametrization is {parametrization}, which has no scattering factor for {', '.join(unknown)}; allowed: "
            f"the elements H to {last}"
        )


@lru_cache(maxsize=16)
def _infinite(number: int, parametrization: str, size: int, sampling: float) -> NDArray[np.float32]:
    """Projected scattering factor [n, n] [V Å³]: the integral up to far above the atom, twice."""
    quarter = _quarter_frequencies(size, sampling)
    k = np.hypot(quarter[:, np.newaxis], quarter)
    factor = 2 * _integral(number, parametrization, k.ravel(), np.array([_FARTHEST]))
    return _mirrored(factor.reshape(k.shape).astype(np.float32), size)


@lru_cache(maxsize=8)
def _finite(
    number: int, parametrization: str, size: int, sampling: float
) -> tuple[NDArray[np.float32], float, CubicSpline]:
    """Expansion of H(k, z), the integral of an atom's transform from its centre to the height z.

    Returns
    -------
    factors : float32 array [term, n, n]
        [V Å³].
    reach : float
        Height beyond which H is taken as constant [Å].
    integrals : CubicSpline
        ``sqrt(z / reach)`` in 0 ... 1 to the coefficients of the terms; the root, since H varies ever faster towards
        the centre the higher the frequency.
    """
    infinite = _infinite(number, parametrization, size, sampling)
    quarter = _quarter_frequencies(size, sampling)
    k = np.hypot(quarter[-1], quarter[-1]) * np.linspace(0, 1, _FREQUENCIES) ** 1.5
    whole = _integral(number, parametrization, k, np.array([_FARTHEST]))
    coarse = np.linspace(0, _FARTHEST, 401)
    tails = np.abs(0.5 - 0.5 * _integral(number, parametrization, k, coarse) / whole).max(axis=0)
    # A slice has two faces: what is cut off takes half of the tolerance.
    reach = float(coarse[np.flatnonzero(tails > TOLERANCE / 4)[-1] + 1])
    roots = np.linspace(0, 1, _HEIGHTS)
    exact = 0.5 * _integral(number, parametrization, k, reach * roots**2) / whole
    integrals = exact / (2 * exact[:, -1:])
    modes = np.linalg.svd(integrals, full_matrices=False)[0]
    for terms in range(1, len(roots) + 1):
        shapes = modes[:, :terms]
        coefficients = shapes.T @ integrals
        shapes = shapes / (2 * shapes @ coefficients[:, -1:])
        # H is odd in z: the error of a slice is the sum or difference of two such errors.
        if 2 * np.abs(shapes @ coefficients - exact).max() <= TOLERANCE:
            break
    radial = CubicSpline(k, shapes)(np.hypot(quarter[:, np.newaxis], quarter))
    factors = np.stack([infinite * _mirrored(radial[..., term].astype(np.float32), size) for term in range(terms)])
    return factors, reach, CubicSpline(roots, coefficients.T)


def _integral(number: int, parametrization: str, k: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of the potential's transform across the beam from the atom's centre to the height z >= 0.

    Parameters
    ----------
    number : int
        Atomic number.
    parametrization : {'lobato', 'kirkland', 'peng'}
    k : float64 array [k]
        Spatial frequencies across the beam [Å⁻¹].
    z : float64 array [z]
        Heights [Å].

    Returns
    -------
    float64 array [k, z]
        [V Å³]; half the infinite projection far above the atom.
    """
    parameters = _parameters(number, parametrization)
    k2 = np.square(k)[:, np.newaxis]
    total = np.zeros((len(k), len(z)))
    for row in parameters.T:
        if parametrization == "peng":
            strength, width = row
            total += strength * np.exp(-width * k2) * erf(np.pi / np.sqrt(width) * z) / 2
            continue
        kappa2 = 4 * np.pi**2 * k2 + row[1] ** 2
        decay = np.sqrt(kappa2) * z
        if parametrization == "lobato":
            strength, screening = row
            total += 4 * np.pi * strength / screening / kappa2 * (1 - np.exp(-decay))
            total += 4 * np.pi * strength * screening / kappa2**2 * (1 - (1 + decay / 2) * np.exp(-decay))
        else:
            strength, _, gaussian, width = row
            total += 2 * np.pi * strength / kappa2 * (1 - np.exp(-decay))
            total += gaussian * (np.pi / width) ** 1.5 * np.exp(-(np.pi**2) / width * k2) * erf(np.sqrt(width) * z) / 2
    return total


def _parameters(number: int, parametrization: str) -> NDArray[np.float64]:
    """abTEM's parameters of an element, [parameter, term], as the potential's transforms have them.

    Read from abTEM's files and not through it: importing it takes longer than many a shard.
    """
    from ase.data import chemical_symbols

    check_parametrization([chemical_symbols[number]], parametrization)
    raw = np.array(_tables(parametrization)[chemical_symbols[number]])
    if parametrization == "lobato":
        return np.stack([POTENTIAL * np.pi**2 * raw[0] / raw[1] ** 1.5, 2 * np.pi / np.sqrt(raw[1])])
    if parametrization == "peng":
        return np.stack([POTENTIAL * raw[0], raw[1] / 4])
    strength, gaussian = POTENTIAL * np.pi * raw[0], POTENTIAL * (np.pi / raw[3]) ** 1.5 * raw[2]
    return np.stack([strength, 2 * np.pi * np.sqrt(raw[1]), gaussian, np.pi**2 / raw[3]])


@lru_cache(maxsize=3)
def _tables(parametrization: str) -> dict[str, Any]:
    name = {"peng": "peng_high"}.get(parametrization, parametrization)
    file = distribution("abtem").locate_file(f"abtem/parametrizations/data/{name}.json")
    tables: dict[str, Any] = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    return tables


def _quarter_frequencies(size: int, sampling: float) -> NDArray[np.float64]:
    """The non-negative spatial frequencies of the grid along one axis [Å⁻¹], the highest last."""
    frequencies: NDArray[np.float64] = np.abs(np.fft.fftfreq(size, sampling)[: size // 2 + 1])
    return frequencies


def _mirrored(quarter: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Array [n, n] in the order of ``fftfreq`` from its values [n/2 + 1, n/2 + 1] at non-negative frequencies."""
    index = np.abs(np.fft.fftfreq(size, 1 / size)).astype(np.intp)
    return quarter[np.ix_(index, index)]


def fourier_component(number: int, parametrization: str, g: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourier transform of the potential of one atom, ``h² / (2π m e) f(g)``.

    Parameters
    ----------
    number : int
        Atomic number.
    parametrization : {'lobato', 'kirkland', 'peng'}
    g : float64 [n]
        Spatial frequencies, of whichever direction [1/Å].

    Returns
    -------
    float64 [n]
        [V Å³].

    Raises
    ------
    ConfigError
        If the parametrisation does not have the element.
    """
    return 2 * _integral(number, parametrization, np.asarray(g, np.float64), np.array([1e5]))[:, 0]
