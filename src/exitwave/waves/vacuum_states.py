"""Electron states above a surface: on one plane, and from there at any height.

Above its atoms a state of a layer is a sum over the reciprocal vectors G of the plane,

    psi_nk(r, z) = sum_G c_G exp(i (k + G) r) f_G(z),      f_G(0) = 1 on the plane of the coefficients,

and each f_G is the solution of f'' = (2 m (V(z) - E) / hbar^2 + |k + G|^2) f that vanishes far away. V is the mean of
the potential over the plane, so that the states need not begin where the vacuum does: beyond the range of V they decay
as exp(-kappa_G z) with kappa_G^2 = 2 m (V_vac - E) / hbar^2 + |k + G|^2 (J. Tersoff, D. R. Hamann, Phys. Rev. B 31
(1985) 805).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

FARTHEST = 4.0
"""Height to which the potential of a calculation is taken [Å]: beyond, images of the layer in the next cells and the
noise of gradient corrections where there is no density are as large as what is left of it."""
_FADING = 1.0
"""Length in which what is left falls to 1/e [Å], as it does below."""
HBAR2_2M = 3.80998212
"""hbar^2 / 2 m of the electron [eV Å²]."""
_STEP = 0.05
"""Of the height along which decays are followed [Å]; the potential is known every 0.1 Å."""
_REAL = ("cell", "positions", "k_points", "weights", "energies", "heights", "potential")
"""Arrays of real numbers in a file."""


@dataclass(frozen=True)
class VacuumStates:
    """States of a layer above its topmost atom.

    Attributes
    ----------
    cell : float64 [2, 2]
        Vectors of the lattice, one a row: x, y [Å].
    numbers : int [atoms]
        Atomic numbers.
    positions : float64 [atoms, 3]
        x, y and height; that of the topmost atom is 0 [Å].
    plane : float
        Height of the coefficients [Å].
    k_points : float64 [states, 2]
        In units of the reciprocal vectors.
    weights : float64 [states]
        Electrons that the state and those it stands for by symmetry hold, a cell.
    energies : float64 [states]
        From the Fermi level [eV].
    beams : int [beams, 2]
        Reciprocal vectors G.
    coefficients : complex128 [states, beams]
        [1/Å^1.5].
    heights, potential : float64 [m]
        Mean potential over the plane from the vacuum level [eV], at heights from the topmost atom [Å].
    operations : int [operations, 2, 2]
        Symmetry of the layer about the origin, in units of the vectors of the lattice: x -> W x.
    fermi : float
        Fermi level from the vacuum level [eV].
    edges : tuple of float
        Highest occupied and lowest empty state from the Fermi level [eV]; 0, 0 in a metal.
    facts : dict
        What made them: engine, versions, cut-off, mesh, source of the structure.
    """

    cell: FloatArray
    numbers: NDArray[np.int64]
    positions: FloatArray
    plane: float
    k_points: FloatArray
    weights: FloatArray
    energies: FloatArray
    beams: NDArray[np.int64]
    coefficients: ComplexArray
    heights: FloatArray
    potential: FloatArray
    operations: NDArray[np.int64]
    fermi: float
    edges: tuple[float, float]
    facts: dict[str, Any]


def write(states: VacuumStates, path: Path, least: float = 2e-3) -> None:
    """Write states as numpy arrays, their coefficients rounded to half precision, whole or not at all.

    Beams that have nowhere more than a share ``least`` of the largest amplitude of their state are left out.
    """
    share = np.abs(states.coefficients) / np.abs(states.coefficients).max(axis=1, keepdims=True)
    kept = (share > least).any(axis=0)
    c = states.coefficients[:, kept]
    scale = np.abs(c).max(axis=1)
    c = c / scale[:, None]
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            cell=states.cell,
            numbers=states.numbers.astype(np.uint8),
            positions=states.positions.astype(np.float32),
            plane=states.plane,
            k_points=states.k_points.astype(np.float32),
            weights=states.weights.astype(np.float32),
            energies=states.energies.astype(np.float32),
            beams=states.beams[kept].astype(np.int8),
            scale=scale.astype(np.float32),
            coefficients=np.stack([c.real, c.imag], axis=-1).astype(np.float16),
            heights=states.heights.astype(np.float32),
            potential=states.potential.astype(np.float32),
            operations=states.operations.astype(np.int8),
            fermi=states.fermi,
            edges=np.array(states.edges),
            facts=np.array(json.dumps(states.facts)),
        )
    partial.replace(path)


def read(path: Path) -> VacuumStates:
    """Read what :func:`write` has written."""
    with np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files}
    parts = held["coefficients"].astype(np.float64)
    wide = {name: held[name].astype(np.float64) for name in _REAL}
    return VacuumStates(
        **wide,
        numbers=held["numbers"].astype(np.int64),
        plane=float(held["plane"]),
        beams=held["beams"].astype(np.int64),
        coefficients=(parts[..., 0] + 1j * parts[..., 1]) * held["scale"][:, None].astype(np.float64),
        operations=held["operations"].astype(np.int64),
        fermi=float(held["fermi"]),
        edges=(float(held["edges"][0]), float(held["edges"][1])),
        facts=json.loads(str(held["facts"])),
    )


def topmost(z: FloatArray, height: float) -> tuple[float, float]:
    """z of the atom below the widest gap of a cell that repeats in so much [Å], and how wide that gap is [Å]."""
    order = np.sort(z % height)
    gaps = np.diff(np.append(order, order[0] + height))
    return float(order[gaps.argmax()]), float(gaps.max())


def occupations(states: VacuumStates, bias: float, reference: str, width: float) -> FloatArray:
    """Share of each state that a bias lets contribute.

    Parameters
    ----------
    states : VacuumStates
    bias : float
        Of the sample [V]: positive shows empty states, negative occupied ones.
    reference : str
        ``fermi``: states between the Fermi level and eV above it; ``band_edge``: between the edge of the band there
        and eV beyond it.
    width : float
        Of the Fermi functions at the ends of the window [eV].

    Returns
    -------
    float64 [states]
    """
    edge = 0.0 if reference == "fermi" else states.edges[1 if bias > 0 else 0]
    beyond = np.sign(bias) * (states.energies - edge)  # along the window
    far = _fermi((beyond - abs(bias)) / width)
    if states.edges[1] > states.edges[0]:  # no state lies below the edge of a band, and it is sharp
        return np.where(beyond > -1e-4, far, 0.0)
    return np.asarray(far - _fermi(beyond / width))


def _fermi(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(np.clip(x, -200, 200))))


def density_above(states: VacuumStates, shares: FloatArray, heights: FloatArray) -> FloatArray:
    """Local density of states above the layer.

    Parameters
    ----------
    states : VacuumStates
    shares : float64 [states]
        Of each state.
    heights : float64 [m]
        Above the topmost atom, rising, the first not below the plane of the states [Å].

    Returns
    -------
    float64 [m, n, n]
        Electrons in a cubic ångström at each height, over the cell: rows along the second vector, columns along the
        first, n odd.
    """
    kept = shares > 1e-6
    number = 4 * int(np.abs(states.beams).max()) + 1  # the square of a wave has twice its frequencies
    decays = decays_of(states, heights)[:, kept]
    electrons = states.weights[kept] * shares[kept]
    rows, columns = states.beams[:, 1] % number, states.beams[:, 0] % number
    density = np.empty((len(heights), number, number))
    for place, decay in enumerate(decays):  # all heights at once would take hundreds of megabytes
        spectrum = np.zeros((len(electrons), number, number), np.complex128)
        spectrum[:, rows, columns] = states.coefficients[kept] * decay
        density[place] = np.tensordot(electrons, np.abs(np.fft.ifft2(spectrum, norm="forward")) ** 2, 1)
    return _symmetric(density, states.operations)


def decays_of(states: VacuumStates, heights: FloatArray) -> FloatArray:
    """What each beam of each state is multiplied by at heights [Å], from 1 on the plane of the states.

    Returns
    -------
    float64 [heights, states, beams]
    """
    reciprocal = 2 * np.pi * np.linalg.inv(states.cell).T
    across = (((states.k_points[:, None] + states.beams) @ reciprocal) ** 2).sum(axis=-1)
    top = max(float(states.heights[-1]), float(heights[-1]), states.plane + _STEP)
    steps = int(np.ceil((top - states.plane) / _STEP))
    z = states.plane + (np.arange(steps) + 0.5) * (top - states.plane) / steps
    step = (top - states.plane) / steps
    # From far away to the plane: there the solution that vanishes grows, and any other dies out.
    potential = _potential(states, z)
    energy = (states.fermi + states.energies)[:, None]
    kappa = np.sqrt(np.maximum(-energy / HBAR2_2M + across, 1e-6))
    growth = np.empty((steps, *across.shape))
    for place in range(steps - 1, -1, -1):
        squared = (potential[place] - energy) / HBAR2_2M + across
        root = np.sqrt(squared.astype(np.complex128))
        even, odd = np.cosh(root * step).real, _sinh_over(root, step)
        grown = even + kappa * odd  # of the wave, from the upper to the lower end of the step
        kappa = (squared * odd + kappa * even) / grown
        growth[place] = np.log(np.abs(grown))
    ends = states.plane + np.arange(steps + 1) * step
    fallen = np.concatenate([np.zeros((1, *across.shape)), -np.cumsum(growth, axis=0)])
    low = np.clip(((heights - states.plane) / step).astype(int), 0, steps - 1)
    part = ((heights - ends[low]) / step)[:, None, None]
    return np.asarray(np.exp((1 - part) * fallen[low] + part * fallen[low + 1]))


def _potential(states: VacuumStates, heights: FloatArray) -> FloatArray:
    """Mean potential from the vacuum level; beyond `FARTHEST` it goes on to vanish."""
    known = states.heights < FARTHEST + 1e-6
    last = min(FARTHEST, float(states.heights[-1]))
    near = np.interp(heights, states.heights[known], states.potential[known])
    return np.asarray(near * np.exp(-np.maximum(heights - last, 0) / _FADING))


def _sinh_over(root: ComplexArray, step: float) -> FloatArray:
    """sinh(q h) / q, also where q is nothing or imaginary."""
    small = np.abs(root) * step < 1e-6
    safe = np.where(small, 1.0, root)
    return np.where(small, step, (np.sinh(safe * step) / safe).real)


def _symmetric(density: FloatArray, operations: NDArray[np.int64]) -> FloatArray:
    """Mean of a density [heights, n, n] over the operations of the layer."""
    number = density.shape[-1]
    second, first = np.mgrid[:number, :number]
    total = np.zeros_like(density)
    for matrix in operations:
        moved = np.tensordot(matrix, np.stack([first, second]), 1) % number
        total += density[:, moved[1], moved[0]]
    return total / len(operations)
