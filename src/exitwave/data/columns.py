"""Columns of the metadata tables, with their units: the vocabulary of queries."""

from __future__ import annotations

from collections.abc import Iterable

from exitwave.config.block import Column
from exitwave.config.graph import Node
from exitwave.config.kinds import STAGES

_TEXT = Column(text=True)
_NUMBER = Column()
ORIGIN = {
    "structure_id": _TEXT,
    "item": _NUMBER,
    "seed": _NUMBER,
    "group": _TEXT,
    "split_position": _NUMBER,
    "exitwave_version": _TEXT,
}
"""Columns of every item that is made from no other: a structure, or the fields of a micrograph."""
IDENTITIES: dict[str, dict[str, Column]] = {
    "structures": {"structure_id": _TEXT, "structures": _TEXT, "structures_hash": _TEXT, **ORIGIN},
    "exit_waves": {"exit_waves": _TEXT, "exit_waves_hash": _TEXT},
    "images": {"image_id": _TEXT, "images": _TEXT, "images_hash": _TEXT, "draw": _NUMBER},
}
"""Columns that every item of a stage has, whatever its kind: of which block and item it is."""


def columns_of(stage: str) -> dict[str, Column]:
    """Columns that a stage of the simulation adds, of all its kinds."""
    return {**IDENTITIES[stage], **{n: c for kind in STAGES[stage].values() for n, c in kind.COLUMNS.items()}}


def columns_made(node: Node) -> dict[str, Column]:
    """Columns that the items of one block of the simulation have, with those of all that it is made from."""
    sources = [source for named in node.upstream.values() for source in named]
    before = {name: column for source in sources for name, column in columns_made(source).items()} or ORIGIN
    return {**before, **IDENTITIES[node.stage], **node.block.COLUMNS}


COLUMNS = {name: column for stage in IDENTITIES for name, column in columns_of(stage).items()}
"""Every column that a query on images may name."""
UNITS = {name: column.unit for name, column in COLUMNS.items()}
"""Their units."""
PIXELS = {"pixel_size": "Å", "reciprocal_sampling": "1/Å"}
"""Columns that hold the pixel of an image, one of them in every table, with its unit."""
TEXT = {name for name, column in COLUMNS.items() if column.text}
"""Columns of text; all others are numbers."""


def pixel_column(names: Iterable[str]) -> str:
    """The column of a table that holds the pixel of its images."""
    return next(name for name in names if name in PIXELS)
