"""A library of crystals: the AFLOW prototypes that pymatgen ships with, and compounds made of them by substitution.

In a substitution every element becomes one that is near it on the Mendeleev scale (D. G. Pettifor, Solid State Commun.
51 (1984) 31); the volume follows the radii (I.-H. Chu, S. Roychowdhury, D. Han, A. Jain and S. P. Ong, Comput. Mater.
Sci. 146 (2018) 184). What has atoms too close, one without a neighbour, or a volume that no solid has is left out. So
distances and volumes are those of solids, but most of the compounds are not known to exist, and charges may not add up.

Trials follow from the names of prototypes and a number, and from nothing else, so that a library is the same in every
study. They are kept between processes (see :mod:`exitwave.structures.kept`), and only as many are made as are needed.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal, crystal_from_pymatgen
from exitwave.structures.kept import keep, kept, place_of, versions_of
from exitwave.structures.prototypes import Prototype, chosen, structure_of
from exitwave.structures.standard import StandardCrystal, from_plain, standardised

if TYPE_CHECKING:
    from pymatgen.core import Structure

log = logging.getLogger(__name__)

HEAVIEST = 83
"""Largest atomic number: of heavier elements thermal vibrations are hardly known."""
LEFT_OUT = frozenset({"H", "He", "Ne", "Ar", "Kr", "Xe", "Tc", "Pm"})
"""Elements that no crystal of the library has."""
PLACES = 6
"""How far on the Mendeleev scale an element may be from the one that it replaces."""
CLOSEST, FURTHEST = 0.72, 1.35
"""Distances of nearest neighbours in sums of covalent radii (B. Cordero et al., Dalton Trans. (2008) 2832): none is
smaller than the first, and every atom has one within the second."""
SHORTEST = 1.1
"""Smallest distance of two atoms [Å]."""
VOLUMES = (4.0, 60.0)
"""Volume of an atom [Å³]."""
REASONS = {
    "element": "an element that the library does without",
    "merged": "two elements that became one",
    "repeated": "a compound that is there already",
    "predictor": "no radii for its elements",
    "close": "atoms too close",
    "isolated": "an atom without a neighbour",
    "volume": "an improbable volume of an atom",
    "cell": "a cell that is no crystal",
    "large": "a primitive cell above largest_volume",
}
"""Why a trial gives no crystal."""
_MODULES = ("library", "crystal", "prototypes", "reading", "standard")
_LIBRARIES = ("pymatgen", "pymatgen-core", "spglib", "ase", "numpy")
_VALENCES_TRIED = 5000
"""Sets of valences after which a compound has none; with twenty times as many no prototype has others."""
_KEEP_AFTER = 250
"""Trials after which what is known is written, so that little is lost when a process ends."""


@dataclass(frozen=True)
class FilterReport:
    """How many substitutions and compounds were tried, and what became of them.

    Attributes
    ----------
    tried, passed : int
    rejected : mapping of str to int
        Trials by the reason for which they were left out, one of ``REASONS``.
    """

    tried: int
    passed: int
    rejected: dict[str, int]

    def __str__(self) -> str:
        told = ", ".join(f"{REASONS[reason]} {count}" for reason, count in self.rejected.items())
        return f"{self.tried} compounds tried, {self.passed} crystals" + (f"; left out: {told}" if told else "")


@dataclass(frozen=True)
class Library:
    """The first crystals of a library.

    Attributes
    ----------
    crystals : sequence of StandardCrystal
    complete : bool
        Whether these are all.
    report : FilterReport
        Of the trials made so far.
    """

    crystals: Sequence[StandardCrystal]
    complete: bool
    report: FilterReport


def library(names: tuple[str, ...], substitutions: int, largest_volume: float, number: int | None = None) -> Library:
    """The first crystals of a library.

    First come the compounds that the prototypes are named for, then a substitution of each, then the second of each:
    so the first crystals are of as many prototypes as possible.

    Parameters
    ----------
    names : tuple of str
        Prototypes, by AFLOW label, compound, mineral or Strukturbericht symbol; all if empty.
    substitutions : int
        Trials of each prototype beside its compound.
    largest_volume : float
        Largest volume of the primitive cell [Å³].
    number : int, optional
        How many; all if left out.

    Raises
    ------
    StructureError
        If a name is unknown.
    """
    growing = _growing(names, substitutions, largest_volume)
    before = growing.next
    found = growing.first(number)
    if growing.next > before:
        log.info("library of crystals: %s", found.report)
    return found


class _Growing:
    """A library as far as it is made; trial t is of prototype t mod n."""

    def __init__(self, parents: Sequence[Prototype], substitutions: int, largest_volume: float) -> None:
        self._prototypes, self._largest = parents, largest_volume
        self._trials = len(parents) * (substitutions + 1)
        self._formulas: set[tuple[str, str]] = set()
        self._rejected: Counter[str] = Counter()
        self._crystals: list[StandardCrystal] = []
        self.next = 0

    def first(self, number: int | None) -> Library:
        known = _known()
        while self.next < self._trials and (number is None or len(self._crystals) < number):
            turn, place = divmod(self.next, len(self._prototypes))
            self._take(self._prototypes[place], known.trial(self._prototypes[place], turn))
            self.next += 1
        known.write()
        complete = self.next == self._trials and (number is None or len(self._crystals) <= number)
        report = FilterReport(self.next, len(self._crystals), dict(self._rejected))
        return Library(self._crystals[:number], complete, report)

    def _take(self, prototype: Prototype, outcome: dict[str, Any] | str) -> None:
        if isinstance(outcome, str):
            self._rejected[outcome] += 1
            return
        made = from_plain(outcome)
        name = (prototype.key, made.formula)
        if name in self._formulas:
            self._rejected["repeated"] += 1
        elif made.crystal.volume > self._largest:
            self._rejected["large"] += 1
        else:
            self._crystals.append(made)
        self._formulas.add(name)


@cache
def _growing(names: tuple[str, ...], substitutions: int, largest_volume: float) -> _Growing:
    return _Growing(chosen(names), substitutions, largest_volume)


class _Known:
    """Outcomes of trials: a crystal in plain values, or the reason why there is none."""

    def __init__(self) -> None:
        key = hashlib.blake2b(versions_of(_MODULES, _LIBRARIES).encode(), digest_size=12).hexdigest()
        self._store = place_of("library", f"{key}.json")
        self._outcomes = kept(self._store)
        self._new = 0

    def trial(self, prototype: Prototype, turn: int) -> dict[str, Any] | str:
        name = f"{prototype.key} {turn}"
        found: dict[str, Any] | str | None = self._outcomes.get(name)
        if found is None:
            self._outcomes[name] = found = try_substitution(prototype, turn)
            self._new += 1
            if self._new >= _KEEP_AFTER:
                self.write()
        return found

    def write(self) -> None:
        if self._new:
            # Other processes may have made others meanwhile.
            self._outcomes = kept(self._store) | self._outcomes
            keep(self._store, self._outcomes)
            self._new = 0


@cache
def _known() -> _Known:
    return _Known()


def try_substitution(prototype: Prototype, turn: int) -> dict[str, Any] | str:
    """The compound of a prototype (turn 0), or a substitution, in plain values; else why it is none."""
    parent = structure_of(prototype)
    elements = sorted(element.symbol for element in parent.composition)
    if turn == 0:
        new, structure = elements, parent
    else:
        seed = hashlib.blake2b(f"{prototype.key} {turn}".encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(seed, "big"))
        options = [_neighbours_on_the_scale(element) for element in elements]
        if not all(options):
            return "element"
        new = [choice[int(rng.integers(len(choice)))] for choice in options]
        structure = parent.copy()
        structure.replace_species(dict(zip(elements, new, strict=True)))
    if any(atomic_numbers[element] > HEAVIEST or element in LEFT_OUT for element in new):
        return "element"
    if len(set(new)) < len(new):
        return "merged"
    if new != elements:
        try:
            structure.scale_lattice(predicted_volume(structure, parent, _valences(prototype)))
        except TypeError:  # a radius that is None
            return "predictor"
    name = structure.composition.reduced_formula
    try:
        crystal = crystal_from_pymatgen(structure, name)
    except StructureError:
        return "close"
    if reason := _improbable(crystal):
        return reason
    try:
        return standardised(crystal, prototype.title, prototype.label).plain()
    except StructureError:
        return "cell"


def predicted_volume(structure: Structure, parent: Structure, valences: list[int] | None) -> float:
    """Volume [Å³] of a compound after that of another one of the same structure.

    Parameters
    ----------
    structure, parent : Structure
        The compound, and the one whose volume is known, site by site.
    valences : list of int, optional
        Those of the sites of both. Ionic radii are taken where the elements have them for these, else atomic ones.

    Raises
    ------
    TypeError
        If an element has no radius.
    """
    from pymatgen.core.structure_prediction.volume_predictor import RLSVolumePredictor

    if valences is not None:
        ionic = [one.copy() for one in (structure, parent)]
        for one in ionic:
            one.add_oxidation_state_by_site(valences)
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            return float(RLSVolumePredictor(check_isostructural=False, radii_type="ionic").predict(*ionic))
    return float(RLSVolumePredictor(check_isostructural=False, radii_type="atomic").predict(structure, parent))


@cache
def _valences(prototype: Prototype) -> list[int] | None:
    """Valence of each site of the compound of a prototype; none if it has none that add up."""
    from pymatgen.core.bond_valence import BVAnalyzer

    try:
        return list(BVAnalyzer(max_permutations=_VALENCES_TRIED).get_valences(structure_of(prototype)))
    except ValueError:
        return None


@cache
def _neighbours_on_the_scale(element: str) -> tuple[str, ...]:
    """Elements that may replace one, itself among them, in the order of the Mendeleev scale."""
    from pymatgen.core import Element

    place = Element(element).mendeleev_no
    allowed = [other for other in Element if other.Z <= HEAVIEST and other.symbol not in LEFT_OUT]
    near = [other for other in allowed if abs(other.mendeleev_no - place) <= PLACES]
    return tuple(other.symbol for other in sorted(near, key=lambda other: other.mendeleev_no))


def _improbable(crystal: Crystal) -> str:
    """Why a crystal is improbable; empty if it is not."""
    from ase.neighborlist import primitive_neighbor_list

    per_atom = crystal.volume / len(crystal.numbers)
    if not VOLUMES[0] <= per_atom <= VOLUMES[1]:
        return "volume"
    radii = covalent_radii[crystal.numbers]
    first, second, distances = primitive_neighbor_list(
        "ijd", (True, True, True), crystal.cell, crystal.fractional @ crystal.cell, (FURTHEST * radii).tolist()
    )
    parts = distances / (radii[first] + radii[second])
    if len(parts) and (parts.min() < CLOSEST or distances.min() < SHORTEST):
        return "close"
    return "isolated" if len(np.unique(first)) < len(radii) else ""
