"""Jobs of the simulation stages: one function makes one shard."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import exitwave
from exitwave.config.block import Block
from exitwave.config.images import Hrtem
from exitwave.config.kinds import STAGES
from exitwave.data.random import item_rng, split_position
from exitwave.data.shards import Shard, open_shard, read_table, table_path, write_shard
from exitwave.errors import ExitwaveError, ShardError
from exitwave.structures.structure import Structure

log = logging.getLogger(__name__)
MAP_UNITS = {"counts": "counts/px", "phase": "rad", "thickness": "Å", "orientation": "°"}
"""Units of the arrays of an images shard that have one."""


def block_from(description: dict[str, Any], **counts: Any) -> Any:
    """Rebuild a block from a job's description, which leaves out the counts."""
    block: dict[str, Any] = {**description["block"], **counts}
    model: type[Block] = STAGES[description["stage"]][block.get("kind", "")]
    return model.model_validate(block)


def _rng(description: dict[str, Any], *index: int) -> np.random.Generator:
    return item_rng(description["seed"], description["stage"], description["hash"], *index)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def make_structures(description: dict[str, Any], start: int, stop: int, output: Path) -> None:
    """Make the structures ``start`` ... ``stop - 1`` of a block and write their shard."""
    from exitwave.structures.recipes import build_structure

    block = block_from(description, count=stop)
    identity = description["hash"]
    arrays: dict[str, np.ndarray] = {}
    rows = []
    for item in range(start, stop):
        try:
            structure = build_structure(block, _rng(description, item))
        except ExitwaveError as error:
            raise type(error)(f"structures.{description['name']}: item {item}: {error}") from error
        arrays |= {f"{item}/{name}": array for name, array in structure.stored_arrays().items()}
        rows.append(
            {
                "structure_id": f"{identity}-{item:06d}",
                "structures": description["name"],
                "structures_hash": identity,
                "item": item,
                "seed": description["seed"],
                "split_position": split_position(identity, item),
                **structure.metadata,
                "exitwave_version": exitwave.__version__,
            }
        )
        log.debug("structure %d of %d: %d atoms", item - start + 1, stop - start, len(structure.positions))
    write_shard(output, arrays, pd.DataFrame(rows), {"kind": "structures", "units": "Å", "block": description["block"]})


def read_structure(shard: Shard, item: int) -> Structure:
    """Read one structure of a shard by its item number."""
    row = next((row for row in _rows(read_table(table_path(shard.path))) if row["item"] == item), None)
    if row is None:
        raise ShardError(f"{shard.path}: holds no item {item}; it has {', '.join(sorted(shard.group))}")
    return Structure(
        positions=shard.read(f"{item}/positions").astype(np.float64),
        numbers=shard.read(f"{item}/numbers"),
        object_id=shard.read(f"{item}/object_id"),
        cell=shard.read(f"{item}/cell"),
        role=shard.read(f"{item}/role"),
        grain=shard.read(f"{item}/grain"),
        metadata=row,
    )


def make_exit_waves(description: dict[str, Any], structures: Path, output: Path, device: str = "auto") -> None:
    """Simulate the exit waves of a shard of structures.

    Parameters
    ----------
    description : dict
        The block, as :func:`exitwave.study.plan.describe` gives it.
    structures : path
        Shard of structures.
    output : path
        Shard to write.
    device : {'auto', 'cpu', 'cuda'}
        Where to simulate.
    """
    from importlib.metadata import version

    from exitwave.data.rounding import round_waves
    from exitwave.waves.plane_wave import simulate_each

    block = block_from(description, device=device)
    shard, table = open_shard(structures), _rows(read_table(table_path(structures)))
    items = ((read_structure(shard, int(row["item"])), _rng(description, int(row["item"]))) for row in table)
    results = simulate_each(items, block)
    waves, rows, arrays = [], [], {}
    for number, row in enumerate(table, start=1):
        try:
            result = next(results)
        except ExitwaveError as error:
            raise type(error)(f"exit_waves.{description['name']}: {error}") from error
        waves.append(round_waves(result.waves, block.storage_error))
        if len(result.series):
            arrays[f"series/{row['item']}"] = round_waves(result.series, block.storage_error)
        rows.append(
            {
                **row,
                "exit_waves": description["name"],
                "exit_waves_hash": description["hash"],
                **result.metadata,
                "abtem_version": version("abtem"),
            }
        )
        log.debug("exit waves %d of %d", number, len(table))
    attributes = {
        "kind": "exit_waves",
        "dimensions": ["item", "variant", "phonon", "y", "x"],
        "variants": ["whole", "particles"],
        "energy": block.energy,
        "sampling": block.sampling,
        "units": {"energy": "eV", "sampling": "Å"},
        "block": description["block"],
    }
    write_shard(output, {"waves": np.stack(waves), **arrays}, pd.DataFrame(rows), attributes)


def make_images(
    description: dict[str, Any],
    exit_waves: Path,
    output: Path,
    structures: Path | None = None,
    device: str = "cpu",
) -> None:
    """Form the images and label maps of a shard of exit waves.

    Parameters
    ----------
    description : dict
        The block, as :func:`exitwave.study.plan.describe` gives it.
    exit_waves : path
        Shard of exit waves.
    output : path
        Shard to write.
    structures : path, optional
        Shard of the same structures; needed if the block asks for ``labels``, which are made from atoms.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute the intensities.
    """
    from exitwave.images.hrtem import expose

    block: Hrtem = block_from(description, device=device)
    shard, table = open_shard(exit_waves), read_table(table_path(exit_waves))
    atoms = open_shard(structures) if structures is not None and block.labels else None
    stacks: dict[str, list[np.ndarray]] = {}
    columns: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    for place, row in enumerate(_rows(table)):
        item = int(row["item"])
        exposures = expose(
            block,
            shard.read("waves", place),
            energy=shard.attributes["energy"],
            sampling=shard.attributes["sampling"],
            rngs=[_rng(description, item, draw) for draw in range(block.per_structure)],
            structure=None if atoms is None else read_structure(atoms, item),
        )
        for draw, exposure in enumerate(exposures):
            maps: dict[str, np.ndarray] = {"counts": exposure.counts, "phase": exposure.phase.astype(np.float16)}
            for name, values in (maps | exposure.labels).items():
                stacks.setdefault(name, []).append(values)
            if exposure.columns is not None:
                columns[f"columns/{len(rows)}"] = exposure.columns.to_numpy(np.float32)
                fields = list(exposure.columns)
            rows.append(
                {
                    **row,
                    "image_id": f"{description['hash']}-{item:06d}-{draw:03d}",
                    "images": description["name"],
                    "images_hash": description["hash"],
                    "draw": draw,
                    **exposure.row,
                }
            )
        log.debug("images of structure %d of %d", place + 1, len(table))
    attributes = {
        "kind": "images",
        "dimensions": ["image", "y", "x"],
        "pixel_size": block.pixel_size,
        "units": {"pixel_size": "Å", **{name: unit for name, unit in MAP_UNITS.items() if name in stacks}},
        "block": description["block"],
    }
    if columns:
        attributes["columns"] = fields
    arrays = {name: np.stack(values) for name, values in stacks.items()}
    write_shard(output, {**arrays, **columns}, pd.DataFrame(rows), attributes)
