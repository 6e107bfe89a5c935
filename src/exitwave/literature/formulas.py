"""Chemical formulas in running text: a grammar of element symbols, and what around them tells a symbol from a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from exitwave.literature.plain import SUBSCRIPT

SYMBOLS = tuple(chemical_symbols[1:95])
"""Hydrogen to plutonium: what specimens are made of. No, Md, Cf, Fm and the like are words and space groups."""

_WORDS = frozenset({"In", "As", "He", "At", "Be", "Cs", "Tc", "Pm", "Po", "Fr", "Ra", "Ac", "Pa", "Np"})
DOUBTFUL = frozenset(one for one in SYMBOLS if len(one) == 1) | _WORDS
"""Symbols that are more often words, units or quantities: they count where something beside them says so."""

_NO_FORMULAS = frozenset({"NaN", "PW91", "PW86", "CoV", "SNe", "PNe"})
"""Acronyms that have the form of one; SNe and PNe are supernovae and planetary nebulae."""
_CAPITALS = frozenset({"BN", "CO", "NO", "WC", "VN", "BP", "UN", "UC", "KI", "KF", "OH"})
"""Compounds of two symbols of one letter, without numbers; others written so are acronyms."""
_MOLECULES = frozenset({"H2", "N2", "O2", "F2", "I2", "C20", "C60", "C70", "C80", "C84"})
"""What is known of one element with a number after it, where the symbol has one letter."""
_PREFIXES = frozenset({"Co", "Bi", "Re"})
"""Symbols that begin words with a hyphen: Co-workers, Bi-layer, Re-entrant."""


def _symbol_pattern() -> str:
    letters = [
        (first, "".join(one[1] for one in group if len(one) > 1), first in SYMBOLS)
        for first, group in ((key, list(found)) for key, found in groupby(sorted(SYMBOLS), lambda one: one[0]))
    ]
    return "|".join(f"{first}[{second}]{'?' if alone else ''}" if second else first for first, second, alone in letters)


_SYMBOL = f"(?>{_symbol_pattern()})(?![a-wyz])"
_UNIT = rf"(?>{_SYMBOL}(?:{SUBSCRIPT})?)"
_INNER = rf"(?>{_UNIT}|\({_UNIT}++\)(?:{SUBSCRIPT})?)"
_GROUP = rf"(?>[(\[]{_INNER}++(?:, ?{_INNER}++)*+[)\]](?:{SUBSCRIPT})?)"
_FORMULA = re.compile(
    rf"(?<![A-Za-z.])(?>{_UNIT}|{_GROUP}(?={_UNIT}|\())(?>{_UNIT}|{_GROUP}|T[xyz])*+(?![A-Za-z])(?:\^\{{[^{{}}]*\}})?"
)
_SYMBOL_FOUND = re.compile(_SYMBOL)
_CHARGE = re.compile(r"\d*[+-](?![\w(])")

_COLOURS = (
    "red|blue|green|yellow|gr[ae]y|white|black|orange|purple|violet|pink|brown|cyan|magenta|silver|gold|teal|turquoise|"
    "light|dark"
)
_AFTER = re.compile(
    rf"""
    [ -](?:atom|adatom|vacanc|dopant|dop(?:ed|ing)|terminat|intercal|interstitial|substitut|sublattice|column|antisite|
        ions?\b|bond|impurit|content|concentration|rich\b|poor\b|deficien|containing|donor|acceptor|flow\b|gas\b|
        plasma|implant|irradiat|atmosphere|bombard|adsor|incorporat|segregat|migration|diffusion|loss\b|isotope)
    |[ -](?:tip|foil|film|substrate|island|nanoparticle|cluster|grid|wire|nanowire|overlayer|monolayer|deposit|map|
        surface|adlayer|signal)s?\b
    |\ ?[1-5][spdf]\b
    |[ -][KLMN](?:\d[,\d]*)?(?:[ -]edges?\b|\ ?and\ )
    |\(\d{{3,4}}\)|\(\d\d(?:-|\d)\d\)
    |[,:=]?\ ?\(?(?:{_COLOURS})\b
    """,
    re.VERBOSE,
)
_BEFORE = re.compile(
    rf"(?:\b(?:{_COLOURS}),? ?(?:\(|:|=|for )? ?|\b(?:elemental|atomic|metallic) |\ba-)$", re.IGNORECASE
)
_NUMBER_BEFORE = re.compile(r"[\d.] ?$")
_BOND = re.compile(r"(?:–|-|—|=|≡)([A-Z][a-z]?)(?: bond|,? (?:distance|length)| pair| dimer)")
_INITIAL_BEFORE = re.compile(r"(?:[A-Z]\.[ -]?)$")
_SURNAME_AFTER = re.compile(r"(?: et al|, ?[A-Z]\.|,? and (?:co-?workers|colleagues)|\. [A-Z]\.)")
_QUANTITY_AFTER = re.compile(r" ?[=≈~<>≤≥] ?[-+]?\d|\. ?\d")
"""As in Tm = 300 K, Re = 500, and Ca. 20 particles."""
_BETWEEN = re.compile(r"(?:, (?:and |or )?| (?:and|or|&|to) |/| / |[-–]| [-–] |; )")
_ENDS_LIST = re.compile(
    r"(?:\s*[,;:.)/]|\s(?:and|or|in|on|at|with|from|is|are|of|by|maps?|atoms?|edges?)\b|$|[-–](?=[A-Z]))"
)
_ALLOY = re.compile(rf"(?<![A-Za-z])({_SYMBOL})((?:[-–](?:{SUBSCRIPT})?(?>{_SYMBOL}))++)(?![a-zA-Z])(?!-[a-z])")
_ADDED = re.compile(rf"[-–](?:{SUBSCRIPT})?({_SYMBOL})")


@dataclass(frozen=True)
class Found:
    """A substance that is named.

    Attributes
    ----------
    start, end : int
        Where in the text.
    formula : str
        Without isotopes and charges; empty for a material without one.
    elements : tuple of str
        In the order in which they are named.
    """

    start: int
    end: int
    formula: str
    elements: tuple[str, ...]


def elements_of(formula: str) -> tuple[str, ...]:
    """Elements of a formula, each once, in its order."""
    return tuple(dict.fromkeys(_SYMBOL_FOUND.findall(formula)))


def find_formulas(text: str) -> list[Found]:
    """Formulas and symbols of elements.

    Parameters
    ----------
    text : str
        As :func:`exitwave.literature.plain.plain_text` gives it.

    Returns
    -------
    list of Found
        In the order of the text. A symbol that may be a word, a unit or a quantity is there if something beside it says
        that it is none: a vacancy, an edge, a colour, or other symbols in a list.
    """
    found = list(_candidates(text))
    alloys = {start for match in _ALLOY.finditer(text) for start in _alloy(match)}
    verdicts = ["yes" if one.start in alloys else _verdict(text, one) for one in found]
    for order in (range(len(found)), range(len(found) - 1, -1, -1)):
        for place in order:
            if verdicts[place] == "perhaps" and _listed(text, found, verdicts, place):
                verdicts[place] = "yes"
    return [one for one, verdict in zip(found, verdicts, strict=True) if verdict == "yes"]


def _candidates(text: str) -> Iterator[Found]:
    """All that has the form of a formula."""
    for match in _FORMULA.finditer(text):
        formula, _, raised = match[0].partition("^{")
        if not formula:
            continue
        formula = formula.replace(", ", ",")
        symbols = _SYMBOL_FOUND.findall(formula)
        if not raised and len(symbols) == 1 and _CHARGE.match(text, match.start() + len(symbols[0])):
            formula = symbols[0]
        yield Found(match.start(), match.end(), formula, elements_of(formula))


def _verdict(text: str, one: Found) -> Literal["yes", "no", "perhaps"]:
    """Whether a candidate is a substance, as far as it and its neighbours tell."""
    formula, symbols = one.formula, _SYMBOL_FOUND.findall(one.formula)
    before, after = text[max(0, one.start - 24) : one.start], text[one.end : one.end + 40]
    number = re.search(r"(\d+)(\}?)$", before)
    if number is not None and not _may_follow(before[: number.start()], number[1], symbols):
        return "no"
    if len(symbols) > 1:
        return "yes" if _is_compound(formula, symbols) else "no"
    symbol = symbols[0]
    if formula != symbol:
        if len(symbol) == 1:
            return "yes" if formula in _MOLECULES and not after.startswith("-type") else "no"
        # Six, Bay and Cox are no Si, Ba and Co.
        return "no" if symbol in DOUBTFUL or formula[len(symbol) :] in ("1", "x", "y", "z") else "yes"
    if number is not None and not number[2] and number.start() and before[number.start() - 1] not in " ([,;":
        return "perhaps"
    if _INITIAL_BEFORE.search(before) or _SURNAME_AFTER.match(after) or _QUANTITY_AFTER.match(after):
        return "no"
    if number is not None:
        return "yes"
    if _AFTER.match(after) and not _is_unit(before, after) and not (symbol == "B" and after[1:5] == "site"):
        return "yes"
    bond = _BOND.match(after)
    if bond is not None and bond[1] in SYMBOLS:
        return "yes"
    if symbol in DOUBTFUL:
        return "yes" if _BEFORE.search(before) else "perhaps"
    if symbol in _PREFIXES and re.match(r"-[A-Za-z]", after) and _FORMULA.match(after, 1) is None:
        return "no"
    return "yes"


def _may_follow(before: str, number: str, symbols: Sequence[str]) -> bool:
    """Whether a number right before a formula is a mass number, a coefficient, or the content of an alloy."""
    if before.endswith(("·", "⋅", "•", "*")):
        return True
    if before.endswith(("-", "–")) and len(symbols) == 1:
        return True
    mass = atomic_masses[atomic_numbers[symbols[0]]]
    return symbols[0] != "H" and abs(int(number[:4]) - mass) <= max(1.5, 0.06 * mass)


def _is_unit(before: str, after: str) -> bool:
    """Whether a letter after a number is a unit, as in 5 K; 3 C atoms are none."""
    return bool(_NUMBER_BEFORE.search(before)) and not after.lstrip(" -").startswith(("atom", "vacanc", "adatom"))


def _is_compound(formula: str, symbols: Sequence[str]) -> bool:
    """Whether several symbols in a row are a compound and not an acronym."""
    if formula in _NO_FORMULAS or len(set(symbols)) == 1:
        return False
    if all(len(symbol) == 1 for symbol in symbols):
        # O(N) is a number of steps.
        if not re.search(r"[\dxδ]", formula):
            return formula in _CAPITALS
        return not re.search(r"[A-Z](?:0|1(?!\d|\.|-|/))", formula)
    # NCs, ICs, PCs: an acronym in the plural.
    return not (symbols[-1] in ("Cs", "Os") and all(len(symbol) == 1 for symbol in symbols[:-1]))


def _alloy(match: re.Match[str]) -> Iterator[int]:
    """Places of the symbols of Ti-6Al-4V, of which one at least can be nothing but a symbol."""
    added = list(_ADDED.finditer(match[2]))
    symbols = [match[1], *(one[1] for one in added)]
    if len(symbols) > 2 and any(symbol not in DOUBTFUL for symbol in symbols):
        yield match.start()
        yield from (match.start(2) + one.start(1) for one in added)


def _listed(text: str, found: Sequence[Found], verdicts: Sequence[str], place: int) -> bool:
    """Whether a doubtful symbol stands in a list beside one that is none."""
    one = found[place]
    if not _ENDS_LIST.match(text, one.end):
        return False
    for other in (place - 1, place + 1):
        if 0 <= other < len(found) and verdicts[other] == "yes":
            first, second = sorted((one, found[other]), key=lambda each: each.start)
            single = len(found[other].elements) == 1 and found[other].formula == found[other].elements[0]
            if single and _BETWEEN.fullmatch(text[first.end : second.start]):
                return True
    return False
