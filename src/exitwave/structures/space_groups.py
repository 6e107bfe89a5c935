"""Symmetry operators of a crystal: as they are listed, or of a setting that is known by its names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_METRIC = 5e-3
"""Part by which lengths, and by which cosines of angles, may differ that an operator makes equal."""
_TERM = re.compile(r"([+-]?)(?:(\d+/\d+|\d*\.\d+|\d+)\*?)?([xyz])?")


@dataclass(frozen=True, eq=False)
class Operators:
    """Symmetry operators x -> W x + w on fractional coordinates.

    Attributes
    ----------
    rotations : ndarray, int [n, 3, 3]
        The matrices W.
    translations : ndarray [n, 3]
        The vectors w.
    """

    rotations: NDArray[np.int64]
    translations: FloatArray

    def __len__(self) -> int:
        return len(self.rotations)

    def is_group(self) -> bool:
        """Whether the product of any two is another one, up to a lattice translation."""
        known = set(_keys(self.rotations, self.translations))
        return len(known) == len(self) and all(
            known.issuperset(_keys(rotation @ self.rotations, self.translations @ rotation.T + translation))
            for rotation, translation in zip(self.rotations, self.translations, strict=True)
        )

    def fit(self, cell: FloatArray) -> bool:
        """Whether they leave lengths and angles of a cell, rows [3, 3], as they are."""
        metric = cell @ cell.T
        size = np.sqrt(np.diag(metric))
        changed = np.swapaxes(self.rotations, 1, 2) @ metric @ self.rotations
        return bool(np.all(np.abs(changed - metric) <= _METRIC * np.outer(size, size)))

    def group_number(self, cell: FloatArray) -> int | None:
        """Number of their space group as spglib finds it, if it does."""
        from spglib import get_spacegroup_type_from_symmetry

        found = get_spacegroup_type_from_symmetry(self.rotations, self.translations, cell)
        return None if found is None else int(found.number)


IDENTITY = Operators(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))


def parse_operators(texts: Sequence[str]) -> Operators:
    """Operators of texts such as ``-x+1/2, y, z-x``, each once.

    Raises
    ------
    ValueError
        If a text is no operator; it is the message.
    """
    rotations, translations = [], []
    for text in texts:
        rows = re.sub(r"\s", "", text.lower()).split(",")
        if len(rows) != 3:
            raise ValueError(text)
        rotation, translation = np.zeros((3, 3)), np.zeros(3)
        for i, row in enumerate(rows):
            terms = [match for match in _TERM.finditer(row) if match[0]]
            if "".join(match[0] for match in terms) != row or any(not (match[2] or match[3]) for match in terms):
                raise ValueError(text)
            for match in terms:
                above, _, below = (match[2] or "1").partition("/")
                if not float(below or 1):
                    raise ValueError(text)
                number = float(match[1] + "1") * float(above) / float(below or 1)
                if match[3]:
                    rotation[i, "xyz".index(match[3])] += number
                else:
                    translation[i] += number
        if np.any(rotation != np.round(rotation)) or abs(np.linalg.det(rotation)) != 1:
            raise ValueError(text)
        # Translations are often printed as 0.333.
        nearest = np.round(translation * 24) / 24
        rotations.append(rotation.astype(np.int64))
        translations.append(np.where(np.abs(translation - nearest) < 4e-3, nearest, translation))
    _, first = np.unique(_keys(np.array(rotations), np.array(translations)), return_index=True)
    kept = np.sort(first)
    return Operators(np.array(rotations)[kept], np.array(translations)[kept])


def _keys(rotations: NDArray[np.int64], translations: FloatArray) -> list[str]:
    """A text for each operator, the same for those that differ by a lattice translation."""
    places = np.round(translations * 2400).astype(np.int64) % 2400
    return [str(key) for key in np.concatenate([rotations.reshape(-1, 9), places], axis=1).tolist()]


@dataclass(frozen=True)
class Setting:
    """A space group in one choice of axes and origin, of the 530 in International Tables.

    Attributes
    ----------
    index : int
        Number of its Hall symbol, 1 to 530.
    number : int
        Number of the space group.
    choice : str
        What tells it from other settings of the group, such as ``b1``, ``cab``, ``2`` or ``h``.
    hall : str
        Hall symbol in lower case.
    names : str
        Regular expression of its Hermann-Mauguin symbols, in lower case without spaces.
    """

    index: int
    number: int
    choice: str
    hall: str
    names: str

    def operators(self) -> Operators:
        """Its symmetry operators."""
        from spglib import get_symmetry_from_database

        database = get_symmetry_from_database(self.index)
        # Thirds of the table have seven digits.
        return Operators(database["rotations"].astype(np.int64), np.round(database["translations"] * 24) / 24)


@cache
def _settings() -> tuple[Setting, ...]:
    from spglib import get_spacegroup_type

    settings = []
    for index in range(1, 531):
        entry = get_spacegroup_type(index)
        if 3 <= entry.number <= 15:
            # The short symbol of the table, P 2_1/c, is that of the group; that of the setting is P 2_1/n.
            short = "".join(part for part in entry.international_full.split() if part != "1")
        else:
            short = entry.international_short
        names = {_plain(name) for name in (entry.international_full, short)}
        if entry.number >= 200:  # before 1983 the symbols of cubic groups had no bar: F m 3 m
            names |= {name.replace("-3", "3") for name in names}
        pattern = "|".join(re.escape(name) for name in sorted(names))
        if entry.number in (39, 41, 64, 67, 68):  # before 1992 the e of C m c e was a letter of one of its glides
            pattern = pattern.replace("e", "[abce]")
        settings.append(Setting(index, entry.number, entry.choice.lower(), _plain_hall(entry.hall_symbol), pattern))
    return tuple(settings)


def settings_of_number(number: int) -> list[Setting]:
    """All settings of a space group."""
    return [setting for setting in _settings() if setting.number == number]


def settings_of_hall(symbol: str) -> list[Setting]:
    """Settings with a Hall symbol, at most one but for copies of the tables."""
    return [setting for setting in _settings() if setting.hall == _plain_hall(symbol)]


def settings_of_symbol(symbol: str) -> list[Setting]:
    """Settings that a Hermann-Mauguin symbol may mean.

    The choice may follow the symbol as ``:2``, ``:R``, ``H``, ``Z`` (second origin), ``S`` (first) or
    ``(origin choice 2)``.
    """
    match = re.fullmatch(
        r"(?P<name>.+?)(?::(?P<code>[^:]+)|\(?origin(?:choice)?(?P<origin>[12])\)?|(?P<letter>[hrsz]))?", _plain(symbol)
    )
    if match is None:
        return []
    code = match["code"] or match["origin"] or {"s": "1", "z": "2"}.get(match["letter"], match["letter"])
    found = [setting for setting in _settings() if re.fullmatch(setting.names, match["name"])]
    return found if code is None else with_choice(found, code)


def with_choice(settings: Sequence[Setting], code: str) -> list[Setting]:
    """Those of some settings that a code such as ``b1``, ``2`` or ``R`` allows."""
    code = code.strip().lower()
    return [
        setting
        for setting in settings
        if setting.choice == code or (len(code) == 1 and setting.choice.lstrip("-").startswith(code))
    ]


def _plain(symbol: str) -> str:
    """A Hermann-Mauguin symbol in lower case without spaces, subscripts and brackets around their digits."""
    return re.sub(r"\((\d)\)", r"\1", re.sub(r"[\s_~'\"]", "", symbol.lower().replace("−", "-")))


def _plain_hall(symbol: str) -> str:
    return " ".join(symbol.lower().replace("_", " ").replace("''", '"').split())
