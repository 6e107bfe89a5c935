"""Print how often labels of monolayers agree: ours, those that layer groups demand, and those of the published rule.

.venv/bin/python docs/lattice_labels.py [FOLDER]

Without a folder of structures the monolayers that come with exitwave are taken.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping

from exitwave.config.monolayers import Monolayers
from exitwave.structures.lattice2d import (
    CLASSES,
    bravais_class,
    columns_of,
    lattice_of_atoms,
    lattice_of_columns,
    published_class,
)
from exitwave.structures.layer_groups import layer_group
from exitwave.structures.monolayer_files import monolayers_of
from exitwave.structures.monolayer_library import Monolayer, library

TOLERANCE = 0.03
"""How far [Å] an atom may be from its symmetric place in a layer group."""
ALLOWED = {
    "oblique": CLASSES,
    "rectangular": ("rectangular", "square"),
    "rhombus": ("rhombus", "square", "hexagonal"),
    "square": ("square",),
    "hexagonal": ("hexagonal",),
}
"""Classes that a lattice may have whose layer group demands one: its metric may have more symmetry than its atoms."""
ROWS: dict[str, str] = {
    "ours": "columns",
    "3D": "lattice of the layer",
    "group": "layer group",
    "published": "published rule",
}


def labels_of(layer: Monolayer) -> dict[str, str]:
    """Classes of a monolayer: of its columns, of its own lattice, demanded by its layer group, and published."""
    atoms = layer.cell, layer.places, layer.heights, layer.numbers
    group = layer_group(*atoms, TOLERANCE)
    return {
        "ours": bravais_class(lattice_of_columns(columns_of(layer.cell, layer.places, layer.numbers))).name,
        "3D": bravais_class(lattice_of_atoms(*atoms)).name,
        "group": "none" if group is None else group.bravais,
        "published": published_class(layer.cell),
    }


def agreement(labels: Iterable[Mapping[str, str]], first: str, second: str) -> str:
    """Table of how often two labels are the same, in rows and columns of classes."""
    found = Counter((one[first], one[second]) for one in labels)
    same, number = sum(found[name, name] for name in CLASSES), sum(found.values())
    lines = [f"| {ROWS[first]} \\ {ROWS[second]} | {' | '.join(CLASSES)} | same |", "|---" * 7 + "|"]
    for name in CLASSES:
        row = [found[name, other] for other in CLASSES]
        share = f"{found[name, name] / sum(row):.1%}" if sum(row) else "-"
        lines.append(f"| {name} | {' | '.join(map(str, row))} | {share} |")
    return "\n".join([*lines, f"same: {same} of {number}, {same / number:.1%}"])


def main() -> None:
    if len(sys.argv) > 1:
        block = Monolayers(kind="monolayer", source="files", path=sys.argv[1], field_of_view=50, count=1)
        layers = monolayers_of(block.path, block.may_be_files())
    else:
        layers = library()
    labels = [labels_of(layer) for layer in layers]
    for first, second in (("ours", "published"), ("3D", "published"), ("3D", "ours"), ("group", "3D")):
        print(agreement(labels, first, second), end="\n\n")
    against = Counter((one["group"], one["3D"]) for one in labels if one["3D"] not in ALLOWED.get(one["group"], ()))
    print(f"lattices that their layer group does not allow: {dict(against) or 'none'}")


if __name__ == "__main__":
    main()
