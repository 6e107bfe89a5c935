"""Streaming: images newly drawn for every epoch, from what the images of a manifest were made from."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.datasets import Dataset
from exitwave.config.images import Images
from exitwave.data.batches import keep_open
from exitwave.data.columns import COLUMNS
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ConfigError, ShardError
from exitwave.images.kinds import kind_of
from exitwave.items import Array, Asked, item_rng
from exitwave.training.task import Task

KEPT_BYTES = 2 * 2**30
"""Exit waves and structures kept in memory by a training; those beyond are read in every epoch."""
_OPEN = 100
"""Shards kept open, and tables kept in memory, of what is read in every epoch."""
REDRAWN = {name for name, column in COLUMNS.items() if column.redrawn}
"""Columns that a newly drawn image has other values of than the stored one it takes the place of."""
_STRUCTURE = ["images_hash", "shard", "item"]
"""Columns that are the same of the images of one structure."""


def check_streaming(dataset: Dataset) -> None:
    """Refuse to stream a dataset that is chosen by what streaming draws anew.

    Raises
    ------
    ConfigError
        One sentence that begins with the key of the training.
    """
    if dataset.match is not None:
        raise ConfigError(
            "streaming: found true with a dataset that is drawn towards micrographs (match), whose images every epoch "
            "draws anew; allowed: streaming: false, or no match"
        )
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
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        sources: Mapping[str, ImagesSource],
        task: Task,
        threads: int = 1,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._rows = manifest.reset_index(drop=True)
        self._sources = sources
        self._task = task
        self._threads = threads
        self._room = kept_bytes
        self._kept: dict[tuple[Path, int], dict[str, Array]] = {}
        self._lock = threading.Lock()
        self._open = keep_open(_OPEN)
        self._table = lru_cache(_OPEN)(_table)

    def draw(self, epoch: int) -> tuple[NDArray[np.floating], NDArray[Any]]:
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
            If a shard of what is read is missing or damaged, or lacks an item.
        """
        structures = _structures(self._rows)
        with ThreadPoolExecutor(self._threads) as pool:
            return _joined(structures, pool.map(partial(self.make, epoch), structures))

    def make(self, epoch: int, places: NDArray[np.int64]) -> tuple[NDArray[np.floating], NDArray[Any]]:
        """Inputs and targets of the images of an epoch at some places of the manifest, at least one.

        The same as in :meth:`draw`, which see.
        """
        structures = _structures(self._rows.iloc[places])
        return _joined(structures, (self._of(self._rows.iloc[places[within]], epoch) for within in structures))

    def _of(self, rows: pd.DataFrame, epoch: int) -> tuple[NDArray[np.floating], NDArray[Any]]:
        """Those of one structure."""
        identity, path, item = str(rows["images_hash"].iloc[0]), Path(rows["shard"].iloc[0]), int(rows["item"].iloc[0])
        source = self._sources[identity]
        shards = {stage: folder / path.name for stage, folder in source.folders.items()}
        place, row = self._row(next(iter(shards.values())), item)
        # Without an epoch it is the generator of the stored image.
        later = () if epoch == 0 else (epoch,)
        rngs = tuple(item_rng(source.seed, "images", identity, item, draw, *later) for draw in rows["draw"].tolist())
        asked = Asked(item, rngs, row, {stage: self._stored(shard, place) for stage, shard in shards.items()})
        made = list(kind_of(source.block).make(source.block, [asked], self._task.arrays))
        arrays = {name: _stacked([item.arrays[name] for item in made]) for name in self._task.arrays}
        drawn = pd.DataFrame([item.row for item in made])
        rows = rows.reset_index(drop=True)
        rows = rows.assign(**{name: drawn[name] for name in self._task.model.columns() if name in drawn})
        return self._task.inputs(arrays), self._task.targets(arrays, rows)

    def _row(self, shard: Path, item: int) -> tuple[int, Mapping[str, Any]]:
        """Place and row of an item in the table of a shard."""
        table, places = self._table(shard)
        if item not in places:
            raise ShardError(f"{shard}: holds no item {item}; delete the file and its table and run again")
        return places[item], {str(key): value for key, value in table.iloc[places[item]].items()}

    def _stored(self, shard: Path, place: int) -> Mapping[str, Array]:
        """Arrays of an item, from memory or as they are stored."""
        with self._lock:
            kept = self._kept.setdefault((shard, place), {})
        return _Kept(lambda: self._open(str(shard)).item(place), kept, self._keep)

    def _keep(self, kept: dict[str, Array], name: str, array: Array) -> None:
        # The first that come are kept: in a fixed order, the least recently used are those needed next.
        with self._lock:
            if array.values.nbytes <= self._room and name not in kept:
                self._room -= array.values.nbytes
                kept[name] = array


class _Kept(Mapping[str, Array]):
    """Arrays of an item, those kept in memory and the others in their shard."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, Array]],
        kept: dict[str, Array],
        keep: Callable[[dict[str, Array], str, Array], None],
    ) -> None:
        self._read, self._kept, self._keep = read, kept, keep

    def __getitem__(self, name: str) -> Array:
        if name not in self._kept:
            array = self._stored[name]
            self._keep(self._kept, name, array)
            return array
        return self._kept[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    @cached_property
    def _stored(self) -> Mapping[str, Array]:
        return self._read()


def _stacked(arrays: list[Array]) -> Any:
    """Values of some images, one by one where their shapes may differ."""
    values = [array.values for array in arrays]
    return values if arrays[0].ragged else np.stack(values)


def _table(shard: Path) -> tuple[pd.DataFrame, dict[int, int]]:
    """Table of a shard, and the place of each item in it."""
    table = read_table(table_path(shard))
    return table, {int(item): place for place, item in enumerate(table["item"])}


def _structures(rows: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Places of the images of each structure."""
    return [np.asarray(places) for places in rows.groupby(_STRUCTURE).indices.values()]


def _joined(
    places: Sequence[NDArray[np.int64]], made: Iterable[tuple[NDArray[np.floating], NDArray[Any]]]
) -> tuple[NDArray[np.floating], NDArray[Any]]:
    """Inputs and targets of some structures, each at its places."""
    number = sum(map(len, places))
    inputs: NDArray[np.floating] = np.empty(0, np.float32)
    targets: NDArray[Any] = np.empty(0)
    for of_structure, (seen, aimed) in zip(places, made, strict=True):
        if not inputs.size:
            inputs = np.empty((number, *seen.shape[1:]), seen.dtype)
            targets = np.empty((number, *aimed.shape[1:]), aimed.dtype)
        inputs[of_structure], targets[of_structure] = seen, aimed
    return inputs, targets
