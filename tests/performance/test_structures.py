"""Structures: the compiled loops against the same algorithms in plain Python."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from exitwave.structures.body import make_body
from exitwave.structures.materials import load_material
from exitwave.structures.network import carbon_network
from exitwave.structures.packing import atoms_in_slab, random_packing
from exitwave.structures.placement import CONTACT_TOLERANCE, settle
from exitwave.structures.stacking import fill_stack
from exitwave.structures.volumes import SKIN, sphere

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

EDGE, THICKNESS, DENSITY, DISTANCE = 100.0, 50.0, 2.0, 1.4
RADIUS, TWIN, ABOVE, SINK, CONTACT = 25.0, 2, (50.0, 50.0, 90.0), 5.0, 2.5


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


def test_slab_of_amorphous_carbon(side_by_side: Any) -> None:
    results = side_by_side(
        "carbon slab, 10 x 10 x 5 nm",
        ours,
        {"plain Python loop": lambda: random_sequential_addition(np.random.default_rng(0))},
        rounds=5,
    )
    # Both draw the same proposals, so that they take the same atoms.
    np.testing.assert_allclose(results["ours"], np.array(results["plain Python loop"]), atol=1e-9)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Particle and slab atoms of a twinned gold sphere that has sunk into a carbon slab."""
    slab = ours()
    gold = load_material("Au")
    solid = sphere(RADIUS)
    atoms, numbers, _ = fill_stack(gold.stacking, {TWIN: "twin"}, solid)
    body = make_body(atoms, numbers, solid, "Au").moved(translation=np.array(ABOVE))
    drop, keep = settle(body, slab, np.empty((0, 3)), sink=SINK, contact=CONTACT, gap=CONTACT, field_of_view=EDGE)
    return body.positions - [0, 0, drop], slab[keep]


def plain_scene() -> tuple[list[tuple[float, float, float]], list[tuple[float, float, float]]]:
    """The same, atom by atom."""
    slab = random_sequential_addition(np.random.default_rng(0))
    particle = [(x + ABOVE[0], y + ABOVE[1], z + ABOVE[2]) for x, y, z in twinned_sphere()]
    drop = smallest_drop(particle, slab) + SINK
    particle = [(x, y, z - drop) for x, y, z in particle]
    return particle, list(left_over(slab, particle, ABOVE[2] - drop))


def twinned_sphere() -> list[tuple[float, float, float]]:
    """Close-packed layers about an atom at the origin, along [111], the steps between them inverted from one on."""
    stacking = load_material("Au").stacking
    (ax, ay, az), (bx, by, bz) = stacking.in_plane.tolist()
    (nx, ny, nz), (sx, sy, sz) = (stacking.spacing * stacking.normal).tolist(), stacking.shift.tolist()
    atoms = []
    reach = int(RADIUS / stacking.spacing) + 1
    across = 2 * int(RADIUS / np.linalg.norm(stacking.in_plane[0])) + 3
    for layer in range(-reach, reach + 1):
        step = layer if layer <= TWIN else 2 * TWIN - layer
        x0, y0, z0 = layer * nx + step * sx, layer * ny + step * sy, layer * nz + step * sz
        for i in range(-across, across + 1):
            for j in range(-across, across + 1):
                x, y, z = x0 + i * ax + j * bx, y0 + i * ay + j * by, z0 + i * az + j * bz
                if x * x + y * y + z * z <= (RADIUS + SKIN) ** 2:
                    atoms.append((x, y, z))
    return atoms


def smallest_drop(above: list[tuple[float, float, float]], below: list[tuple[float, float, float]]) -> float:
    """Way down to first contact, by a cell list in the plane."""
    cells: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for atom in below:
        cells.setdefault((int(atom[0] / CONTACT), int(atom[1] / CONTACT)), []).append(atom)
    smallest = float("inf")
    for x, y, z in above:
        i, j = int(x / CONTACT), int(y / CONTACT)
        for ii in (i - 1, i, i + 1):
            for jj in (j - 1, j, j + 1):
                for other_x, other_y, other_z in cells.get((ii, jj), ()):
                    dz = z - other_z
                    if dz - CONTACT < smallest:
                        rest = CONTACT**2 - (x - other_x) ** 2 - (y - other_y) ** 2
                        if rest > 0:
                            smallest = min(smallest, dz - rest**0.5)
    return smallest


def left_over(
    slab: list[tuple[float, float, float]], particle: list[tuple[float, float, float]], height: float
) -> Iterator[tuple[float, float, float]]:
    """Slab atoms outside the sphere and not too close to its atoms, by a cell list."""
    closest = CONTACT - CONTACT_TOLERANCE
    cells: dict[tuple[int, int, int], list[tuple[float, float, float]]] = {}
    for x, y, z in particle:
        cells.setdefault((int(x // closest), int(y // closest), int(z // closest)), []).append((x, y, z))
    for x, y, z in slab:
        from_centre = (x - ABOVE[0]) ** 2 + (y - ABOVE[1]) ** 2 + (z - height) ** 2
        if from_centre <= (RADIUS + SKIN) ** 2:
            continue
        i, j, k = int(x // closest), int(y // closest), int(z // closest)
        if from_centre > (RADIUS + CONTACT) ** 2 or not any(
            (x - other_x) ** 2 + (y - other_y) ** 2 + (z - other_z) ** 2 < closest**2
            for ii in (i - 1, i, i + 1)
            for jj in (j - 1, j, j + 1)
            for kk in (k - 1, k, k + 1)
            for other_x, other_y, other_z in cells.get((ii, jj, kk), ())
        ):
            yield x, y, z


def test_twinned_sphere_on_a_carbon_slab(side_by_side: Any) -> None:
    results = side_by_side(
        "twinned Au sphere of 2.5 nm radius on that slab", scene, {"plain Python loops": plain_scene}, rounds=5
    )
    for mine, plain in zip(results["ours"], results["plain Python loops"], strict=True):
        mine, plain = np.array(sorted(map(tuple, mine.round(6)))), np.array(sorted(map(tuple, np.round(plain, 6))))
        assert len(mine) == len(plain)
        np.testing.assert_allclose(mine, plain, atol=2e-6)


def test_slab_of_bonded_carbon(side_by_side: Any) -> None:
    side_by_side(
        "bonded carbon slab, 10 x 10 x 5 nm",
        lambda: carbon_network(EDGE, THICKNESS, np.random.default_rng(0)),
        {"carbon slab at random": ours},
        rounds=9,
    )
