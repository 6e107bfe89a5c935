"""Items: what the simulation stages make and are asked for, whatever the technique.

An item is a structure, the exit waves of one, or an image: arrays that say what they are, and a row of the table. A
kind of one of these stages is a module with the functions of :class:`Simulation`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exitwave.config.block import Block
from exitwave.config.graph import Node

BYTES_OF_A_ROW = 1500.0
"""Of the metadata table on disk, an item."""


@dataclass(frozen=True)
class Axis:
    """One axis of an array.

    Attributes
    ----------
    name : str
    spacing : float, optional
        Distance of neighbouring places; none where places are only counted.
    unit : str
        Unit of the spacing.
    labels : tuple of str
        What stands at each place, such as the columns of a list of atoms; empty where that is no question.
    """

    name: str
    spacing: float | None = None
    unit: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Array:
    """An array of one item, with what its numbers mean.

    Attributes
    ----------
    values : ndarray
    axes : tuple of Axis
        As many as the array has.
    unit : str
        Unit of the values.
    ragged : bool
        Whether its shape may differ from item to item.
    """

    values: NDArray[Any]
    axes: tuple[Axis, ...]
    unit: str = ""
    ragged: bool = False

    def __post_init__(self) -> None:
        if len(self.axes) != self.values.ndim:
            raise ValueError(f"{self.values.ndim} axes are described by {len(self.axes)}")


def lateral(pixel: float) -> tuple[Axis, Axis]:
    """Axes of an image or a map with square pixels [Å]."""
    return Axis("y", pixel, "Å"), Axis("x", pixel, "Å")


@dataclass(frozen=True)
class Item:
    """What a kind has made: arrays by name, and its columns of the metadata table."""

    arrays: Mapping[str, Array]
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a kind is asked for.

    Attributes
    ----------
    item : int
        Number of the structure.
    rngs : tuple of Generator
        One for each item to make of it: one structure, one set of exit waves, or several images.
    row : mapping
        Metadata of the stage before, or of the micrograph; empty for structures.
    sources : mapping of mappings
        For each earlier stage that is read the arrays of the same item, read when they are taken; or a micrograph.
    """

    item: int
    rngs: tuple[np.random.Generator, ...]
    row: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What a kind will cost, known before the first job.

    Attributes
    ----------
    stored : float
        Bytes of an item on disk, compressed.
    memory : float
        Memory that a job needs, however many items it makes [MB].
    seconds : float
        Time of one core for an item [s].
    """

    stored: float
    memory: float
    seconds: float


class Simulation(Protocol):
    """What a kind of structures, exit waves or images is: a module with these functions."""

    def check(self, node: Node) -> None:
        """Refuse what cannot be made, as far as that is known before the first job.

        Raises
        ------
        ExitwaveError
            One sentence that begins with the key.
        """
        ...

    def make(self, block: Any, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
        """Make items in the order in which they are asked for, one for each generator.

        ``wanted`` names the arrays that are needed, all if left out; those that are made do not depend on it.
        """
        ...

    def cost(self, node: Node) -> Cost:
        """Estimate of what an item costs; of images, one image."""
        ...

    def needs(self, block: Any) -> tuple[str, ...]:
        """Stages, further back than those the block names, whose items are read as well."""
        ...

    def sketch(self, block: Any) -> Block:
        """The block with which a preview makes items like those of the block for little."""
        ...


@dataclass(frozen=True)
class Groups:
    """What a split must not tear apart: the group of each item.

    Attributes
    ----------
    names : list of str
        Group of each item.
    positions : ndarray, float64 [items]
        Position of the group in [0, 1), which decides its side in every split; it follows from what the group is.
    """

    names: list[str]
    positions: NDArray[np.float64]


class StructureSimulation(Simulation, Protocol):
    """What a kind of structures is."""

    def groups(self, block: Any, identity: str, start: int, stop: int) -> Groups:
        """Groups of the items ``start`` ... ``stop - 1`` of a block, known without making them.

        ``identity`` is the hash of the block, for kinds whose items are groups of their own.
        """
        ...

    def elements(self, block: Any) -> set[str]:
        """Chemical symbols of all that the block can put into a structure."""
        ...

    def crystals(self, block: Any) -> Iterator[str]:
        """What is read as crystals, each in words when it is asked for: composition, density, nearest neighbours."""
        ...

    def height(self, block: Any) -> float:
        """Height of the cell along the beam [Å], the middle of what can be drawn."""
        ...


def item_rng(seed: int, stage: str, identity: str, *index: int) -> np.random.Generator:
    """Generator of one item: the same whatever the shard size, order, count or number of cores.

    Parameters
    ----------
    seed : int
        Root seed of the study.
    stage, identity : str
        Stage and identity hash of the block.
    index : int
        Index of the item, and of the draw within it where there are several.
    """
    key = [seed, int.from_bytes(stage.encode(), "big"), int(identity, 16), *index]
    return np.random.default_rng(np.random.SeedSequence(key))
