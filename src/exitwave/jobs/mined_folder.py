"""The folder of what was mined: parts that are finished, and the tables that are put together of them.

A part is a Parquet file with the rows of a source, or of some thousand lines of metadata. It says of itself of which
state of the source it is, where the next one begins, what was left out, and which images were taken. So a run that was
killed goes on after its last part, and a source that has not changed is not read again.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from exitwave.data.whole import whole_file
from exitwave.errors import LiteratureError
from exitwave.literature.captions import Row
from exitwave.literature.metadata import address_of
from exitwave.literature.sources import PARTS, TABLE

RULES = 1
"""Raised where the same text gives other rows, so that it is read again."""
CSV, LEFT_OUT, LINKS, IMAGES, INDEX = "figures.csv", "left_out.csv", "links.txt", "images", "index.csv"
_LISTS = ("graphic", "technique", "formulas", "names", "elements")
SCHEMA = pa.schema(
    [
        pa.field(one.name, pa.bool_() if one.name == "simulated" else pa.list_(pa.string()))
        if one.name in (*_LISTS, "simulated")
        else pa.field(one.name, pa.string())
        for one in fields(Row)
    ]
    + [pa.field("source", pa.string())]
)
_INDEX = ("image", "mask", "pixel_size", "group", "figure", "technique", "simulated", "formulas", "elements", "caption")
_ABOUT = b"exitwave"


@dataclass(frozen=True)
class Part:
    """What a part says of itself.

    Attributes
    ----------
    source : str
        As it was given.
    stamp : str
        State of the source.
    following : int, optional
        Byte where the next part begins; None after the last one.
    left_out : list of str
        Sentences.
    images : list of dict
        Rows of the index of images.
    papers : int
        That it has rows of.
    rules : int
    """

    source: str
    stamp: str
    following: int | None
    left_out: list[str]
    images: list[dict[str, Any]]
    papers: int
    rules: int = RULES


class MinedFolder:
    """A folder for what is mined.

    Parameters
    ----------
    path : path

    Raises
    ------
    LiteratureError
        If it has other tables of these names.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.parts = path, path / PARTS
        if not self.parts.is_dir():
            for name in (TABLE, CSV, LEFT_OUT, LINKS, IMAGES):
                if (path / name).exists():
                    raise LiteratureError(f"{path / name} is not of exitwave mine; allowed: another --output")

    def folder_of(self, source: Path) -> Path:
        """Where the parts of a source are."""
        return self.parts / key_of(source)

    def known(self, source: Path, stamp: str) -> list[Part]:
        """Parts of a source as it is now, without gaps; others of it are removed."""
        found: list[Part] = []
        folder = self.folder_of(source)
        for file in sorted(folder.glob("*.parquet")):
            part = _about(file)
            follows = not found or found[-1].following is not None
            if part and (part.stamp, part.rules) == (stamp, RULES) and file.stem == f"{len(found):06}" and follows:
                found.append(part)
            else:
                for image in part.images if part else []:
                    (self.path / IMAGES / image["image"]).unlink(missing_ok=True)
                file.unlink(missing_ok=True)
        return found

    def add(self, source: Path, number: int, part: Part, rows: Sequence[Row]) -> None:
        """Write a part."""
        table = pa.Table.from_pylist([{**asdict(row), "source": part.source} for row in rows], schema=SCHEMA)
        table = table.replace_schema_metadata({_ABOUT: json.dumps(asdict(part))})
        with whole_file(self.folder_of(source) / f"{number:06}.parquet") as unfinished:
            pq.write_table(table, unfinished, compression="zstd")

    def put_together(self, refused: Sequence[tuple[str, str]], links: bool) -> None:
        """Write the tables of all parts, with one part in memory at a time.

        Parameters
        ----------
        refused : sequence of (str, str)
            Sources that could not be read, and why.
        links : bool
            Whether to write the addresses of the papers of arXiv that name a technique, those of a source once.

        Raises
        ------
        LiteratureError
            If a part is damaged.
        WriteError
            If a table cannot be written.
        """
        with ExitStack() as stack:

            def text(name: str) -> TextIO:
                unfinished = stack.enter_context(whole_file(self.path / name))
                return stack.enter_context(unfinished.open("w", encoding="utf-8", newline=""))

            whole = stack.enter_context(whole_file(self.path / TABLE))
            rows = stack.enter_context(pq.ParquetWriter(whole, SCHEMA, compression="zstd"))
            words, left_out = csv.writer(text(CSV)), csv.writer(text(LEFT_OUT))
            index = csv.DictWriter(text(f"{IMAGES}/{INDEX}"), _INDEX) if (self.path / IMAGES).is_dir() else None
            addresses = text(LINKS) if links else None
            words.writerow(SCHEMA.names)
            left_out.writerows([("source", "reason"), *refused])
            if index:
                index.writeheader()
            last = None
            for file in sorted(self.parts.glob("*/*.parquet")):
                part, table = _about(file), _rows_of(file)
                if part is None:
                    raise LiteratureError(_damaged(file))
                rows.write_table(table)
                left_out.writerows((part.source, one) for one in part.left_out)
                if index:
                    index.writerows(part.images)
                for row in table.to_pylist():
                    words.writerow([_in_words(row[name]) for name in SCHEMA.names])
                    if addresses and row["paper"] != last and row["technique"] != ["other"]:
                        address, last = address_of(row["paper"]), row["paper"]
                        addresses.write(f"{address}\n" if address else "")


def key_of(source: Path) -> str:
    """What a source is known by, wherever it is called from."""
    return hashlib.sha256(os.path.realpath(source).encode(errors="surrogateescape")).hexdigest()[:16]


def _about(file: Path) -> Part | None:
    """What a part says of itself; None if it is damaged."""
    try:
        return Part(**json.loads(pq.read_schema(file).metadata[_ABOUT]))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _rows_of(file: Path) -> pa.Table:
    try:
        table = pq.read_table(file, partitioning=None).replace_schema_metadata(None)
        table.validate(full=True)
    except (OSError, ValueError) as error:
        raise LiteratureError(_damaged(file)) from error
    return table


def _damaged(file: Path) -> str:
    return f"{file} is damaged; delete it and run again, which reads its source again"


def _in_words(value: Any) -> str:
    return "; ".join(value) if isinstance(value, list) else str(value)
