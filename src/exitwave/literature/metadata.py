"""Metadata of arXiv, a paper in JSON a line, read line by line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exitwave.errors import LiteratureError
from exitwave.literature.captions import Figure
from exitwave.literature.plain import latex_text, plain_text
from exitwave.literature.reading import Told

LONGEST_LINE = 4_000_000
"""Bytes of a line; beyond, it is no paper."""

ARXIV = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?")
"""Numbers of arXiv, new and old."""


def address_of(paper: str) -> str | None:
    """Address of a paper of arXiv; None for another one."""
    return f"https://arxiv.org/abs/{paper}" if ARXIV.fullmatch(paper) else None


def read_lines(path: Path, told: Told, start: int = 0) -> Iterator[tuple[Figure, int]]:
    """Papers of a file, with the byte after the line of each.

    Parameters
    ----------
    path : path
    told : callable
        Told, in a sentence, of each line that is left out.
    start : int
        Byte to begin at: the end of a line.

    Raises
    ------
    LiteratureError
        If no line is a paper.
    """
    papers = 0
    with path.open("rb") as file:
        # An offset names a line at any size; numbers of lines would have to be counted from the beginning.
        file.seek(start)
        place = start
        while line := file.readline(LONGEST_LINE):
            begun, place = place, place + len(line)
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
                while rest := file.readline(LONGEST_LINE):
                    place += len(rest)
                    if rest.endswith(b"\n"):
                        break
                told(f"{path}: the line at byte {begun:,} is longer than {LONGEST_LINE:,} bytes, and left out")
                continue
            if not line.strip():
                continue
            try:
                figure = _figure(line)
            except LiteratureError as error:
                told(f"{path}: the line at byte {begun:,} {error}, and left out")
                continue
            papers += 1
            yield figure, place
    if not papers and not start:
        raise LiteratureError(f"{path} has no line with a paper; allowed: JSON of arXiv, a paper a line")


def _figure(line: bytes) -> Figure:
    try:
        content: Any = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise LiteratureError(f"has a byte that is no UTF-8, at {error.start:,}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise LiteratureError("is cut off or no JSON") from error
    if not (isinstance(content, dict) and isinstance(content.get("id"), str) and content["id"].strip()):
        raise LiteratureError("has no id of a paper")
    parts = [content.get(key) for key in ("title", "abstract")]
    if not any(isinstance(part, str) and part.strip() for part in parts):
        raise LiteratureError("has neither title nor abstract")
    said = ". ".join(" ".join(part.split()).rstrip(".") for part in parts if isinstance(part, str) and part.strip())
    licence = content.get("license")
    return Figure(
        paper=plain_text(content["id"]), number="", caption=latex_text(said[:100_000]) + ".",
        licence=plain_text(licence) if isinstance(licence, str) else "",
    )  # fmt: skip
