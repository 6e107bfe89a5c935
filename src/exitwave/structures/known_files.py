"""What is known of structure files, kept between processes: a study of ten thousand crystals is not to read them anew
each time that Snakemake starts.

Kept is what follows from the content of a file alone, by the digest of that content, in a JSON file a folder of files
below the cache of the user (``XDG_CACHE_HOME``). It may be deleted at any time. What other versions of the readers have
written is not read.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from exitwave.structures.kept import keep, kept, place_of, versions_of

log = logging.getLogger(__name__)
WORTH_KEEPING = 100
"""Files below which reading them again takes less than a second or two."""
_READERS = (
    "cif",
    "crystal",
    "crystal_files",
    "files",
    "lattice2d",
    "layer_groups",
    "monolayer_files",
    "reading",
    "space_groups",
    "standard",
)
"""Modules that what is known of a file depends on."""

Known = dict[str, Any]
"""What is known of a file, in plain values."""


def known_of(paths: Sequence[str], folder: str | PurePath, about: str, learn: Callable[[str], Known]) -> list[Known]:
    """What is known of each file; read are those of which nothing is kept.

    Parameters
    ----------
    paths : sequence of str
        Files.
    folder : path
        The folder that they are of, or the file.
    about : str
        How they are read, where there are several ways.
    learn : callable
        Reads a file. An error that it raises is passed on, and nothing is kept then.
    """
    if len(paths) < WORTH_KEEPING:
        return [learn(path) for path in paths]
    store = _store(folder, about)
    known = kept(store)
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    if new := sum(digest not in known for digest in digests):
        log.info("%s: reading %d structure files, once", folder, new)
    found = [known.get(digest) or learn(path) for digest, path in zip(digests, paths, strict=True)]
    if new:
        keep(store, known | dict(zip(digests, found, strict=True)))
    return found


def _store(folder: str | PurePath, about: str) -> Path:
    key = hashlib.blake2b(f"{Path(folder).resolve()}\n{about}\n{_readers()}".encode(), digest_size=12).hexdigest()
    return place_of("structure_files", f"{key}.json")


@cache
def _readers() -> str:
    """What other versions of the readers differ in."""
    return versions_of(_READERS, ("ase", "spglib", "numpy"))
