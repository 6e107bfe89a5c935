"""The job of the simulation stages: one function makes one shard, of any kind."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from exitwave.benchmark.micrographs import read_for_training
from exitwave.config.block import Block
from exitwave.config.images import Images, MicrographFields
from exitwave.data.shards import Shard, open_shard, shard_writer
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ExitwaveError, ShardError
from exitwave.hardware import compiling_told
from exitwave.images.kinds import groups_of, simulation_of
from exitwave.images.micrographs import SOURCE
from exitwave.items import Array, Asked, Item, item_rng
from exitwave.structures.structure import Structure, structure_from
from exitwave.structures.unit_cell import UnitCell, unit_cell_from
from exitwave.study.description import Description

log = logging.getLogger(__name__)


def make_shard(
    description: Description,
    items: range,
    sources: Mapping[str, Path],
    output: Path,
    device: str = "auto",
) -> None:
    """Make the items of a shard and write them one after another.

    Parameters
    ----------
    description : Description
        Block of structures, exit waves or images.
    items : range
        Numbers of the structures.
    sources : mapping of path
        For each earlier stage that is read the shard of the same items; the first is that which the block names, whose
        table is continued.
    output : path
        Shard to write.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute, for kinds that can choose.

    Raises
    ------
    ExitwaveError
        If an item cannot be made: a sentence that names block and item.
    """
    description = description.with_values(device=device)
    shards = {stage: open_shard(path) for stage, path in sources.items()}
    rows = dict(enumerate(first_rows(description, items, sources)))
    draws = draws_of(description)
    attributes = {
        "stage": description.stage,
        "name": description.name,
        "exitwave_version": version("exitwave"),
        "block": description.plain()["block"],
        "of": {f"{description.stage}_hash": [description.hash], "item": list(items)},
    }
    with compiling_told(log.info), shard_writer(output, len(rows) * draws, attributes) as writer:
        for number, item in enumerate(make_items(description, rows, shards), start=1):
            writer.add(item)
            if number % draws == 0:
                log.debug("%s %d of %d", description.stage.replace("_", " "), number // draws, len(rows))


def make_items(
    description: Description, rows: Mapping[int, Mapping[str, Any]], shards: Mapping[str, Shard]
) -> Iterator[Item]:
    """Make items of a block, each with its whole row, in the order of ``rows``.

    Parameters
    ----------
    description : Description
        Block of structures, exit waves or images.
    rows : mapping of mapping
        What :func:`first_rows` gives of the items, by their places in the shards of the stages before.
    shards : mapping of Shard
        For each earlier stage that is read the shard of the items.

    Yields
    ------
    Item
        For every row as many as :func:`draws_of`.

    Raises
    ------
    ExitwaveError
        If an item cannot be made: a sentence that names block and item.
    """
    draws = draws_of(description)
    made = simulation_of(description.block).make(description.block, _asked(description, rows, shards, draws))
    for row in rows.values():
        for draw in range(draws):
            try:
                item = next(made)
            except ExitwaveError as error:
                raise type(error)(f"{description.stage}.{description.name}: {error}") from error
            except OSError as error:  # of what is read, which must not be told of as what is written
                raise ShardError(f"{description.stage}.{description.name}: cannot be made ({error})") from error
            yield Item(item.arrays, {**row, **_own(description, int(row["item"]), draw), **item.row})


def draws_of(description: Description) -> int:
    """Items of a block that are made of one structure: several images, or one of all else."""
    return description.block.per_structure if isinstance(description.block, Images) else 1


def read_structure(shard: Shard, item: int) -> Structure | UnitCell:
    """Read one structure of a shard by its item number; of perfect crystals the unit cell."""
    table = read_table(table_path(shard.path))
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    for place, row in enumerate(rows):
        if row["item"] == item:
            arrays = shard.item(place)
            return structure_from(arrays, row) if "positions" in arrays else unit_cell_from(arrays)
    raise ShardError(f"{shard.path}: holds no item {item}; it has {', '.join(str(row['item']) for row in rows)}")


def first_rows(description: Description, items: range, sources: Mapping[str, Path]) -> list[dict[str, Any]]:
    """What is known of items before they are made: rows of the stage before, or those that begin their history.

    Parameters
    ----------
    description : Description
    items : range
        Numbers of the structures; of what is made from an earlier stage, all in its shard.
    sources : mapping of path
        As for :func:`make_shard`.
    """
    if sources:
        table = read_table(table_path(next(iter(sources.values()))))
        return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    groups = groups_of(description.block, description.hash, items.start, items.stop)
    own = {"structures": description.name, "structures_hash": description.hash}
    return [
        {
            "structure_id": f"{description.hash}-{item:06d}",
            **(own if description.stage == "structures" else {}),
            "item": item,
            "seed": description.seed,
            "group": group,
            "split_position": position,
            "exitwave_version": version("exitwave"),
        }
        for item, group, position in zip(items, groups.names, groups.positions.tolist(), strict=True)
    ]


def _asked(
    description: Description, rows: Mapping[int, Mapping[str, Any]], shards: Mapping[str, Shard], draws: int
) -> Iterator[Asked]:
    for place, row in rows.items():
        item = int(row["item"])
        index = [(item, draw) for draw in range(draws)] if description.stage == "images" else [(item,)]
        stored = {stage: shard.item(place) for stage, shard in shards.items()}
        yield Asked(
            item,
            tuple(item_rng(description.seed, description.stage, description.hash, *one) for one in index),
            *((row, stored) if shards else read_source(description.block, item)),
        )


def read_source(block: Block, item: int) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Array]]]:
    """Metadata and sources of an item that is made from no earlier stage: nothing of a structure, or a micrograph.

    Raises
    ------
    MicrographError
        If the micrograph or its mask cannot be used.
    """
    if not isinstance(block, MicrographFields):
        return {}, {}
    row, arrays = read_for_training(block, item)
    return row, {SOURCE: arrays}


def _own(description: Description, item: int, draw: int) -> dict[str, Any]:
    """Columns that say of which block an item is."""
    stage = description.stage
    if stage == "structures":
        return {}
    own: dict[str, Any] = {stage: description.name, f"{stage}_hash": description.hash}
    if stage == "images":
        return {"image_id": f"{description.hash}-{item:06d}-{draw:03d}", **own, "draw": draw}
    return own
