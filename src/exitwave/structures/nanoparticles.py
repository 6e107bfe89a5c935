"""Structures of the kind ``nanoparticles_on_substrate``."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from exitwave.config.distributions import bounds
from exitwave.config.graph import Node
from exitwave.config.structures import AmorphousSubstrate, LayeredSubstrate, NanoparticlesOnSubstrate
from exitwave.items import BYTES_OF_A_ROW, Asked, Cost, Groups, Item
from exitwave.structures.checks import check_block, elements_of, materials_of
from exitwave.structures.crystal import describe_crystal
from exitwave.structures.groups import items_as_groups
from exitwave.structures.materials import load_material
from exitwave.structures.redraw import first_possible
from exitwave.structures.structure import item_arrays

_LAYER_THICKNESS = 6.5
"""Thickness [Å] of a layer, about that of MX2."""


def check(node: Node) -> None:
    """Check materials, shapes, dopants and molecules; see :class:`exitwave.items.Simulation`."""
    check_block(node.of(NanoparticlesOnSubstrate))


def make(
    block: NanoparticlesOnSubstrate, asked: Iterable[Asked], wanted: Collection[str] | None = None
) -> Iterator[Item]:
    """Make structures; see :class:`exitwave.items.Simulation`.

    Raises
    ------
    StructureError
        If one cannot be built, naming its item: not even by another draw.
    """
    from exitwave.structures.recipes import build_structure

    for one in asked:
        (rng,) = one.rngs
        structure, redraws = first_possible(partial(build_structure, block), rng, one.item)
        yield Item(item_arrays(structure), {**structure.metadata, "redraws": redraws})


def cost(node: Node) -> Cost:
    """Cost of a structure, by its number of atoms."""
    block = node.of(NanoparticlesOnSubstrate)
    # About 0.1 atoms an Å³ of amorphous carbon and nitride, 0.065 of oxides, crystals and metals; of the 20 bytes of an
    # atom ten remain.
    radius, number = middle(block.particles.radius), middle(block.particles.number)
    dense = isinstance(block.substrate, AmorphousSubstrate) and block.substrate.material != "a-SiO2"
    substrate = (0.1 if dense else 0.065) * block.field_of_view**2 * substrate_thickness(block)
    atoms = float(substrate + 0.065 * number * 4 / 3 * math.pi * radius**3)
    return Cost(stored=10 * atoms + BYTES_OF_A_ROW, memory=800 + 2e-3 * atoms, seconds=0.03 + 1.5e-6 * atoms)


def needs(block: NanoparticlesOnSubstrate) -> tuple[str, ...]:
    """No other stage."""
    return ()


def sketch(block: NanoparticlesOnSubstrate) -> NanoparticlesOnSubstrate:
    """Structures cost little as they are."""
    return block


def groups(block: NanoparticlesOnSubstrate, identity: str, start: int, stop: int) -> Groups:
    """Every item is a group of its own, since its particles and substrate are no other's."""
    return items_as_groups(identity, start, stop)


def elements(block: NanoparticlesOnSubstrate) -> set[str]:
    """Chemical symbols of all that the block can put into a structure."""
    return elements_of(block)


def crystals(block: NanoparticlesOnSubstrate) -> Iterator[str]:
    """The materials of particles, shells and crystalline substrates."""
    for name in sorted(materials_of(block)):
        yield f"{name}: {describe_crystal(load_material(name))}"


def height(block: NanoparticlesOnSubstrate) -> float:
    """Height of the cell [Å], the middle of what can be drawn."""
    if block.cell_height is not None:
        return block.cell_height
    radius = middle(block.particles.radius)
    sunk = middle(block.embedding()) * radius if block.substrate is not None else 0.0
    return 2 * block.vacuum + substrate_thickness(block) + 2 * radius - sunk


def substrate_thickness(block: NanoparticlesOnSubstrate) -> float:
    """Thickness of the substrate [Å], the middle of what can be drawn; 0 without one."""
    if isinstance(block.substrate, LayeredSubstrate):
        return _LAYER_THICKNESS * middle(block.substrate.layers)
    return 0.0 if block.substrate is None else middle(block.substrate.thickness)


def middle(value: Any) -> float:
    """Middle of what a number or a distribution can give; of one without bounds its mean."""
    low, high = bounds(value)
    return float(low + high) / 2 if np.isfinite(low + high) else float(value.normal[0])
