"""What the kinds of scanned images share: place, background, columns, and what the table says of a scan."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.images import RealSpaceImages
from exitwave.config.stem import COLUMN_FIELDS, Scan, ScannedImages
from exitwave.config.structures import Fields
from exitwave.errors import ConfigError, StructureError
from exitwave.imaging.background import contamination_factor
from exitwave.imaging.scanned import Shifts
from exitwave.imaging.stem import MARGIN
from exitwave.items import BYTES_OF_A_ROW, Array, Axis
from exitwave.labels.atomic_columns import clusters
from exitwave.labels.visibility import visibility
from exitwave.structures.structure import Structure

FloatArray = NDArray[np.float64]


_BYTES_OF_A_COLUMN, _BYTES_OF_CONDITIONS = 12.0, 2500.0
"""Stored, compressed: of an atomic column, and of what the table says beyond a usual row."""


def stored_bytes(block: ScannedImages) -> float:
    """Estimate for one image: counts of two hundredths of the dose, stored with the entropy of Poisson numbers."""
    mean = 0.02 * sum(bounds(block.dose)) / 2 * block.pixel_size**2
    bits = 0.5 * math.log2(2 * math.pi * math.e * (mean + 0.1))
    pixels = block.size**2
    columns = 0.1 * pixels * block.pixel_size**2 if block.labels else 0.0
    return bits / 8 * pixels + _BYTES_OF_A_COLUMN * columns + BYTES_OF_A_ROW + _BYTES_OF_CONDITIONS


def check_room(block: RealSpaceImages, source: Node, margin: float, why: str) -> None:
    """Refuse images that do not fit into the field of structures.

    Parameters
    ----------
    block : RealSpaceImages
    source : Node
        Of the structures.
    margin : float
        What must be there beyond an image [Å].
    why : str
        What needs it.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    extent, field = block.size * block.pixel_size, source.of(Fields).field_of_view
    if extent + 2 * margin > field * (1 + 1e-9):
        around = f", and {margin:.3g} Å ({why}) on all sides" if margin else ""
        raise ConfigError(
            f"size: found {block.size} px of {block.pixel_size:g} Å, which is {extent:g} Å{around}; allowed: at most "
            f"the field of view of structures '{source.name}', {field:g} Å in all"
        )


def draw_place(
    block: RealSpaceImages, structure: Structure, axis: int, margin: float, rng: np.random.Generator
) -> float:
    """Where the outer corner of the first pixel lies along an axis of the cell [Å].

    Raises
    ------
    StructureError
        If the image and a margin [Å] on both sides do not fit into a structure.
    """
    edge, extent = float(structure.cell[axis]), block.size * block.pixel_size
    if extent + 2 * margin > edge * (1 + 1e-9):
        raise StructureError(
            f"size: {extent:g} Å and {margin:g} Å on either side do not fit into a structure of {edge:g} Å; allowed: "
            "smaller images"
        )
    if structure.periodic:
        return float(rng.uniform(0, edge))
    return float(rng.uniform(margin, max(margin, edge - margin - extent)))


def draw_unevenness(block: ScannedImages, rng: np.random.Generator) -> tuple[float, NDArray[np.float32]]:
    """How uneven the background is, and by what it is multiplied in each pixel, or in all of them."""
    uneven, factor = float(draw(block.uneven, rng)), np.ones(1, np.float32)
    if uneven > 0:
        length = float(draw(block.uneven_length, rng)) / block.pixel_size
        factor = contamination_factor((block.size, block.size), uneven, length, rng)
    return uneven, factor


def scan_as_row(scan: Scan) -> dict[str, float]:
    """A scan whose values are drawn, as columns of the table."""
    drift, angle = float(scan.drift), float(scan.drift_angle)  # type: ignore[arg-type]
    return {
        "jitter": float(scan.jitter),  # type: ignore[arg-type]
        "flyback": float(scan.flyback),  # type: ignore[arg-type]
        "drift_x": drift * math.cos(angle),
        "drift_y": drift * math.sin(angle),
        "skew": float(scan.skew),  # type: ignore[arg-type]
        "hum": float(scan.hum),  # type: ignore[arg-type]
    }


def columns_seen(
    block: ScannedImages,
    structure: Structure,
    weights: FloatArray,
    corner: tuple[float, float],
    width: float,
    shifts: Shifts | None,
    expected: FloatArray,
    electrons: float,
) -> Array:
    """Columns of the layer that are in an image.

    Parameters
    ----------
    block : ScannedImages
    structure : Structure
        Its objects from 1 on are the layer.
    weights : float64 [atoms]
        How bright each atom is.
    corner : tuple of float
        Where the outer corner of the first pixel lies, x and y [Å].
    width : float
        Of the probe at half maximum [Å].
    shifts : Shifts, optional
        Of the scan.
    expected : float64 [H, W]
        Electrons in each pixel, without noise.
    electrons : float
        Detected of an atom of weight 1.

    Returns
    -------
    Array
        float32 [columns, 6], fields as ``COLUMN_FIELDS``, the brightest first.
    """
    axes = (Axis("column"), Axis("field", labels=COLUMN_FIELDS))
    found = _columns(block, structure, weights, corner, width, shifts)
    seen = visibility(found[:, :2], electrons * found[:, 2], expected, width / 2.3548 / block.pixel_size)
    inside = ((found[:, :2] >= -0.5) & (found[:, :2] < block.size - 0.5)).all(axis=1)
    found = np.column_stack([found, seen])[inside]
    found = found[np.argsort(-found[:, 2], kind="stable")]
    found[:, 2] /= found[:, 2].max(initial=1e-30)
    return Array(found.astype(np.float32), axes, ragged=True)


def _columns(
    block: ScannedImages,
    structure: Structure,
    weights: FloatArray,
    corner: tuple[float, float],
    width: float,
    shifts: Shifts | None,
) -> FloatArray:
    """Columns in the image and near it: all fields but the last, and the whole weight in place of its share."""
    layer = structure.object_id > 0
    places = structure.positions[layer, :2] - np.array(corner)
    # Columns beside the image may appear in it, and share atoms with those at its edge.
    beyond = block.scan.reach(block.pixel_size, block.size) + MARGIN
    if structure.periodic:  # with the seam as far from the image as can be
        beside = np.minimum(beyond, (structure.cell[:2] - block.pixel_size * block.size) / 2)
        places = (places + beside) % structure.cell[:2] - beside
    places, weights, numbers = places / block.pixel_size - 0.5, weights[layer], structure.numbers[layer]
    near = (np.abs(places - block.size / 2 + 0.5) < block.size / 2 + beyond / block.pixel_size).all(axis=1)
    places, weights, numbers = places[near], weights[near], numbers[near]
    distance = max(0.6, 0.8 * width) if block.column_distance is None else block.column_distance
    if not len(places):
        return np.zeros((0, len(COLUMN_FIELDS) - 1))
    of_atom = clusters(places, distance / block.pixel_size)
    count = int(of_atom.max()) + 1
    total = np.bincount(of_atom, weights, count)
    means = np.column_stack([np.bincount(of_atom, weights * places[:, axis], count) / total for axis in (0, 1)])
    heaviest = np.zeros(count)
    np.maximum.at(heaviest, of_atom, numbers)
    if shifts is not None:
        means = shifts.appear(means, width / 2.3548 / block.pixel_size)
    return np.column_stack([means, total, np.bincount(of_atom, minlength=count), heaviest])
