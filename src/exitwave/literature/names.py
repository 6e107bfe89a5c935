"""Materials and elements by name: graphene, black phosphorus, gold, molybdenum disulfide."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import yaml
from ase.data import atomic_names, atomic_numbers

from exitwave.literature.formulas import SYMBOLS, Found, elements_of

_SPELLINGS = {"aluminum": "Al", "sulphur": "S", "cesium": "Cs", "wolfram": "W"}
_ANIONS = {
    "oxide": "O", "sulfide": "S", "sulphide": "S", "selenide": "Se", "telluride": "Te", "nitride": "N", "carbide": "C",
    "boride": "B", "phosphide": "P", "arsenide": "As", "antimonide": "Sb", "silicide": "Si", "germanide": "Ge",
    "hydride": "H", "fluoride": "F", "chloride": "Cl", "bromide": "Br", "iodide": "I", "halide": "",
}  # fmt: skip
_NUMBERS = {"": 0, "mon": 1, "mono": 1, "di": 2, "tri": 3, "tetra": 4, "penta": 5, "hexa": 6}
_LEAD_BEFORE = (
    r"(?=[ -](?:hal|iod|brom|chlor|sel|tell|sul|ox|zirc|tit|film|island|atom|nano|adatom|foil|chalc|surface))"
)
"""Of lead, also a verb: what may follow the metal."""


@cache
def _materials() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Name -> formulas, and name -> elements of those without a formula."""
    table = yaml.safe_load((files("exitwave.literature") / "materials.yaml").read_text(encoding="utf-8"))
    formulas = {name: tuple(formula.split("·2")) for formula, names in table["formulas"].items() for name in names}
    return formulas, {name: tuple(elements) for name, elements in table["elements"].items()}


@cache
def _elements() -> dict[str, str]:
    named = {atomic_names[atomic_numbers[symbol]].lower(): symbol for symbol in SYMBOLS}
    return named | _SPELLINGS


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Of names in small letters, and of those with a capital."""
    formulas, elements = _materials()
    names = sorted({*formulas, *elements}, key=len, reverse=True)
    small = "|".join(_words(name) for name in names if name.islower())
    capital = "|".join(re.escape(name) for name in names if not name.islower())
    plain = "|".join(_words(name) for name in sorted(_elements(), key=len, reverse=True) if name != "lead")
    numbers = "|".join(_words(number) for number in sorted(filter(None, _NUMBERS), key=len, reverse=True))
    anions = "|".join(_words(anion) for anion in _ANIONS)
    element = rf"(?P<element>{plain}|[Ll]ead{_LEAD_BEFORE})(?:[ -](?P<number>{numbers})?(?P<anion>{anions}))?"
    return (
        re.compile(rf"\b(?:(?P<name>{small})|{element})s?\b"),
        re.compile(rf"(?<![A-Za-z])(?P<name>{capital})s?(?![A-Za-z])"),
    )


_WORD = re.compile(r"(?<![A-Za-z])[^\W\d_][\w]*")


@cache
def _beginnings() -> frozenset[str]:
    """First words of all names, in small letters."""
    formulas, elements = _materials()
    return frozenset(_WORD.findall(name)[0].lower() for name in (*formulas, *elements, *_elements()))


def _words(name: str) -> str:
    """Pattern of a name whose words may begin with a capital. TiN is not tin."""
    return re.sub(r"\b[^\W\d]", lambda first: f"[{first[0].upper()}{first[0]}]", name).replace(" ", "[ -]")


def find_names(text: str) -> list[tuple[str, list[Found]]]:
    """Materials and elements by name.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of (str, list of Found)
        Names as the table has them, and of elements in small letters, with what each stands for; in the order of the
        text.
    """
    formulas, others = _materials()
    found: list[tuple[str, list[Found]]] = []
    small, capital = _patterns()
    end = 0
    for word in _WORD.finditer(text):
        # Few words begin a name; the long patterns are for those alone.
        key = word[0].lower()
        if word.start() >= end and (key in _beginnings() or key[:-1] in _beginnings()):
            match = small.match(text, word.start()) or capital.match(text, word.start())
            if match is None:
                continue
            end = match.end()
            name = match["name"]
            if name is None:
                found.append((match[0].lower(), [_of_element(match)]))
                continue
            name = _as_listed(name)
            if name in formulas:
                stand = [Found(match.start(), match.end(), one, elements_of(one)) for one in formulas[name]]
            else:
                stand = [Found(match.start(), match.end(), "", others[name])]
            found.append((name, stand))
    return found


def _as_listed(name: str) -> str:
    formulas, others = _materials()
    return name if name in formulas or name in others else name.lower().replace("-", " ")


def _of_element(match: re.Match[str]) -> Found:
    """An element by its name, or its compound with another: tungsten diselenide is WSe2."""
    symbol, anion = _elements()[match["element"].lower()], match["anion"]
    if anion is None:
        return Found(match.start(), match.end(), symbol, (symbol,))
    other, number = _ANIONS[anion.lower()], _NUMBERS[(match["number"] or "").lower()]
    formula = f"{symbol}{other}{number if number > 1 else ''}" if other and number else ""
    return Found(match.start(), match.end(), formula, (symbol, other) if other else (symbol,))
