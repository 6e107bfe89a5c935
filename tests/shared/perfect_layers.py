"""Perfect layers, scans of their cells, and images of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.build import mx2
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.monolayers import Monolayers
from exitwave.config.scans import ProbeScan
from exitwave.config.stem import Stem
from exitwave.images import stem
from exitwave.items import Asked, Item
from exitwave.structures.repeating import RepeatingLayer
from exitwave.structures.structure import Structure, item_arrays
from exitwave.waves import scan

FloatArray = NDArray[np.float64]
SCAN = {"kind": "scan", "structures": "own", "energy": 80e3, "semiangle": 24.0, "sampling": 0.125, "margin": 8.0}


def layer(name: str = "oblique", turn: float = 20.0) -> RepeatingLayer:
    """Graphene, a dichalcogenide, or a made-up layer with an oblique lattice; turned by an angle [°]."""
    if name in ("MoS2", "WSe2"):
        length, thickness = {"MoS2": (3.18, 3.19), "WSe2": (3.32, 3.34)}[name]
        made = mx2(name, a=length, thickness=thickness, vacuum=2)
        vectors, positions, numbers = np.array(made.cell)[:2, :2], made.positions, made.numbers
    elif name == "graphene":
        vectors = 2.46 * np.array([[1, 0], [-0.5, 0.75**0.5]])
        positions, numbers = np.array([[0, 0, 2.0], [0, 2.46 / 3**0.5, 2.0]]), np.array([6, 6])
    else:
        vectors = np.array([[3.9, 0], [0.7, 4.6]])
        positions, numbers = np.array([[0.3, 0.2, 2.0], [2.1, 2.6, 3.1], [1.2, 2.2, 2.5]]), np.array([22, 16, 8])
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    turned = np.column_stack([positions[:, :2] @ rotation, positions[:, 2]])
    height = float(positions[:, 2].max()) + 2
    return RepeatingLayer(vectors @ rotation, np.zeros(2), turned, numbers.astype(np.uint8), height)


def scanned(structure: Structure, seed: int = 0, **keys: Any) -> Item:
    """Scan of a cell of a structure."""
    block = ProbeScan.model_validate({**SCAN, **keys})
    (item,) = scan.make(block, [Asked(0, (np.random.default_rng(seed),), {}, {"structures": item_arrays(structure)})])
    return item


def images(structure: Structure, scan_of: Item, seeds: tuple[int, ...] = (0,), **keys: Any) -> list[Item]:
    """Images of a structure from a scan of its cell."""
    rngs = tuple(np.random.default_rng(seed) for seed in seeds)
    sources = {"exit_waves": scan_of.arrays, "structures": item_arrays(structure)}
    row = {**scan_of.row, "periodic": 0}
    return list(stem.make(stem_block(**keys), [Asked(0, rngs, row, sources)]))


def stem_block(**keys: Any) -> Stem:
    given = {"pixel_size": 0.25, "size": 64, "inner_angle": 50, "outer_angle": 130, "dose": 1e9, **keys}
    return Stem.model_validate({"kind": "stem", "exit_waves": "own", **given})


def nodes(
    structures: dict[str, Any] | None = None, waves: dict[str, Any] | None = None, **keys: Any
) -> tuple[Node, Node]:
    """A block of scans and one of images of them, with what they are made from."""
    made = Monolayers(**{"kind": "monolayer", "count": 3, "field_of_view": 40, **(structures or {})})
    origin = Node("structures", "sheets", made, {})
    scans = Node("exit_waves", "scans", ProbeScan(**{**SCAN, **(waves or {})}), {"structures": [origin]})
    return scans, Node("images", "haadf", stem_block(**keys), {"exit_waves": [scans]})
