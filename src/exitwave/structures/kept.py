"""What is kept between processes: JSON below the cache of the user, which may be deleted at any time.

The cache is ``exitwave`` below ``XDG_CACHE_HOME``. What cannot be read is as if it were not there, and where nothing
can be written nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def place_of(*parts: str) -> Path:
    """Where something is kept: path below the cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base, "exitwave", *parts)


def versions_of(modules: Iterable[str], libraries: Iterable[str]) -> str:
    """What else a result depends on: the text of modules beside this one, and versions of libraries."""
    ours = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in modules]
    return f"{hashlib.sha256(b''.join(ours)).hexdigest()} {' '.join(version(name) for name in libraries)}"


def kept(store: Path) -> dict[str, Any]:
    """What a store holds; nothing if it is missing or damaged."""
    try:
        found = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keep(store: Path, content: dict[str, Any]) -> None:
    """Write a store; a reader finds the old or the new content."""
    unfinished = store.with_name(f".{store.name}.{os.getpid()}")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        unfinished.replace(store)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        log.debug("%s: cannot be written (%s), so that it is made each time", store, error.strerror)
