"""Fields of micrographs with masks drawn by hand, for training.

A kind of the images stage (see :class:`exitwave.items.Simulation`). It is made from no stage before it: each item is a
micrograph, which the job reads, and brings to the pixels of the network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np

from exitwave.config.graph import Node
from exitwave.config.images import DRAWN, MicrographFields
from exitwave.errors import ConfigError
from exitwave.items import BYTES_OF_A_ROW, Array, Asked, Cost, Groups, Item, lateral

SOURCE = "micrograph"
"""Where an item has its micrograph among its sources: ``counts`` and ``drawn``, on pixels of the network."""
_MEMORY = 3000.0
"""Of a job [MB]: a micrograph of 8192 x 8192 px, and what is made of it on the way."""
_SECONDS, _SECONDS_OF_A_FIELD = 5.0, 0.002
_GOLDEN = (5**0.5 - 1) / 2


def check(node: Node) -> None:
    """Refuse an index that names files which are not there.

    Raises
    ------
    ConfigError
        One sentence that begins with the key.
    """
    for listed in node.of(MicrographFields).listed():
        for file in (listed.image, listed.mask):
            if not file.is_file():
                raise ConfigError(f"path: index.csv names {file}, which does not exist; allowed: files that are there")


def make(block: MicrographFields, asked: Iterable[Asked], wanted: Collection[str] | None = None) -> Iterator[Item]:
    """Cut fields.

    The generator of each field draws its place along y, and along x.
    """
    for one in asked:
        counts, drawn = (one.sources[SOURCE][name].values for name in ("counts", DRAWN))
        missing = [max(0, block.size - edge) for edge in counts.shape]
        before = [edge // 2 for edge in missing]
        padding = [(first, edge - first) for first, edge in zip(before, missing, strict=True)]
        counts, drawn = (np.pad(values, padding, mode="reflect") for values in (counts, drawn))
        for rng in one.rngs:
            top, left = (int(rng.integers(edge - block.size + 1)) for edge in counts.shape)
            field = slice(top, top + block.size), slice(left, left + block.size)
            arrays = {
                "counts": Array(counts[field], lateral(block.pixel_size)),
                DRAWN: Array(drawn[field], lateral(block.pixel_size)),
            }
            row = {
                "pixel_size": block.pixel_size,
                **one.row,
                "place_y": (top - before[0]) * block.pixel_size,
                "place_x": (left - before[1]) * block.pixel_size,
                "particle_fraction": float(drawn[field].mean()),
            }
            yield Item(arrays, row)


def cost(node: Node) -> Cost:
    """Estimate for one field; reading and resampling a micrograph is shared by its fields."""
    block = node.of(MicrographFields)
    # Of the four bytes of a pixel little is left out by compression, since its last digits are noise.
    return Cost(
        stored=3.6 * block.size**2 + BYTES_OF_A_ROW,
        memory=_MEMORY,
        seconds=_SECONDS / block.per_structure + _SECONDS_OF_A_FIELD,
    )


def needs(block: MicrographFields) -> tuple[str, ...]:
    """No other stage."""
    return ()


def sketch(block: MicrographFields) -> MicrographFields:
    """The block itself."""
    return block


def groups(block: MicrographFields, start: int, stop: int) -> Groups:
    """Groups of micrographs, as the index says.

    Positions are a golden-ratio sequence in the order in which the groups are first listed: even few of them cover
    [0, 1) evenly, and those of an index that grows at its end stay where they are.
    """
    names = [listed.group for listed in block.listed()]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    positions = [places[name] * _GOLDEN % 1.0 for name in names[start:stop]]
    return Groups(names[start:stop], np.array(positions))
