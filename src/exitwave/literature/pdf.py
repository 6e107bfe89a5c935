"""Captions in the text of PDF files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from exitwave.errors import LiteratureError
from exitwave.literature.captions import Figure, without_label
from exitwave.literature.metadata import ARXIV
from exitwave.literature.plain import plain_text

MOST_PAGES = 1_000
LONGEST = 5_000
"""Characters of a caption."""

_BEGINS = re.compile(r"(?:Supplementary )?(?:FIG|Fig|Figure|FIGURE)\.? ?[A-Z]?\d+(?:\.\d+)? ?[.:|] ?\S")
_STAMP = re.compile(rf"arXiv:({ARXIV.pattern})")


def read_pdf(path: Path) -> Iterator[Figure]:
    """Captions of a PDF; it does not tell which picture belongs to which.

    A caption ends at an empty line, at the next one, at the end of the page, or where a line ends a sentence well
    before the margin.

    Raises
    ------
    LiteratureError
        If the file has no text, is locked or damaged.
    """
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    reader = PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        raise LiteratureError(f"{path} is locked by a password; allowed: PDF without")
    if len(reader.pages) > MOST_PAGES:
        raise LiteratureError(f"{path} has {len(reader.pages):,} pages; allowed: up to {MOST_PAGES:,}")
    paper, count, any_text = "", 0, False
    for page in reader.pages:
        text = page.extract_text()
        any_text |= bool(text.strip())
        if not paper:
            stamp = _STAMP.search(text) or ARXIV.search(path.stem)
            paper = (stamp[1] if stamp and stamp.re is _STAMP else stamp[0]) if stamp else path.stem
        for caption in captions_of(text):
            count += 1
            yield Figure(paper, without_label(caption)[0] or str(count), caption)
    if not any_text:
        raise LiteratureError(f"{path} has no text, as scans have none; allowed: PDF with text, or run OCR on it first")


def captions_of(text: str) -> Iterator[str]:
    """Captions in the text of a page."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    place = 0
    while place < len(lines):
        if not _BEGINS.match(lines[place]):
            place += 1
            continue
        caption = [lines[place]]
        place += 1
        while place < len(lines) and lines[place] and not _BEGINS.match(lines[place]):
            margin = max(map(len, caption))
            if caption[-1].endswith((".", ")")) and len(caption[-1]) < 0.8 * margin:
                break
            caption.append(lines[place])
            place += 1
            if sum(map(len, caption)) > LONGEST:
                break
        yield plain_text(re.sub(r"(?<=[a-z])- (?=[a-z])", "", " ".join(caption)))
