"""Beams of a perfect crystal: which there are, how far they are off the Bragg condition, and how they are coupled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.unit_cell import UnitCell
from exitwave.waves.scattering import fourier_component

FloatArray = NDArray[np.float64]
_NEAR = 0.005
"""Excitation errors below this [1/Å] say nothing of how strong a beam will be: the extinction distance decides."""
_MOST_CANDIDATES = 100_000
"""Beams looked at before the strongest are kept."""
_MOST_COUPLED = 2000
"""Of these, those nearest to the Ewald sphere that are asked which of them are strong."""


@dataclass(frozen=True, eq=False)
class Beams:
    """Beams of a crystal, that of the incoming wave first.

    Attributes
    ----------
    hkl : ndarray, int64 [n, 3]
        Indices.
    g : ndarray, float64 [n, 3]
        Reciprocal lattice vectors (x, y, z) in the frame of the beam [1/Å].
    """

    hkl: NDArray[np.int64]
    g: FloatArray

    def __len__(self) -> int:
        return len(self.hkl)

    def excitation_errors(self, wavelength: float) -> FloatArray:
        """Excitation errors s_g [n] for the beam along +z [1/Å], as :func:`excitation_errors`."""
        return excitation_errors(self.g, wavelength)

    def only(self, kept: NDArray[np.intp] | NDArray[np.bool_]) -> Beams:
        """Some of the beams."""
        return Beams(self.hkl[kept], self.g[kept])


def excitation_errors(g: FloatArray, wavelength: float) -> FloatArray:
    """Excitation error of reflections, ``s_g = -g_z - λ (g_x² + g_y²) / 2``.

    That is the distance of a reciprocal lattice point to the Ewald sphere along the beam in the paraxial approximation
    of the multislice (Kirkland, *Advanced Computing in Electron Microscopy*, sec. 6.1); it is positive inside the
    sphere.

    Parameters
    ----------
    g : float64 [n, 3]
        Reciprocal lattice vectors in the frame of the beam, which runs along +z [1/Å].
    wavelength : float
        [Å].

    Returns
    -------
    float64 [n]
        [1/Å].
    """
    return np.asarray(-g[:, 2] - wavelength / 2 * (g[:, 0] ** 2 + g[:, 1] ** 2))


def find_beams(cell: UnitCell, wavelength: float, g_max: float, s_max: float, k_max: float = 0.0) -> Beams:
    """All beams near the Ewald sphere.

    Parameters
    ----------
    cell : UnitCell
    wavelength : float
        [Å].
    g_max : float
        Largest component of g across the beam [1/Å].
    s_max : float
        Largest excitation error, the smallest in the aperture taken for each beam [1/Å].
    k_max : float
        Radius of the aperture [1/Å].

    Returns
    -------
    Beams
        Ordered by \\|g\\|, then by indices; that of zone order 0 first.

    Raises
    ------
    StructureError
        If there are more than a hundred thousand.
    """
    highest = np.hypot(g_max, s_max + wavelength * g_max * (k_max + g_max / 2))
    most = np.floor(highest * np.linalg.norm(cell.vectors, axis=1) + 1e-9).astype(int)
    # Along the last axis only the few orders near the sphere are looked at.
    reciprocal = cell.reciprocal
    last = int(np.argmax(np.abs(reciprocal[:, 2])))
    others = [axis for axis in range(3) if axis != last]
    grids = np.meshgrid(*(np.arange(-most[axis], most[axis] + 1) for axis in others), indexing="ij")
    planes = np.stack([grid.ravel() for grid in grids], axis=1)
    partial = planes @ reciprocal[others]
    found = []
    for order in range(-most[last], most[last] + 1):
        g = partial + order * reciprocal[last]
        across = np.hypot(g[:, 0], g[:, 1])
        near = np.abs(excitation_errors(g, wavelength)) - wavelength * k_max * across < s_max
        kept = np.flatnonzero((across < g_max) & near)
        hkl = np.full((len(kept), 3), order)
        hkl[:, others] = planes[kept]
        found.append(hkl)
        if sum(map(len, found)) > _MOST_CANDIDATES:
            raise StructureError(
                f"cell: {cell.volume:.4g} Å³ have more than {_MOST_CANDIDATES} beams within g_max {g_max:g} 1/Å and "
                f"s_max {s_max:g} 1/Å; allowed: a smaller cell, or smaller limits"
            )
    indices = np.concatenate(found)
    g = indices @ reciprocal
    length = np.linalg.norm(g, axis=1).round(9)
    order_of = np.lexsort((*indices.T[::-1], length))
    return Beams(indices[order_of], g[order_of])


def structure_factors(
    cell: UnitCell, hkl: NDArray[np.int64], rms: NDArray[np.float64], parametrization: str
) -> NDArray[np.complex128]:
    """Fourier coefficients of the potential of a crystal of independent atoms that vibrate.

    ``V_g = (h² / 2π m e Ω) Σ_j f_j(|g|) exp(-2 π² u_j² g²) exp(-2 π i g·r_j)`` (Kirkland, sec. 5.6; Debye-Waller factor
    with the mean square displacement u² along one axis). Of an alloy it is the mean over its elements.

    Parameters
    ----------
    cell : UnitCell
    hkl : int64 [n, 3]
        Indices.
    rms : float64 [atom]
        Root-mean-square displacement u of every atom along one axis [Å].
    parametrization : {'lobato', 'kirkland', 'peng'}

    Returns
    -------
    complex128 [n]
        [V].
    """
    length = np.linalg.norm(hkl @ cell.reciprocal, axis=1)
    total = np.zeros(len(hkl), np.complex128)
    kinds = np.unique(np.stack([cell.numbers.astype(np.float64), rms], axis=1), axis=0)
    for number, displacement in kinds:
        of_kind = (cell.numbers == number) & (rms == displacement)
        shares = 1.0 if cell.occupancy is None else cell.occupancy[of_kind]
        phases = (shares * np.exp(-2j * np.pi * (hkl @ cell.fractional[of_kind].T))).sum(axis=1)
        damping = np.exp(-2 * np.pi**2 * displacement**2 * length**2)
        total += fourier_component(int(number), parametrization, length) * damping * phases
    return np.asarray(total / cell.volume)


def coupling(cell: UnitCell, beams: Beams, rms: NDArray[np.float64], parametrization: str) -> NDArray[np.complex128]:
    """Matrix of the Fourier coefficients ``V_{g-h}`` [n, n] [V], with 0 on its diagonal.

    The mean potential changes the phase of all beams alike and is left out. The matrix is Hermitian.
    """
    difference = beams.hkl[:, None] - beams.hkl[None]
    least = difference.min(axis=(0, 1))
    shape = difference.max(axis=(0, 1)) - least + 1
    flat = np.ravel_multi_index(tuple((difference - least).reshape(-1, 3).T), tuple(shape))
    table = np.zeros(int(np.prod(shape)), np.complex128)
    there = np.zeros(len(table), bool)
    there[flat] = True
    used = np.flatnonzero(there)
    hkl = np.stack(np.unravel_index(used, tuple(shape)), axis=1) + least
    table[used] = structure_factors(cell, hkl, rms, parametrization)
    table[used[(hkl == 0).all(axis=1)]] = 0
    return np.asarray(table[flat].reshape(len(beams), len(beams)))


def strongest(
    cell: UnitCell,
    beams: Beams,
    rms: NDArray[np.float64],
    parametrization: str,
    wavelength: float,
    interaction: float,
    most: int,
) -> Beams:
    r"""The beams that are likely to be strong, in their order; the incoming one is always kept.

    Likely is what a beam gets from the incoming one by one scattering or by two, each of amplitude ``σ |V| / 2 π |s|``,
    with \|s\| of at least 0.005 1/Å. By one alone beams would be left out that are forbidden, and feed many others.

    Parameters
    ----------
    cell : UnitCell
    beams : Beams
    rms : float64 [atom]
        Root-mean-square displacement of every atom along one axis [Å].
    parametrization : {'lobato', 'kirkland', 'peng'}
    wavelength : float
        [Å].
    interaction : float
        Interaction parameter σ [rad / (V Å)].
    most : int
        Beams that are kept at the most.
    """
    if len(beams) <= most:
        return beams
    s = np.maximum(np.abs(beams.excitation_errors(wavelength)), _NEAR)
    if len(beams) > _MOST_COUPLED:
        nearest = np.sort(np.argsort(s, kind="stable")[:_MOST_COUPLED])
        beams, s = beams.only(nearest), s[nearest]
    scattered = np.abs(coupling(cell, beams, rms, parametrization)) * (interaction / (2 * np.pi))
    once = scattered[:, 0] / s
    strength = once + scattered @ once / s
    strength[0] = np.inf
    return beams.only(np.sort(np.argsort(-strength, kind="stable")[:most]))
