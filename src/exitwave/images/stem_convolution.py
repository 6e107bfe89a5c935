"""STEM images with an annular dark-field detector, straight from structures: atoms scatter on their own.

A kind of the images stage (see :class:`exitwave.items.Simulation`); the model is in
:class:`exitwave.config.stem.StemConvolution`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.images import Aberrations
from exitwave.config.stem import FINE, Optics, StemConvolution
from exitwave.config.structures import Fields
from exitwave.errors import ConfigError, StructureError
from exitwave.images.scanned import check_room, columns_seen, draw_place, draw_unevenness, scan_as_row, stored_bytes
from exitwave.imaging.conditions import camera_as_row, drawn
from exitwave.imaging.convolution import REACH, render
from exitwave.imaging.detector import check_camera, record_electrons
from exitwave.imaging.scanned import Shifts, draw_shifts, finer, taken
from exitwave.imaging.stem import MARGIN, Lens, render_by_lens
from exitwave.items import Array, Asked, Cost, Item, lateral
from exitwave.structures.structure import Structure, structure_from

FloatArray = NDArray[np.float64]

_MEMORY = 500.0
"""Of a job [MB]; a structure and an image are small beside it."""
_BYTES_OF_AN_EXPECTED = 3.5
"""Stored, compressed, of a number of electrons that is no whole one."""
_SECONDS, _SECONDS_OF_A_PIXEL, _SECONDS_OF_A_LENS = 0.002, 2e-7, 2e-6


def check(node: Node) -> None:
    """Refuse images that do not fit into the field, and doses that cannot be counted.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    block, source = node.of(StemConvolution), node.source("structures")
    structures = source.of(Fields)
    margin = 0.0 if structures.periodic() else _margin(block, float(bounds(block.probe_sigma)[1]))
    check_room(block, source, margin, f"{REACH:g} probe_sigma" if _is_plain(block) else "what probe and scan bring in")
    if structures.periodic() and block.scan.reach(block.pixel_size, block.size) > structures.field_of_view / 2:
        raise ConfigError("scan: reaches over more than half of the field of view; allowed: smaller distortions")
    # No pixel gets more than all electrons that fall on it.
    check_camera(block.detector, bounds(block.dose), block.pixel_size)


def make(block: StemConvolution, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Take images.

    The generator of each image draws, in this order: exponent, probe_sigma, background and dose; the place of the
    image along y and along x, anywhere in a periodic structure, and elsewhere so that all atoms that reach into it are
    there; the optics, the displacement, the scan and its noise, the unevenness of the background, the detector; the
    counts.

    Raises
    ------
    StructureError
        If more electrons than there are would be detected somewhere, or an image has no place in its structure.
    """
    for one in asked:
        structure = structure_from(one.sources["structures"], one.row)
        for rng in one.rngs:
            try:
                image = _expose(block, structure, rng, wanted)
            except StructureError as error:
                raise StructureError(f"item {one.item}: {error}") from error
            yield image


def cost(node: Node) -> Cost:
    """Estimate for one image."""
    block = node.of(StemConvolution)
    of_a_pixel = _SECONDS_OF_A_PIXEL if _is_plain(block) else _SECONDS_OF_A_LENS
    expected = 0 if block.fine is None else (block.fine * block.size) ** 2
    return Cost(
        stored=stored_bytes(block) + _BYTES_OF_AN_EXPECTED * expected,
        memory=_MEMORY,
        seconds=_SECONDS + of_a_pixel * (block.size**2 + expected),
    )


def needs(block: StemConvolution) -> tuple[str, ...]:
    """None besides the structures that the block names."""
    return ()


def sketch(block: StemConvolution) -> StemConvolution:
    """The block itself: an image takes milliseconds."""
    return block


def _is_plain(block: StemConvolution) -> bool:
    """Whether a Gaussian probe takes every pixel where it is."""
    return block.optics is None and block.scan.reach(block.pixel_size, block.size) == 0


def _margin(block: StemConvolution, sigma: float) -> float:
    """What must be there beyond an image [Å], for a Gaussian probe of a standard deviation [Å] or a lens."""
    blur = float(bounds(block.displacement)[1])
    around = MARGIN if block.optics is not None else REACH * math.hypot(sigma, blur)
    return around + block.scan.reach(block.pixel_size, block.size)


@dataclass(frozen=True)
class _View:
    """Where a probe stands: so many places [px] along both axes, at a distance [Å], from a corner of the structure on.

    The scan takes it up to ``reach`` [Å] away, by its shifts.
    """

    pixel: float
    size: int
    corner: tuple[float, float]
    reach: float
    shifts: Shifts | None

    def finer(self, times: int) -> _View:
        """The same square with places so many times closer."""
        shifts = None if self.shifts is None else self.shifts.finer(times)
        return replace(self, pixel=self.pixel / times, size=self.size * times, shifts=shifts)


def _expose(
    block: StemConvolution, structure: Structure, rng: np.random.Generator, wanted: Collection[str] | None
) -> Item:
    """One image."""
    names = ("exponent", "probe_sigma", "background", "dose")
    main = {key: float(draw(getattr(block, key), rng)) for key in names}
    margin = 0.0 if structure.periodic else _margin(block, main["probe_sigma"])
    place_y, place_x = (draw_place(block, structure, axis, margin, rng) for axis in (1, 0))
    lens = None if block.optics is None else _lens(drawn(block.optics, rng))
    displacement = float(draw(block.displacement, rng))
    scan = drawn(block.scan, rng)
    shifts = draw_shifts(scan, block.size, block.pixel_size, rng)
    weights = structure.numbers.astype(np.float64) ** main["exponent"]
    sigma = main["probe_sigma"]
    reach = block.scan.reach(block.pixel_size, block.size)
    view = _View(block.pixel_size, block.size, (place_x, place_y), reach, shifts)
    uneven, factor = draw_unevenness(block, rng)
    camera = drawn(block.detector, rng)

    def shown(at: _View, unevenness: NDArray[np.floating]) -> FloatArray:
        """Share of the electrons that the detector counts."""
        density = _density(structure, weights, at, math.hypot(sigma, displacement), lens, displacement)
        return block.cross_section * density + main["background"] * unevenness

    fraction = shown(view, factor)
    if fraction.max() > 1:
        raise StructureError(
            f"cross_section: found {block.cross_section:g} Å², with which {fraction.max():.3g} of the electrons would "
            "be detected at the brightest column and the background; allowed: up to 1, by a smaller one or thinner "
            "structures"
        )
    beam = main["dose"] * block.pixel_size**2
    # A probe that interferes with nothing leaves nothing below 0 but rounding.
    expected = np.maximum(beam * fraction, 0)
    counts = record_electrons(expected, camera, beam, rng, f"dose {main['dose']:g} e⁻/Å²")
    width = 2.3548 * math.hypot(sigma, displacement) if lens is None else lens.width(displacement)
    row = {
        "pixel_size": block.pixel_size,
        "place_y": place_y,
        "place_x": place_x,
        "cross_section": block.cross_section,
        **main,
        **_told(lens),
        **scan_as_row(scan),
        "probe_fwhm": width,
        "displacement": displacement,
        "uneven": uneven,
        **camera_as_row(camera),
        "mean_counts": float(counts.mean()),
    }
    arrays = {"counts": Array(counts, lateral(block.pixel_size), "counts/px")}
    if block.fine is not None and (wanted is None or FINE in wanted):
        finely = beam * np.maximum(shown(view.finer(block.fine), finer(factor, block.fine)), 0)
        arrays[FINE] = Array(finely.astype(np.float32), lateral(block.pixel_size / block.fine), "counts/px")
    if "columns" in block.labels:
        electrons = main["dose"] * block.cross_section
        arrays["columns"] = columns_seen(
            block, structure, weights, (place_x, place_y), width, shifts, expected, electrons
        )
    return Item(arrays, row)


def _lens(optics: Optics) -> Lens:
    """Lens of drawn optics."""
    numbers = {name: float(getattr(optics.aberrations, name)) for name in Aberrations.model_fields}
    source = float(optics.source_size) / 2.3548  # type: ignore[arg-type]
    return Lens(optics.energy, float(optics.semiangle), {"C10": -float(optics.defocus), **numbers}, source)  # type: ignore[arg-type]


def _density(
    structure: Structure, weights: FloatArray, view: _View, sigma: float, lens: Lens | None, displacement: float
) -> FloatArray:
    """Density that each pixel shows [weight/Å²]."""
    pixel, size, corner, shifts = view.pixel, view.size, view.corner, view.shifts
    flat = structure.positions[:, :2]
    period = (float(structure.cell[0]), float(structure.cell[1])) if structure.periodic else (math.inf, math.inf)
    if lens is not None:
        fine, step, first = render_by_lens(flat, weights, lens, displacement, pixel, size, corner, period, view.reach)
        if shifts is None:
            return fine[first : first + step * size : step, first : first + step * size : step]
        return taken(fine, step, first, shifts)
    if shifts is None:
        return render(flat, weights, sigma, pixel, size, corner, period)
    # So fine that a cubic spline is exact, and so wide that the scan stays within.
    step = max(2, math.ceil(2.5 * pixel / sigma))
    pad = step * math.ceil(view.reach / pixel + 2)
    shift = pad * pixel / step - (pixel - pixel / step) / 2
    fine = render(
        flat, weights, sigma, pixel / step, step * size + 2 * pad, [corner[0] - shift, corner[1] - shift], period
    )
    return taken(fine, step, pad, shifts)


def _told(lens: Lens | None) -> dict[str, float]:
    """Optics as columns of the table; NaN where there is no lens."""
    return {
        "energy": math.nan if lens is None else lens.energy,
        "semiangle": math.nan if lens is None else lens.semiangle,
        "defocus": math.nan if lens is None else -lens.aberrations["C10"],
        **{name: math.nan if lens is None else lens.aberrations[name] for name in Aberrations.model_fields},
        "source_size": math.nan if lens is None else 2.3548 * lens.source,
    }
