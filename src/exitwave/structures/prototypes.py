"""Prototypes of crystals: those of the AFLOW library that pymatgen ships with.

M. J. Mehl et al., Comput. Mater. Sci. 136 (2017) S1, and D. Hicks et al., Comput. Mater. Sci. 161 (2019) S1.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exitwave.config.crystals import prototypes_file
from exitwave.errors import StructureError

if TYPE_CHECKING:
    from pymatgen.core import Structure


_PLAIN = {"\\'{c}": "ć", "$\\mu$": "µ"}
_TEX = re.compile("|".join(map(re.escape, _PLAIN)))
"""What the names of minerals have of TeX."""


@dataclass(frozen=True, eq=False)
class Prototype:
    """A structure type with the compound that it is named for.

    Attributes
    ----------
    label : str
        AFLOW label, such as ``AB_cF8_225_a_b``.
    mineral, symbol : str
        Name of a mineral and Strukturbericht symbol; empty if there is none.
    compound : str
        Reduced formula of its compound.
    structure : mapping
        Its structure, as pymatgen has it.
    """

    label: str
    mineral: str
    symbol: str
    compound: str
    structure: dict[str, Any]

    @property
    def key(self) -> str:
        """Tells prototypes of one label apart."""
        return f"{self.label} {self.compound} {self.mineral}"

    @property
    def title(self) -> str:
        """The compound, and the mineral if it has a name."""
        return f"{self.compound}, {self.mineral}" if self.mineral else self.compound

    def names(self) -> set[str]:
        """What it is called, in small letters."""
        plain = re.sub(r"\([^)]*\)\s*", "", self.mineral)  # (Cubic) Perovskite
        minerals = [self.mineral, plain, *self.mineral.split(", ")]
        return {name.lower() for name in (self.label, self.symbol, self.compound, *minerals) if name}


@cache
def prototypes() -> tuple[Prototype, ...]:
    """The prototypes, in an order that mixes them."""
    entries = json.loads(gzip.decompress(Path(prototypes_file()).read_bytes()))
    read = [_prototype(entry["tags"], entry["snl"]) for entry in entries]
    return tuple(sorted(read, key=lambda one: hashlib.blake2b(one.key.encode()).digest()))


def chosen(names: Sequence[str]) -> tuple[Prototype, ...]:
    """The prototypes of some names, all if there are none.

    Raises
    ------
    StructureError
        If a name is unknown: which are near.
    """
    if not names:
        return prototypes()
    known = {name: one for one in prototypes() for name in sorted(one.names())}
    for name in names:
        if name.lower() not in known:
            raise StructureError(f"prototypes: found '{name}'; allowed: names such as {', '.join(_near(name))}")
    wanted = {name.lower() for name in names}
    return tuple(one for one in prototypes() if wanted & one.names())


def _near(name: str) -> list[str]:
    from difflib import get_close_matches

    told = {alias.lower(): alias for one in prototypes() for alias in (one.label, one.mineral, one.compound) if alias}
    return [told[close] for close in get_close_matches(name.lower(), sorted(told), 3, 0.5)] or ["NaCl", "Fluorite"]


def _prototype(tags: dict[str, str], structure: dict[str, Any]) -> Prototype:
    from ase.formula import Formula

    counts = Counter(site["species"][0]["element"] for site in structure["sites"])
    reduced, _ = Formula.from_dict(dict(counts)).reduce()
    symbol = tags["strukturbericht"].replace("_", "")
    return Prototype(
        label=tags["aflow"],
        mineral=_TEX.sub(lambda found: _PLAIN[found[0]], tags["mineral"].strip()),
        symbol="" if symbol == "None" else symbol,
        compound=str(reduced.format("metal")),
        structure=structure,
    )


def structure_of(prototype: Prototype) -> Structure:
    """The structure of its compound."""
    from pymatgen.core import Structure

    return Structure.from_dict({**prototype.structure, "@module": "pymatgen.core.structure", "@class": "Structure"})
