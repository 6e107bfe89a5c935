"""Files that are whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from exitwave.errors import WriteError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: str | Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name and rename it, so that whoever is killed leaves no half of it.

    Parameters
    ----------
    path : path
        File to write; its folder is made if it does not exist.
    write : callable
        Writes to the path that it is given, whose suffix says nothing.

    Raises
    ------
    WriteError
        If it cannot be written: disk full, quota, permissions.
    """
    with whole_file(path) as unfinished:
        write(unfinished)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary name that becomes ``path`` once its file is whole; what killed runs left of it is cleared.

    Parameters
    ----------
    path : path
        File to write; its folder is made if it does not exist.

    Raises
    ------
    WriteError
        If the body, or the renaming, ends with an error of the system.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.part"):
            left.unlink(missing_ok=True)
        try:
            yield unfinished
            with unfinished.open("rb+") as stream:
                os.fsync(stream.fileno())
            unfinished.replace(path)
        finally:
            with suppress(OSError):
                written = unfinished.stat().st_size
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(_cannot_write(path, written, error)) from error


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with a digest of all of them, as ``sha256``."""
    return {**content, "sha256": _digest(content)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What was sealed; of an earlier version, which had no digest, as it is.

    Raises
    ------
    ValueError
        If it is not what was sealed.
    """
    plain = {key: value for key, value in content.items() if key != "sha256"}
    if content.get("sha256", _digest(plain)) != _digest(plain):
        raise ValueError("its checksum differs")
    return plain


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _cannot_write(path: Path, written: int, error: OSError) -> str:
    # By its number, since Arrow has words of its own.
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split()) or type(error).__name__
    if error.errno not in _NO_ROOM:
        return f"{path}: cannot be written ({reason}); allowed: a folder that can be written to"
    free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    return (
        f"{path}: cannot be written ({reason}): {written / 1e6:,.2f} MB of it were, and {free / 1e6:,.2f} MB are now "
        "free on its disk; make room there, or raise the quota, and run again"
    )
