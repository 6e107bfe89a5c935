"""Crystals from CIF files, held against what their files say of symmetry, contents, volume and density."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.cif import CifBlock, Number, parse_number, read_blocks
from exitwave.structures.crystal import (
    LEAST_SPACING,
    Crystal,
    checked,
    close_pairs,
    closest,
    face_spacing,
    require_full_sites,
)
from exitwave.structures.crystal_contents import hold_against_contents, known_element, read_formula
from exitwave.structures.space_groups import (
    IDENTITY,
    Operators,
    Setting,
    parse_operators,
    settings_of_hall,
    settings_of_number,
    settings_of_symbol,
    with_choice,
)

FloatArray = NDArray[np.float64]
log = logging.getLogger(__name__)

_CELL = tuple(
    f"_cell_{name}" for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
)
_COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_OPERATORS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_SYMBOLS = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")

_SMALLEST, _LONGEST = 1.0, 1e4
"""Volume [Å³] and length [Å] beyond which a cell is in other units or a slip: one atom needs more than the first."""
_MOST_OPERATORS = 1000
"""Beyond, the time that it takes to see whether they are a group is felt."""
_SLACK = 5e-4
"""Least uncertainty of a fractional coordinate: what programs with single precision make of a special position."""
_FULL = 0.05
"""Furthest from 1 that an occupancy may be, however uncertain it is, to be taken for 1."""
_VOLUME = 0.01
"""Part by which the volume of the cell may differ from the one in the file."""
_SAME = 1e-3
"""Atoms closer than this [Å] are one atom in two descriptions."""


def split_block(material: str) -> tuple[Path, str | None]:
    """Path of a file, and the name of the data block where one follows the path as in ``phases.cif#anatase``."""
    path, mark, block = material.rpartition("#")
    if not mark or os.path.isfile(material):
        return Path(material), None
    return Path(path), block


def read_cif(path: Path | str) -> Crystal:
    """Crystal of a CIF file, named by its stem.

    Parameters
    ----------
    path : path
        The file; of several structures in it one is chosen by its name, as in ``phases.cif#anatase``.

    Raises
    ------
    StructureError
        If the file cannot be read as a crystal, leaves open which one it is, or contradicts itself; or as for
        `crystal_from_ase`.
    """
    file, name = split_block(str(path))
    block = _chosen(file, read_blocks(file), name)
    crystal_name = file.stem if name is None else f"{file.stem}#{name}"
    if any(tag.startswith(("_space_group_ssg", "_space_group_symop_ssg", "_cell_modulation")) for tag in block.tags):
        raise StructureError(
            f"material is '{block.source}', which is a modulated structure; allowed: periodic crystals"
        )
    cell = _cell(block)
    choices, certain = _symmetry(block, cell)
    formula = read_formula(block)
    sites = _sites(block, crystal_name, formula)
    found: list[tuple[Crystal, str | None]] = []
    errors: list[StructureError] = []
    for operators in choices:
        try:
            crystal = _expand(block, crystal_name, cell, sites, operators)
            confirmed, lacking = hold_against_contents(block, crystal, formula)
            if not certain and not confirmed:
                raise StructureError(
                    f"material is '{block.source}', which does not say how symmetry repeats its sites, and "
                    f"nothing shows that they are the whole cell, of {crystal.density():.3g} g/cm³; allowed: "
                    "symmetry operators, a space group (P 1 if all atoms are listed), or contents that agree with "
                    "_chemical_formula_sum and _cell_formula_units_Z"
                )
        except StructureError as error:
            errors.append(error)
            continue
        if not any(_is_same(crystal, other) for other, _ in found):
            found.append((crystal, lacking))
    if not found:
        raise errors[0]
    if len(found) > 1:
        held = " or ".join(str(count) for count in sorted({len(crystal.numbers) for crystal, _ in found}))
        raise StructureError(
            f"material is '{block.source}', whose symmetry can be read in {len(found)} ways, with {held} atoms in the "
            "cell, and nothing in it tells which is meant; allowed: all symmetry operators, or the symbol of the space "
            "group with its setting, such as 'F d -3 m :2'"
        )
    crystal, lacking = found[0]
    if lacking is not None:
        log.warning("material is '%s', %s", block.source, lacking)
    return crystal


def _chosen(path: Path, blocks: Sequence[CifBlock], name: str | None) -> CifBlock:
    """The one block with a structure, or the named one of several."""
    whole = [block for block in blocks if _CELL[0] in block.tags and "_atom_site_fract_x" in block.tags]
    if not whole:
        raise StructureError(
            f"material is '{path}', which cannot be read as a crystal (no data block has both a cell and fractional "
            "coordinates of atoms); allowed: a CIF file with a cell and atom sites"
        )
    allowed = ", ".join(f"{path}#{block.name}" for block in whole)
    if name is None and len(whole) > 1:
        raise StructureError(f"material is '{path}', which holds {len(whole)} structures; allowed: {allowed}")
    if name is None:
        return whole[0]
    matching = [block for block in whole if block.name.lower() == name.lower()]
    if len(matching) != 1:
        raise StructureError(
            f"material is '{path}#{name}', but the file holds {len(matching)} structures of that name; "
            f"allowed: {allowed}"
        )
    return replace(matching[0], source=f"{path}#{name}")


def _cell(block: CifBlock) -> FloatArray:
    """Lattice vectors [3, 3]: the first along x, the second in the plane of x and y."""
    from ase.geometry import cellpar_to_cell

    parameters = [block.number(tag) for tag in _CELL]
    missing = [tag for tag, value in zip(_CELL, parameters, strict=True) if value is None]
    if missing:
        raise StructureError(
            f"material is '{block.source}', which has no {missing[0]}; allowed: a file with three lengths and three "
            "angles of the cell"
        )
    known = np.array([value for value in parameters if value is not None])
    cosines = np.cos(np.radians(known[3:]))
    volume = float(np.prod(known[:3]) * np.sqrt(max(0.0, 1 - np.sum(cosines**2) + 2 * np.prod(cosines))))
    if known.min() <= 0 or known.max() > _LONGEST or known[3:].max() >= 180 or volume < _SMALLEST:
        raise StructureError(
            f"material is '{block.source}', where the cell {', '.join(f'{value:g}' for value in known)} holds no atom "
            f"or has no volume; allowed: lengths [Å] up to {_LONGEST:g} and angles [°] of a parallelepiped of "
            f"{_SMALLEST:g} Å³ or more"
        )
    stated = block.number("_cell_volume")
    if stated is not None and abs(stated - volume) > _VOLUME * volume:
        raise StructureError(
            f"material is '{block.source}', where _cell_volume is {stated:g} Å³ and lengths and angles give "
            f"{volume:.5g} Å³; allowed: the same within {_VOLUME:.0%}"
        )
    cell = np.asarray(cellpar_to_cell(known), dtype=np.float64)
    if not face_spacing(cell) >= LEAST_SPACING:
        raise StructureError(
            f"material is '{block.source}', whose cell has faces {face_spacing(cell):.3g} Å apart; allowed: "
            f"{LEAST_SPACING:g} Å or more"
        )
    return cell


def _symmetry(block: CifBlock, cell: FloatArray) -> tuple[list[Operators], bool]:
    """Operators that the file may mean, and whether it says anything that leads to them."""
    texts = block.column(*_OPERATORS)
    named, why = _named_settings(block)
    if texts is None and why is not None:
        raise StructureError(
            f"material is '{block.source}', {why}, and lists no symmetry operators; allowed: a space group as in "
            "International Tables, or operators"
        )
    fitting = [setting for setting in named if setting.operators().fit(cell)]
    if texts is None:
        if not named:
            return [IDENTITY], False
        if not fitting:
            raise StructureError(
                f"material is '{block.source}', whose cell does not have the symmetry of its space group, number "
                f"{named[0].number}; allowed: lengths and angles that agree with it"
            )
        # By convention a short symbol, such as P 21/n, is that of the unique axis b.
        usual = [setting for setting in fitting if setting.choice.lstrip("-").startswith("b")]
        monoclinic = 3 <= fitting[0].number <= 15 and block.value(*_SYMBOLS) is not None
        return [setting.operators() for setting in (usual if monoclinic and usual else fitting)], True
    if len(texts) > _MOST_OPERATORS:
        raise StructureError(
            f"material is '{block.source}', which lists {len(texts)} symmetry operators; allowed: up to "
            f"{_MOST_OPERATORS}, of which a space group has 192 at most"
        )
    try:
        listed = parse_operators(texts)
    except ValueError as error:
        raise StructureError(
            f"material is '{block.source}', which lists '{error}' as a symmetry operator; allowed: such as -x,y+1/2,-z"
        ) from error
    if not listed.is_group():
        raise StructureError(
            f"material is '{block.source}', whose {len(listed)} symmetry operators are no group; allowed: all of the "
            "space group"
        )
    if not listed.fit(cell):
        raise StructureError(
            f"material is '{block.source}', whose cell does not have the symmetry of the operators that it lists; "
            "allowed: lengths and angles that agree with them"
        )
    if named and listed.group_number(cell) not in {setting.number for setting in named}:
        # A list that was left at x,y,z, or a name that was left from before: what the file holds may tell.
        return [listed, *(setting.operators() for setting in fitting)], True
    # A name that nobody knows beside x,y,z alone may stand for operators that were left out.
    return [listed], len(listed) > 1 or why is None


def _named_settings(block: CifBlock) -> tuple[list[Setting], str | None]:
    """Settings that all names of the space group allow, none without names; and what is wrong with the names."""
    number, symbol, hall = block.value(*_NUMBERS), block.value(*_SYMBOLS), block.value(*_HALL)
    code = block.value("_space_group_it_coordinate_system_code")
    found: list[tuple[str, list[Setting]]] = []
    if number is not None:
        found.append(
            (f"the number {number}", settings_of_number(int(number)) if re.fullmatch(r"\d{1,3}", number) else [])
        )
    if symbol is not None:
        found.append((f"the symbol '{symbol}'", settings_of_symbol(symbol)))
    if hall is not None:
        found.append((f"the Hall symbol '{hall}'", settings_of_hall(hall)))
    for name, settings in found:
        if not settings:
            return [], f"whose space group has {name}, which is not known"
    if not found:
        return [], None
    common = [setting for setting in found[0][1] if all(setting in settings for _, settings in found[1:])]
    if not common:
        return [], f"whose space group has {' and '.join(name for name, _ in found)}, which are different ones"
    if code is not None and len(common) > 1:
        common = with_choice(common, code)
        if not common:
            return [], f"whose space group has {found[0][0]} in the setting '{code}', which is not known"
    return common, None


@dataclass(frozen=True, eq=False)
class _Site:
    """One row of the list of atoms."""

    label: str
    number: int
    place: FloatArray
    slack: FloatArray
    occupancy: Number

    def is_full(self) -> bool:
        return _is_one(self.occupancy.value, self.occupancy.uncertainty)


def _is_one(value: float, uncertainty: float) -> bool:
    """Whether an occupancy is 1 within twice its standard uncertainty, or within rounding."""
    return abs(value - 1) <= max(1e-3, min(2 * uncertainty, _FULL)) + 1e-9


def _sites(block: CifBlock, name: str, formula: dict[int, Number] | None) -> list[_Site]:
    columns = [block.column(tag) for tag in _COORDINATES]
    labels, types = block.column("_atom_site_label"), block.column("_atom_site_type_symbol")
    given = labels if labels is not None else types
    if given is None or any(column is None for column in columns):
        raise StructureError(
            f"material is '{block.source}', which lacks a column of its atoms; allowed: a file with "
            f"_atom_site_type_symbol or _atom_site_label, and {', '.join(_COORDINATES)}"
        )
    occupancies = block.column("_atom_site_occupancy") or ["?"] * len(given)
    proper = any(re.match(r"[A-Z][a-z]", text) for text in [*(types or []), *(labels or [])])
    sites, unplaced = [], 0
    for row, label in enumerate(given):
        kind = types[row] if types is not None and types[row] not in ("?", ".") else None
        number = _element(block, kind, label, formula, proper)
        texts = [column[row] for column in columns if column is not None]
        if number == 1 and any(text in ("?", ".") for text in texts):
            unplaced += 1
            continue
        coordinates = [_number(block, tag, label, text) for tag, text in zip(_COORDINATES, texts, strict=True)]
        occupancy = Number(1.0)
        if occupancies[row] not in ("?", "."):
            occupancy = _number(block, "_atom_site_occupancy", label, occupancies[row])
        place = np.array([coordinate.value for coordinate in coordinates])
        slack = np.maximum([coordinate.digit for coordinate in coordinates], _SLACK)
        sites.append(_Site(label, number, place, slack, occupancy))
    if unplaced:
        log.warning(
            "material is '%s', where %d hydrogen sites without coordinates are left out", block.source, unplaced
        )
    return sites


def _number(block: CifBlock, tag: str, label: str, text: str) -> Number:
    number = parse_number(text)
    if number is None:
        raise StructureError(
            f"material is '{block.source}', where {tag} of '{label}' is '{text}'; allowed: a number such as 0.3333(2)"
        )
    return number


def _element(block: CifBlock, kind: str | None, label: str, formula: dict[int, Number] | None, proper: bool) -> int:
    """Atomic number of a site: by its type symbol, such as Ce4+ or CE, else by the letters that its label starts with.

    Letters that may mean two elements, such as CO of a label, are told apart by the formula, and by how the file
    writes others (``proper``: with small second letters).
    """
    text = label if kind is None else kind
    match = re.match(r"[A-Za-z]+", text)
    letters = match[0] if match else ""
    two = known_element(letters[:2]) if len(letters) > 1 else None
    # A D that more letters follow is no deuterium.
    one = known_element(letters[:1]) if len(letters) == 1 or letters[:1] not in ("D", "d") else None
    told = letters[:1].isupper() and letters[1:2].islower()
    exact = len(letters) == 2 and not proper
    in_formula = [number for number in (two, one) if number is not None and formula is not None and number in formula]
    if len(letters) == 1 and one is not None:
        return one
    if two is not None and len(letters) == 2 and kind is not None:
        return two
    if two is not None and (told or exact) and (formula is None or two in formula or one not in in_formula):
        return two
    if len(in_formula) == 1:
        return in_formula[0]
    if two is None and one is not None and len(letters) == 2 and formula is None:
        return one  # such as OW, the oxygen of water
    readings = " or ".join(chemical_symbols[number] for number in (two, one) if number is not None)
    raise StructureError(
        f"material is '{block.source}', where the site '{label}' has the element '{text}'"
        f"{f', which may be {readings},' if readings else ''} and nothing tells which element it is; "
        "allowed: chemical symbols such as Au or Ce4+ in _atom_site_type_symbol"
    )


def _expand(block: CifBlock, name: str, cell: FloatArray, sites: Sequence[_Site], operators: Operators) -> Crystal:
    """Crystal of all sites and what operators make of them."""
    orbits = [_orbit(block, site, operators, cell) for site in sites]
    row = np.repeat(np.arange(len(sites)), [len(orbit) for orbit in orbits])
    fractional = np.concatenate([np.empty((0, 3)), *orbits])
    numbers = np.array([site.number for site in sites], dtype=np.uint8)[row]
    # Rows that stand for one site: two elements or two parts of one on it, or one atom listed twice.
    same = np.arange(len(sites))
    for first, second, offset in zip(*close_pairs(name, cell, fractional, numbers), strict=True):
        one, other = sorted((int(row[first]), int(row[second])))
        if one != other and np.all(np.abs(offset) <= sites[one].slack.max() + sites[other].slack.max()):
            same[same == same[other]] = same[one]
    groups = [[site for site, leader in zip(sites, same, strict=True) if leader == group] for group in np.unique(same)]
    totals = []
    for group in groups:
        total = sum(site.occupancy.value for site in group)
        spread = sum(site.occupancy.uncertainty for site in group)
        # As in a list of atoms that symmetry had been applied to already.
        is_one = _is_one(total, spread) or all(site.is_full() for site in group)
        totals.append(1.0 if is_one else total)
    require_full_sites(name, totals, [len({site.number for site in group}) for group in groups])
    kept = same[row] == row
    return checked(name, cell, fractional[kept], numbers[kept])


def _orbit(block: CifBlock, site: _Site, operators: Operators, cell: FloatArray) -> FloatArray:
    """Places [n, 3] of a site under operators, itself on the special position that its printed digits stand for."""
    tolerance = (np.abs(operators.rotations) @ site.slack + site.slack) * (1 + 1e-9)
    near = np.zeros(len(operators), dtype=bool)
    place = site.place
    for _ in range(5):
        shift = place @ np.swapaxes(operators.rotations, 1, 2) + operators.translations - place
        shift -= np.round(shift)
        before, near = near, np.all(np.abs(shift) <= tolerance, axis=1)
        # Atoms that are two may be within the tolerance where few digits are printed, yet not on top of each other.
        near &= np.linalg.norm(shift @ cell, axis=1) < closest(site.number, site.number)
        place = place + shift[near].mean(axis=0)
        if np.array_equal(near, before):
            break
    images = place @ np.swapaxes(operators.rotations, 1, 2) + operators.translations
    orbit: list[FloatArray] = []
    remaining = images
    while len(remaining):
        orbit.append(remaining[0])
        offset = remaining - remaining[0]
        remaining = remaining[np.linalg.norm((offset - np.round(offset)) @ cell, axis=1) > _SAME]
    if len(orbit) * int(near.sum()) != len(operators):
        raise StructureError(
            f"material is '{block.source}', where the coordinates of '{site.label}' leave open whether it lies on a "
            "symmetry element; allowed: more digits"
        )
    return np.array(orbit)


def _is_same(one: Crystal, other: Crystal) -> bool:
    """Whether two descriptions in one cell have the same atoms at the same places."""
    if not np.array_equal(np.sort(one.numbers), np.sort(other.numbers)):
        return False
    for number in np.unique(one.numbers):
        places = other.fractional[other.numbers == number]
        for place in one.fractional[one.numbers == number]:
            offset = places - place
            if np.linalg.norm((offset - np.round(offset)) @ one.cell, axis=1).min() > 10 * _SAME:
                return False
    return True
