"""What readers of papers share: sentences about what cannot be read, and the text of files."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path

from exitwave.errors import ExitwaveError, LiteratureError

LARGEST_FILE = 256_000_000
"""Bytes of a file that is read as a whole: HTML, XML, PDF."""

Told = Callable[[str], None]
"""Told, in a sentence, what is left out."""


@contextmanager
def failures_told(path: Path) -> Iterator[None]:
    """Failures of the body, which reads a file, become one sentence; those of writing stay what they are."""
    try:
        yield
    except LiteratureError as error:
        told = str(error)
        if str(path) in told:
            raise
        raise LiteratureError(f"{path}: {told}") from error
    except ExitwaveError:
        raise
    except FileNotFoundError as error:
        raise LiteratureError(f"{path} does not exist; allowed: files and folders that do") from error
    except MemoryError as error:
        raise LiteratureError(f"{path} cannot be read: there is not enough memory for it") from error
    except (EOFError, tarfile.ReadError, zlib.error, LZMAError) as error:
        raise LiteratureError(
            f"{path} is cut off or damaged ({_reason(error)}); allowed: a whole file, so fetch it again"
        ) from error
    except Exception as error:
        # Damaged files make the readers fail in as many ways as there are readers.
        raise LiteratureError(f"{path} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def decoded(content: bytes, name: str, told: Told) -> str:
    """Text of a file, in UTF-8 or else in Latin-1, of which is told."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        told(f"{name}: byte {error.start:,} is no UTF-8; it is read as Latin-1")
        return content.decode("latin-1")
