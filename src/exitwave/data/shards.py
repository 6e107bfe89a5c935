"""Shards: single-file stores of arrays with a table beside them, whole or not there at all.

A shard is a zipped Zarr store (``.zarr.zip``) with one Parquet file of metadata, one row an item. An array is stacked
along its first axis, ``item``, with a chunk an item; a ragged one is a group with an array an item, named by its row.
Both files are written to a temporary name and renamed; the zip holds no times, so that the same content is
the same bytes. Each member of the zip carries a CRC-32, checked at every read. The zip's comment holds
digests, checked at opening: of its directory, since Zarr alone reads a member that was lost as zeros, and of
the table, since another shard's fits as well. The pages of a table carry checksums too.
"""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore, ZipStore

from exitwave.data.columns import UNITS
from exitwave.errors import ShardError
from exitwave.items import Array, Axis, Item

EPOCH = (1980, 1, 1, 0, 0, 0)
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError)
"""What reading a damaged zip, or a damaged array within it, raises."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
        """Names of the arrays, stacked and ragged."""
        return sorted(name for name, _ in self.group.members())

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
                return np.asarray(self._node(f"{name}/{int(index)}")[...])
            return np.asarray(node[index])
        except KeyError as error:
            raise ShardError(f"{self.path}: holds no array '{name}'; it has {', '.join(self.names())}") from error
        except _DAMAGE as error:
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
            self._nodes[name] = self.group[name]
        return self._nodes[name]


class _StoredItem(Mapping[str, Array]):
    def __init__(self, shard: Shard, place: int) -> None:
        self._shard, self._place = shard, place

    def __getitem__(self, name: str) -> Array:
        values = self._shard.read(name, self._place)
        described, ragged = self._shard.described(name, self._place)
        axes = tuple(Axis(**{**axis, "labels": tuple(axis.get("labels", ()))}) for axis in described["axes"])
        return Array(values, axes, described.get("unit", ""), ragged)

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
    ShardError
        If a file cannot be written: disk full, quota, permissions.
    """
    path = Path(path)
    with _whole(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        writer = ShardWriter(archive, count, attributes)
        yield writer
        rows = writer.finish()
        _write(table_path(path), rows)
        archive.comment = _digest(rows) + b" " + _directory_digest(archive)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically, with the unit of every column in its field metadata.

    Raises
    ------
    ShardError
        If the file cannot be written: disk full, quota, permissions.
    """
    _write(Path(path), _parquet(table))


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table, or some columns of it.

    Raises
    ------
    ShardError
        If the file is missing or damaged.
    """
    table: pd.DataFrame = _read(path, columns).to_pandas()
    return table if columns is None else table[list(columns)]


def row_count(path: str | Path) -> int:
    """Rows of a table, which is not read for that; raises as `read_table` does."""
    with _readable(path):
        return int(pq.read_metadata(path).num_rows)


def join_tables(shards: Sequence[str | Path], columns: Collection[str] | None = None) -> pd.DataFrame:
    """Tables of shards as one, with the columns ``shard`` and ``row`` that say where each item stands.

    Parameters
    ----------
    shards : sequence of path
    columns : collection of str, optional
        Columns that are read, where they are there; all if left out.

    Raises
    ------
    ShardError
        If a table is missing or damaged.
    """
    parts = [_read(table_path(shard), columns, known=False) for shard in shards]
    table: pd.DataFrame = pa.concat_tables(parts, promote_options="permissive").to_pandas()
    return table.assign(
        shard=np.repeat([str(shard) for shard in shards], [len(part) for part in parts]),
        row=np.concatenate([np.arange(len(part)) for part in parts]),
    )


def write_rows(path: str | Path, rows: pd.DataFrame) -> None:
    """Write rows of the tables of many shards as one table, with memory for some of them at a time.

    Parameters
    ----------
    path : path
        Parquet file.
    rows : DataFrame
        ``shard`` and ``row`` of each item, as `join_tables` gives them, and columns to be written in the place of those
        of the shards, or beside them.

    Raises
    ------
    ShardError
        As `read_table` and `write_table`.
    """
    schema = _schema_of([table_path(shard) for shard in rows["shard"].unique()], rows)
    with (
        _whole(Path(path)) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for start in range(0, len(rows), _ROWS_TOGETHER):
            writer.write_table(_gathered(rows.iloc[start : start + _ROWS_TOGETHER], schema))


def _gathered(rows: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Rows of the tables of shards, in the order that is given."""
    code, shards = pd.factorize(rows["shard"])
    # Each row of a shard once, in ascending order; then all in the order that is given. To take rows from each of many
    # small tables would cost ten times as much.
    wanted, places = np.unique(np.stack([code, rows["row"].to_numpy()]), axis=1, return_inverse=True)
    parts = []
    for number, shard in enumerate(shards):
        part = _read(table_path(str(shard)))
        parts.append(part.filter(np.isin(np.arange(len(part)), wanted[1, wanted[0] == number])))
    table = pa.concat_tables(parts, promote_options="permissive").take(places)
    own = pa.Table.from_pandas(rows, preserve_index=False)
    columns = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        source = own if name in own.column_names else table
        missing = name not in source.column_names
        columns.append(pa.nulls(len(rows), kind) if missing else source.column(name).cast(kind))
    return pa.table(columns, schema=schema)


def _schema_of(tables: Sequence[Path], rows: pd.DataFrame) -> pa.Schema:
    """Columns of many tables, of a type that holds the values of all, and those of the rows."""
    different: list[pa.Schema] = []
    for path in tables:
        with _readable(path):
            found = pa.schema([f.remove_metadata() for f in pq.read_schema(path)])
        if found not in different:
            different.append(found)
    own = pa.Schema.from_pandas(rows, preserve_index=False)
    fields = {f.name: f for f in pa.unify_schemas(different, promote_options="permissive")}
    fields |= {f.name: f.remove_metadata() for f in own}
    return pa.schema([_with_unit(f) for f in fields.values()])


def _read(path: Path | str, columns: Collection[str] | None = None, known: bool = True) -> pa.Table:
    """A table, or some columns of it; not all of them need to be there where they are not known."""
    with _readable(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        if columns is not None and not known:
            columns = [name for name in file.schema_arrow.names if name in columns]
        return file.read(columns=None if columns is None else list(columns), use_threads=False)


def _with_unit(column: pa.Field) -> pa.Field:
    return column.with_metadata({"unit": UNITS[column.name]}) if UNITS.get(column.name) else column


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """An error of reading a table becomes a sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise ShardError(f"{path}: is missing; delete its shard, if that is there, and run again") from error
    except (OSError, pa.ArrowException) as error:
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
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
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
        If the file is missing or no whole zip, or the table beside it was not written with it.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
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
        return Shard(path, zarr.open_group(ZipStore(path, mode="r"), mode="r"))
    except FileNotFoundError as error:
        raise ShardError(f"{path}: is missing; run the workflow to make it") from error
    except (*_DAMAGE, KeyError) as error:
        raise ShardError(f"{path}: is damaged ({_reason(error)}); delete the file and run again") from error


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
    fields = [_with_unit(f) for f in content.schema]
    content = content.cast(pa.schema(fields, metadata=content.schema.metadata))
    stream = io.BytesIO()
    pq.write_table(content, stream, compression="zstd", write_page_checksum=True)
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    with _whole(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name that becomes ``path`` once its file is whole; what killed runs left of it is cleared.

    An error of writing becomes a sentence.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.part"):
            left.unlink(missing_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                written = temporary.stat().st_size
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ShardError(_cannot_write(path, written, error)) from error


def _cannot_write(path: Path, written: int, error: OSError) -> str:
    reason = error.strerror or _reason(error)
    if error.errno not in _NO_ROOM:
        return f"{path}: cannot be written ({reason}); allowed: a folder that can be written to"
    free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    return (
        f"{path}: cannot be written ({reason}): {written / 1e6:,.2f} MB of it were, and {free / 1e6:,.2f} MB are now "
        "free on its disk; make room there, or raise the quota, and run again"
    )


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _directory_digest(archive: zipfile.ZipFile) -> bytes:
    """Digest of the names, sizes and checksums of all members."""
    members = sorted((info.filename, info.file_size, info.CRC) for info in archive.infolist())
    return _digest(repr(members).encode())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
