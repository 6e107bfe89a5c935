"""Tables of metadata: Parquet files with units, a digest of all their bytes, and a place where they belong."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from exitwave.data.columns import UNITS
from exitwave.data.whole import replace_file, whole_file
from exitwave.errors import ShardError

_OF_ITEMS = re.compile(r"(?:^|/)([a-z_]+)/[^/]+-([0-9a-f]{8})/shard-(\d+)-(\d+)\.[a-z.]+$")
_OF_DATASET = re.compile(r"(?:^|/)datasets/[^/]+-([0-9a-f]{8})/manifest\.parquet$")
_OF_BENCHMARK = re.compile(
    r"(?:^|/)benchmarks/[^/]+-([0-9a-f]{8})/(?:baselines|summary|per_image|by|[^/]+/seed-(\d+))\.[a-z.]+$"
)
"""Where the results of the stages stand."""
_LATER = ("benchmark_hash", "seed")
"""Columns that not all tables of earlier versions have."""
_SEAL = b"sha256 "
"""Before the digest of a table, in its metadata: of the file with zeros for the digest."""
_UNSEALED = {"exitwave": _SEAL + b"0" * 64}
LEAST_ROOM, MOST_PACKED = 2**28, 1000
"""Bytes that an array or a table may have, and how many times those of its file, where it has more."""
_PART = 2**22
"""Bytes of a file that are read at a time."""
_ROWS_TOGETHER = 2**15
"""Rows of joined tables that are held at once, and stand together in the file."""


def table_path(shard: str | Path) -> Path:
    """The table that stands beside a shard."""
    return Path(str(shard).removesuffix(".zarr.zip") + ".parquet")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically, with the unit of every column in its field metadata.

    Raises
    ------
    WriteError
        If the file cannot be written: disk full, quota, permissions.
    """
    content = table_bytes(table)
    replace_file(path, lambda unfinished: unfinished.write_bytes(content))


def table_bytes(table: pd.DataFrame) -> bytes:
    """A table as the content of a Parquet file."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    fields = [_with_unit(f) for f in content.schema]
    content = content.cast(pa.schema(fields, metadata={**content.schema.metadata, **_UNSEALED}))
    stream = io.BytesIO()
    pq.write_table(content, stream, compression="zstd", write_page_checksum=True)
    whole = stream.getvalue()
    start = whole.rindex(_SEAL) + len(_SEAL)
    return whole[:start] + digest_of(whole) + whole[start + 64 :]


def read_table(path: str | Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Read a table, or those of some columns that it has.

    Raises
    ------
    ShardError
        If the file is missing or damaged, or stands in the place of another.
    """
    with _readable(path):
        table: pd.DataFrame = _read(path, columns).to_pandas()
    return table


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
    parts = [_read(table_path(shard), columns) for shard in shards]
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
        As `read_table`.
    WriteError
        As `write_table`.
    """
    schema = _schema_of([table_path(shard) for shard in rows["shard"].unique()], rows)
    with whole_file(path) as unfinished:
        with pq.ParquetWriter(unfinished, schema, compression="zstd", write_page_checksum=True) as writer:
            for start in range(0, len(rows), _ROWS_TOGETHER):
                writer.write_table(_gathered(rows.iloc[start : start + _ROWS_TOGETHER], schema))
        found = _seal_of(unfinished)
        assert found is not None
        with unfinished.open("rb+") as file:
            file.seek(found[0])
            file.write(found[2])


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
    return pa.schema([_with_unit(f) for f in fields.values()], metadata=_UNSEALED)


def _with_unit(column: pa.Field) -> pa.Field:
    return column.with_metadata({"unit": UNITS[column.name]}) if UNITS.get(column.name) else column


def _read(path: Path | str, columns: Collection[str] | None = None) -> pa.Table:
    """A table, or those of some columns that it has, once it is known to be whole and where it belongs."""
    place = belongs_to(path)
    with _readable(path):
        _check_seal(Path(path))
        file = pq.ParquetFile(path, page_checksum_verification=True)
        _check_size(path, file.metadata)
        stored = file.schema_arrow.names
        named = None if columns is None else [name for name in stored if name in columns or name in place]
        table = file.read(columns=named, use_threads=False)
        table.validate()
        found = {name: sorted(table.column(name).unique().to_pylist()) for name in place if name in stored}
    for column, expected in place.items():
        if len(table) and (column in found or column not in _LATER):
            check_place(Path(path), column, expected, found.get(column, ["none"]))
    return table if columns is None else table.select([name for name in stored if name in columns])


def _check_size(path: str | Path, facts: pq.FileMetaData) -> None:
    """Refuse a table that needs more room than its file can stand for."""
    if 8 * facts.num_rows * facts.num_columns > max(LEAST_ROOM, MOST_PACKED * Path(path).stat().st_size):
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
            f"{path}: cannot be read ({reason_of(error)}); delete it with its shard and run again"
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


def check_place(path: Path, column: str, expected: list[Any], found: list[Any]) -> None:
    """Refuse a file that belongs elsewhere."""
    if found != expected:
        told = [f"{values[0]} to {values[-1]}" if len(values) > 1 else str(values[0]) for values in (found, expected)]
        raise ShardError(
            f"{path}: is another one: found {column} {told[0]}; allowed: {told[1]}; delete it, with the table or shard "
            "of its name, and run again"
        )


def _check_seal(path: Path) -> None:
    """Refuse a table of which any byte is another than was written; one of another tool has no digest."""
    found = _seal_of(path)
    if found is not None and found[1] != found[2]:
        raise OSError("its checksum differs")


def _seal_of(path: Path) -> tuple[int, bytes, bytes] | None:
    """Where in a table its digest stands, what stands there, and what ought to; nothing where there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        footer = 8 + int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - footer))
        end = file.read()
        place = end.rfind(_SEAL) + len(_SEAL)
        if place < len(_SEAL):
            return None
        digest, left = hashlib.sha256(), size - len(end)
        file.seek(0)
        while left > 0 and (part := file.read(min(left, _PART))):
            digest.update(part)
            left -= len(part)
    digest.update(end[:place] + b"0" * 64 + end[place + 64 :])
    return size - len(end) + place, end[place : place + 64], digest.hexdigest().encode()


def digest_of(content: bytes) -> bytes:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest().encode()


def reason_of(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
