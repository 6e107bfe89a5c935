"""Exit waves of the kind ``scattering_matrix``: what a perfect crystal does to every plane wave of an aperture.

The amplitudes are those of :mod:`exitwave.waves.beam_space`; images are rendered from them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from exitwave.config.crystals import Crystals
from exitwave.config.exit_waves import ScatteringMatrix
from exitwave.config.graph import Node
from exitwave.data.rounding import round_waves
from exitwave.electron import interaction_parameter, wavelength
from exitwave.errors import ConfigError, ExitwaveError, StructureError
from exitwave.hardware import resolve_device
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item
from exitwave.structures.crystals import volumes
from exitwave.structures.kinds import kind_of
from exitwave.structures.unit_cell import UnitCell, unit_cell_from
from exitwave.waves.beam_space import diagonalise, propagate, step_count
from exitwave.waves.beams import Beams, coupling, find_beams, strongest
from exitwave.waves.scattering import check_parametrization
from exitwave.waves.thermal import DEBYE_WALLER, ThermalMotion, motion_of_crystal

log = logging.getLogger(__name__)
RING = 2.5
"""Tilts beyond the aperture, in steps, that the interpolation at its rim needs."""
BEAM_FIELDS = ("h", "k", "l", "g_x", "g_y", "g_z")
"""Fields of the array ``beams``; the last three in 1/Å."""
_BYTES = 2.0
"""Of a stored amplitude, with the default rounding."""
_FLOPS = 6e10
"""Of one core in products of complex matrices, a second."""


def check(node: Node) -> None:
    """Check elements, beams and tilts; see :class:`exitwave.items.Simulation`."""
    block, source = node.of(ScatteringMatrix), node.source("structures")
    structures = source.of(Crystals)
    for symbol in block.rms_displacements:
        if not atomic_numbers.get(symbol, 0):
            raise ConfigError(f"rms_displacements: found '{symbol}'; allowed: symbols of elements")
    elements = kind_of(structures).elements(structures)
    try:
        check_parametrization(elements, block.parametrization)
    except ExitwaveError as error:
        raise ConfigError(f"parametrization: {error}") from error
    unknown = sorted(elements - DEBYE_WALLER.keys() - block.rms_displacements.keys())
    if unknown and block.rms_displacement_of_others is None:
        raise ConfigError(
            f"rms_displacements: there is no Debye-Waller factor for {', '.join(unknown)}, which structures "
            f"'{source.name}' have; allowed: a displacement for each, or rms_displacement_of_others, such as 0.08"
        )
    if (radius := _radius(block)) < 1:
        raise ConfigError(
            f"tilt_step: found {block.tilt_step:g} 1/Å, with which the aperture of {block.semiangle:g} mrad has a "
            f"radius of {radius:.2g} steps; allowed: 1 or more"
        )


def make(block: ScatteringMatrix, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Simulate crystals one by one; see :class:`exitwave.items.Simulation`.

    Raises
    ------
    StructureError
        If a crystal has too many beams, naming its item.
    """
    tilts = tilts_of(block)
    for one in asked:
        try:
            yield _simulate(block, unit_cell_from(one.sources["structures"]), tilts)
        except StructureError as error:
            raise StructureError(f"item {one.item}: {error}") from error


def cost(node: Node) -> Cost:
    """Estimate from the volume of the crystals, with which the number of beams grows."""
    block = node.of(ScatteringMatrix)
    structures = node.source("structures").of(Crystals)
    tilts, planes = len(tilts_of(block)), len(block.planes())
    beams = np.minimum(_expected(block, volumes(structures)), block.max_beams)
    steps = planes * step_count(np.array([block.s_max]), block.thickness_step)
    values = float(beams.mean()) * tilts * planes
    return Cost(
        stored=_BYTES * values + BYTES_OF_A_ROW,
        memory=500 + 1e-6 * (24 * beams.max() * tilts * planes + 600 * beams.max() ** 2),
        seconds=0.05 + 48 * steps * float((beams**2).mean()) * tilts / _FLOPS + 5e-8 * values,
    )


def needs(block: ScatteringMatrix) -> tuple[str, ...]:
    """No other stage than structures."""
    return ()


def sketch(block: ScatteringMatrix) -> ScatteringMatrix:
    """Fewer beams."""
    return block.model_copy(update={"max_beams": min(block.max_beams, 200), "tolerance": None})


def tilts_of(block: ScatteringMatrix) -> NDArray[np.int16]:
    """Tilts that are simulated, the whole disk and a ring around it, [tilt, (y, x)] in steps."""
    reach = _radius(block) + RING
    edge = math.floor(reach)
    y, x = np.mgrid[-edge : edge + 1, -edge : edge + 1]
    inside = np.hypot(y, x) <= reach
    return np.stack([y[inside], x[inside]], axis=1).astype(np.int16)


def _expected(block: ScatteringMatrix, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Beams of crystals with cells of some volumes [Å³]: reciprocal lattice points near the Ewald sphere."""
    shell = block.s_max + 2 / 3 * block.semiangle * 1e-3 * block.g_max
    return np.asarray(2 * np.pi * block.g_max**2 * shell * volumes + 1)


def _radius(block: ScatteringMatrix) -> float:
    """Radius of the aperture in steps."""
    return block.semiangle * 1e-3 / wavelength(block.energy) / block.tilt_step


@dataclass(frozen=True)
class _Chosen:
    """Beams of a crystal, and what is known of those that were left out."""

    beams: Beams
    left_out: int
    s_max: float
    error: float


def _simulate(block: ScatteringMatrix, cell: UnitCell, tilts: NDArray[np.int16]) -> Item:
    motion = motion_of_crystal(
        cell.numbers, block.temperature, block.rms_displacements, block.rms_displacement_of_others
    )
    chosen = _choose(block, cell, motion)
    beams, length = chosen.beams, wavelength(block.energy)
    k = tilts[:, ::-1] * block.tilt_step
    excitation = beams.excitation_errors(length)[:, None] - length * beams.g[:, :2] @ k.T
    planes = np.array(block.planes())
    amplitudes = np.empty((len(planes), len(beams), len(tilts)), np.complex64)
    interaction = interaction_parameter(block.energy)
    if block.engine == "abtem":
        from exitwave.waves.abtem_bloch import coupling_of_abtem

        matrix = coupling_of_abtem(cell, beams, motion.rms, block.parametrization, block.energy)
        for tilt in range(len(tilts)):
            amplitudes[..., tilt] = diagonalise(matrix, excitation[:, tilt], interaction, planes).T
    else:
        matrix = coupling(cell, beams, motion.rms, block.parametrization)
        device = "cuda" if resolve_device(block.device) == "cuda" else None
        each = propagate(matrix, excitation, interaction, block.thickness_step, len(planes), device)
        for plane, values in enumerate(each):
            amplitudes[plane] = values
    intensities = np.abs(amplitudes) ** 2
    total = intensities.sum(axis=1, dtype=np.float64)
    stored = intensities.max(axis=(0, 2)) >= block.least_intensity
    dropped = float(intensities[:, ~stored].sum(axis=1, dtype=np.float64).max(initial=0.0))
    kept = beams.only(stored)
    arrays = {
        "amplitudes": Array(
            round_waves(np.ascontiguousarray(amplitudes[:, stored]), block.storage_error),
            (Axis("plane", block.thickness_step, "Å"), Axis("beam"), Axis("tilt")),
            ragged=True,
        ),
        "beams": Array(
            np.concatenate([kept.hkl, kept.g], axis=1), (Axis("beam"), Axis("field", labels=BEAM_FIELDS)), ragged=True
        ),
        "tilts": Array(tilts, (Axis("tilt"), Axis("direction", block.tilt_step, "1/Å", ("y", "x")))),
        "planes": Array(planes, (Axis("plane"),), "Å"),
        "rms_displacements": Array(motion.rms, (Axis("atom"),), "Å", ragged=True),
    }
    row: dict[str, Any] = {
        "energy": block.energy,
        "largest_semiangle": block.semiangle,
        "tilt_step": block.tilt_step,
        "thickness_step": block.thickness_step,
        "largest_thickness": float(planes[-1]),
        "temperature": block.temperature,
        "rms_displacements": motion.used,
        "engine": block.engine,
        "parametrization": block.parametrization,
        "beams": len(beams),
        "beams_left_out": chosen.left_out,
        "beams_stored": len(kept),
        "g_max": block.g_max,
        "s_max": chosen.s_max,
        "beam_error": chosen.error,
        "intensity_dropped": dropped,
        "intensity_error": float(np.abs(total - 1).max()),
        "storage_error": block.storage_error,
    }
    return Item(arrays, row)


def _choose(block: ScatteringMatrix, cell: UnitCell, motion: ThermalMotion) -> _Chosen:
    """Beams by the limits of the block, and how much the intensities change with twice the excitation error.

    The change is that of all intensities at the largest thickness, without tilt, as a share of the incoming one.
    """
    s_max = block.s_max
    now, left_out = _beams(block, cell, motion, s_max, block.max_beams)
    before = _untilted(block, cell, motion, now)
    while True:
        wider, _ = _beams(block, cell, motion, 2 * s_max, 2 * block.max_beams)
        after = _untilted(block, cell, motion, wider)
        error = _difference(now, before, wider, after)
        full = left_out > 0
        if block.tolerance is None or error < block.tolerance or full:
            break
        s_max *= 2
        now, left_out = _beams(block, cell, motion, s_max, block.max_beams)
        before = _untilted(block, cell, motion, now)
    if block.tolerance is not None and error >= block.tolerance:
        log.warning(
            "a crystal of %.4g Å³ has %d beams more than max_beams, and with twice as many as that its intensities "
            "change by %.2g, more than the tolerance of %g",
            cell.volume, left_out, error, block.tolerance,
        )  # fmt: skip
    return _Chosen(now, left_out, s_max, error)


def _beams(
    block: ScatteringMatrix, cell: UnitCell, motion: ThermalMotion, s_max: float, most: int
) -> tuple[Beams, int]:
    """Beams of a crystal, and how many more there are."""
    length = wavelength(block.energy)
    found = find_beams(cell, length, block.g_max, s_max, block.semiangle * 1e-3 / length)
    kept = strongest(cell, found, motion.rms, block.parametrization, length, most)
    return kept, len(found) - len(kept)


def _untilted(block: ScatteringMatrix, cell: UnitCell, motion: ThermalMotion, beams: Beams) -> NDArray[np.float64]:
    """Intensities of the beams at the largest thickness, of a wave along the axis."""
    amplitudes = diagonalise(
        coupling(cell, beams, motion.rms, block.parametrization),
        beams.excitation_errors(wavelength(block.energy)),
        interaction_parameter(block.energy),
        np.array(block.planes()[-1:]),
    )
    return np.asarray(np.abs(amplitudes[:, 0]) ** 2)


def _difference(few: Beams, of_few: NDArray[np.float64], many: Beams, of_many: NDArray[np.float64]) -> float:
    """Sum of the changes of intensity from some beams to more."""
    there = {tuple(hkl): float(value) for hkl, value in zip(few.hkl.tolist(), of_few, strict=True)}
    both = sum(
        abs(there.pop(tuple(hkl), 0.0) - float(value)) for hkl, value in zip(many.hkl.tolist(), of_many, strict=True)
    )
    return float(both + sum(there.values()))
