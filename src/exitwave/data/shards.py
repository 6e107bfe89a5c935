"""Shards: single-file stores of arrays with a table beside them, whole or not there at all.

A shard is a zipped Zarr store (``.zarr.zip``) with one Parquet file of metadata, one row an item.
Both are written to a temporary name and renamed; the zip holds no times, so that the same content is
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LARGEST_CHUNK = 2**30
"""Bytes; Blosc compresses less than 2 GiB at once."""
_BLOCK = 2**20
"""Bytes; Blosc's own choice is smaller and compresses exit waves by 5-10 % less."""


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
            node = self.group[name]
            if isinstance(node, zarr.Group):
                return np.asarray(node[str(int(index))][...])
            return np.asarray(node[index])
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

    Raises
    ------
    ShardError
        If a file cannot be written: disk full, quota, permissions.
    """
    path = Path(path)
    store = MemoryStore()
    group = zarr.create_group(store=store, attributes=attributes)
    for name, values in arrays.items():
        codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=values.dtype.itemsize, blocksize=_BLOCK)
        group.create_array(name, data=values, chunks=_chunks(values), compressors=codec)
    members = store._store_dict
    rows = _parquet(table)
    _write(table_path(path), rows)
    size = sum(len(content) for content in members.values())
    with _whole(path, size) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for key in sorted(members):
            archive.writestr(zipfile.ZipInfo(key, EPOCH), members[key].to_bytes())
        archive.comment = _digest(rows) + b" " + _directory_digest(archive)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically, with the unit of every column in its field metadata.

    Raises
    ------
    ShardError
        If the file cannot be written: disk full, quota, permissions.
    """
    _write(Path(path), _parquet(table))


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
    except FileNotFoundError as error:
        raise ShardError(f"{path}: is missing; delete its shard, if that is there, and run again") from error
    except (OSError, pa.ArrowException) as error:
        raise ShardError(
            f"{path}: cannot be read ({_reason(error)}); delete it with its shard and run again"
        ) from error


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


def _chunks(values: np.ndarray) -> tuple[int, ...]:
    """One chunk an item, or for items too large a chunk for each part of it."""
    chunks = [max(1, edge) for edge in values.shape]
    if values.ndim > 2:
        chunks[0] = 1
        for axis in range(1, values.ndim):
            if math.prod(chunks) * values.dtype.itemsize > _LARGEST_CHUNK:
                chunks[axis] = 1
    return tuple(chunks)


def _parquet(table: pd.DataFrame) -> bytes:
    """A table as the content of a Parquet file."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    fields = [f.with_metadata({"unit": UNITS[f.name]}) if UNITS.get(f.name) else f for f in content.schema]
    content = content.cast(pa.schema(fields, metadata=content.schema.metadata))
    stream = io.BytesIO()
    pq.write_table(content, stream, compression="zstd", write_page_checksum=True)
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    with _whole(path, len(content)) as temporary:
        temporary.write_bytes(content)


@contextmanager
def _whole(path: Path, size: int) -> Iterator[Path]:
    """A temporary name that becomes ``path`` once its file is whole; what killed runs left of it is cleared.

    An error of writing becomes a sentence; ``size`` [bytes] is about what the file needs.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
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
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ShardError(_cannot_write(path, size, error)) from error


def _cannot_write(path: Path, size: int, error: OSError) -> str:
    reason = error.strerror or _reason(error)
    if error.errno not in _NO_ROOM:
        return f"{path}: cannot be written ({reason}); allowed: a folder that can be written to"
    free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    return (
        f"{path}: cannot be written ({reason}): it needs {size / 1e6:,.2f} MB, and {free / 1e6:,.2f} MB are free on "
        "its disk; make room there, or raise the quota, and run again"
    )


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _directory_digest(archive: zipfile.ZipFile) -> bytes:
    """Digest of the names, sizes and checksums of all members."""
    members = sorted((info.filename, info.file_size, info.CRC) for info in archive.infolist())
    return _digest(repr(members).encode())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
