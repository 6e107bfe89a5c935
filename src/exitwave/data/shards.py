"""Shards: single-file stores of arrays with a table beside them, whole or not there at all.

A shard is a zipped Zarr store (``.zarr.zip``) with one Parquet file of metadata, one row an item. An array is stacked
along its first axis, ``item``, with a chunk an item; a ragged one is a group with an array an item, named by its row.
Both files are written to a temporary name and renamed; the zip holds no times, so that the same content is
the same bytes. Each member of the zip carries a CRC-32, checked at every read. The zip's comment holds
digests, checked at opening: of its directory, since Zarr alone reads a member that was lost as zeros, and of
the table, since another shard's fits as well. A table carries a digest of its whole file.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore

from exitwave.data.columns import UNITS
from exitwave.data.packed import PackedStore
from exitwave.data.whole import replace_file, whole_file
from exitwave.errors import ShardError
from exitwave.items import Array, Axis, Item

EPOCH = (1980, 1, 1, 0, 0, 0)
_OF_ITEMS = re.compile(r"(?:^|/)([a-z_]+)/[^/]+-([0-9a-f]{8})/shard-(\d+)-(\d+)\.[a-z.]+$")
_OF_DATASET = re.compile(r"(?:^|/)datasets/[^/]+-([0-9a-f]{8})/manifest\.parquet$")
_OF_BENCHMARK = re.compile(
    r"(?:^|/)benchmarks/[^/]+-([0-9a-f]{8})/(?:baselines|summary|per_image|[^/]+/seed-(\d+))\.[a-z.]+$"
)
"""Where the results of the stages stand."""
_LATER = ("benchmark_hash", "seed")
"""Columns that not all tables of earlier versions have."""
_SEAL = b"sha256 "
"""Before the digest of a table, in its metadata: of the file with zeros for the digest."""
_CODECS = ("bytes", "blosc", "zstd", "gzip", "crc32c", "transpose")
"""Of the arrays that are read: those that Zarr itself writes numbers with."""
_LEAST, _PACKED = 2**28, 1000
"""Bytes that an array or a table may have, and how many times those of its file, where it has more."""
_MOST_CHUNKS = 100_000
"""Of an array, on average full."""
_LARGEST_CHUNK = 2**30
"""Bytes; Blosc compresses less than 2 GiB at once."""
_TOGETHER = 2**22
"""Bytes of items that are compressed together."""
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
            raise ShardError(f"{self.path}: is damaged ({_reason(error)}); delete the file and run again") from error

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
                f"{self.path}: array '{name}'{item} is damaged ({_reason(error)}); delete the file and run again"
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
        if max(values, chunks) * node.dtype.itemsize > max(_LEAST, _PACKED * self.path.stat().st_size):
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
                f"{self._shard.path}: array '{name}' does not say what its axes are ({_reason(error)}); allowed: a "
                "file that this version has written"
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._shard.names())

    def __len__(self) -> int:
        return len(self._shard.names())


def table_path(shard: str | Path) -> Path:
    """The table that stands beside a shard."""
    return Path(str(shard).removesuffix(".zarr.zip") + ".parquet")


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
        return _parquet(pd.DataFrame(self.rows))

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
        archive.comment = _digest(rows) + b" " + _directory_digest(archive)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically, with the unit of every column in its field metadata.

    Raises
    ------
    WriteError
        If the file cannot be written: disk full, quota, permissions.
    """
    content = _parquet(table)
    replace_file(path, lambda unfinished: unfinished.write_bytes(content))


def read_table(path: str | Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Read a table, or those of some columns that it has.

    Raises
    ------
    ShardError
        If the file is missing or damaged, or stands in the place of another.
    """
    place = belongs_to(path)
    with _readable(path):
        _check_seal(Path(path))
        _check_size(path, pq.read_metadata(path))
        stored = pq.read_schema(path).names
        named = None if columns is None else [name for name in stored if name in columns or name in place]
        read = pq.read_table(path, columns=named, page_checksum_verification=True, partitioning=None)
        table: pd.DataFrame = read.to_pandas()
    for column, expected in place.items():
        if len(table) and (column in table or column not in _LATER):
            found = sorted(table[column].unique().tolist()) if column in table else ["none"]
            _compare(Path(path), column, expected, found)
    return table if columns is None else table[[name for name in stored if name in columns]]


def _check_size(path: str | Path, facts: pq.FileMetaData) -> None:
    """Refuse a table that needs more room than its file can stand for."""
    if 8 * facts.num_rows * facts.num_columns > max(_LEAST, _PACKED * Path(path).stat().st_size):
        raise ShardError(f"{path}: is said to have {facts.num_rows} rows, which its size cannot hold")


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """An error of reading a table becomes a sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise ShardError(f"{path}: is missing; delete its shard, if that is there, and run again") from error
    except (ShardError, MemoryError):
        raise
    except Exception as error:  # as in reading an array; pandas reads further metadata
        raise ShardError(
            f"{path}: cannot be read ({_reason(error)}); delete it with its shard and run again"
        ) from error


class StoredTable:
    """A table of which each column is read when it is taken, so that millions of rows need little memory.

    Parameters
    ----------
    path : path
        Parquet file.

    Raises
    ------
    ShardError
        If the file is missing or damaged, here or when a column is taken.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with _readable(path):
            _check_seal(Path(path))
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
            _check_size(path, self._file.metadata)
        self.columns: list[str] = self._file.schema_arrow.names

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self.read([name])[name]

    def read(self, names: list[str]) -> pd.DataFrame:
        """Some columns as a table in memory."""
        with _readable(self.path):
            table: pd.DataFrame = self._file.read(columns=names).to_pandas()
        return table[names]

    def varies(self, name: str) -> bool:
        """Whether a column may have different values: of one without, the file itself says so."""
        place, metadata = self._file.schema_arrow.get_field_index(name), self._file.metadata
        values = set()
        for group in range(metadata.num_row_groups):
            told = metadata.row_group(group).column(place).statistics
            if told is None or not told.has_min_max or not told.has_null_count:
                return True
            # Of a column of NaN alone the smallest and largest are not told, and 0 stands for -0 too.
            values |= {told.min, told.max, *([None] if told.null_count else [])}
        return len(values) != 1


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
        if table and beside.exists() and table != _digest(beside.read_bytes()):
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
        raise ShardError(f"{path}: is damaged ({_reason(error)}); delete the file and run again") from error
    found = shard.attributes.get("of", {})
    for column, expected in belongs_to(path).items():
        if column in found:
            _compare(path, column, expected, found[column])
    return shard


def belongs_to(path: str | Path) -> dict[str, list[Any]]:
    """What the place of a file among the results says about its content: for each column the values that it may have.

    Empty where a file stands elsewhere.
    """
    place = str(path)
    if found := _OF_ITEMS.search(place):
        return {f"{found[1]}_hash": [found[2]], "item": list(range(int(found[3]), int(found[4])))}
    if found := _OF_DATASET.search(place):
        return {"dataset_hash": [found[1]]}
    if found := _OF_BENCHMARK.search(place):
        return {"benchmark_hash": [found[1]], **({"seed": [int(found[2])]} if found[2] else {})}
    return {}


def _compare(path: Path, column: str, expected: list[Any], found: list[Any]) -> None:
    """Refuse a file that belongs elsewhere."""
    if found != expected:
        told = [f"{values[0]} to {values[-1]}" if len(values) > 1 else str(values[0]) for values in (found, expected)]
        raise ShardError(
            f"{path}: is another one: found {column} {told[0]}; allowed: {told[1]}; delete it, with the table or shard "
            "of its name, and run again"
        )


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
        raise ShardError(f"{path}: is damaged ({_reason(error)}); delete the file and run again") from error
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


def _parquet(table: pd.DataFrame) -> bytes:
    """A table as the content of a Parquet file."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    fields = [f.with_metadata({"unit": UNITS[f.name]}) if UNITS.get(f.name) else f for f in content.schema]
    content = content.cast(pa.schema(fields, metadata={**content.schema.metadata, "exitwave": _SEAL + b"0" * 64}))
    stream = io.BytesIO()
    pq.write_table(content, stream, compression="zstd", write_page_checksum=True)
    whole = stream.getvalue()
    start = whole.rindex(_SEAL) + len(_SEAL)
    return whole[:start] + _digest(whole) + whole[start + 64 :]


def _check_seal(path: Path) -> None:
    """Refuse a table of which any byte is another than was written; one of another tool has no digest."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        footer = 8 + int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - footer))
        end = file.read()
        place = end.rfind(_SEAL) + len(_SEAL)
        if place < len(_SEAL):
            return
        digest, left = hashlib.sha256(), size - len(end)
        file.seek(0)
        while left > 0 and (part := file.read(min(left, _TOGETHER))):
            digest.update(part)
            left -= len(part)
    digest.update(end[:place] + b"0" * 64 + end[place + 64 :])
    if end[place : place + 64] != digest.hexdigest().encode():
        raise OSError("its checksum differs")


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _directory_digest(archive: zipfile.ZipFile) -> bytes:
    """Digest of the names, sizes and checksums of all members."""
    members = sorted((info.filename, info.file_size, info.CRC) for info in archive.infolist())
    return _digest(repr(members).encode())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
