"""Monolayers that fill a square and go on beyond it, with the Bravais class of the lattice that a beam sees.

A kind of the structures stage (see :class:`exitwave.items.StructureSimulation`). A layer is never stretched to repeat
in the square: that would change the class of its lattice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from exitwave.config.distributions import bounds, draw
from exitwave.config.graph import Node
from exitwave.config.monolayers import Monolayers
from exitwave.config.structures import AmorphousSubstrate
from exitwave.errors import StructureError
from exitwave.items import BYTES_OF_A_ROW, Asked, Cost, Groups, Item
from exitwave.structures.amorphous import amorphous_slab, rough_profile
from exitwave.structures.body import Body, make_body
from exitwave.structures.groups import groups_by_content
from exitwave.structures.lattice2d import (
    MERGED,
    bravais_class,
    columns_of,
    lattice_of_atoms,
    lattice_of_columns,
    measured,
    nearest_distance,
    published_class,
    reduced,
)
from exitwave.structures.layer_groups import class_of_motif
from exitwave.structures.ldos_maps import layers_of_maps
from exitwave.structures.monolayer_files import monolayers_of
from exitwave.structures.monolayer_library import Monolayer, balanced, library, prototypes, told
from exitwave.structures.point_defects import substituted, with_vacancies
from exitwave.structures.structure import Structure, item_arrays
from exitwave.structures.volumes import box

FloatArray = NDArray[np.float64]

RESOLVED = 0.5
"""Distance [Å] below which a corrected lens shows two columns as one."""
THINNEST = 2.0
"""Of the amorphous carbon [Å] that is there at all."""
REST = 3.0
"""Height of the lowest atom of the carbon above the highest of the layer [Å]."""
_BYTES_OF_AN_ATOM = 10.0
"""Stored, compressed."""
_MEMORY = 500.0
"""Of a job [MB]."""
_SECONDS, _SECONDS_OF_CARBON = 0.015, 3e-6
"""Of an item, and of a cubic ångström of carbon [s]."""


def check(node: Node) -> None:
    """Refuse prototypes and files that there are not, and dopants that are no elements.

    Raises
    ------
    StructureError
        One sentence that begins with the key.
    """
    block = node.of(Monolayers)
    known = [prototype.name for prototype in prototypes()]
    for name in block.prototypes:
        if name not in known:
            near = get_close_matches(name, known, 3, 0.3) or known[:3]
            raise StructureError(f"prototypes: found '{name}'; allowed: such as {', '.join(map(repr, near))}")
    for dopant in block.dopants:
        for key, symbol in (("element", dopant.element), ("host", dopant.host)):
            if symbol is not None and symbol not in atomic_numbers:
                raise StructureError(f"dopants.{key}: found '{symbol}'; allowed: a chemical symbol such as Re")
    layers = _seen(block)
    for dopant in block.dopants:
        number = atomic_numbers.get(dopant.host or "")
        lacking = [layer for layer in layers if number is not None and number not in layer.numbers]
        if lacking:
            raise StructureError(
                f"dopants.host: found '{dopant.host}', which {len(lacking)} of {len(layers)} monolayers do not have, "
                f"such as {lacking[0].formula}; allowed: an element of all, fewer prototypes, or no host"
            )


def make(block: Monolayers, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Make items.

    The generator of one draws, in this order: number and places of the layers; the two principal strains and their
    direction; the angle in the plane and where the lattice begins; the ripples; tilt and its direction; vacancies and
    dopants; the carbon.

    Raises
    ------
    StructureError
        If a layer leaves no atom, or lacks the element that a dopant is to replace.
    """
    layers = _layers(block)
    for one in asked:
        (rng,) = one.rngs
        layer = layers[one.item % len(layers)]
        try:
            yield _item(block, layer, rng)
        except StructureError as error:
            raise StructureError(f"item {one.item}, {layer.source}: {error}") from error


def cost(node: Node) -> Cost:
    """Estimate from the atoms for each area of the layers that are seen."""
    block = node.of(Monolayers)
    number, carbon = (sum(bounds(value)) / 2 for value in (block.layers, block.contamination))
    density = np.mean([len(layer.numbers) / abs(np.linalg.det(layer.cell)) for layer in _seen(block)])
    area = block.field_of_view**2
    atoms = area * (number * density + 0.1 * carbon)
    return Cost(
        stored=float(_BYTES_OF_AN_ATOM * atoms + BYTES_OF_A_ROW),
        memory=_MEMORY,
        seconds=float(_SECONDS + _SECONDS_OF_CARBON * area * carbon),
    )


def needs(block: Monolayers) -> tuple[str, ...]:
    """None: structures are where everything begins."""
    return ()


def sketch(block: Monolayers) -> Monolayers:
    """The block itself: it takes a fraction of a second."""
    return block


def groups(block: Monolayers, identity: str, start: int, stop: int) -> Groups:
    """Groups of the items ``start`` ... ``stop - 1``: formula and prototype, so that no lattice is on two sides."""
    layers = _layers(block)
    return groups_by_content([layers[item % len(layers)].group for item in range(start, stop)])


def elements(block: Monolayers) -> set[str]:
    """Chemical symbols of all layers that are seen, of dopants and carbon."""
    found = {dopant.element for dopant in block.dopants}
    if bounds(block.contamination)[1] >= THINNEST:
        found.add("C")
    return found.union(*({chemical_symbols[number] for number in layer.numbers} for layer in _seen(block)))


def crystals(block: Monolayers) -> Iterator[str]:
    """The layers that are seen, in words."""
    for layer in _seen(block):
        yield told(layer)


def height(block: Monolayers) -> float:
    """Height of the cell [Å]: that of the layers that are seen on average."""
    number, carbon = (sum(bounds(value)) / 2 for value in (block.layers, block.contamination))
    thick = float(np.mean([np.ptp(layer.heights) for layer in _seen(block)]))
    above = REST + carbon if carbon >= THINNEST else 0.0
    return float(number * thick + (number - 1) * block.interlayer_gap + above + 2 * block.vacuum)


def cells(block: Monolayers) -> list[FloatArray]:
    """Vectors [2, 2] of the cells of the layers that are seen [Å]."""
    return [layer.cell for layer in _seen(block)]


def turned(layer: Monolayer, in_plane: float) -> tuple[FloatArray, FloatArray]:
    """Vectors [2, 2] of a layer, and places [n, 2] of its atoms, once it is turned by an angle [°]."""
    turn = _turn(in_plane)
    return layer.cell @ turn.T, layer.places @ turn.T


def _layers(block: Monolayers) -> Sequence[Monolayer]:
    """Monolayers that items are of, in turn."""
    if block.source == "prototypes":
        return _ordered(tuple(library(tuple(block.prototypes))), block.balanced)
    if block.source == "maps":
        return _ordered(layers_of_maps(block.path, block.maps), block.balanced)
    assert block.path is not None
    try:
        return _ordered(monolayers_of(block.path, block.may_be_files()), block.balanced)
    except StructureError as error:
        raise StructureError(str(error) if str(error).startswith("path") else f"path: {error}") from error


@lru_cache(maxsize=8)
def _ordered(layers: tuple[Monolayer, ...], in_turn: bool) -> Sequence[Monolayer]:
    return balanced(layers) if in_turn else layers


def _seen(block: Monolayers) -> Sequence[Monolayer]:
    """Layers that the items of a block are of."""
    return _layers(block)[: block.count]


@dataclass(frozen=True)
class _Stack:
    """Layers on each other in one cell: vectors in the plane, places, heights, numbers and layer of the atoms."""

    cell: FloatArray
    places: FloatArray
    heights: FloatArray
    numbers: NDArray[np.uint8]
    layer: NDArray[np.uint8]


def _stacked(block: Monolayers, layer: Monolayer, number: int, rng: np.random.Generator) -> _Stack:
    """So many layers on each other."""
    step, shift = float(np.ptp(layer.heights)) + block.interlayer_gap, np.zeros(2)
    places, heights = [], []
    for turn in range(number):
        places.append(layer.places + shift @ layer.cell)
        heights.append(layer.heights + turn * step)
        shift = shift + {"aligned": np.zeros(2), "shifted": np.full(2, 1 / 3), "random": rng.random(2)}[block.stacking]
    owner = np.repeat(np.arange(number, dtype=np.uint8), len(layer.numbers))
    return _Stack(layer.cell, np.concatenate(places), np.concatenate(heights), np.tile(layer.numbers, number), owner)


def _strained(stack: _Stack, first: float, second: float, direction: float) -> _Stack:
    """The stack with two principal strains, the first along a direction [°]."""
    axes = _turn(direction)
    deformation = axes @ np.diag([1 + first, 1 + second]) @ axes.T
    return replace(stack, cell=stack.cell @ deformation, places=stack.places @ deformation)


def _turn(angle: float) -> FloatArray:
    """Rotation matrix [2, 2] by an angle [°]; it turns column vectors."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[cosine, -sine], [sine, cosine]])


def _item(block: Monolayers, layer: Monolayer, rng: np.random.Generator) -> Item:
    number = int(draw(block.layers, rng))
    stack = _stacked(block, layer, number, rng)
    first, second = float(draw(block.strain, rng)), float(draw(block.strain, rng))
    direction = float(rng.uniform(0, 180))
    stack = _strained(stack, first, second, direction)
    in_plane = float(draw(block.in_plane, rng))
    # Drawn in any case, so that all else is the same.
    origin = rng.random(2)
    spread, edge = _spread(stack, in_plane, origin * (block.origin == "random"), block.field_of_view)
    ripple = float(draw(block.ripple, rng))
    tilt, towards = float(draw(block.tilt, rng)), float(rng.uniform(0, 360))
    positions = spread.positions
    if ripple > 0:
        positions = positions + _rippled(positions[:, :2], edge, ripple, block.ripple_length, rng)
    positions = _tilted(positions, tilt, towards)
    inside = np.asarray((np.abs(positions[:, :2]) <= block.field_of_view / 2).all(axis=1))
    body = replace(spread, positions=positions).kept(inside)
    if not len(body):
        raise StructureError(f"field_of_view: {block.field_of_view:g} Å hold no atom; allowed: a larger field of view")
    body, vacancies, dopants = _with_defects(block, body, rng)
    structure, carbon = _in_cell(block, body, float(draw(block.contamination, rng)), rng)
    row = {
        "file": "" if block.source == "prototypes" else layer.source,
        "formula": layer.formula,
        "prototype": layer.prototype,
        **_labels(stack),
        "bravais_published": published_class(layer.cell),
        "in_plane": in_plane,
        "strain_first": first,
        "strain_second": second,
        "strain_direction": direction,
        "tilt": tilt,
        "tilt_towards": towards,
        "layers": number,
        "ripple": ripple,
        "vacancies": vacancies,
        "dopants": dopants,
        "contamination_thickness": carbon,
        "cell_height": float(structure.cell[2]),
        "n_atoms": len(structure.numbers),
        "periodic": int(structure.periodic),
        "content_hash": structure.content_hash(),
    }
    return Item(item_arrays(structure), row)


def _spread(stack: _Stack, in_plane: float, origin: FloatArray, field: float) -> tuple[Body, float]:
    """Atoms of the stack over a square about (0, 0) that holds the field however it is tilted, and its edge [Å]."""
    turn = _turn(in_plane)
    cell = stack.cell @ turn.T
    edge = 1.2 * field + 2 * float(np.ptp(stack.heights))
    # Cells that reach into the square, whichever corner is farthest.
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * edge / 2
    reach = corners @ np.linalg.inv(cell)
    low, high = np.floor(reach.min(axis=0)).astype(int) - 2, np.ceil(reach.max(axis=0)).astype(int) + 2
    index = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    shifts = (index.reshape(-1, 2) + origin) @ cell
    flat = (shifts[:, None] + stack.places @ turn.T).reshape(-1, 2)
    kept = (np.abs(flat) <= edge / 2).all(axis=1)
    heights = np.tile(stack.heights - stack.heights.mean(), len(shifts))[kept]
    numbers, layer = (np.tile(values, len(shifts))[kept] for values in (stack.numbers, stack.layer))
    positions = np.column_stack([flat[kept], heights])
    solid = box([edge, edge, max(float(np.ptp(stack.heights)), 1.0)])
    return replace(make_body(positions, numbers, solid, "monolayer"), grain=layer), edge


def _rippled(places: FloatArray, edge: float, rms: float, length: float, rng: np.random.Generator) -> FloatArray:
    """What ripples add to positions [n, 3]."""
    heights = rough_profile(edge, rms, length, rng)(places + edge / 2)
    return np.column_stack([np.zeros((len(heights), 2)), heights])


def _tilted(positions: FloatArray, tilt: float, towards: float) -> FloatArray:
    """Positions of a layer whose normal leans by ``tilt`` [mrad] towards a direction [°]."""
    if tilt == 0:
        return positions
    angle, turn = 1e-3 * tilt, np.eye(3)
    turn[:2, :2] = _turn(towards)
    lean = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return np.asarray(positions @ (turn @ lean @ turn.T).T)


def _with_defects(block: Monolayers, body: Body, rng: np.random.Generator) -> tuple[Body, int, int]:
    """The layer with vacancies and dopants, and how many of each."""
    fraction = float(draw(block.vacancies, rng))
    left = with_vacancies(body, fraction, rng) if fraction > 0 else body
    vacancies, before = len(body) - len(left), left.numbers
    for dopant in block.dopants:
        left = substituted(left, dopant.element, float(draw(dopant.fraction, rng)), rng, dopant.host)
    return left, vacancies, int((left.numbers != before).sum())


def _in_cell(block: Monolayers, body: Body, carbon: float, rng: np.random.Generator) -> tuple[Structure, float]:
    """The layer as a structure, object 1, with carbon above it, object 0, and how thick that is [Å]."""
    field, parts = block.field_of_view, [body]
    if carbon >= THINNEST:
        film = amorphous_slab(AmorphousSubstrate(thickness=carbon, structure="network"), field, rng)
        above = float(body.positions[:, 2].max()) + REST - float(film.positions[:, 2].min())
        parts.append(film.moved(translation=np.array([-field / 2, -field / 2, above])))
    else:
        carbon = 0.0
    positions = np.concatenate([part.positions for part in parts])
    owner = np.repeat(np.array([1, 0][: len(parts)], np.uint8), [len(part) for part in parts])
    low, high = float(positions[:, 2].min()), float(positions[:, 2].max())
    shift = np.array([field / 2, field / 2, block.vacuum - low])
    # An atom on the far edge belongs to the next field.
    placed = np.clip(positions + shift, 0, [np.nextafter(field, 0)] * 2 + [np.inf])
    structure = Structure(
        placed,
        np.concatenate([part.numbers for part in parts]),
        owner,
        np.array([field, field, high - low + 2 * block.vacuum]),
        np.concatenate([part.role for part in parts]),
        np.concatenate([part.grain for part in parts]),
        periodic=False,
    )
    return structure, carbon


def _labels(stack: _Stack) -> dict[str, Any]:
    """Classes of the lattice of a stack, seen along its normal, and what it measures."""
    columns = columns_of(stack.cell, stack.places, stack.numbers, MERGED)
    lattice = lattice_of_columns(columns)
    found = bravais_class(lattice)
    blurred = columns_of(stack.cell, stack.places, stack.numbers, RESOLVED)
    layer = bravais_class(lattice_of_atoms(stack.cell, stack.places, stack.heights, stack.numbers))
    return {
        "bravais": found.name,
        "bravais_resolved": bravais_class(lattice_of_columns(blurred)).name,
        "bravais_3d": layer.name,
        "motif": class_of_motif(columns),
        "bravais_margin": found.margin,
        **{f"strain_{name}": strain for name, strain in found.strains.items()},
        **{f"lattice_{name}": value for name, value in measured(reduced(lattice)).items()},
        "column_distance": nearest_distance(columns.cell, columns.places),
    }
