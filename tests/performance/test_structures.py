"""Amorphous slabs: the compiled loop against the same algorithm in plain Python."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from exitwave.structures.network import carbon_network
from exitwave.structures.packing import atoms_in_slab, random_packing

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

EDGE, THICKNESS, DENSITY, DISTANCE = 100.0, 50.0, 2.0, 1.4
AT_LEAST = 50


def ours() -> np.ndarray:
    return random_packing({"C": 1}, DENSITY, {"C-C": DISTANCE}, EDGE, THICKNESS, np.random.default_rng(0))[0]


def random_sequential_addition(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Random sequential addition with a cell list, atom by atom, periodic in x and y."""
    count = int(atoms_in_slab({"C": 1}, DENSITY, EDGE, THICKNESS)[0])
    across, up = int(EDGE / DISTANCE), int(THICKNESS / DISTANCE)
    cells: dict[tuple[int, int, int], list[tuple[float, float, float]]] = {}
    atoms: list[tuple[float, float, float]] = []
    limit, half = DISTANCE**2, EDGE / 2
    while len(atoms) < count:
        for a, b, c in rng.random((4096, 3)).tolist():
            x, y, z = a * EDGE, b * EDGE, c * THICKNESS
            i, j, k = int(a * across), int(b * across), int(c * up)
            if is_free(cells, x, y, z, i, j, k, across, limit, half):
                atoms.append((x, y, z))
                cells.setdefault((i, j, k), []).append((x, y, z))
                if len(atoms) == count:
                    break
    return atoms


def is_free(
    cells: dict[tuple[int, int, int], list[tuple[float, float, float]]],
    x: float,
    y: float,
    z: float,
    i: int,
    j: int,
    k: int,
    across: int,
    limit: float,
    half: float,
) -> bool:
    for ii in (i, i - 1, i + 1):
        for jj in (j, j - 1, j + 1):
            for kk in (k, k - 1, k + 1):
                for other_x, other_y, other_z in cells.get((ii % across, jj % across, kk), ()):
                    dx, dy, dz = abs(x - other_x), abs(y - other_y), z - other_z
                    if dx > half:
                        dx = EDGE - dx
                    if dy > half:
                        dy = EDGE - dy
                    if dx * dx + dy * dy + dz * dz < limit:
                        return False
    return True


def test_slab_of_amorphous_carbon(side_by_side: Any, benchmark: Any) -> None:
    results = side_by_side(
        "carbon slab, 10 x 10 x 5 nm",
        ours,
        {"plain Python loop": lambda: random_sequential_addition(np.random.default_rng(0))},
        rounds=5,
    )
    # Both draw the same proposals, so that they take the same atoms.
    np.testing.assert_allclose(results["ours"], np.array(results["plain Python loop"]), atol=1e-9)
    if not benchmark.disabled:
        assert np.median(benchmark.extra_info["plain Python loop / ours"]) >= AT_LEAST


def test_slab_of_bonded_carbon(side_by_side: Any) -> None:
    side_by_side(
        "bonded carbon slab, 10 x 10 x 5 nm",
        lambda: carbon_network(EDGE, THICKNESS, np.random.default_rng(0)),
        {"carbon slab at random": ours},
        rounds=9,
    )
