"""A structure on its way to the slices: whether it can go there, how many they are, and its thermal configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers

from exitwave.config.exit_waves import MultisliceWaves, ScatteringMatrix
from exitwave.config.structures import Fields, Structures
from exitwave.errors import ConfigError, ExitwaveError, StructureError
from exitwave.structures.kinds import kind_of
from exitwave.waves.grid import output_grid
from exitwave.waves.multislice import Configuration
from exitwave.waves.scattering import check_parametrization
from exitwave.waves.thermal import ThermalMotion, check_elements, thermal_motion

if TYPE_CHECKING:
    from exitwave.structures.structure import Structure


def check_specimen(block: MultisliceWaves, structures: Fields) -> None:
    """Check the grid, and what must be known of the elements.

    Raises
    ------
    ConfigError
        If the field is not a whole, even number of pixels, or scattering factors or thermal motion are not known.
    """
    try:
        output_grid(structures.field_of_view, block.sampling)
    except ExitwaveError as error:
        raise ConfigError(f"sampling: {error}") from error
    check_atoms(block, structures)


def check_atoms(block: MultisliceWaves, structures: Structures) -> None:
    """Check what must be known of the elements.

    Raises
    ------
    ConfigError
        If scattering factors or thermal motion are not known.
    """
    elements = checked_elements(block, structures)
    if block.frozen_phonons:
        try:
            check_elements(elements, block.rms_displacements)
        except ExitwaveError as error:
            raise ConfigError(f"frozen_phonons: {error}") from error


def checked_elements(block: MultisliceWaves | ScatteringMatrix, structures: Structures) -> set[str]:
    """Chemical symbols of the structures, once all of them are known to have scattering factors.

    Raises
    ------
    ConfigError
        If one has none, or displacements are given of what is no element.
    """
    for symbol in block.rms_displacements:
        if not atomic_numbers.get(symbol, 0):
            raise ConfigError(f"rms_displacements: found '{symbol}'; allowed: symbols of elements")
    elements = kind_of(structures).elements(structures)
    try:
        check_parametrization(elements, block.parametrization)
    except ExitwaveError as error:
        raise ConfigError(f"parametrization: {error}") from error
    return elements


def named(structure: Structure) -> str:
    """How messages begin that are about one structure of several; empty if it has no name."""
    identity = structure.metadata.get("structure_id")
    return f"structure {identity}: " if identity else ""


def checked_cell(structure: Structure) -> tuple[float, float]:
    """Lateral edge and height of the cell [Å], once the structure is known to be sound.

    Raises
    ------
    StructureError
        If the cell is not square, or a position is not a finite number.
    """
    cell = np.asarray(structure.cell, np.float64)
    if not (np.isfinite(cell).all() and (cell > 0).all() and np.isclose(cell[0], cell[1], rtol=1e-9)):
        raise StructureError(
            f"{named(structure)}cell is {cell.tolist()} Å; allowed: positive, finite and square across the beam"
        )
    bad = np.flatnonzero(~np.isfinite(structure.positions).all(axis=1))
    if len(bad):
        raise StructureError(
            f"{named(structure)}positions: atom {bad[0]} is at {structure.positions[bad[0]].tolist()} Å; "
            "allowed: finite numbers"
        )
    return float(cell[0]), float(cell[2])


def frozen_phonons(
    structure: Structure, block: MultisliceWaves, rng: np.random.Generator
) -> tuple[list[Configuration], ThermalMotion | None]:
    """Thermal configurations of a structure, and the motion that they are drawn from; at rest one, and none."""
    motion = thermal_motion(structure, block.temperature, block.rms_displacements) if block.frozen_phonons else None
    configurations = []
    for _ in range(max(1, block.frozen_phonons)):
        positions = structure.positions
        if motion:
            positions = positions + motion.displacements(rng)
        configurations.append(Configuration(positions, structure.numbers, structure.object_id > 0))
    return configurations, motion


def multislice_as_row(block: MultisliceWaves, motion: ThermalMotion | None) -> dict[str, Any]:
    """How a multislice was done, as `MULTISLICE_COLUMNS` of the table."""
    return {
        "slice_thickness": block.slice_thickness,
        "frozen_phonons": block.frozen_phonons,
        "temperature": block.temperature,
        "rms_displacements": motion.used if motion else "",
        "engine": block.engine,
        "scheme": block.scheme,
        "projection": block.projection,
        "parametrization": block.parametrization,
    }


def number_of_slices(height: float, thickness: float) -> int:
    """Slices of a cell; the last one may reach beyond it."""
    return max(1, int(np.ceil(height / thickness - 1e-9)))


def planes_of(step: float | None, n_slices: int, thickness: float) -> tuple[int, ...]:
    """Slices after which waves are asked for: every so many Å, rounded to slices; none for no step."""
    if step is None:
        return ()
    every = slices_of(step, thickness)
    return tuple(range(every, n_slices + 1, every))


def slices_of(step: float, thickness: float) -> int:
    """The whole number of slices nearest to a step [Å], one at least."""
    return max(1, round(step / thickness))
