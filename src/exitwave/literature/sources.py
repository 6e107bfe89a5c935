"""Files with papers in them: which reader reads which, and what is said of those that cannot be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exitwave.errors import LiteratureError
from exitwave.literature import archives, latex, markup, metadata, pdf
from exitwave.literature.captions import Figure
from exitwave.literature.reading import LARGEST_FILE, Told, failures_told

METADATA = frozenset({".json", ".jsonl", ".ndjson"})
MARKUP = frozenset({".html", ".htm", ".xhtml", ".xml", ".nxml"})
ARCHIVES = frozenset({".tar", ".tgz", ".gz", ".tbz2", ".bz2", ".xz"})
SUFFIXES = frozenset({*METADATA, *MARKUP, *ARCHIVES, ".tex", ".pdf"})
"""Of all files that can be read."""


PARTS, TABLE = ".parts", "figures.parquet"
"""In folders of results: what they are put together of, and the table of all."""


@dataclass(frozen=True)
class Source:
    """A file, or a folder with the LaTeX of one paper.

    Attributes
    ----------
    path : path
    """

    path: Path

    @property
    def is_metadata(self) -> bool:
        """Whether it has papers line by line, and may be long."""
        return self.path.suffix.lower() in METADATA

    def files(self) -> list[Path]:
        """The file, or those of the folder."""
        return [self.path] if self.path.is_file() else sorted(one for one in self.path.rglob("*") if one.is_file())

    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.files())

    def stamp(self) -> str:
        """What tells whether it has changed: names, sizes and times of its files."""
        digest = hashlib.sha256()
        for file in self.files():
            found = file.stat()
            digest.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def find_sources(given: Sequence[Path]) -> list[Source]:
    """Sources that were given, and those in folders, each once.

    A folder with LaTeX files is one paper, with the folders in it; what is in other folders is looked for below them.
    Hidden files and folders, and results of earlier calls, are left out. What does not exist, and a folder without
    any paper, stays in the list, where it is refused like a file that cannot be read.
    """
    found: dict[str, Source] = {}
    for path in given:
        for one in (_below(path) or [path]) if path.is_dir() else [path]:
            found.setdefault(os.path.realpath(one), Source(one))
    return list(found.values())


def _below(top: Path) -> list[Path]:
    papers: list[Path] = []
    for folder, below, names in os.walk(top):
        files = sorted(name for name in names if not name.startswith("."))
        if any(name.lower().endswith(".tex") for name in files):
            papers.append(Path(folder))
            below.clear()
            continue
        below[:] = sorted(one for one in below if not one.startswith(".") and not is_results(Path(folder, one)))
        papers += [Path(folder, name) for name in files if Path(name).suffix.lower() in SUFFIXES]
    return papers


def is_results(folder: Path) -> bool:
    """Whether a folder holds results of earlier calls."""
    return (folder / PARTS).is_dir()


def read_source(path: Path, told: Told) -> Iterator[Figure]:
    """Figures of a paper, or papers of metadata.

    Parameters
    ----------
    path : path
        Of a :class:`Source`.
    told : callable
        Told, in a sentence, of each part that is left out.

    Raises
    ------
    LiteratureError
        If it cannot be read.
    """
    with failures_told(path):
        if path.is_dir():
            if not any(path.glob("*.tex")) and not any(path.glob("*.TEX")):
                raise LiteratureError(f"{path} is a folder without a paper; allowed: files that end in {_allowed()}")
            yield from latex.read_folder(path, told)
            return
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise LiteratureError(f"{path} ends in '{path.suffix}'; allowed: {_allowed()}, or a folder")
        if suffix in METADATA:
            yield from (figure for figure, _ in metadata.read_lines(path, told))
            return
        if suffix in ARCHIVES:
            yield from archives.read_archive(path, told)
            return
        if path.stat().st_size > LARGEST_FILE:
            raise LiteratureError(f"{path} has {path.stat().st_size:,} bytes; allowed: up to {LARGEST_FILE:,}")
        if suffix == ".tex":
            yield from latex.read_file(path, told)
        elif suffix == ".pdf":
            yield from pdf.read_pdf(path)
        else:
            yield from markup.read_markup(path)


def _allowed() -> str:
    return ", ".join(sorted(SUFFIXES))
