"""Electron states above a layer, from a calculation by GPAW with plane waves."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.waves.vacuum_states import FARTHEST, VacuumStates, topmost

_G_MAX = 7.0
"""Reciprocal vectors beyond this are nothing at 2 Å above the atoms [1/Å, with 2 pi]."""
_BELOW = 1e-6
"""Rounding within which an atom is no higher than the topmost one [Å]."""
_TOUCH = 1e-3
"""Bands closer than this make a metal [eV]."""


def states_of(
    calculation: Any,
    plane: float = 2.0,
    window: float = 0.6,
    facts: dict[str, Any] | None = None,
    share: float = 1.0,
) -> VacuumStates:
    """States around the Fermi level, or at the edges of the bands.

    Parameters
    ----------
    calculation : gpaw.GPAW
        Converged, with wave functions; its third vector along z, the layer normal to it.
    plane : float
        Height above the topmost atom at which amplitudes are taken [Å]; beyond the spheres of the atoms, within which
        GPAW's waves are not the true ones.
    window : float
        How far from the Fermi level, or into the bands [eV].
    facts : dict, optional
        To be kept with the states.
    share : float
        Of the Brillouin zone that the k-points of the calculation stand for; all else has no states there.

    Returns
    -------
    VacuumStates

    Raises
    ------
    StructureError
        If the calculation has spins, or used symmetries that turn the layer over or need a translation.
    """
    atoms = calculation.get_atoms()
    _check(calculation, atoms)
    cell = np.asarray(atoms.cell)
    height = float(cell[2, 2])
    top, room = topmost(atoms.positions[:, 2], height)
    electrons = calculation.get_number_of_electrons()
    points = calculation.get_ibz_k_points()
    weights = calculation.get_k_point_weights()
    bands = calculation.get_number_of_bands()
    energies = np.array([calculation.get_eigenvalues(kpt=k) for k in range(len(points))])
    fermi = float(calculation.get_fermi_level())
    occupied = round(electrons / 2)
    low, high = float(energies[:, occupied - 1].max()), float(energies[:, occupied].min())
    gapped = electrons % 2 < 1e-6 and high - low > _TOUCH
    if gapped:
        fermi = (low + high) / 2
    else:
        low = high = fermi
    inside = (energies >= low - window) & (energies <= high + window)
    electrostatic = calculation.get_electrostatic_potential().mean(axis=(0, 1))
    z_electrostatic = np.arange(len(electrostatic)) * height / len(electrostatic)
    effective = np.asarray(calculation.get_effective_potential()).mean(axis=(0, 1))
    z = np.arange(len(effective)) * height / len(effective)
    vacuum = float(np.interp((top + room / 2) % height, z_electrostatic, electrostatic, period=height))
    heights = np.arange(1.0, min(FARTHEST, room / 2) + 0.01, 0.1)
    potential = np.interp((heights + top) % height, z, effective, period=height) - vacuum
    beams = _beams(cell)
    where = [(k, n) for k in range(len(points)) for n in range(bands) if inside[k, n]]
    coefficients = np.array([_on_plane(calculation, n, k, beams, (top + plane) / height) for k, n in where])
    return VacuumStates(
        cell=cell[:2, :2],
        numbers=atoms.numbers,
        positions=np.column_stack(
            [atoms.positions[:, :2], (atoms.positions[:, 2] - top - _BELOW) % height - height + _BELOW]
        ),
        plane=plane,
        k_points=np.array([points[k][:2] for k, _ in where]),
        weights=np.array([2 * share * weights[k] for k, _ in where]),
        energies=np.array([energies[k, n] - fermi for k, n in where]),
        beams=beams,
        coefficients=coefficients,
        heights=heights,
        potential=potential,
        operations=_operations(atoms),
        fermi=fermi - vacuum,
        edges=(low - fermi, high - fermi),
        facts={"window": window, **(facts or {})},
    )


def of_file(file: str) -> VacuumStates:
    """States of a .gpw file.

    Raises
    ------
    StructureError
        If GPAW is not installed, or the file is without wave functions.
    """
    try:
        import gpaw  # type: ignore[import-not-found]
    except ImportError as error:
        raise StructureError(
            f"'{file}' is read by GPAW, which is not installed; allowed: pip install gpaw==25.7.0 gpaw-data (it needs "
            "libxc and a C compiler), or a PARCHG, cube or .npz file"
        ) from error
    try:
        calculation = gpaw.GPAW(file, txt=None)
        return states_of(calculation, facts={"engine": f"GPAW {gpaw.__version__}", "name": file})
    except StructureError as error:
        raise StructureError(f"'{file}' {error}") from error
    except Exception as error:  # GPAW raises whatever it runs into
        raise StructureError(
            f"'{file}' gives no wave functions ({type(error).__name__}: {error}); allowed: a calculation with plane "
            "waves, written with mode='all'"
        ) from error


def _check(calculation: Any, atoms: Any) -> None:
    """Refuse what the symmetry that is put back afterwards would not give back."""
    if calculation.get_number_of_spins() != 1:
        raise StructureError("has two spins; allowed: a calculation without spin polarisation")
    symmetry = calculation.wfs.kd.symmetry
    ours = {tuple((sign * matrix).ravel()) for matrix in _operations(atoms) for sign in (1, -1)}
    for matrix, shift in zip(symmetry.op_scc, symmetry.ft_sc, strict=True):
        if np.abs(shift).max() > 1e-6 or tuple(np.asarray(matrix).T[:2, :2].ravel()) not in ours:
            raise StructureError(
                "was calculated with a symmetry that turns the layer over or needs a translation; allowed: "
                "symmetry='off', or symmetry={'symmorphic': True} with the layer out of the middle of its cell"
            )


def _beams(cell: NDArray[Any]) -> NDArray[np.int64]:
    """Reciprocal vectors up to the largest."""
    reciprocal = 2 * np.pi * np.linalg.inv(cell[:2, :2]).T
    most = int(_G_MAX * np.linalg.norm(cell[:2, :2], axis=1).max() / (2 * np.pi)) + 1
    every = np.array(list(product(range(-most, most + 1), repeat=2)))
    return np.asarray(every[np.linalg.norm(every @ reciprocal, axis=1) < _G_MAX])


def _on_plane(
    calculation: Any, band: int, point: int, beams: NDArray[np.int64], height: float
) -> NDArray[np.complex128]:
    """Coefficients of a wave function on a plane, whose height is in units of the cell [1/Å^1.5]."""
    wave = calculation.get_pseudo_wave_function(band=band, kpt=point, periodic=True)
    spectrum = np.fft.fftn(wave) / wave.size
    frequencies = np.fft.fftfreq(wave.shape[2], 1 / wave.shape[2])
    plane = spectrum @ np.exp(2j * np.pi * frequencies * height)
    fits = (np.abs(beams) < np.array(wave.shape[:2]) / 2).all(axis=1)
    found = plane[beams[:, 0] % wave.shape[0], beams[:, 1] % wave.shape[1]]
    return np.where(fits, found, 0)


def _operations(atoms: Any) -> NDArray[np.int64]:
    """Rotations and mirrors about the origin that leave the layer as it is, no atom changing its height."""
    cell = np.asarray(atoms.cell)[:2, :2]
    metric = cell @ cell.T
    flat, heights = np.linalg.solve(cell.T, atoms.positions[:, :2].T).T, atoms.positions[:, 2]
    found = []
    for entries in product((-1, 0, 1), repeat=4):
        matrix = np.array(entries).reshape(2, 2)
        if not np.allclose(matrix.T @ metric @ matrix, metric, atol=1e-4 * metric.max()):
            continue
        off = (flat @ matrix.T)[:, None] - flat[None]
        off = np.linalg.norm((off - np.round(off)) @ cell, axis=-1)
        alike = (atoms.numbers[:, None] == atoms.numbers) & (np.abs(heights[:, None] - heights) < 1e-2)
        if ((off < 1e-2) & alike).any(axis=1).all():
            found.append(matrix)
    return np.array(found)
