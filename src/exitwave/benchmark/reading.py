"""What readers of files fail with, said in one sentence, and shapes in words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exitwave.errors import ExitwaveError, MicrographError


@contextmanager
def failures_told(path: Path, kind: type[ExitwaveError]) -> Iterator[None]:
    """Failures of the body, which reads a file, become errors of a kind, of one sentence; warnings are left out.

    Parameters
    ----------
    path : path
        The file.
    kind : type
        Of the errors. Other errors of exitwave stay what they are, but for those of readers of images.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MicrographError as error:
        raise error if issubclass(MicrographError, kind) else kind(str(error)) from error
    except ExitwaveError:
        raise
    except MemoryError as error:
        raise kind(f"{path} cannot be read: there is not enough memory for it") from error
    except ImportError as error:
        raise kind(f"{path} cannot be read: the format {path.suffix.lower()} needs the package {error.name}") from error
    except Exception as error:
        # Damaged files make the readers fail in as many ways as there are readers.
        reason = " ".join(str(error).split())
        raise kind(f"{path} cannot be read: {type(error).__name__}: {reason}") from error


def in_words(shape: Sequence[int]) -> str:
    """A shape, such as 512 x 512."""
    return " x ".join(map(str, shape))
