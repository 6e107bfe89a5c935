"""STM images: heights of a tip at a constant current, or currents at a constant height.

A kind of the images stage (see :class:`exitwave.items.Simulation`); the model is in :class:`exitwave.config.stm.Stm`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.stem import COLUMN_FIELDS
from exitwave.config.stm import HIGHEST, LOWEST, Relief, Stm
from exitwave.errors import ConfigError, StructureError
from exitwave.images.scanned import check_room, draw_place, scan_as_row
from exitwave.imaging.conditions import drawn
from exitwave.imaging.scanned import Shifts, draw_shifts
from exitwave.imaging.tunnelling import currents_at, heights_of, logarithm, mean_density, over_cell, slow_series
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Axis, Cost, Item, lateral
from exitwave.structures.structure import Structure, structure_from
from exitwave.waves.ldos import HEIGHTS

FloatArray = NDArray[np.float64]

STEPS = 65535
"""Of the converter."""
_MEMORY = 500.0
"""Of a job [MB]."""
_SECONDS, _SECONDS_OF_A_PIXEL = 0.03, 5e-7
_SEEN = 1.0
"""Width of an atom in an image [Å], over which the shifts of rows are averaged in labels."""


def check(node: Node) -> None:
    """Refuse images that do not fit into the field, and heights at which no density is known.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    block = node.of(Stm)
    check_room(block, node.origin(), _margin(block), "what the scan brings in")
    if block.height is None or block.mode == "constant_current":
        return
    reach = block.relief.reach(block.size * block.pixel_size)
    low, high = (float(edge) for edge in bounds(block.height))
    if low - reach < LOWEST or high + reach > HIGHEST:
        raise ConfigError(
            f"height: from {low:g} to {high:g} Å, with noise and inclination that move the tip by up to {reach:.2g} Å; "
            f"allowed: all between {LOWEST:g} and {HIGHEST:g} Å"
        )


def make(block: Stm, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Take images.

    The generator of each image draws, in this order: height or setpoint, and the radius of the tip; the place of the
    image along y and along x; the scan and its noise; the noise of heights and the inclination.

    Raises
    ------
    StructureError
        If an image has no place in its structure, or the density is nowhere the setpoint.
    """
    for one in asked:
        structure = structure_from(one.sources["structures"], one.row)
        density, cell = (one.sources["exit_waves"][name].values.astype(np.float64) for name in ("density", "cell"))
        for rng in one.rngs:
            try:
                image = _scanned(block, structure, density, cell, rng)
            except StructureError as error:
                raise StructureError(f"item {one.item}: {error}") from error
            yield image


def cost(node: Node) -> Cost:
    """Estimate for one image."""
    block = node.of(Stm)
    pixels = block.size**2
    atoms = 0.1 * pixels * block.pixel_size**2 if block.labels else 0.0
    return Cost(1.6 * pixels + 6 * atoms + BYTES_OF_A_ROW + 2500, _MEMORY, _SECONDS + _SECONDS_OF_A_PIXEL * pixels)


def needs(block: Stm) -> tuple[str, ...]:
    """Structures: where they are, and their topmost atoms."""
    return ("structures",)


def sketch(block: Stm) -> Stm:
    """The block itself: an image takes milliseconds."""
    return block


def _margin(block: Stm) -> float:
    """What must be there beyond an image [Å]."""
    return 1.0 + block.scan.reach(block.pixel_size, block.size)


def _scanned(block: Stm, structure: Structure, density: FloatArray, cell: FloatArray, rng: np.random.Generator) -> Item:
    """One image."""
    height = math.nan if block.height is None else float(draw(block.height, rng))
    setpoint = math.nan if block.setpoint is None else float(draw(block.setpoint, rng))
    radius = float(draw(block.tip_radius, rng))
    place_y, place_x = (draw_place(block, structure, axis, _margin(block), rng) for axis in (1, 0))
    scan = drawn(block.scan, rng)
    shifts = draw_shifts(scan, block.size, block.pixel_size, rng)
    places = _taken_at(block, (place_x, place_y), shifts)
    relief, said = _relief(block, places, rng)
    corner, vectors = cell[0], cell[1:]
    log_density = logarithm(density, vectors, radius)
    if block.setpoint is None:
        setpoint = mean_density(log_density, HEIGHTS, height)
    if block.mode == "constant_current":
        surface = _surface(log_density, setpoint, height)
        height = float(surface.mean())
        signal = over_cell(surface, corner, vectors, places) + relief
        corrugation = float(np.ptp(surface))
    else:
        signal = currents_at(log_density, HEIGHTS, corner, vectors, places, height - relief)
        corrugation = math.nan
    counts, low, step = _converted(signal)
    heights = block.mode == "constant_current"
    row = {
        "pixel_size": block.pixel_size,
        "place_y": place_y,
        "place_x": place_x,
        "mode": block.mode,
        "tip_height": height,
        "setpoint": setpoint,
        "tip_radius": radius,
        "corrugation": corrugation,
        **scan_as_row(scan),
        **said,
        "lowest_height": low if heights else math.nan,
        "height_step": step if heights else math.nan,
        "lowest_density": math.nan if heights else low,
        "density_step": math.nan if heights else step,
    }
    arrays = {"counts": Array(counts, lateral(block.pixel_size), "counts/px")}
    if "columns" in block.labels:
        arrays["columns"] = _topmost(block, structure, (place_x, place_y), shifts)
    return Item(arrays, row)


def _surface(log_density: FloatArray, setpoint: float, height: float) -> FloatArray:
    """Heights of the tip over a cell [Å]."""
    try:
        return heights_of(log_density, HEIGHTS, setpoint)
    except ValueError as error:
        if math.isnan(height):
            raise StructureError(f"setpoint: found {error}") from error
        raise StructureError(
            f"height: found {height:g} Å, at which the surface of constant current leaves the heights from "
            f"{LOWEST - 1:g} to {HIGHEST:g} Å; allowed: a height farther from these"
        ) from error


def _taken_at(block: Stm, corner: tuple[float, float], shifts: Shifts | None) -> FloatArray:
    """Where the tip stands for each pixel [y, x, 2], in the coordinates of the structure [Å]."""
    row, column = np.mgrid[: block.size, : block.size].astype(np.float64)
    if shifts is not None:
        row, column = row + shifts.across, column + shifts.along
    return np.stack([corner[0] + (column + 0.5) * block.pixel_size, corner[1] + (row + 0.5) * block.pixel_size], -1)


def _relief(block: Stm, places: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, dict[str, Any]]:
    """What noise and inclination add to the height of the sample at each pixel [Å], and what the table says of it."""
    relief: Relief = drawn(block.relief, rng)
    size = block.size
    noise, slow, line, slope = (float(getattr(relief, name)) for name in Relief.model_fields)
    towards = float(rng.uniform(0, 2 * np.pi))
    along = (places - places.mean(axis=(0, 1))) @ np.array([math.cos(towards), math.sin(towards)])
    added = 1e-3 * slope * along
    added += noise * rng.standard_normal((size, size))
    added += line * rng.standard_normal((size, 1))
    if slow > 0:
        added += slow * slow_series(size**2, rng).reshape(size, size)
    return added, {"height_noise": noise, "slow_noise": slow, "line_noise": line, "slope": slope}


def _converted(signal: FloatArray) -> tuple[NDArray[np.uint32], float, float]:
    """Counts of the converter, what the lowest one means, and what each is worth."""
    low = float(signal.min())
    step = (float(signal.max()) - low) / STEPS
    if step <= 0:  # the same everywhere
        return np.zeros(signal.shape, np.uint32), low, 0.0
    return np.rint((signal - low) / step).astype(np.uint32), low, step


def _topmost(block: Stm, structure: Structure, corner: tuple[float, float], shifts: Shifts | None) -> Array:
    """Topmost atoms that are in an image, in the fields of columns; no noise of counting hides one."""
    levels = structure.positions[:, 2]
    top = levels >= levels.max() - block.depth
    places = (structure.positions[top, :2] - np.array(corner)) / block.pixel_size - 0.5
    if shifts is not None:
        places = shifts.appear(places, _SEEN / block.pixel_size)
    inside = ((places >= -0.5) & (places < block.size - 0.5)).all(axis=1)
    ones = np.ones(int(inside.sum()))
    found = np.column_stack([places[inside], ones, ones, structure.numbers[top][inside], np.inf * ones])
    axes = (Axis("column"), Axis("field", labels=COLUMN_FIELDS))
    return Array(found.astype(np.float32), axes, ragged=True)
