"""The structure matrix of abTEM's Bloch waves, as a reference for scattering matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exitwave.electron import interaction_parameter, wavelength
from exitwave.structures.unit_cell import UnitCell
from exitwave.waves.beams import Beams

_MARGIN = 1.01
"""Of the largest spatial frequency that abTEM computes structure factors for."""


def coupling_of_abtem(
    cell: UnitCell, beams: Beams, rms: NDArray[np.float64], parametrization: str, energy: float
) -> NDArray[np.complex128]:
    """Matrix of the Fourier coefficients ``V_{g-h}`` [n, n] [V] as abTEM computes it, with 0 on its diagonal.

    Parameters
    ----------
    cell : UnitCell
    beams : Beams
    rms : float64 [atom]
        Root-mean-square displacement of every atom along one axis [Å].
    parametrization : {'lobato', 'kirkland', 'peng'}
    energy : float
        Beam energy [eV].
    """
    import abtem
    from abtem.bloch import StructureFactor
    from abtem.bloch.dynamical import calculate_structure_matrix
    from ase import Atoms

    atoms = Atoms(cell.numbers, scaled_positions=cell.fractional, cell=cell.vectors, pbc=True)
    farthest = np.linalg.norm(beams.g[:, None] - beams.g[None], axis=-1).max()
    with abtem.config.set({"precision": "float64", "device": "cpu"}):
        factors = StructureFactor(
            atoms,
            g_max=float(_MARGIN * farthest),
            parametrization=parametrization,
            thermal_sigma=rms,
            cutoff="hard",
            centering="P",
        ).build(lazy=False)
        matrix = calculate_structure_matrix(
            structure_factor=factors.array,
            hkl=factors.hkl,
            hkl_selected=beams.hkl,
            cell=atoms.cell,
            energy=energy,
            gpts=factors.gpts,
            use_wave_eq=True,
        )
    coupling = np.array(matrix, np.complex128) * np.pi * wavelength(energy) / interaction_parameter(energy)
    np.fill_diagonal(coupling, 0)
    return coupling
