"""What is known of structure files, kept between processes: a study of ten thousand crystals is not to read them anew
each time that Snakemake starts.

Kept is what follows from the content of a file alone, by the digest of that content, in a JSON file a folder of files
below the cache of the user (``XDG_CACHE_HOME``). It may be deleted at any time. What other versions of the readers have
written is not read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

log = logging.getLogger(__name__)
WORTH_KEEPING = 100
"""Files below which reading them again takes less than a second or two."""
_READERS = ("cif", "crystal", "crystal_files", "files", "space_groups")
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
    kept = _kept(store)
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    if new := sum(digest not in kept for digest in digests):
        log.info("%s: reading %d structure files, once", folder, new)
    found = [kept.get(digest) or learn(path) for digest, path in zip(digests, paths, strict=True)]
    if new:
        _keep(store, kept | dict(zip(digests, found, strict=True)))
    return found


def _store(folder: str | PurePath, about: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    key = hashlib.blake2b(f"{Path(folder).resolve()}\n{about}\n{_readers()}".encode(), digest_size=12).hexdigest()
    return Path(base) / "exitwave" / "structure_files" / f"{key}.json"


@cache
def _readers() -> str:
    """What other versions of the readers differ in."""
    ours = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in _READERS]
    libraries = " ".join(version(name) for name in ("ase", "spglib", "numpy"))
    return f"{hashlib.sha256(b''.join(ours)).hexdigest()} {libraries}"


def _kept(store: Path) -> dict[str, Known]:
    try:
        found = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(store: Path, known: dict[str, Known]) -> None:
    unfinished = store.with_name(f".{store.name}.{os.getpid()}")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(known), encoding="utf-8")
        unfinished.replace(store)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        log.debug("%s: cannot be written (%s), so that the files are read each time", store, error.strerror)
