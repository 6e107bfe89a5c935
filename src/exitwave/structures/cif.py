"""The syntax of crystallographic information files (CIF 1.1): blocks of tags, with every value as it is printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exitwave.errors import StructureError

# A quote ends a text only where white space follows: 'a dog's life' is one text.
_WORD = re.compile(r"""\s*(?:(?P<comment>\#.*)|'(?P<single>.*?)'(?=\s|$)|"(?P<double>.*?)"(?=\s|$)|(?P<bare>\S+))""")
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<digits>\d+\.?\d*|\.\d+)(?:\((?P<spread>\d{1,9})\)?)?(?:[eE](?P<power>[+-]?\d{1,4}))?"
)
_UNKNOWN = ("?", ".", "")


@dataclass(frozen=True)
class Number:
    """A number as it is printed.

    Attributes
    ----------
    value : float
        The number.
    uncertainty : float
        Its standard uncertainty, the digits in brackets; 0 where none is printed.
    digit : float
        What 1 in the last printed decimal place is worth; 0 for a whole number.
    """

    value: float
    uncertainty: float = 0.0
    digit: float = 0.0


@dataclass(frozen=True, eq=False)
class CifBlock:
    """One data block of a file.

    Attributes
    ----------
    name : str
        What follows ``data_``.
    source : str
        File, with the block where there is a choice, for errors.
    tags : mapping
        Values of every tag in lower case, with full stops as underscores: one, or as many as its loop has rows.
    damaged : mapping
        What is wrong with tags that cannot be used.
    """

    name: str
    source: str
    tags: Mapping[str, list[str]]
    damaged: Mapping[str, str]

    def column(self, *names: str) -> list[str] | None:
        """Values of the first of these tags that is there; a StructureError if it is damaged."""
        for name in names:
            if name in self.damaged:
                raise StructureError(
                    f"material is '{self.source}', where {name} {self.damaged[name]}; allowed: each tag once, and "
                    "loops with a value for every column of every row"
                )
            if name in self.tags:
                return self.tags[name]
        return None

    def value(self, *names: str) -> str | None:
        """The one value of the first of these tags that has a known one."""
        for name in names:
            values = self.column(name)
            if values is not None and len(values) == 1 and values[0] not in _UNKNOWN:
                return values[0]
        return None

    def number(self, *names: str) -> float | None:
        """The same as a number; a StructureError if it is something else."""
        text = self.value(*names)
        if text is None:
            return None
        number = parse_number(text)
        if number is None:
            raise StructureError(f"material is '{self.source}', where {names[0]} is '{text}'; allowed: a number")
        return number.value


def parse_number(text: str) -> Number | None:
    """The number that a text such as ``0.3333(2)`` stands for, or None."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    power, decimals = int(match["power"] or 0), len(match["digits"].partition(".")[2])
    value, digit = float(f"{match['sign']}{match['digits']}e{power}"), float(f"1e{power - decimals}")
    if not np.isfinite(value):
        return None
    return Number(value, int(match["spread"] or 0) * digit, digit if decimals else 0.0)


def read_blocks(path: Path) -> list[CifBlock]:
    """Data blocks of a file, in its order.

    Raises
    ------
    StructureError
        If the file is missing or is no CIF file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, str(error.strerror or error)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    blocks = _parse(path, re.split(r"\r\n|\n|\r", text))
    if not blocks:
        raise _unreadable(path, "it has no line that starts with data_")
    return blocks


def _unreadable(path: Path, reason: str) -> StructureError:
    return StructureError(
        f"material is '{path}', which cannot be read as a crystal ({reason}); "
        "allowed: a CIF file with a cell and atom sites"
    )


@dataclass
class _Word:
    line: int
    text: str
    bare: bool

    def starts(self, *keywords: str) -> bool:
        return self.bare and self.text.lower().startswith(keywords)


def _words(path: Path, lines: list[str]) -> Iterator[_Word]:
    """Words of a file without its comments; texts in quotes or between semicolons are one word each."""
    at = 0
    while at < len(lines):
        if lines[at].startswith(";"):
            end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith(";")), None)
            if end is None:
                raise _unreadable(path, f"the text that starts in line {at + 1} has no end")
            yield _Word(at, " ".join(" ".join([lines[at][1:], *lines[at + 1 : end]]).split()), False)
            # What follows the closing semicolon belongs to the next value.
            lines[end] = " " + lines[end][1:]
            at = end
            continue
        held: _Word | None = None
        for match in _WORD.finditer(lines[at]):
            if match["comment"] is not None:
                break
            quoted = match["single"] if match["single"] is not None else match["double"]
            word = _Word(at, match["bare"] if quoted is None else quoted, quoted is None)
            # Operators are often written as x, y, z without quotes.
            if held and held.bare and word.bare and (held.text.endswith(",") or word.text.startswith(",")):
                held.text += word.text
                continue
            if held:
                yield held
            held = word
        if held:
            yield held
        at += 1


def _parse(path: Path, lines: list[str]) -> list[CifBlock]:
    words = list(_words(path, lines))
    blocks: list[CifBlock] = []
    tags: dict[str, list[str]] = {}
    damaged: dict[str, str] = {}
    at = 0

    def is_value(index: int) -> bool:
        return index < len(words) and not words[index].starts("_", "data_", "loop_", "save_", "global_", "stop_")

    def keep(name: str, values: list[str]) -> None:
        if tags.setdefault(name, values) != values:
            damaged[name] = "is given twice with different values"

    while at < len(words):
        word = words[at]
        at += 1
        if word.starts("data_"):
            tags, damaged = {}, {}
            blocks.append(CifBlock(word.text[len("data_") :], str(path), tags, damaged))
        elif not blocks or is_value(at - 1):
            raise _unreadable(path, f"'{word.text[:40]}' in line {word.line + 1} belongs to no tag of a data block")
        elif word.starts("loop_"):
            names = []
            while at < len(words) and words[at].starts("_"):
                names.append(_tag(words[at]))
                at += 1
            values = []
            while is_value(at):
                values.append(words[at].text)
                at += 1
            for i, name in enumerate(names):
                keep(name, values[i :: len(names)])
                if len(values) % len(names) or not values:
                    damaged[name] = f"is in a loop of {len(names)} columns with {len(values)} values"
        elif word.starts("_"):
            first, parts = at, []
            # Texts of several words that lack their quotes, such as P 21/c, end with the line.
            while is_value(at) and words[at].line == words[first].line and (at == first or words[first].bare):
                parts.append(words[at].text)
                at += 1
            keep(_tag(word), [" ".join(parts)])
    return blocks


def _tag(word: _Word) -> str:
    return word.text.lower().replace(".", "_")
