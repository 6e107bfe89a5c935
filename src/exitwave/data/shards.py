"""Shards: single-file stores of arrays with a table beside them, whole or not there at all.

A shard is a zipped Zarr store (``.zarr.zip``) with one Parquet file of metadata, one row an item.
Both are written to a temporary name and renamed; the zip holds no times, so that the same content is
the same bytes. Each member of the zip carries a CRC-32, checked at every read, and the zip's comment a
digest of its directory, checked at opening: Zarr alone reads a member that was lost as zeros. The pages
of a table carry checksums too.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

EPOCH = (1980, 1, 1, 0, 0, 0)
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError)
"""What reading a damaged zip, or a damaged array within it, raises."""


@dataclass(frozen=True)
class Shard:
    """An open shard: arrays that are read when indexed, and attributes."""

    path: Path
    group: zarr.Group

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.group.attrs)

    def read(self, name: str, index: Any = slice(None)) -> np.ndarray:
        """Read a part of one array.

        Raises
        ------
        ShardError
            If the array is not there or the file is damaged, naming file and item.
        """
        try:
            return np.asarray(self.group[name][index])
        except KeyError as error:
            raise ShardError(f"{self.path}: holds no array '{name}'; it has {', '.join(self.group)}") from error
        except _DAMAGE as error:
            item = "" if isinstance(index, slice) else f", item {index}"
            raise ShardError(
                f"{self.path}: array '{name}'{item} is damaged ({_reason(error)}); delete the file and run again"
            ) from error


def table_path(shard: str | Path) -> Path:
    """The table that stands beside a shard."""
    return Path(str(shard).removesuffix(".zarr.zip") + ".parquet")


def write_shard(
    path: str | Path, arrays: dict[str, np.ndarray], table: pd.DataFrame, attributes: dict[str, Any]
) -> None:
    """Write a shard and its table; neither is seen before it is whole.

    Parameters
    ----------
    path : path
        Ends in ``.zarr.zip``; the table gets the same name with ``.parquet``.
    arrays : dict of ndarray
        Those of three and more dimensions have one chunk an item along the first axis, others one chunk.
    table : DataFrame
        One row an item.
    attributes : dict
        JSON-able attributes of the store: units, provenance.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    store = MemoryStore()
    group = zarr.create_group(store=store, attributes=attributes)
    for name, values in arrays.items():
        shuffle = "bitshuffle" if values.dtype.kind in "fc" else "shuffle"
        size = 4 if values.dtype.kind == "c" else values.dtype.itemsize
        group.create_array(
            name,
            data=values,
            chunks=(1, *values.shape[1:]) if values.ndim > 2 else tuple(max(1, n) for n in values.shape),
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle=shuffle, typesize=size),
        )
    write_table(table_path(path), table)
    with _whole(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(store._store_dict):
            archive.writestr(zipfile.ZipInfo(key, EPOCH), store._store_dict[key].to_bytes())
        archive.comment = _directory_digest(archive)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically, with the unit of every column in its field metadata."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = pa.Table.from_pandas(table, preserve_index=False)
    fields = [f.with_metadata({"unit": UNITS[f.name]}) if UNITS.get(f.name) else f for f in content.schema]
    content = content.cast(pa.schema(fields, metadata=content.schema.metadata))
    with _whole(path) as temporary:
        pq.write_table(content, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table.

    Raises
    ------
    ShardError
        If the file is missing or damaged.
    """
    try:
        table: pd.DataFrame = pq.read_table(path, page_checksum_verification=True, partitioning=None).to_pandas()
        return table
    except (OSError, pa.ArrowException) as error:
        raise ShardError(f"{path}: cannot be read ({error}); delete it with its shard and run again") from error


def open_shard(path: str | Path) -> Shard:
    """Open a shard for reading.

    Raises
    ------
    ShardError
        If the file is missing or no whole zip.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            # A store that Zarr or another tool wrote has no digest.
            if archive.comment and archive.comment != _directory_digest(archive):
                raise ShardError(f"{path}: is damaged (its directory has changed); delete the file and run again")
        return Shard(path, zarr.open_group(ZipStore(path, mode="r"), mode="r"))
    except FileNotFoundError as error:
        raise ShardError(f"{path}: is missing; run the workflow to make it") from error
    except (*_DAMAGE, KeyError) as error:
        raise ShardError(f"{path}: is damaged ({_reason(error)}); delete the file and run again") from error


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name that becomes ``path`` once its file is whole; what killed runs left of it is cleared."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _directory_digest(archive: zipfile.ZipFile) -> bytes:
    """Digest of the names, sizes and checksums of all members."""
    members = sorted((info.filename, info.file_size, info.CRC) for info in archive.infolist())
    return hashlib.sha256(repr(members).encode()).hexdigest().encode()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
