"""Exit waves of the kind ``scattering_matrix``: what a perfect crystal does to every plane wave of an aperture.

The amplitudes are those of :mod:`exitwave.waves.beam_space`; images are rendered from them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.crystals import Crystals
from exitwave.config.exit_waves import ScatteringMatrix
from exitwave.config.graph import Node
from exitwave.data.rounding import round_waves
from exitwave.electron import interaction_parameter, wavelength
from exitwave.errors import ConfigError, StructureError
from exitwave.hardware import resolve_device
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item
from exitwave.structures.crystals import volumes
from exitwave.structures.unit_cell import UnitCell, unit_cell_from
from exitwave.waves.beam_space import diagonalise, propagate, step_count
from exitwave.waves.beams import Beams, coupling, find_beams, strongest
from exitwave.waves.specimen import checked_elements
from exitwave.waves.thermal import DEBYE_WALLER, ThermalMotion, motion_of_crystal

log = logging.getLogger(__name__)
RING = 2.5
"""Tilts beyond the aperture, in steps, that the interpolation at its rim needs."""
LARGEST_TURN = 0.7
"""Turns of the phase of the outermost beams over a step of the tilts; half of them are left when the mean is taken off,
and at one turn no interpolation can tell them any more."""
MOST_STEPS = 200
"""Largest radius of an aperture in steps of tilts: 125,000 tilts."""
BEYOND = 4
"""Times ``max_beams`` that a crystal may have: of more beams than that the strongest are no crystal's any more."""
DOUBTFUL = 0.2
"""Change of the intensities with more beams that a job warns of."""
BEAM_FIELDS = ("h", "k", "l", "g_x", "g_y", "g_z")
"""Fields of the array ``beams``; the last three in 1/Å."""
_RAISED = 1.4
"""Times as many beams as within the limits given, on average, with a tolerance of 0.1."""
_BYTES = 5000.0
"""Of what is said of arrays that may differ from item to item, each in a place of its own."""
_FLOPS = 6e10
"""Of one core in products of complex matrices, a second."""
_POTENTIAL = 150.0
"""Difference of the eigenvalues of the potential's matrix [V]; from 50 of silicon to 400 of gold and tungsten."""


def check(node: Node) -> None:
    """Check elements, beams and tilts; see :class:`exitwave.items.Simulation`."""
    block, source = node.of(ScatteringMatrix), node.source("structures")
    structures = source.of(Crystals)
    elements = checked_elements(block, structures)
    unknown = sorted(elements - DEBYE_WALLER.keys() - block.rms_displacements.keys())
    if unknown and block.rms_displacement_of_others is None:
        raise ConfigError(
            f"rms_displacements: there is no Debye-Waller factor for {', '.join(unknown)}, which structures "
            f"'{source.name}' have; allowed: a displacement for each, or rms_displacement_of_others, such as 0.08"
        )
    if not 1 <= (radius := _radius(block)) <= MOST_STEPS:
        raise ConfigError(
            f"tilt_step: found {block.tilt_step:g} 1/Å, with which the aperture of {block.semiangle:g} mrad has a "
            f"radius of {radius:.2g} steps; allowed: 1 ... {MOST_STEPS}, semiangles of {block.semiangle / radius:.2g} "
            f"... {MOST_STEPS * block.semiangle / radius:.2g} mrad"
        )
    volume = volumes(structures).max()
    expected = float(_expected(block, volume))
    if expected > BEYOND * block.max_beams:
        raise ConfigError(
            f"max_beams: found {block.max_beams}, and the largest crystal of structures '{source.name}', of "
            f"{volume:.4g} Å³, has about {expected:.0f} beams within g_max and s_max; allowed: a quarter of them or "
            f"more, {math.ceil(expected / BEYOND)}, or smaller crystals (largest_volume) or limits"
        )
    length = wavelength(block.energy)
    # At the rim of the aperture the Ewald sphere cuts the zone in a circle through 0 that reaches as far.
    if block.g_max < (reach := 2e-3 * block.semiangle / length):
        raise ConfigError(
            f"g_max: found {block.g_max:g} 1/Å; allowed: {reach:.3g} 1/Å, the diameter of the aperture of "
            f"{block.semiangle:g} mrad, or more"
        )
    if block.tilt_step > (largest := LARGEST_TURN / (length * block.planes()[-1] * block.g_max)):
        raise ConfigError(
            f"tilt_step: found {block.tilt_step:g} 1/Å; allowed: up to {largest:.2g} 1/Å, beyond which the fringes in "
            f"the outer disks of a crystal of {block.planes()[-1]:g} Å are lost"
        )


def make(block: ScatteringMatrix, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Simulate crystals one by one; see :class:`exitwave.items.Simulation`.

    Raises
    ------
    StructureError
        If a crystal has too many beams, naming its item.
    """
    tilts = tilts_of(block)
    done = doubtful = 0
    for one in asked:
        try:
            item = _simulate(block, unit_cell_from(one.sources["structures"]), tilts)
        except StructureError as error:
            raise StructureError(f"item {one.item}: {error}") from error
        done, doubtful = done + 1, doubtful + (item.row["beam_error"] > DOUBTFUL)
        yield item
    if doubtful and block.tolerance is None:
        log.warning(
            "of %d crystals %d change their intensities at %g Å by more than %g with wider limits of beams "
            "(beam_error); tolerance raises the limits where that is so",
            done, doubtful, block.planes()[-1], DOUBTFUL,
        )  # fmt: skip


def cost(node: Node) -> Cost:
    """Estimate from the volume of the crystals, with which the number of beams grows."""
    block = node.of(ScatteringMatrix)
    structures = node.source("structures").of(Crystals)
    tilts, planes = len(tilts_of(block)), len(block.planes())
    raised = 1.0 if block.tolerance is None else _RAISED
    expected = raised * _expected(block, volumes(structures))
    beams = np.minimum(expected, block.max_beams)
    # The error of the cut is found with twice as many beams.
    wider = np.minimum(2 * block.max_beams, 3 * expected)
    potential = interaction_parameter(block.energy) * _POTENTIAL
    steps = planes * step_count(np.array([block.s_max]), block.thickness_step, potential)
    values = float(beams.mean()) * tilts * planes
    return Cost(
        stored=_bytes(block.storage_error) * values + 40 * beams.mean() + _BYTES + BYTES_OF_A_ROW,
        memory=500 + 1e-6 * (24 * beams.max() * tilts * planes + 600 * beams.max() ** 2),
        seconds=0.05
        + 7e-10 * float((wider**3).mean())
        + 48 * steps * float((beams**2).mean()) * tilts / _FLOPS
        + 5e-8 * values,
    )


def needs(block: ScatteringMatrix) -> tuple[str, ...]:
    """No other stage than structures."""
    return ()


def sketch(block: ScatteringMatrix) -> ScatteringMatrix:
    """Fewer beams."""
    return block.model_copy(update={"max_beams": min(block.max_beams, 500), "tolerance": None})


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


def _bytes(storage_error: float) -> float:
    """Of a stored amplitude: measured, a quarter of a byte less each time that the error is doubled."""
    if storage_error == 0:
        return 6.5
    return min(6.5, max(0.1, 1.05 + 0.3 * math.log2(5e-4 / storage_error)))


def _radius(block: ScatteringMatrix) -> float:
    """Radius of the aperture in steps."""
    return block.semiangle * 1e-3 / wavelength(block.energy) / block.tilt_step


@dataclass(frozen=True)
class _Limits:
    """Which beams are looked at: see the keys of the block."""

    g_max: float
    s_max: float
    most: int

    def wider(self) -> _Limits:
        """Limits with about three times as many beams, and at most twice."""
        return _Limits(1.25 * self.g_max, 2 * self.s_max, 2 * self.most)


@dataclass(frozen=True)
class _Chosen:
    """Beams of a crystal, how many more there are, and their intensities at the largest thickness without tilt."""

    limits: _Limits
    beams: Beams
    left_out: int
    intensities: NDArray[np.float64]


def _simulate(block: ScatteringMatrix, cell: UnitCell, tilts: NDArray[np.int16]) -> Item:
    motion = motion_of_crystal(
        cell.numbers, block.temperature, block.rms_displacements, block.rms_displacement_of_others
    )
    chosen, error = _choose(block, cell, motion)
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
    # In single precision a thousand unitary products change it by some 1e-4, for all beams alike.
    amplitudes /= np.sqrt(total)[:, np.newaxis].astype(np.float32)
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
        "g_max": chosen.limits.g_max,
        "s_max": chosen.limits.s_max,
        "beam_error": error,
        "intensity_dropped": dropped,
        "intensity_error": float(np.abs(total - 1).max()),
        "storage_error": block.storage_error,
    }
    return Item(arrays, row)


def _choose(block: ScatteringMatrix, cell: UnitCell, motion: ThermalMotion) -> tuple[_Chosen, float]:
    """Beams by the limits of the block, and how much the intensities change with wider ones.

    The change is that of all intensities at the largest thickness, without tilt, as a share of the incoming one.
    """
    now = _within(_Limits(block.g_max, block.s_max, block.max_beams), block, cell, motion)
    more = _within(now.limits.wider(), block, cell, motion)
    error = _change(now, more)
    while block.tolerance is not None and error >= block.tolerance and not now.left_out:
        limits = replace(more.limits, most=block.max_beams)
        # What has been solved already, unless it is too much.
        fits = len(more.beams) <= block.max_beams
        wide = replace(more, limits=limits) if fits else _within(limits, block, cell, motion)
        more = _within(limits.wider(), block, cell, motion)
        change = _change(wide, more)
        # All beams within narrow limits may be better than a part of those within wide ones.
        if wide.left_out and change >= error:
            break
        now, error = wide, change
    if error >= (block.tolerance or math.inf) or (now.left_out and block.tolerance is None):
        log.warning(
            "a crystal of %.4g Å³ is cut to %d beams, max_beams being %d; with more its intensities change by %.2g",
            cell.volume, len(now.beams), block.max_beams, error,
        )  # fmt: skip
    return now, error


def _within(limits: _Limits, block: ScatteringMatrix, cell: UnitCell, motion: ThermalMotion) -> _Chosen:
    """The beams of a crystal within some limits."""
    length = wavelength(block.energy)
    found = find_beams(cell, length, limits.g_max, limits.s_max, block.semiangle * 1e-3 / length)
    interaction = interaction_parameter(block.energy)
    kept = strongest(cell, found, motion.rms, block.parametrization, length, interaction, limits.most)
    amplitudes = diagonalise(
        coupling(cell, kept, motion.rms, block.parametrization).astype(np.complex64),
        kept.excitation_errors(length),
        interaction,
        np.array(block.planes()[-1:]),
    )
    return _Chosen(limits, kept, len(found) - len(kept), np.abs(amplitudes[:, 0]) ** 2)


def _change(few: _Chosen, many: _Chosen) -> float:
    """Sum of the changes of intensity from some beams to more."""
    of_few, of_many = (
        dict(zip(map(tuple, one.beams.hkl.tolist()), one.intensities.tolist(), strict=True)) for one in (few, many)
    )
    return float(sum(abs(of_few.get(hkl, 0.0) - of_many.get(hkl, 0.0)) for hkl in of_few | of_many))
