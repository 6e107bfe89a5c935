"""STEM images with an annular dark-field detector, straight from structures: atoms scatter on their own.

A kind of the images stage (see :class:`exitwave.items.Simulation`); the model is in
:class:`exitwave.config.stem.StemConvolution`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

import numpy as np

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.images import IdealCamera
from exitwave.config.stem import StemConvolution
from exitwave.config.structures import Fields
from exitwave.errors import ConfigError, StructureError
from exitwave.imaging.convolution import REACH, render
from exitwave.imaging.detector import check_camera
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Cost, Item, lateral
from exitwave.structures.structure import Structure, structure_from

_MEMORY = 500.0
"""Of a job [MB]; a structure and an image are small beside it."""
_SECONDS, _SECONDS_OF_A_PIXEL = 0.002, 2e-7


def check(node: Node) -> None:
    """Refuse images that do not fit into the field, and doses that cannot be counted.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    block, source = node.of(StemConvolution), node.source("structures")
    structures = source.of(Fields)
    extent = block.size * block.pixel_size
    margin = 0.0 if structures.periodic() else REACH * bounds(block.probe_sigma)[1]
    if extent + 2 * margin > structures.field_of_view * (1 + 1e-9):
        around = f", and {margin:g} Å ({REACH:g} probe_sigma) on all sides," if margin else ""
        raise ConfigError(
            f"size: found {block.size} px of {block.pixel_size:g} Å, which is {extent:g} Å{around}; allowed: at most "
            f"the field of view of structures '{source.name}', {structures.field_of_view:g} Å in all"
        )
    # No pixel gets more than all electrons that fall on it.
    check_camera(IdealCamera(kind="ideal"), bounds(block.dose), block.pixel_size)


def make(block: StemConvolution, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Take images.

    The generator of each image draws, in this order: exponent, probe_sigma, background and dose; the place of the
    image along y and along x, anywhere in a periodic structure, and elsewhere so that all atoms within 5 probe_sigma
    are there; the counts.

    Raises
    ------
    StructureError
        If more electrons than there are would be detected somewhere, or an image has no place in its structure.
    """
    for one in asked:
        structure = structure_from(one.sources["structures"], one.row)
        for rng in one.rngs:
            try:
                image = _expose(block, structure, rng)
            except StructureError as error:
                raise StructureError(f"item {one.item}: {error}") from error
            yield image


def cost(node: Node) -> Cost:
    """Estimate for one image: counts of two hundredths of the dose, stored with the entropy of Poisson numbers."""
    block = node.of(StemConvolution)
    mean = 0.02 * sum(bounds(block.dose)) / 2 * block.pixel_size**2
    bits = 0.5 * math.log2(2 * math.pi * math.e * (mean + 0.1))
    pixels = block.size**2
    return Cost(
        stored=bits / 8 * pixels + BYTES_OF_A_ROW,
        memory=_MEMORY,
        seconds=_SECONDS + _SECONDS_OF_A_PIXEL * pixels,
    )


def needs(block: StemConvolution) -> tuple[str, ...]:
    """None besides the structures that the block names."""
    return ()


def sketch(block: StemConvolution) -> StemConvolution:
    """The block itself: an image takes milliseconds."""
    return block


def _expose(block: StemConvolution, structure: Structure, rng: np.random.Generator) -> Item:
    """One image."""
    drawn = {key: float(draw(getattr(block, key), rng)) for key in ("exponent", "probe_sigma", "background", "dose")}
    sigma = drawn["probe_sigma"]
    place_y, place_x = (_place(block, structure, axis, sigma, rng) for axis in (1, 0))
    density = render(
        structure.positions[:, :2],
        structure.numbers.astype(np.float64) ** drawn["exponent"],
        sigma,
        block.pixel_size,
        block.size,
        corner=(place_x, place_y),
        period=structure.cell[:2].tolist() if structure.periodic else (math.inf, math.inf),
    )
    fraction = block.cross_section * density + drawn["background"]
    if fraction.max() > 1:
        raise StructureError(
            f"cross_section: found {block.cross_section:g} Å², with which {fraction.max():.3g} of the electrons would "
            "be detected at the brightest column and the background; allowed: up to 1, by a smaller one or thinner "
            "structures"
        )
    counts = rng.poisson(drawn["dose"] * block.pixel_size**2 * fraction).astype(np.uint32)
    row = {
        "pixel_size": block.pixel_size,
        "place_y": place_y,
        "place_x": place_x,
        "cross_section": block.cross_section,
        **drawn,
        "mean_counts": float(counts.mean()),
    }
    return Item({"counts": Array(counts, lateral(block.pixel_size), "counts/px")}, row)


def _place(block: StemConvolution, structure: Structure, axis: int, sigma: float, rng: np.random.Generator) -> float:
    """Where the outer corner of the first pixel lies along an axis of the cell [Å]."""
    edge, extent = float(structure.cell[axis]), block.size * block.pixel_size
    margin = 0.0 if structure.periodic else REACH * sigma
    if extent + 2 * margin > edge * (1 + 1e-9):
        raise StructureError(
            f"size: {extent:g} Å and {margin:g} Å on either side do not fit into a structure of {edge:g} Å; allowed: "
            "smaller images"
        )
    if structure.periodic:
        return float(rng.uniform(0, edge))
    return float(rng.uniform(margin, max(margin, edge - margin - extent)))
