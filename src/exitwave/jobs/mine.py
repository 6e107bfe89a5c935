"""Mining papers that a person has: figures and captions become a table, and local images a folder of images."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from exitwave.benchmark.pages import SUFFIXES
from exitwave.data.whole import replace_file
from exitwave.errors import LiteratureError, MicrographError
from exitwave.jobs.mined_folder import IMAGES, MinedFolder, Part, key_of
from exitwave.literature.archives import archived
from exitwave.literature.captions import Row, rows_of
from exitwave.literature.metadata import read_lines
from exitwave.literature.reading import failures_told
from exitwave.literature.sources import ARCHIVES, Source, read_source

log = logging.getLogger(__name__)
PAPERS_TOGETHER = 5_000
"""Rows of metadata in a part."""
MOST_TOLD = 3
"""Sentences of a source that go to the terminal; all are in the table of what was left out."""
MOST_KEPT = 1_000
"""Sentences of a part that are kept."""
LARGEST_IMAGE = 256_000_000
"""Bytes of an image."""
Progress = Callable[[int], None]
"""Told how many bytes of a source are done."""


@dataclass(frozen=True)
class Mined:
    """What came of one source.

    Attributes
    ----------
    source : path
    done : bool
        Whether it was read.
    told : str
        One sentence: what was found, or why it could not be read.
    left_out : tuple of str
        The first sentences on parts of it that were left out.
    papers, rows, images : int
    """

    source: Path
    done: bool
    told: str
    left_out: tuple[str, ...] = ()
    papers: int = 0
    rows: int = 0
    images: int = 0


def mine_sources(
    sources: Sequence[Source], output: Path, links: bool = False, progress: Callable[[int, int], None] | None = None
) -> Iterator[Mined]:
    """Read sources, one after another, and write what is found; see `exitwave.jobs.mined_folder`.

    Parameters
    ----------
    sources : sequence of Source
        As of :func:`exitwave.literature.sources.find_sources`.
    output : path
        Folder of results. What other sources have there stays.
    links : bool
        Whether to write the addresses of papers of arXiv.
    progress : callable, optional
        Told how many bytes are done, and of how many.

    Yields
    ------
    Mined
        Of each source, once its rows are written. One that cannot be read costs none of the others. The tables of all
        follow the last one.

    Raises
    ------
    LiteratureError
        If the folder has other tables, or one of its parts is damaged.
    WriteError
        If it cannot be written to.
    """
    folder = MinedFolder(output)
    sizes = [source.size() if source.path.exists() else 0 for source in sources]
    refused, begun = [], 0
    for source, size in zip(sources, sizes, strict=True):

        def done(place: int, begun: int = begun) -> None:
            if progress:
                progress(begun + place, sum(sizes))

        try:
            with failures_told(source.path):
                mined = _mine(source, folder, done)
        except LiteratureError as error:
            mined = Mined(source.path, False, str(error))
            refused.append((str(source.path), str(error)))
        begun += size
        done(size, begun - size)
        yield mined
    folder.put_together(refused, links)


@dataclass
class _Gathered:
    """What is found until it is written as a part."""

    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    papers: set[str] = field(default_factory=set)

    def leave_out(self, told: str) -> None:
        """Keep a sentence on what is left out, unless there are too many."""
        if len(self.left_out) < MOST_KEPT:
            self.left_out.append(told)
        elif len(self.left_out) == MOST_KEPT:
            self.left_out.append(f"{told.partition(': ')[0]}: more than {MOST_KEPT:,} parts are left out")


def _mine(source: Source, folder: MinedFolder, progress: Progress) -> Mined:
    path = source.path
    if not path.exists():
        raise FileNotFoundError(path)
    stamp = source.stamp()
    parts = folder.known(path, stamp)
    there = bool(parts) and parts[-1].following is None
    rows = 0
    while not parts or parts[-1].following is not None:
        start = parts[-1].following or 0 if parts else 0
        found = _Gathered()
        if source.is_metadata:
            following, images = _gather_lines(path, start, found, progress), []
        else:
            for figure in read_source(path, found.leave_out):
                found.papers.add(figure.paper)
                found.rows += rows_of(figure)
            following, images = None, _take_images(path, folder.path, found)
        part = Part(str(path), stamp, following, found.left_out, images, len(found.papers))
        folder.add(path, len(parts), part, found.rows)
        parts.append(part)
        rows += len(found.rows)
    papers, pictures = sum(part.papers for part in parts), sum(len(part.images) for part in parts)
    if there:
        return Mined(path, True, f"{path}: already there", papers=papers, images=pictures)
    left_out = [one for part in parts for one in part.left_out]
    if len(left_out) > MOST_TOLD:
        left_out = [*left_out[:MOST_TOLD], f"{path}: {len(left_out) - MOST_TOLD:,} more like these in left_out.csv"]
    told = f"{path}: {counted(papers, 'paper')}, {counted(rows, 'row')}"
    told += f", {counted(pictures, 'image')}" if pictures else ""
    return Mined(path, True, told, tuple(left_out), papers, rows, pictures)


def counted(number: int, what: str) -> str:
    """A number of things in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _gather_lines(path: Path, start: int, found: _Gathered, progress: Progress) -> int | None:
    """Papers of metadata for a part; the byte where the next one begins."""
    for paper, place in read_lines(path, found.leave_out, start):
        found.papers.add(paper.paper)
        found.rows += rows_of(paper)
        if len(found.rows) % 200 == 0:
            progress(place)
        if len(found.rows) >= PAPERS_TOGETHER:
            return place
    return None


def _take_images(path: Path, output: Path, found: _Gathered) -> list[dict[str, Any]]:
    """Copy images of microscopes that a source has, and say what they show, for the index of a benchmark folder.

    Those of figures that show calculations alone are left out, and so are those that cannot be read as images.
    """
    wanted: dict[str, list[Row]] = {}
    for row in found.rows:
        for graphic in row.graphic:
            wanted.setdefault(graphic, []).append(row)
    wanted = {
        graphic: rows
        for graphic, rows in wanted.items()
        if any(row.technique != ("other",) and not row.simulated for row in rows)
        and PurePosixPath(graphic).suffix.lower() in SUFFIXES
        and "://" not in graphic
    }
    index: list[dict[str, Any]] = []
    for graphic, content in _contents(path, wanted):
        rows = wanted[graphic]
        name = _name_of(rows[0], graphic, path, len(index))
        if (problem := _take_image(output / IMAGES / name, graphic, content)) is not None:
            found.leave_out(f"{path}: {problem}; it does not come into the folder {IMAGES}")
            continue
        index.append(
            {
                "image": name,
                "group": rows[0].paper,
                "figure": rows[0].figure,
                "technique": _joined(one for row in rows for one in row.technique if one != "other"),
                "simulated": any(row.simulated for row in rows),
                "formulas": _joined(one for row in rows for one in row.formulas),
                "elements": _joined(one for row in rows for one in row.elements),
                "caption": rows[0].caption,
            }
        )
    return index


def _contents(path: Path, wanted: dict[str, list[Row]]) -> Iterator[tuple[str, bytes]]:
    """Images that are there, with their bytes."""
    if path.suffix.lower() in ARCHIVES and path.is_file():
        yield from archived(path, wanted)
        return
    folder = (path if path.is_dir() else path.parent).resolve()
    for graphic in wanted:
        file = (folder / graphic).resolve()
        if file.is_relative_to(folder) and file.is_file() and file.stat().st_size <= LARGEST_IMAGE:
            yield graphic, file.read_bytes()


def _name_of(row: Row, graphic: str, path: Path, number: int) -> str:
    """Name for a copy of an image that no other one has."""
    plain = re.sub(r"[^\w.-]+", "_", f"{row.paper}_fig{row.figure}")[:100].lstrip(".")
    return f"{plain}_{key_of(path)[:6]}_{number + 1}{PurePosixPath(graphic).suffix.lower()}"


def _take_image(place: Path, graphic: str, content: bytes) -> str | None:
    """Write an image, once it is known that it can be read; else why it cannot."""
    from exitwave.benchmark.readers import open_micrographs

    with TemporaryDirectory() as folder:
        trial = Path(folder, f"image{place.suffix}")
        trial.write_bytes(content)
        try:
            open_micrographs(trial).read(pixel_size=1.0)
        except MicrographError as error:
            return str(error).replace(str(trial), graphic)
    replace_file(place, lambda unfinished: unfinished.write_bytes(content))
    return None


def _joined(values: Iterator[str]) -> str:
    return "; ".join(dict.fromkeys(values))
