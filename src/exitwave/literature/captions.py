"""A figure with its caption, panel by panel: what each shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from exitwave.literature.formulas import Found, find_formulas
from exitwave.literature.names import find_names
from exitwave.literature.plain import shown_text
from exitwave.literature.techniques import Technique, simulated_of, techniques_of

LONGEST = 20_000
"""Characters of a caption that are looked at."""

_LABEL = re.compile(
    r"^\s*(?:Supplementary\s+|Extended\s+Data\s+)?(?:Figure|Fig|FIGURE|FIG|figure|fig)s?\.?\s*"
    r"(?P<number>[A-Z]?\.?\d+(?:\.\d+)?)\s*[.:|–—-]*\s*(?:\((?:Colou?r|color|colour)[^)]*\)\s*)?"
)
_MARK = r"[a-zA-Z](?:\s?[-–,&]\s?(?:and )?[a-zA-Z])*"
_IN_BRACKETS = re.compile(rf"(?:^|(?<=[\s.;:,]))\(({_MARK})\)[:.,]?")
_BARE = re.compile(r"(?:^|(?<=[.;] ))([a-z](?:[-–,] ?[a-z])*)(?:,| \||\)) (?=[A-Z0-9])")
_OF_ANOTHER = re.compile(
    r"\b(?:same|corresponding|magnif|enlarg|zoom|close-up|simulated (?:image|micrograph))|\b(?:of|in|from) \([a-z]\)",
    re.IGNORECASE,
)
_LEADS = re.compile(r"(?:^|[.:;,|])\s*$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9(])")
_ABBREVIATED = re.compile(r"(?:\b[A-Z]|\b(?:Figs?|Refs?|Eqs?|No|al|e\.g|i\.e|vs|Dr|cf|approx|ca))\.$")


@dataclass(frozen=True)
class Figure:
    """A figure of a paper as its file has it, or a paper without figures.

    Attributes
    ----------
    paper : str
        What the paper is known by: the number of arXiv, a DOI, or the name of its file.
    number : str
        Of the figure, as the caption says, or counted; empty for an abstract.
    caption : str
        As of :mod:`exitwave.literature.plain`, or the abstract.
    graphics : tuple of str
        Paths within the source, or links.
    licence : str
        Of the paper, where its file tells.
    """

    paper: str
    number: str
    caption: str
    graphics: tuple[str, ...] = ()
    licence: str = ""


@dataclass(frozen=True)
class Row:
    """A panel of a figure, a figure without panels, or an abstract.

    Attributes
    ----------
    paper, figure, panel : str
    caption : str
        Of the whole figure.
    graphic : tuple of str
        Paths or links; where a figure has as many as panels, each panel has its own.
    technique : tuple of str
        Of STM, STEM, HRTEM, TEM, AFM, SEM; other alone where the text names none of these.
    simulated : bool
        Whether it shows what was calculated.
    formulas : tuple of str
        Substances that are named, each once, without isotopes and charges.
    names : tuple of str
        Those that are named by words.
    elements : tuple of str
        Of all of them.
    sentence : str
        The first one that names a substance, else one that names a technique, else the first.
    licence : str
    """

    paper: str
    figure: str
    panel: str
    caption: str
    graphic: tuple[str, ...]
    technique: tuple[Technique, ...]
    simulated: bool
    formulas: tuple[str, ...]
    names: tuple[str, ...]
    elements: tuple[str, ...]
    sentence: str
    licence: str = ""


@dataclass(frozen=True)
class _Said:
    """What a piece of text says."""

    technique: tuple[Technique, ...]
    simulated: bool | None
    substances: tuple[Found, ...]
    names: tuple[str, ...]

    def completed(self, other: _Said) -> _Said:
        """With what another one says where this one says nothing."""
        return _Said(
            self.technique or other.technique,
            other.simulated if self.simulated is None else self.simulated,
            self.substances or other.substances,
            self.names if self.substances else other.names,
        )


def without_label(caption: str) -> tuple[str, str]:
    """Number of the figure as its caption begins with it, empty where it does not, and the rest."""
    found = _LABEL.match(caption)
    return (found["number"], caption[found.end() :]) if found else ("", caption)


def with_parts(whole: str, parts: Sequence[str]) -> str:
    """Caption of a figure followed by those of its parts, as panels unless it has panels of its own."""
    if not parts or "(a)" in whole:
        return whole
    if not all(part.startswith("(") for part in parts):
        parts = [f"({chr(97 + place % 26)}) {part}" for place, part in enumerate(parts)]
    return " ".join([f"{whole.rstrip('.')}." if whole else "", *parts]).strip()


def rows_of(figure: Figure) -> list[Row]:
    """Rows of a figure: one a panel where its caption tells panels apart, else one.

    What a panel does not say is taken from what is said of all panels. Where it is called the same as another, or a
    part of it, technique and substances are those of the panel before.
    """
    number, text = without_label(figure.caption[:LONGEST])
    common, panels = split_panels(text)
    shared = _said(common)
    rows: list[Row] = []
    before = shared
    for place, (panel, part) in enumerate(panels or [("", common)]):
        own = _said(part) if panels else shared
        said = own.completed(shared)
        if _OF_ANOTHER.search(part):
            said = said.completed(replace(before, simulated=None))
        before = said
        graphics = figure.graphics
        if len(panels) > 1 and len(graphics) == len(panels):
            graphics = (graphics[place],)
        sentence = _telling(part, own) if own.substances or not shared.substances else _telling(common, shared)
        rows.append(
            Row(
                paper=figure.paper,
                figure=number or figure.number,
                panel=panel,
                caption=shown_text(figure.caption),
                graphic=graphics,
                technique=said.technique or ("other",),
                simulated=bool(said.simulated),
                formulas=tuple(dict.fromkeys(one.formula for one in said.substances if one.formula)),
                names=said.names,
                elements=tuple(dict.fromkeys(element for one in said.substances for element in one.elements)),
                sentence=shown_text(sentence),
                licence=figure.licence,
            )
        )
    return rows


def split_panels(caption: str) -> tuple[str, list[tuple[str, str]]]:
    """What a caption says of all panels, and of each; no panels where it does not tell them apart.

    Panels begin with (a), (b-d), or a bare letter as in *Nature*, in the order of the alphabet from a. A letter that
    follows what it stands for, as in *image (a) and model (b)*, and letters out of order tell no panels apart here. A
    letter that was there before is a reference to its panel.
    """
    for pattern in (_IN_BRACKETS, _BARE):
        marks = _in_order(list(pattern.finditer(caption)))
        if len(marks) > 1 and _LEADS.search(caption[: marks[0].start()]):
            ends = [*(mark.start() for mark in marks[1:]), len(caption)]
            parts = [(_even(mark[1]), caption[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]
            return caption[: marks[0].start()].strip(), parts
    return caption, []


def _in_order(marks: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    """Marks of panels, without references to earlier ones; none if a letter is left out."""
    following, found = ord("a"), []
    for mark in marks:
        letters = [ord(letter) for letter in re.findall("[a-z]", mark[1].replace("and", "").lower())]
        if letters[0] > following:
            return []
        if letters[0] == following:
            following = letters[-1] + 1
            found.append(mark)
    return found


def _even(mark: str) -> str:
    return re.sub(r"\s?(?:&|,|and)\s?", ",", mark.replace("–", "-").replace(" ", "")).replace(",,", ",").lower()


def _said(text: str) -> _Said:
    named = find_names(text)
    by_name = [one for _, stand in named for one in stand]
    # A name goes before symbols within it, as in hBN.
    formulas = [
        one for one in find_formulas(text) if not any(other.start <= one.start < other.end for other in by_name)
    ]
    substances = sorted([*by_name, *formulas], key=lambda one: one.start)
    names = tuple(dict.fromkeys(name for name, _ in named))
    return _Said(tuple(techniques_of(text)), simulated_of(text), tuple(substances), names)


def _telling(text: str, said: _Said) -> str:
    """The sentence that tells most."""
    sentences = list(sentences_of(text))
    if said.substances:
        start = said.substances[0].start
        return next(sentence for begin, sentence in reversed(sentences) if begin <= start)
    telling = (sentence for _, sentence in sentences if said.technique and techniques_of(sentence))
    return next(telling, sentences[0][1] if sentences else "")


def sentences_of(text: str) -> Iterator[tuple[int, str]]:
    """Sentences of a text, which abbreviations and initials do not end, with the place where each begins."""
    start = 0
    for gap in _SENTENCE.finditer(text):
        if not _ABBREVIATED.search(text, max(start, gap.start() - 12), gap.start()):
            yield start, text[start : gap.start()]
            start = gap.end()
    if start < len(text):
        yield start, text[start:]
