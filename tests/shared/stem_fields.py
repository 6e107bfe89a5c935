"""Small fields of atoms, and STEM images of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.stem import StemConvolution
from exitwave.config.structures import NanoparticlesOnSubstrate, StructureFiles, Structures
from exitwave.images import stem_convolution
from exitwave.items import Asked, Item
from exitwave.structures.structure import Structure, item_arrays

EDGE = 32.0
FloatArray = NDArray[np.float64]


def block(**keys: Any) -> StemConvolution:
    values = {"pixel_size": 0.25, "size": 64, "dose": 1e5, **keys}
    return StemConvolution.model_validate({"kind": "stem_convolution", "structures": "own", **values})


def structure(positions: Any, number: int = 79, periodic: bool = True) -> Structure:
    lateral = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    count = len(lateral)
    return Structure(
        positions=np.column_stack([lateral, np.full(count, 5.0)]),
        numbers=np.full(count, number, dtype=np.uint8),
        object_id=np.ones(count, dtype=np.uint8),
        cell=np.array([EDGE, EDGE, 10.0]),
        periodic=periodic,
    )


def asked(held: Structure, *seeds: int) -> Asked:
    return Asked(
        item=0,
        rngs=tuple(np.random.default_rng(seed) for seed in seeds),
        row={"periodic": int(held.periodic)},
        sources={"structures": item_arrays(held)},
    )


def taken(wanted: StemConvolution, held: Structure, *seeds: int) -> list[Item]:
    return list(stem_convolution.make(wanted, [asked(held, *(seeds or (0,)))]))


def counts(item: Item) -> FloatArray:
    return item.arrays["counts"].values.astype(float)


def square(spacing: float) -> FloatArray:
    line = np.arange(0, EDGE - 1e-6, spacing)
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def node(wanted: StemConvolution, periodic: bool = False) -> Node:
    common: dict[str, Any] = {"count": 1, "field_of_view": EDGE}
    made: Structures = StructureFiles(kind="files", path="own", thickness=20, **common)
    if periodic:
        particles: Any = {"radius": 5}
        made = NanoparticlesOnSubstrate(kind="nanoparticles_on_substrate", particles=particles, **common)
    return Node("images", "haadf", wanted, {"structures": [Node("structures", "own", made, {})]})
