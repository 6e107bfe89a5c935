"""STEM images of perfect layers with an annular detector, from scans of one cell.

A kind of the images stage (see :class:`exitwave.items.Simulation`); the model is in :class:`exitwave.config.stem.Stem`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.images import Aberrations
from exitwave.config.monolayers import Monolayers
from exitwave.config.scans import ProbeScan
from exitwave.config.stem import Stem
from exitwave.errors import ConfigError, StructureError
from exitwave.images.scanned import check_room, columns_seen, draw_place, draw_unevenness, scan_as_row, stored_bytes
from exitwave.imaging.conditions import camera_as_row, drawn
from exitwave.imaging.detector import check_camera, record_electrons
from exitwave.imaging.fourier_series import at_places
from exitwave.imaging.scanned import Shifts, draw_shifts
from exitwave.imaging.stem import MARGIN, Lens
from exitwave.items import Array, Asked, Cost, Item, lateral
from exitwave.structures import monolayers
from exitwave.structures.lattice2d import COLUMN_EXPONENT
from exitwave.structures.structure import Structure, structure_from
from exitwave.waves.probes import frequency
from exitwave.waves.rings import largest_angle

FloatArray = NDArray[np.float64]

_FWHM = 2.3548
"""Of a Gaussian, in standard deviations."""
_MEMORY = 500.0
"""Of a job [MB]."""
_SECONDS, _SECONDS_OF_A_TERM = 0.004, 4e-9
"""Of an image, and of a term of the Fourier series at a pixel."""


def check(node: Node) -> None:
    """Refuse images that do not fit into the field, angles that the scan does not hold, and doses beyond counting.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    block, source = node.of(Stem), node.source("exit_waves")
    waves = source.of(ProbeScan)
    check_room(block, node.origin(), _margin(block), "what probe and scan bring in")
    (_, inner), (least, outer) = bounds(block.inner_angle), bounds(block.outer_angle)
    highest = largest_angle(waves.sampling, waves.energy)
    if outer > highest:
        raise ConfigError(
            f"outer_angle: reaches up to {outer:g} mrad; allowed: up to {highest:.4g} mrad, what the sampling of "
            f"exit_waves '{source.name}', {waves.sampling:g} Å, holds"
        )
    if inner >= least:
        raise ConfigError(
            f"inner_angle: reaches up to {inner:g} mrad, and outer_angle begins at {least:g} mrad; allowed: inner "
            "angles below all outer ones"
        )
    check_camera(block.detector, bounds(block.dose), block.pixel_size)


def make(block: Stem, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Take images.

    The generator of each image draws, in this order: inner and outer angle, source, background and dose; the place of
    the image along y and along x; the scan and its noise, the unevenness of the background, the detector; the counts.

    Raises
    ------
    StructureError
        If more electrons than there are would be detected somewhere, or an image has no place in its structure.
    """
    for one in asked:
        structure = structure_from(one.sources["structures"], one.row)
        waves = {name: one.sources["exit_waves"][name].values.astype(np.float64) for name in ("rings", "cell")}
        width = one.sources["exit_waves"]["rings"].axes[2].spacing
        assert width is not None
        for rng in one.rngs:
            try:
                image = _expose(block, structure, waves, width, one.row, rng)
            except StructureError as error:
                raise StructureError(f"item {one.item}: {error}") from error
            yield image


def cost(node: Node) -> Cost:
    """Estimate for one image."""
    block, waves = node.of(Stem), node.source("exit_waves").of(ProbeScan)
    # Frequencies of the lattice in a square that holds those of the image.
    highest = 4 * frequency(float(bounds(waves.semiangle)[1]), waves.energy)
    terms = np.mean([abs(np.linalg.det(cell)) for cell in monolayers.cells(node.origin().of(Monolayers))]) * highest**2
    return Cost(
        stored=stored_bytes(block),
        memory=_MEMORY,
        seconds=_SECONDS + _SECONDS_OF_A_TERM * block.size**2 * float(terms),
    )


def needs(block: Stem) -> tuple[str, ...]:
    """Structures: where they are, and their columns."""
    return ("structures",)


def sketch(block: Stem) -> Stem:
    """The block itself: an image takes milliseconds."""
    return block


def detected(rings: FloatArray, width: float, inner: float, outer: float) -> FloatArray:
    """Electrons between two angles.

    Parameters
    ----------
    rings : float64 [..., rings]
        Electrons in rings of a width, from 0 on.
    width : float
        [mrad].
    inner, outer : float
        [mrad]; of the rings that they cut electrons count by the share of their width. Where they
        fall as the fourth power of the angle, that is up to 0.3 % too many from 80 mrad on, with rings of 5 mrad.

    Returns
    -------
    float64 [...]
    """
    edges = width * np.arange(rings.shape[-1] + 1)
    share = np.clip(np.minimum(outer, edges[1:]) - np.maximum(inner, edges[:-1]), 0, width) / width
    return np.asarray(rings @ share)


def _margin(block: Stem) -> float:
    """What must be there beyond an image [Å], as of an image by convolution."""
    return MARGIN + block.scan.reach(block.pixel_size, block.size)


def _expose(
    block: Stem,
    structure: Structure,
    waves: Mapping[str, FloatArray],
    width: float,
    row: Mapping[str, Any],
    rng: np.random.Generator,
) -> Item:
    """One image."""
    names = ("inner_angle", "outer_angle", "source_size", "background", "dose")
    main = {key: float(draw(getattr(block, key), rng)) for key in names}
    place_y, place_x = (draw_place(block, structure, axis, _margin(block), rng) for axis in (1, 0))
    scan = drawn(block.scan, rng)
    shifts = draw_shifts(scan, block.size, block.pixel_size, rng)
    share = detected(waves["rings"], width, main["inner_angle"], main["outer_angle"])
    places = _taken_at(block, (place_x, place_y), shifts)
    source = main["source_size"] / _FWHM
    corner, *vectors = waves["cell"]
    image = at_places(share, corner, np.stack(vectors), places, source)
    uneven, factor = draw_unevenness(block, rng)
    camera = drawn(block.detector, rng)
    fraction = image + main["background"] * factor
    if fraction.max() > 1:
        raise StructureError(
            f"background: found {main['background']:g}, with which {fraction.max():.3g} of the electrons would be "
            "detected at the brightest place; allowed: up to 1 in all"
        )
    beam = main["dose"] * block.pixel_size**2
    # A series without frequencies beyond those of the probe leaves nothing below 0 but rounding.
    expected = np.maximum(beam * fraction, 0)
    counts = record_electrons(expected, camera, beam, rng, f"dose {main['dose']:g} e⁻/Å²")
    lens = Lens(
        float(row["energy"]),
        float(row["semiangle"]),
        {"C10": -float(row["defocus"]), **{name: float(row[name]) for name in Aberrations.model_fields}},
        source,
    )
    made = {
        "pixel_size": block.pixel_size,
        "place_y": place_y,
        "place_x": place_x,
        **main,
        "probe_fwhm": lens.width(0.0),
        **scan_as_row(scan),
        "uneven": uneven,
        **camera_as_row(camera),
        "mean_counts": float(counts.mean()),
    }
    arrays = {"counts": Array(counts, lateral(block.pixel_size), "counts/px")}
    if "columns" in block.labels:
        weights = structure.numbers.astype(np.float64) ** COLUMN_EXPONENT
        atoms = (structure.positions[:, :2] - (place_x, place_y)) / block.pixel_size
        inside = ((atoms >= 0) & (atoms < block.size)).all(axis=1)
        electrons = beam * float(image.sum()) / max(float(weights[inside].sum()), 1e-30)
        arrays["columns"] = columns_seen(
            block, structure, weights, (place_x, place_y), made["probe_fwhm"], shifts, expected, electrons
        )
    return Item(arrays, made)


def _taken_at(block: Stem, corner: tuple[float, float], shifts: Shifts | None) -> FloatArray:
    """Where the probe stands for each pixel [y, x, 2], in the coordinates of the structure [Å]."""
    row, column = np.mgrid[: block.size, : block.size].astype(np.float64)
    if shifts is not None:
        row, column = row + shifts.across, column + shifts.along
    return np.stack([corner[0] + (column + 0.5) * block.pixel_size, corner[1] + (row + 0.5) * block.pixel_size], -1)
