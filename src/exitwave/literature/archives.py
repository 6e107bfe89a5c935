"""Papers in archives, as arXiv gives their LaTeX. Nothing is unpacked on the disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from exitwave.errors import LiteratureError
from exitwave.literature.captions import Figure
from exitwave.literature.latex import LARGEST_TEX, check_size, figures_of
from exitwave.literature.reading import Told, decoded

LARGEST_ARCHIVE = 2_000_000_000
"""Bytes that an archive may have unpacked."""
LARGEST_MEMBER = 64_000_000
LARGEST_HEADER = 1_000_000
"""Bytes before a member, which are kept in memory."""
MOST_MEMBERS = 20_000
_AT_ONCE = 1 << 16


def read_archive(path: Path, told: Told) -> Iterator[Figure]:
    """Figures of a paper, or of several in folders of their own, in a tar file; or of one file of LaTeX, compressed."""
    stem = re.sub(r"(?:\.tar)?\.\w+$", "", path.name)
    with _opened(path) as file:
        if not _is_tar(path):
            content = file.read(LARGEST_TEX + 1)
            check_size(len(content), 0, str(path))
            if b"\\begin" not in content:
                raise LiteratureError(f"{path} is no archive and no LaTeX; allowed: tar, or one LaTeX file, compressed")
            yield from figures_of(stem, {"main.tex": decoded(content, str(path), told)}, [], told)
            return
    texts: dict[str, str] = {}
    names: list[str] = []
    total = 0
    for member, stream in _members(path, told):
        names.append(member.name)
        if member.name.lower().endswith(".tex"):
            total += member.size
            check_size(member.size, total, f"{path}: {member.name}")
            texts[member.name] = decoded(stream.read(), f"{path}: {member.name}", told)
    if not texts:
        raise LiteratureError(f"{path} has no LaTeX file in it; allowed: archives with files that end in .tex")
    tops = {PurePosixPath(name).parts[0] for name in texts}
    if len(tops) > 1 and all(len(PurePosixPath(name).parts) > 1 for name in texts):
        for top in sorted(tops):
            inside = {name: text for name, text in texts.items() if PurePosixPath(name).parts[0] == top}
            yield from figures_of(top, inside, [name for name in names if PurePosixPath(name).parts[0] == top], told)
        return
    yield from figures_of(stem, texts, names, told)


def archived(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Content of some members of an archive, in its order."""
    if not wanted or not _is_tar(path):
        return
    for member, stream in _members(path, lambda _: None):
        if member.name in wanted:
            yield member.name, stream.read()


def _members(path: Path, told: Told) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Files of an archive whose names stay within it, one after another."""
    count = 0
    with _opened(path) as file:
        file.limit = LARGEST_HEADER + _AT_ONCE  # the first header is read right away
        archive = tarfile.open(fileobj=file, mode="r|", bufsize=_AT_ONCE)  # noqa: SIM115
        while (member := _next(file, archive)) is not None:
            count += 1
            if count > MOST_MEMBERS:
                raise LiteratureError(f"{path} has more than {MOST_MEMBERS:,} members; allowed: fewer")
            name = PurePosixPath(member.name)
            if member.isdir():
                continue
            if not member.isfile() or member.issparse():
                told(f"{path}: {name} is a link, a device or a file with holes, and left out; allowed: plain files")
                continue
            stream = archive.extractfile(member)
            assert stream is not None  # it is a file
            if name.is_absolute() or ".." in name.parts or "\\" in member.name or not name.parts:
                told(f"{path}: {member.name} leads out of the archive, and is left out")
            elif member.size > LARGEST_MEMBER:
                told(f"{path}: {name} has {member.size:,} bytes, and is left out; allowed: {LARGEST_MEMBER:,}")
            elif not name.name.startswith("."):
                member.name = str(name)
                yield member, stream
            # To the end of it here, so that all that is read between two members is the header of the second.
            while stream.read(_AT_ONCE):
                pass
        while file.read(_AT_ONCE):
            pass
    if file.end.strip(b"\0"):
        raise LiteratureError(f"{path} is cut off: it has no end; allowed: a whole archive, so fetch it again")


def _next(file: _Counted, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    file.limit = file.given + LARGEST_HEADER + _AT_ONCE
    member = archive.next()
    file.limit = LARGEST_ARCHIVE
    return member


class _Counted:
    """A stream that refuses to give more than ``limit`` bytes, however small its file."""

    def __init__(self, stream: Any, path: Path) -> None:
        self.stream, self.path, self.given, self.limit, self.end = stream, path, 0, LARGEST_ARCHIVE, b""

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        content: bytes = self.stream.read(size)
        self.given += len(content)
        self.end = content[-512:] or self.end
        if self.given > LARGEST_ARCHIVE:
            raise LiteratureError(f"{self.path} has more than {LARGEST_ARCHIVE:,} bytes unpacked; allowed: fewer")
        if self.given > self.limit:
            raise LiteratureError(f"{self.path} has more than {LARGEST_HEADER:,} bytes before a member; allowed: fewer")
        return content

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def _opened(path: Path) -> Any:
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return _Counted(gzip.open(path), path)
    if magic.startswith(b"BZh"):
        return _Counted(bz2.open(path), path)
    if magic.startswith(b"\xfd7zXZ\0"):
        return _Counted(lzma.open(path), path)
    return _Counted(path.open("rb"), path)


def _is_tar(path: Path) -> bool:
    if path.suffix.lower() in (".tar", ".tgz", ".tbz2") or ".tar." in path.name:
        return True
    with _opened(path) as file:
        return bool(file.read(512)[257:262] == b"ustar")
