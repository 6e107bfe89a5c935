"""What a CIF file says that its cell holds: formula, number of formula units, density."""

from __future__ import annotations

import re

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from exitwave.errors import StructureError
from exitwave.structures.cif import CifBlock, Number, parse_number
from exitwave.structures.crystal import Crystal

_DENSITY = 0.15
"""The same of the density; hydrogen atoms that were not found and deuterium account for up to a tenth."""


def known_element(symbol: str) -> int | None:
    """Atomic number of a symbol, of deuterium too."""
    symbol = symbol.capitalize()
    return 1 if symbol == "D" else atomic_numbers.get(symbol) if symbol != "X" else None


def read_formula(block: CifBlock) -> dict[int, Number] | None:
    """Numbers of atoms by atomic number in the formula of the file; None if there is none that can be read."""
    text = block.value("_chemical_formula_sum")
    if text is None:
        return None
    words = text.replace(",", " ").split()
    if len(words) > 1 and text.upper() == text:
        parts = [re.fullmatch(r"([A-Z]{1,2})(\d*\.?\d*)", word) for word in words]
    elif (
        re.search(r"[A-Z][A-Z]", text)
        and text.upper() == text
        and any(map(known_element, re.findall("[A-Z]{2}", text)))
    ):
        return None  # such as CO2, which may be cobalt
    else:
        joined = "".join(f"{word} " if word[-1:].isdigit() else word for word in words)
        parts = [re.fullmatch(r"([A-Z][a-z]?)(\d*\.?\d*)", word) for word in re.findall(r"[A-Z][^A-Z\s]*|\S", joined)]
    formula: dict[int, Number] = {}
    for part in parts:
        element = None if part is None else known_element(part[1])
        if part is None or element is None:
            return None
        count, before = parse_number(part[2] or "1"), formula.get(element, Number(0.0))
        if count is None:
            return None
        formula[element] = Number(before.value + count.value, 0.0, max(before.digit, count.digit))
    return formula


def hold_against_contents(
    block: CifBlock, crystal: Crystal, formula: dict[int, Number] | None
) -> tuple[bool, str | None]:
    """Hold what a cell holds against formula, number of formula units and density of the file.

    Returns
    -------
    confirmed : bool
        Whether the file says how much the cell holds, and it does.
    lacking : str or None
        What is missing and tolerated.

    Raises
    ------
    StructureError
        If the file contradicts itself.
    """
    elements, counts = np.unique(crystal.numbers, return_counts=True)
    contents = dict(zip(elements.tolist(), counts.tolist(), strict=True))
    held = " ".join(f"{chemical_symbols[element]}{count}" for element, count in contents.items())
    units = block.number("_cell_formula_units_z")
    confirmed, lacking = False, None
    if formula is not None:
        smallest = int(np.gcd.reduce(counts))
        heavy = {element: number for element, number in formula.items() if element != 1 or set(formula) == {1}}
        # Some programs write the contents of the whole cell as the formula, beside the number of its units.
        scales = [] if units is None else [units] + ([1.0] if abs(units - smallest) < 1e-6 else [])
        if units is None:
            first = elements[elements != 1][0] if set(contents) != {1} else 1
            scales = [max(1, round(contents[first] / formula[first].value))] if first in formula else [1]
        for scale in scales:
            if _agree(contents, formula, scale):
                confirmed = units is not None
                break
            if (
                1 in formula
                and contents.get(1, 0) < formula[1].value * scale
                and _agree({element: count for element, count in contents.items() if element != 1}, heavy, scale)
            ):
                confirmed = units is not None
                lacking = (
                    f"where {formula[1].value * scale - contents.get(1, 0):g} hydrogen atoms of the formula have no "
                    "site; the crystal is made without them"
                )
                break
        else:
            text = block.value("_chemical_formula_sum")
            times = "" if units is None else f", _cell_formula_units_Z is {units:g}"
            raise StructureError(
                f"material is '{block.source}', where _chemical_formula_sum is '{text}'{times}, and the cell holds "
                f"{held} ({crystal.density():.3g} g/cm³); allowed: the same contents"
            )
    elif units is not None and any(count % max(units, 1) for count in contents.values()):
        raise StructureError(
            f"material is '{block.source}', where _cell_formula_units_Z is {units:g}, and the cell holds {held}; "
            "allowed: a whole number of atoms for each formula unit"
        )
    density = block.number("_exptl_crystal_density_diffrn")
    if density is not None:
        if abs(crystal.density() - density) > _DENSITY * density:
            raise StructureError(
                f"material is '{block.source}', where _exptl_crystal_density_diffrn is {density:g} g/cm³, and the cell "
                f"holds {held}, which has {crystal.density():.3g} g/cm³; allowed: the same within {_DENSITY:.0%}"
            )
        confirmed = True
    return confirmed, lacking


def _agree(contents: dict[int, int], formula: dict[int, Number], scale: float) -> bool:
    """Whether a cell holds a formula so many times, within the digits of the formula."""
    return set(contents) == set(formula) and all(
        abs(count - scale * formula[element].value) <= scale * formula[element].digit + 1e-6
        for element, count in contents.items()
    )
