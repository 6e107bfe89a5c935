"""Streaming: images newly drawn for every epoch, from what the images of a manifest were made from."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.datasets import Dataset
from exitwave.config.images import Images
from exitwave.data.columns import COLUMNS
from exitwave.data.shards import open_shard, read_table, table_path
from exitwave.errors import ConfigError, ShardError
from exitwave.images.kinds import kind_of
from exitwave.items import Array, Asked, item_rng
from exitwave.training.task import Task

KEPT_BYTES = 2 * 2**30
"""Exit waves and structures kept in memory by a training; those beyond are read in every epoch."""
REDRAWN = {name for name, column in COLUMNS.items() if column.redrawn}
"""Columns that a newly drawn image has other values of than the stored one it takes the place of."""


def check_streaming(dataset: Dataset) -> None:
    """Refuse to stream a dataset that is chosen by what streaming draws anew.

    Raises
    ------
    ConfigError
        One sentence that begins with the key of the training.
    """
    tree = ast.parse((dataset.where or "True").strip().replace("\n", " "), mode="eval")
    named = {
        "where": {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)},
        "limit": set(dataset.limit),
        "strata": set(dataset.strata),
    }
    for key, columns in named.items():
        for column in sorted(columns & REDRAWN):
            raise ConfigError(
                f"streaming: found true with a dataset whose {key} names {column}, which every epoch draws anew; "
                "allowed: columns of structures and exit waves in where, limit and strata, or streaming: false"
            )


@dataclass(frozen=True)
class ImagesSource:
    """What the images of one images block are drawn from.

    Attributes
    ----------
    block : Images
    seed : int
        Root seed of the study.
    folders : mapping of path
        For each earlier stage that is read the folder of its shards, which have the names of those of the images; the
        first is that which the block names.
    """

    block: Images
    seed: int
    folders: Mapping[str, Path]


@dataclass(frozen=True)
class _Structure:
    """Images of a manifest that come from one structure: their draws, and their places in the manifest."""

    identity: str
    seed: int
    block: Images
    shards: Mapping[str, Path]
    place: int
    item: int
    row: Mapping[str, Any]
    draws: list[int]
    images: list[int]


class Stream:
    """New images for those of a manifest: of the same structures, with newly drawn conditions, place and noise.

    The image of a row and an epoch follows from the seed of the study, the images block, item, draw and epoch, so that
    a training that was killed goes on with the same images, in whatever number of threads.

    Parameters
    ----------
    manifest : DataFrame
        Rows of images, at least one.
    sources : mapping of ImagesSource
        By the identities of the images blocks.
    task : Task
        What makes inputs and targets of them.
    threads : int
        Processor cores used.
    kept_bytes : int
        What they are drawn from, kept in memory.

    Raises
    ------
    ShardError
        If a table of what is read is missing, damaged, or lacks an item.
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        sources: Mapping[str, ImagesSource],
        task: Task,
        threads: int = 1,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._structures = _structures(manifest, sources)
        self._rows = manifest.reset_index(drop=True)
        self._task = task
        self._threads = threads
        self._room = kept_bytes
        self._kept: dict[tuple[Path, int], dict[str, Array]] = {}
        self._lock = threading.Lock()

    def draw(self, epoch: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Inputs and targets of an epoch, in the order of the manifest.

        Parameters
        ----------
        epoch : int
            0 or more. 0 gives those of the stored images once more.

        Returns
        -------
        inputs : float32 [images, y, x]
        targets : ndarray [images, ...]

        Raises
        ------
        ShardError
            If a shard of what is read is missing or damaged.
        """
        inputs: NDArray[np.float32] = np.empty(0, np.float32)
        targets: NDArray[Any] = np.empty(0)
        with ThreadPoolExecutor(self._threads) as pool:
            made = pool.map(lambda structure: self._of(structure, epoch), self._structures)
            for number, (structure, (seen, aimed)) in enumerate(zip(self._structures, made, strict=True)):
                if number == 0:
                    inputs = np.empty((len(self._rows), *seen.shape[1:]), seen.dtype)
                    targets = np.empty((len(self._rows), *aimed.shape[1:]), aimed.dtype)
                inputs[structure.images], targets[structure.images] = seen, aimed
        return inputs, targets

    def _of(self, structure: _Structure, epoch: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        # Without an epoch it is the generator of the stored image.
        later = () if epoch == 0 else (epoch,)
        key = structure.seed, "images", structure.identity, structure.item
        rngs = tuple(item_rng(*key, draw, *later) for draw in structure.draws)
        asked = Asked(
            structure.item,
            rngs,
            structure.row,
            {stage: self._stored(path, structure.place) for stage, path in structure.shards.items()},
        )
        made = list(kind_of(structure.block).make(structure.block, [asked], self._task.arrays))
        arrays = {name: _stacked([item.arrays[name] for item in made]) for name in self._task.arrays}
        drawn = pd.DataFrame([item.row for item in made])
        rows = self._rows.iloc[structure.images].reset_index(drop=True)
        rows = rows.assign(**{name: drawn[name] for name in self._task.columns if name in drawn})
        return self._task.inputs(arrays), self._task.targets(arrays, rows)

    def _stored(self, shard: Path, place: int) -> Mapping[str, Array]:
        """Arrays of an item, from memory or as they are stored."""
        with self._lock:
            return _Kept(shard, place, self._kept.setdefault((shard, place), {}), self._keep)

    def _keep(self, kept: dict[str, Array], name: str, array: Array) -> None:
        # The first that come are kept: in a fixed order, the least recently used are those needed next.
        with self._lock:
            if array.values.nbytes <= self._room and name not in kept:
                self._room -= array.values.nbytes
                kept[name] = array


class _Kept(Mapping[str, Array]):
    """Arrays of an item, those kept in memory and the others in their shard."""

    def __init__(
        self, shard: Path, place: int, kept: dict[str, Array], keep: Callable[[dict[str, Array], str, Array], None]
    ) -> None:
        self._shard, self._place, self._kept, self._keep = shard, place, kept, keep

    def __getitem__(self, name: str) -> Array:
        if name not in self._kept:
            array = self._stored[name]
            self._keep(self._kept, name, array)
            return array
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    @cached_property
    def _stored(self) -> Mapping[str, Array]:
        return open_shard(self._shard).item(self._place)


def _stacked(arrays: list[Array]) -> Any:
    """Values of some images, one by one where their shapes may differ."""
    values = [array.values for array in arrays]
    return values if arrays[0].ragged else np.stack(values)


def _structures(manifest: pd.DataFrame, sources: Mapping[str, ImagesSource]) -> list[_Structure]:
    """Images of a manifest by the structure that they come from."""
    found = []
    rows = manifest.reset_index(drop=True)
    for (identity, path), of_shard in rows.groupby(["images_hash", "shard"]):
        source = sources[str(identity)]
        shards = {stage: folder / Path(str(path)).name for stage, folder in source.folders.items()}
        first = next(iter(shards.values()))
        table = read_table(table_path(first))
        places = {int(item): place for place, item in enumerate(table["item"])}
        for key, images in of_shard.groupby("item"):
            item = int(str(key))
            if item not in places:
                raise ShardError(f"{first}: holds no item {item}; delete the file and its table and run again")
            found.append(
                _Structure(
                    str(identity),
                    source.seed,
                    source.block,
                    shards,
                    places[item],
                    item,
                    {str(key): value for key, value in table.iloc[places[item]].items()},
                    images["draw"].tolist(),
                    images.index.tolist(),
                )
            )
    return found
