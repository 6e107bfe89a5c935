"""Images of the kind ``diffraction``: conditions drawn, a pattern rendered from what is stored, reflections listed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from exitwave.config.block import Block
from exitwave.config.crystals import Crystals
from exitwave.config.distributions import bounds, draw
from exitwave.config.exit_waves import ScatteringMatrix
from exitwave.config.graph import Node
from exitwave.config.images import CAMERA_NUMBERS, Camera
from exitwave.config.patterns import REFLECTIONS, Diffraction, MeasuredAperture
from exitwave.electron import wavelength
from exitwave.errors import ConfigError
from exitwave.imaging.aperture import aperture_table, radius_of
from exitwave.imaging.conditions import drawn
from exitwave.imaging.detector import check_counts, record_electrons, saturated
from exitwave.imaging.patterns import Disks, Geometry, Optics, disk_intensities, disks_of, render, vacuum_probe
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item
from exitwave.labels.reflections import FIELDS, reflections_of
from exitwave.structures.crystals import volumes
from exitwave.structures.unit_cell import UnitCell, unit_cell_from

_SAME = 1e-3
"""Thicknesses that differ by less than this [Å] are the same."""
_BYTES = 1500.0
"""Of what is said of a list, which may differ from item to item, in each place of its own."""
_BRIGHTEST = 1.5
"""Of the mean in the direct beam, what interference may add to a pixel."""


def check(node: Node) -> None:
    """Check aperture, thicknesses, pixels and camera; see :class:`exitwave.items.Simulation`."""
    block, source = node.of(Diffraction), node.source("exit_waves")
    waves = source.of(ScatteringMatrix)
    length = wavelength(waves.energy)
    if block.reciprocal_sampling < waves.tilt_step * (1 - 1e-9):
        raise ConfigError(
            f"reciprocal_sampling: found {block.reciprocal_sampling:g} 1/Å; allowed: the tilt_step of exit_waves "
            f"'{source.name}', {waves.tilt_step:g} 1/Å, or more"
        )
    if isinstance(block.aperture, MeasuredAperture):
        radius = radius_of(block.aperture) * block.reciprocal_sampling
        if radius * length * 1e3 > waves.semiangle + 0.5e3 * length * block.reciprocal_sampling:
            raise ConfigError(
                f"aperture.file: the probe in '{block.aperture.file}' reaches {radius * length * 1e3:.3g} mrad; "
                f"allowed: the semiangle of exit_waves '{source.name}', {waves.semiangle:g} mrad"
            )
    elif bounds(block.semiangle)[1] > waves.semiangle * (1 + 1e-9):
        raise ConfigError(
            f"semiangle: reaches up to {bounds(block.semiangle)[1]:g} mrad; allowed: the semiangle of exit_waves "
            f"'{source.name}', {waves.semiangle:g} mrad, or less"
        )
    planes = waves.planes()
    told = f"{planes[0]:g}, {2 * planes[0]:g}, ... {planes[-1]:g} Å of exit_waves '{source.name}', or planes"
    try:
        thicknesses = block.thicknesses()
    except ValueError as error:
        raise ConfigError(f"thickness: found a range; allowed: a choice of {told}") from error
    for thickness in thicknesses or ():
        if min(abs(thickness - plane) for plane in planes) > _SAME:
            raise ConfigError(f"thickness: found {thickness:g} Å; allowed: {told}")
    smallest = _radii(block, length)[0]
    peak = bounds(block.dose)[1] * _BRIGHTEST / max(1.0, math.pi * smallest**2)
    check_counts(block.detector, peak, f"dose: reaches up to {bounds(block.dose)[1]:g} e⁻ a pattern")


@dataclass(frozen=True)
class _Conditions:
    """What one pattern is taken with, as plain numbers; see the columns of the block."""

    semiangle: float
    plane: int
    geometry: Geometry
    position: tuple[float, float] | None
    defocus: float
    weight: float
    width: float
    dose: float
    camera: Camera


def make(block: Diffraction, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Render patterns; see :class:`exitwave.items.Simulation`.

    Every pattern has the arrays ``counts``, ``probe``, the vacuum probe as shares of the electrons in each pixel, and
    ``reflections``, the list of :mod:`exitwave.labels.reflections`.
    """
    for one in asked:
        waves = one.sources["exit_waves"]
        cell = unit_cell_from(one.sources["structures"])
        planes, tilts = waves["planes"].values, waves["tilts"].values
        amplitudes, beams = waves["amplitudes"].values, waves["beams"].values
        length, step = wavelength(float(one.row["energy"])), float(one.row["tilt_step"])
        farthest = block.size / 2 * math.sqrt(2) * block.reciprocal_sampling
        reach = min(farthest, float(one.row["g_max"]))
        rms = waves["rms_displacements"].values
        listed = reflections_of(cell, rms, str(one.row["parametrization"]), length, reach)
        for rng in one.rngs:
            conditions = _draw(block, planes, cell, rng)
            disks = disks_of(
                amplitudes[conditions.plane], tilts, beams[:, 3:], step, float(planes[conditions.plane]), length
            )
            yield _expose(block, conditions, disks, beams, listed, length, rng)


def cost(node: Node) -> Cost:
    """Estimate for one pattern: counts of few electrons, a small probe and a list of reflections."""
    block, waves = node.of(Diffraction), node.source("exit_waves").of(ScatteringMatrix)
    pixels, length = block.size**2, wavelength(waves.energy)
    of_cells = volumes(node.origin().of(Crystals))
    radius = min(block.size / 2 * block.reciprocal_sampling, waves.g_max)
    listed = 0.3 * math.pi * radius**2 * float(of_cells.mean())
    electrons = float(np.exp(np.log(np.maximum(bounds(block.dose), 1.0)).mean()))
    # Most pixels are dark; what is bright has the entropy of Poisson numbers.
    counts = pixels * (0.05 + 0.11 * math.log2(1 + electrons / pixels))
    probe = 2 * math.pi * (_radii(block, length)[1] + 1) ** 2
    tilts = math.pi * (waves.semiangle * 1e-3 / length / waves.tilt_step + 3) ** 2
    return Cost(
        stored=counts + probe + 20 * listed + _BYTES + BYTES_OF_A_ROW,
        memory=600 + 1e-4 * pixels + 2.4e-5 * float(of_cells.max()) * tilts * len(waves.planes()),
        seconds=0.003 + 2e-7 * pixels + 4e-8 * listed * tilts,
    )


def needs(block: Diffraction) -> tuple[str, ...]:
    """Structures: reflections follow from the cell."""
    return ("structures",)


def sketch(block: Diffraction) -> Diffraction:
    """Patterns cost little as they are."""
    return block


def _draw(block: Diffraction, planes: NDArray[np.float64], cell: UnitCell, rng: np.random.Generator) -> _Conditions:
    """Draw what one pattern is taken with.

    In this order: thickness, semiangle, place in the cell, defocus, shift along x and y, ellipticity and its angle,
    weight and width of the background, dose, and the camera.
    """
    if block.thickness == "planes":
        plane = int(rng.integers(len(planes)))
    else:
        plane = int(np.abs(planes - float(draw(block.thickness, rng))).argmin())
    semiangle = float(draw(block.semiangle, rng))
    # Every pattern draws a place, so that nothing else changes with how the probe stands.
    place = rng.random(3) @ cell.vectors
    defocus, shift_x, shift_y = (float(draw(value, rng)) for value in (block.defocus, block.shift, block.shift))
    ellipticity, angle = float(draw(block.ellipticity, rng)), float(rng.uniform(0, math.pi))
    weight, width = float(draw(block.background.weight, rng)), float(draw(block.background.width, rng))
    position = {"random": (float(place[0]), float(place[1])), "origin": (0.0, 0.0), "incoherent": None}[block.position]
    return _Conditions(
        semiangle=semiangle,
        plane=plane,
        geometry=Geometry(block.size, block.reciprocal_sampling, (shift_x, shift_y), ellipticity, angle),
        position=position,
        defocus=defocus,
        weight=weight,
        width=width,
        dose=float(draw(block.dose, rng)),
        camera=drawn(block.detector, rng),
    )


def _expose(
    block: Diffraction,
    conditions: _Conditions,
    disks: Disks,
    beams: NDArray[np.float64],
    listed: NDArray[np.float64],
    length: float,
    rng: np.random.Generator,
) -> Item:
    """One pattern."""
    geometry = conditions.geometry
    table = aperture_table(block.aperture, conditions.semiangle * 1e-3 / length / block.reciprocal_sampling)
    optics = Optics(table, length, conditions.defocus, conditions.position)
    probe = vacuum_probe(geometry, optics)
    intensity = render(disks, geometry, optics)
    if conditions.weight > 0:
        scattered = _background(probe, geometry, conditions.width)
        intensity = (1 - conditions.weight) * intensity + conditions.weight * scattered
    electrons = intensity.astype(np.float64) * conditions.dose
    told = f"dose {conditions.dose:g} e⁻ a pattern"
    counts = record_electrons(electrons, conditions.camera, float(electrons.mean()), rng, told)
    reflections = _in_pattern(listed, beams, disk_intensities(disks, table, block.reciprocal_sampling), geometry)
    camera = conditions.camera.model_dump()
    numbers = {name: value for name, value in camera.items() if isinstance(value, int | float)}
    position = (math.nan, math.nan) if conditions.position is None else conditions.position
    row: dict[str, Any] = {
        "reciprocal_sampling": block.reciprocal_sampling,
        "semiangle": math.nan if isinstance(block.aperture, MeasuredAperture) else conditions.semiangle,
        "specimen_thickness": disks.thickness,
        "aperture": block.aperture.kind if isinstance(block.aperture, Block) else block.aperture,
        "position": block.position,
        "position_x": position[0],
        "position_y": position[1],
        "defocus": conditions.defocus,
        "shift_x": geometry.shift[0],
        "shift_y": geometry.shift[1],
        "ellipticity": geometry.ellipticity,
        "ellipticity_angle": geometry.angle,
        "background_weight": conditions.weight,
        "background_width": conditions.width,
        "electrons": conditions.dose,
        "detector": camera["kind"],
        **{f"detector_{name}": float(numbers.get(name, math.nan)) for name in CAMERA_NUMBERS},
        "recorded": float(intensity.sum(dtype=np.float64)),
        "mean_counts": float(counts.mean()),
        "saturated": saturated(counts, conditions.camera),
        "reflections": len(reflections),
    }
    axes = Axis("q_y", block.reciprocal_sampling, "1/Å"), Axis("q_x", block.reciprocal_sampling, "1/Å")
    fields = Axis("field", labels=FIELDS)
    arrays = {
        "counts": Array(counts, axes, "counts/px"),
        "probe": Array(probe, axes),
        REFLECTIONS: Array(reflections, (Axis("reflection"), fields), ragged=True),
    }
    return Item(arrays, row)


def _in_pattern(
    listed: NDArray[np.float64], beams: NDArray[np.float64], intensities: NDArray[np.float64], geometry: Geometry
) -> NDArray[np.float32]:
    """The reflections that lie on a pattern, with their places and the intensities of their disks."""
    of_beam: Mapping[tuple[float, ...], float] = dict(
        zip(map(tuple, beams[:, :3].tolist()), intensities.tolist(), strict=True)
    )
    found = listed.copy()
    found[:, :2] = geometry.places(listed[:, :2])
    found[:, -1] = [of_beam.get(tuple(hkl), 0.0) for hkl in listed[:, 2:5].tolist()]
    inside = ((found[:, :2] >= -0.5) & (found[:, :2] < geometry.size - 0.5)).all(axis=1)
    return found[inside].astype(np.float32)


def _background(probe: NDArray[np.float32], geometry: Geometry, width: float) -> NDArray[np.float32]:
    """Share of the electrons in each pixel of a Lorentzian folded with the probe; all of it lies on the pattern."""
    size = geometry.size
    y, x = np.mgrid[:size, :size] - float(size // 2)
    # The probe stands in the middle; its Lorentzian where the direct beam is.
    x, y = x - geometry.shift[0], y - geometry.shift[1]
    lorentzian = 1 / (geometry.sampling**2 * (x * x + y * y) + width**2)
    half = int(np.ceil(np.sqrt(np.count_nonzero(probe)))) + 1
    middle = slice(max(0, size // 2 - half), size // 2 + half + 1)
    scattered = np.maximum(fftconvolve(lorentzian, probe[middle, middle], mode="same"), 0)
    return np.asarray(scattered / scattered.sum(), np.float32)


def _radii(block: Diffraction, length: float) -> tuple[float, float]:
    """Radii of the smallest and the largest probe that can be drawn [px]."""
    if isinstance(block.aperture, MeasuredAperture):
        radius = radius_of(block.aperture)
        return radius, radius
    low, high = bounds(block.semiangle)
    pixel = block.reciprocal_sampling * length * 1e3
    return float(low / pixel), float(high / pixel)
