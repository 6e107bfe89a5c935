"""Shards: single-file stores of arrays with a table beside them, whole or not there at all.

A shard is a zipped Zarr store (``.zarr.zip``) with one Parquet file of metadata, one row an item. An array is stacked
along its first axis, ``item``, with a chunk an item; a ragged one is a group with an array an item, named by its row.
Both files are written to a temporary name and renamed; the zip holds no times, so that the same content is
the same bytes. Each member of the zip carries a CRC-32, checked at every read. The zip's comment holds
digests, checked at opening: of its directory, since Zarr alone reads a member that was lost as zeros, and of
the table, since another shard's fits as well. A table carries a digest of its whole file.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore

from exitwave.data.packed import PackedStore
from exitwave.data.tables import (
    LEAST_ROOM,
    MOST_PACKED,
    belongs_to,
    check_place,
    digest_of,
    read_table,
    reason_of,
    table_bytes,
    table_path,
)
from exitwave.data.whole import replace_file, whole_file
from exitwave.errors import ShardError
from exitwave.items import Array, Axis, Item

EPOCH = (1980, 1, 1, 0, 0, 0)
_CODECS = ("bytes", "blosc", "zstd", "gzip", "crc32c", "transpose")
"""Of the arrays that are read: those that Zarr itself writes numbers with."""
_MOST_CHUNKS = 100_000
"""Of an array, on average full."""
_LARGEST_CHUNK = 2**30
"""Bytes; Blosc compresses less than 2 GiB at once."""
_TOGETHER = 2**22
"""Bytes of items that are compressed together."""
_ROWS_TOGETHER = 2**15
"""Rows of joined tables that are held at once, and stand together in the file."""
_BLOCK = 2**20
"""Bytes; Blosc's own choice is smaller and compresses exit waves by 5-10 % less."""


@dataclass(frozen=True)
class Shard:
    """An open shard: arrays that are read when indexed, and attributes."""

    path: Path
    group: zarr.Group
    _nodes: dict[str, zarr.Array | zarr.Group] = field(default_factory=dict, repr=False, compare=False)

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.group.attrs)

    def names(self) -> list[str]:
        """Names of the arrays, stacked and ragged.

        Raises
        ------
        ShardError
            If the file is damaged.
        """
        try:
            return sorted(name for name, _ in self.group.members())
        except Exception as error:  # as in reading
            raise ShardError(f"{self.path}: is damaged ({reason_of(error)}); delete the file and run again") from error

    def read(self, name: str, index: Any = slice(None)) -> np.ndarray:
        """Read a part of one array.

        Parameters
        ----------
        name : str
        index : int or slice
            Place of an item, which is that of its row in the table; all if left out, but of a ragged array.

        Raises
        ------
        ShardError
            If the array is not there or the file is damaged, naming file and item.
        """
        try:
            node = self._node(name)
            if isinstance(node, zarr.Group):
                return np.asarray(self._array(f"{name}/{int(index)}")[...])
            return np.asarray(self._array(name)[index])
        except KeyError as error:
            raise ShardError(f"{self.path}: holds no array '{name}'; it has {', '.join(self.names())}") from error
        except MemoryError:
            raise
        except Exception as error:  # what is damaged fails in as many ways as there are libraries below
            item = "" if isinstance(index, slice) else f", item {index}"
            raise ShardError(
                f"{self.path}: array '{name}'{item} is damaged ({reason_of(error)}); delete the file and run again"
            ) from error

    def item(self, place: int) -> Mapping[str, Array]:
        """Arrays of the item of a row, each read when it is taken."""
        return _StoredItem(self, place)

    def is_ragged(self, name: str) -> bool:
        """Whether the shape of an array may differ from item to item."""
        return isinstance(self._node(name), zarr.Group)

    def described(self, name: str, place: int) -> tuple[dict[str, Any], bool]:
        """What is said of an array of an item, and whether it is ragged."""
        ragged = self.is_ragged(name)
        return dict(self._node(f"{name}/{place}" if ragged else name).attrs), ragged

    def _node(self, name: str) -> Any:
        """An array or a group of them, whose metadata are read once."""
        if name not in self._nodes:
            node = self.group[name]
            if isinstance(node, zarr.Array):
                self._check(node)
            self._nodes[name] = node
        return self._nodes[name]

    def _array(self, name: str) -> Any:
        """An array."""
        node = self._node(name)
        if not isinstance(node, zarr.Array):
            raise ValueError("it is a group")
        return node

    def _check(self, node: zarr.Array) -> None:
        """Refuse an array that is none of numbers, or that needs more room than this file can stand for."""
        codecs = [codec["name"] for codec in node.metadata.to_dict()["codecs"]]
        if node.dtype.kind not in "buifc" or not set(codecs) <= set(_CODECS):
            raise ValueError(f"it is of type {node.dtype} by {', '.join(codecs)}")
        values, chunks = math.prod(node.shape), math.prod(node.chunks)
        if max(values, chunks) * node.dtype.itemsize > max(LEAST_ROOM, MOST_PACKED * self.path.stat().st_size):
            raise ValueError(f"it is said to have {values} values, in chunks of {chunks}")
        if values > _MOST_CHUNKS * chunks:
            raise ValueError(f"it has chunks of {chunks} values, of {values}")


class _StoredItem(Mapping[str, Array]):
    def __init__(self, shard: Shard, place: int) -> None:
        self._shard, self._place = shard, place

    def __getitem__(self, name: str) -> Array:
        values = self._shard.read(name, self._place)
        try:
            described, ragged = self._shard.described(name, self._place)
            axes = tuple(Axis(**{**axis, "labels": tuple(axis.get("labels", ()))}) for axis in described["axes"])
            return Array(values, axes, described.get("unit", ""), ragged)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ShardError(
                f"{self._shard.path}: array '{name}' does not say what its axes are ({reason_of(error)}); allowed: a "
                "file that this version has written"
            ) from error

    def __contains__(self, name: object) -> bool:
        return name in self._shard.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._shard.names())

    def __len__(self) -> int:
        return len(self._shard.names())


@dataclass
class _Stack:
    """A stacked array of the store, and the values that wait to be written to it from ``start`` on."""

    array: Any
    start: int = 0
    values: list[np.ndarray] = field(default_factory=list)


class ShardWriter:
    """Writes the items of a shard one after another, so that memory does not grow with their number."""

    def __init__(self, archive: zipfile.ZipFile, count: int, attributes: dict[str, Any]) -> None:
        self._archive, self._count = archive, count
        self._store = MemoryStore()
        self._group = zarr.create_group(store=self._store, attributes=attributes)
        self._names: set[str] | None = None
        self._stacks: dict[str, _Stack] = {}
        self._waiting = 0
        self.rows: list[Mapping[str, Any]] = []

    def add(self, item: Item) -> None:
        """Write the next item, whose arrays are not to be changed after.

        Raises
        ------
        ValueError
            If its arrays are not those of the items before it, or there are more items than were announced.
        """
        place = len(self.rows)
        if place == self._count:
            raise ValueError(f"a shard of {self._count} items is given another one")
        if self._names is None:
            self._names = set(item.arrays)
        if set(item.arrays) != self._names:
            raise ValueError(f"item {place} has arrays {sorted(item.arrays)}, those before it {sorted(self._names)}")
        for name, array in item.arrays.items():
            if array.ragged:
                self._create(f"{name}/{place}", array, stacked=False)
            else:
                if name not in self._stacks:
                    self._stacks[name] = _Stack(self._create(name, array, stacked=True))
                stack = self._stacks[name]
                if stack.array.shape[1:] != array.values.shape or stack.array.dtype != array.values.dtype:
                    raise ValueError(f"array '{name}' of item {place} does not have shape and type of the others")
                stack.values.append(array.values)
            self._waiting += array.values.nbytes
        self.rows.append(item.row)
        # Together, since each call of Zarr costs a millisecond; and soon, since memory must not grow.
        if self._waiting > _TOGETHER:
            self._write()

    def finish(self) -> bytes:
        """Write what is left; the table of all rows as the content of a Parquet file."""
        if len(self.rows) != self._count:
            raise ValueError(f"a shard of {self._count} items was given {len(self.rows)}")
        self._write()
        self._flush(lambda key: True)
        return table_bytes(pd.DataFrame(self.rows))

    def _write(self) -> None:
        """Compress what waits, and write it."""
        for stack in self._stacks.values():
            stop = stack.start + len(stack.values)
            if stack.values:
                stack.array[stack.start : stop] = np.stack(stack.values)
            stack.start, stack.values = stop, []
        self._flush(lambda key: "/c/" in key or key.endswith("/c"))
        self._waiting = 0

    def _create(self, name: str, array: Array, stacked: bool) -> Any:
        """An array of the store: one item with its values, or the place for all items stacked."""
        shape = (self._count, *array.values.shape) if stacked else array.values.shape
        content = {"shape": shape, "dtype": array.values.dtype} if stacked else {"data": array.values}
        return self._group.create_array(
            name,
            **content,
            chunks=_chunks(shape, array.values.dtype.itemsize, stacked),
            compressors=_codec(array.values.dtype),
            dimension_names=[*(["item"] if stacked else []), *(axis.name for axis in array.axes)],
            attributes={
                "axes": [_described(axis) for axis in array.axes],
                **({"unit": array.unit} if array.unit else {}),
            },
        )

    def _flush(self, ready: Callable[[str], bool]) -> None:
        members = self._store._store_dict
        for key in sorted(filter(ready, members)):
            self._archive.writestr(zipfile.ZipInfo(key, EPOCH), members.pop(key).to_bytes())


@contextmanager
def shard_writer(path: str | Path, count: int, attributes: dict[str, Any]) -> Iterator[ShardWriter]:
    """Write a shard and its table; neither is seen before it is whole.

    Parameters
    ----------
    path : path
        Ends in ``.zarr.zip``; the table gets the same name with ``.parquet``.
    count : int
        Items that will be added.
    attributes : dict
        JSON-able attributes of the store: provenance.

    Yields
    ------
    ShardWriter

    Raises
    ------
    WriteError
        If a file cannot be written: disk full, quota, permissions.
    """
    path = Path(path)
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        writer = ShardWriter(archive, count, attributes)
        yield writer
        rows = writer.finish()
        replace_file(table_path(path), lambda unfinished: unfinished.write_bytes(rows))
        archive.comment = digest_of(rows) + b" " + _directory_digest(archive)


def open_shard(path: str | Path) -> Shard:
    """Open a shard for reading.

    Raises
    ------
    ShardError
        If the file is missing or no whole zip, the table beside it was not written with it, or it stands in the place
        of another.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if packed := [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]:
                raise ShardError(f"{path}: '{packed[0]}' is packed by the zip; allowed: arrays packed by Zarr alone")
            # A store that Zarr or another tool wrote has no digests.
            table, _, directory = archive.comment.rpartition(b" ")
            if directory and directory != _directory_digest(archive):
                raise ShardError(f"{path}: is damaged (its directory has changed); delete the file and run again")
        beside = table_path(path)
        if table and beside.exists() and table != digest_of(beside.read_bytes()):
            raise ShardError(
                f"{beside}: is damaged, or is not the table that was written with {path.name}; delete both and run "
                "again"
            )
        shard = Shard(path, zarr.open_group(PackedStore(path, mode="r"), mode="r", zarr_format=3))
    except (ShardError, MemoryError):
        raise
    except Exception as error:  # as in reading
        if not path.exists():
            raise ShardError(f"{path}: is missing; run the workflow to make it") from error
        raise ShardError(f"{path}: is damaged ({reason_of(error)}); delete the file and run again") from error
    found = shard.attributes.get("of", {})
    for column, expected in belongs_to(path).items():
        if column in found:
            check_place(path, column, expected, found[column])
    return shard


def check_shard(path: str | Path) -> None:
    """Read every byte of a shard and its table, and compare them with their checksums and digests.

    Raises
    ------
    ShardError
        As :func:`open_shard` and :func:`read_table`, or if a member of the zip is damaged.
    """
    open_shard(path)
    read_table(table_path(path))
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # as in reading
        raise ShardError(f"{path}: is damaged ({reason_of(error)}); delete the file and run again") from error
    if damaged is not None:
        raise ShardError(f"{path}: is damaged (the checksum of {damaged} is another); delete the file and run again")


def _described(axis: Axis) -> dict[str, Any]:
    """An axis in plain values, without what it does not have."""
    return {key: value for key, value in vars(axis).items() if value}


def _codec(dtype: np.dtype[Any]) -> BloscCodec:
    return BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=dtype.itemsize, blocksize=_BLOCK)


def _chunks(shape: tuple[int, ...], itemsize: int, stacked: bool) -> tuple[int, ...]:
    """One chunk an item, or for items too large a chunk for each part of it."""
    chunks = [max(1, edge) for edge in shape]
    if stacked:
        chunks[0] = 1
    for axis in range(int(stacked), len(shape) - 1):
        if math.prod(chunks) * itemsize > _LARGEST_CHUNK:
            chunks[axis] = 1
    return tuple(chunks)


def _directory_digest(archive: zipfile.ZipFile) -> bytes:
    """Digest of the names, sizes and checksums of all members."""
    members = sorted((info.filename, info.file_size, info.CRC) for info in archive.infolist())
    return digest_of(repr(members).encode())
