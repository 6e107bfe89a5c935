"""Monolayers of prototypes: a cell and its sites, with elements by charge and lengths by covalent radii.

The prototypes stand in ``monolayers.yaml``, which says what its numbers mean. No compound is claimed to be stable: they
are what columns, lattices and contrasts of monolayers look like, at bond lengths that atoms of these sizes have.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

from exitwave.structures.lattice2d import CLASSES, Bravais

FloatArray = NDArray[np.float64]

CLOSEST, FARTHEST = 0.75, 1.3
"""Allowed for the nearest two atoms of a compound: their distance over the sum of their covalent radii."""


@dataclass(frozen=True, eq=False)
class Monolayer:
    """A layer that repeats in two directions.

    Attributes
    ----------
    formula : str
        As of :func:`exitwave.structures.reading.formula_of`, of one cell.
    prototype : str
        Name of the prototype; of files what stands for it.
    bravais : str
        Class of the lattice of its columns.
    source : str
        Where it is from: the prototype, or the path of a file.
    cell : float64 [2, 2]
        Rows: vectors in the plane [Å].
    places : float64 [n, 2]
        Of the atoms in the plane [Å].
    heights : float64 [n]
        Of the atoms along the normal [Å].
    numbers : uint8 [n]
        Atomic numbers.
    """

    formula: str
    prototype: str
    bravais: Bravais
    source: str
    cell: FloatArray
    places: FloatArray
    heights: FloatArray
    numbers: NDArray[np.uint8]

    @property
    def group(self) -> str:
        """What no split tears apart: formula and prototype."""
        return f"{self.formula}, {self.prototype}"


@dataclass(frozen=True)
class Prototype:
    """A prototype, as its entry in the file says it."""

    name: str
    bravais: Bravais
    layer_group: int
    cell: tuple[float, float, float]
    bond: tuple[str, str]
    factor: float
    sites: Mapping[str, Sequence[Sequence[float]]]
    vary: Mapping[str, tuple[float, float]]
    elements: Sequence[Mapping[str, Sequence[str]]]

    def compounds(self) -> list[Monolayer]:
        """All compounds whose atoms are neither too close nor too far, each formula once, in the order of elements."""
        found: dict[str, Monolayer] = {}
        for family in self.elements:
            for symbols in itertools.product(*family.values()):
                compound = self.compound(dict(zip(family, symbols, strict=True)))
                if CLOSEST <= closeness(compound) <= FARTHEST:
                    found.setdefault(compound.formula, compound)
        return list(found.values())

    def compound(self, species: Mapping[str, str]) -> Monolayer:
        """The compound in which elements take the sites."""
        from exitwave.structures.reading import formula_of

        numbers = np.array(
            [atomic_numbers[species[name]] for name, sites in self.sites.items() for _ in sites], np.uint8
        )
        sites = np.array([site for its in self.sites.values() for site in its], np.float64)
        bond = self.factor * sum(covalent_radii[atomic_numbers[species[name]]] for name in self.bond)
        formula = formula_of(numbers)
        along, across, angle = self.cell
        drawn = _drawn(f"{self.name} {formula}", self.vary)
        across, angle = across * drawn.get("b", 1.0), np.radians(drawn.get("gamma", angle))
        cell = bond * np.array([[along, 0.0], [across * np.cos(angle), across * np.sin(angle)]])
        places, heights = sites[:, :2] @ cell, bond * sites[:, 2]
        return Monolayer(formula, self.name, self.bravais, self.name, cell, places, heights, numbers)


def _drawn(name: str, ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Values of a compound in ranges, which follow from its name."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    rng = np.random.default_rng(seed)
    return {key: float(rng.uniform(*limits)) for key, limits in ranges.items()}


def closeness(layer: Monolayer) -> float:
    """Smallest distance of two atoms over the sum of their covalent radii."""
    positions = np.column_stack([layer.places, layer.heights])
    around = np.array([(i, j) for i in range(-2, 3) for j in range(-2, 3)], np.float64) @ layer.cell
    shifts = np.column_stack([around, np.zeros(len(around))])
    offsets = positions[None, :, None] + shifts - positions[:, None, None]
    distances = np.linalg.norm(offsets, axis=3)
    distances[distances < 1e-9] = np.inf
    radii = covalent_radii[layer.numbers]
    return float((distances / (radii[:, None, None] + radii[None, :, None])).min())


@cache
def prototypes() -> tuple[Prototype, ...]:
    """All prototypes, in the order of the file."""
    import yaml

    read: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("monolayers.yaml").read_text(encoding="utf-8"))
    return tuple(
        Prototype(
            name,
            entry["bravais"],
            entry["group"],
            tuple(entry["cell"]),
            tuple(entry["bond"]),
            entry["factor"],
            entry["sites"],
            {key: tuple(limits) for key, limits in entry.get("vary", {}).items()},
            entry["elements"],
        )
        for name, entry in read["prototypes"].items()
    )


@cache
def library(names: tuple[str, ...] = ()) -> tuple[Monolayer, ...]:
    """Compounds of prototypes, all if none is named, in a mixed order that stays."""
    chosen = [prototype for prototype in prototypes() if not names or prototype.name in names]
    return tuple(sorted((one for prototype in chosen for one in prototype.compounds()), key=_mixed))


def balanced(layers: Sequence[Monolayer]) -> list[Monolayer]:
    """Monolayers in an order in which their classes take turns; those of rare classes come several times."""
    by_class: dict[str, list[Monolayer]] = {}
    for layer in layers:
        by_class.setdefault(layer.bravais, []).append(layer)
    longest = max(map(len, by_class.values()))
    return [
        by_class[name][turn % len(by_class[name])] for turn in range(longest) for name in CLASSES if name in by_class
    ]


def _mixed(layer: Monolayer) -> bytes:
    return hashlib.blake2b(layer.group.encode()).digest()


def told(layer: Monolayer) -> str:
    """A monolayer in words."""
    shares = Counter(chemical_symbols[number] for number in layer.numbers.tolist())
    first, second = np.linalg.norm(layer.cell, axis=1)
    return f"{layer.formula} ({layer.prototype}): {sum(shares.values())} atoms, {first:.2f} x {second:.2f} Å"
