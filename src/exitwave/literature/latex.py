"""Papers in LaTeX, in folders and single files. Nothing of them is run."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from exitwave.errors import LiteratureError
from exitwave.literature.captions import Figure, with_parts
from exitwave.literature.metadata import ARXIV
from exitwave.literature.plain import latex_text
from exitwave.literature.reading import Told, decoded

LARGEST_TEX = 16_000_000
"""Bytes of one file of LaTeX, and in all four times as much."""
DEEPEST = 10
"""Files that are put into files that are put into files."""

GRAPHICS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pdf", ".eps", ".ps")
"""Of graphics that LaTeX is told without: the first that is there is taken, one that can be read as an image before."""

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*?(?:\n[ \t]*|$)")
_FIGURE = re.compile(r"\\begin\s*\{((?:wrap|SC|sideways)?figure\*?)\}")
_PART = re.compile(r"\\begin\s*\{(subfigure)\}")
_CAPTION = re.compile(r"\\(?:caption|captionof\s*\{figure\}|subcaption)\*?\s*(?=[\[{])")
_SHORT = re.compile(r"\[((?:[^\[\]{}]|\{[^{}]*\})*)\]\s*")
"""The short form of a caption, or that of a part."""
_FLOAT = re.compile(r"\\(?:subfloat|subfigure)\s*(?=\[)")
_INPUT = re.compile(r"\\(?:input|include|subfile)(?![a-zA-Z])\s*\{?\s*([^{}\s\\]+)\s*\}?")
_GRAPHIC = re.compile(r"\\(?:includegraphics|plotone)\*?\s*(?:\[[^\]]*\]\s*)*\{([^{}]*)\}")
_PATHS = re.compile(r"\\graphicspath\s*\{((?:\s*\{[^{}]*\})+)\s*\}")
_MACRO = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|def|DeclareRobustCommand)\*?\s*\{?\s*\\([a-zA-Z]+)\s*\}?\s*(?=\{)"
)


def read_folder(folder: Path, told: Told) -> Iterator[Figure]:
    """Figures of the paper in a folder; graphics are paths within it. Links that lead out of it are not followed."""
    top = folder.resolve()
    texts: dict[str, str] = {}
    names: list[str] = []
    total = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        name = path.relative_to(folder).as_posix()
        if not path.resolve().is_relative_to(top):
            told(f"{path} leads out of its folder, and is left out")
            continue
        names.append(name)
        if path.suffix.lower() == ".tex":
            total += path.stat().st_size
            check_size(path.stat().st_size, total, str(path))
            texts[name] = decoded(path.read_bytes(), str(path), told)
    yield from figures_of(folder.resolve().name, texts, names, told)


def read_file(path: Path, told: Told) -> Iterator[Figure]:
    """Figures of one file of LaTeX."""
    check_size(path.stat().st_size, 0, str(path))
    yield from figures_of(path.stem, {path.name: decoded(path.read_bytes(), str(path), told)}, [path.name], told)


def check_size(size: int, total: int, name: str) -> None:
    """Refuse what is too large for the LaTeX of a paper.

    Raises
    ------
    LiteratureError
        With the size that was found.
    """
    if size > LARGEST_TEX or total > 4 * LARGEST_TEX:
        raise LiteratureError(
            f"{name} has {size:,} bytes of LaTeX; allowed: up to {LARGEST_TEX:,} a file, and four times that a paper"
        )


def figures_of(paper: str, texts: Mapping[str, str], names: Collection[str], told: Told) -> Iterator[Figure]:
    """Figures of a paper whose files are known by name."""
    number = ARXIV.search(paper)
    paper = number[0] if number else paper
    sources = {name: _COMMENT.sub(r"\1", text) for name, text in texts.items()}
    roots = [name for name, text in sources.items() if "\\documentclass" in text or "\\documentstyle" in text]
    count, used = 0, set[str]()
    for root in roots or sorted(sources):
        if root in used:
            continue
        whole = _put_together(root, sources, used, DEEPEST)
        bodies = ((match[1], _group(whole, match.end())) for match in _MACRO.finditer(whole))
        macros = {name: body for name, body in bodies if body is not None}
        paths = [one for found in _PATHS.findall(whole) for one in re.findall(r"\{([^{}]*)\}", found)]
        for body in _environments(whole, _FIGURE):
            count += 1
            try:
                caption = _caption(body, macros)
            except LiteratureError as error:
                told(f"{paper}: figure {count} is left out: {error}")
                continue
            if caption:
                graphics = [_found(name.strip(), root, paths, names) for name in _GRAPHIC.findall(body)]
                yield Figure(paper, str(count), caption, tuple(dict.fromkeys(filter(None, graphics))))


def _put_together(name: str, sources: Mapping[str, str], used: set[str], depth: int) -> str:
    """A file with those that it puts in, each once."""
    used.add(name)
    folder = PurePosixPath(name).parent

    def put(match: re.Match[str]) -> str:
        for one in (match[1], f"{match[1]}.tex"):
            for inner in (one.removeprefix("./"), str(folder / one)):
                if inner in sources and inner not in used and depth:
                    return _put_together(inner, sources, used, depth - 1)
        return ""

    return _INPUT.sub(put, sources[name])


def _environments(text: str, begins: re.Pattern[str]) -> Iterator[str]:
    """What is in each environment of some kinds; one within another of its kind is a part of it."""
    place = 0
    while (begin := begins.search(text, place)) is not None:
        end = text.find(f"\\end{{{begin[1]}}}", begin.end())
        if end < 0:
            return
        yield text[begin.end() : end]
        place = end


def _caption(body: str, macros: Mapping[str, str]) -> str:
    """Caption of a figure, followed by those of its parts, as panels."""
    inner = list(_environments(body, _PART))
    parts = [said for one in inner for said in _captions(one, macros)]
    for one in inner:
        body = body.replace(one, " ")
    for match in _FLOAT.finditer(body):
        short = _SHORT.match(body, match.end())
        parts += [latex_text(short[1], dict(macros))] if short and short[1].strip() else []
    return with_parts(" ".join(_captions(body, macros)), parts)


def _captions(body: str, macros: Mapping[str, str]) -> list[str]:
    said = []
    for match in _CAPTION.finditer(body):
        short = _SHORT.match(body, match.end())
        caption = _group(body, short.end() if short else match.end())
        if caption is not None:
            said.append(latex_text(caption[:100_000], dict(macros)))
    return said


def _group(text: str, start: int) -> str | None:
    """What is in the braces that begin at a place; None where they do not end."""
    if text[start : start + 1] != "{":
        return None
    depth = 0
    for brace in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return text[start + 1 : brace.start()]
    return None


def _found(name: str, root: str, paths: Collection[str], names: Collection[str]) -> str:
    """The file that a graphic is, among those of the paper; its name where there is none."""
    folder = PurePosixPath(root).parent
    known = set(names)
    for place in (PurePosixPath(), folder, *(folder / path for path in paths), *map(PurePosixPath, paths)):
        for suffix in ("", *GRAPHICS, *(one.upper() for one in GRAPHICS)):
            if (whole := str(place / f"{name}{suffix}").removeprefix("./")) in known:
                return whole
    return name
