"""Distances between bodies: when they touch, and what is in the way of one."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exitwave.structures.body import Body

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def first_contact(body: FloatArray, obstacles: FloatArray, contact: float, field_of_view: float) -> float:
    """How far a body can be lowered [Å] until its first atom is at the contact distance from an obstacle below it.

    Parameters
    ----------
    body : ndarray [n, 3]
        Positions [Å].
    obstacles : ndarray [m, 3]
        Positions [Å]. Of each pair only an obstacle below the atom counts: those beside are passed.
    contact : float
        Distance [Å] at which atoms touch.
    field_of_view : float
        Edge of the periodic plane [Å], at least three times the contact distance.

    Returns
    -------
    float
        Infinite if nothing is below.
    """
    centre, half = box_around(body, contact)
    half[2] = np.inf
    obstacles = obstacles[in_box(obstacles, centre, half, field_of_view)]
    if len(obstacles) == 0:
        return float("inf")
    bins = np.array([max(3, int(field_of_view / contact)), 1])
    origin = np.zeros(3)
    order, starts = _by_cell(_cells(obstacles, origin, bins, field_of_view, np.inf), bins[0] ** 2)
    cells = _cells(body, origin, bins, field_of_view, np.inf)
    return float(_smallest_drop(body, cells, obstacles[order], starts, bins[0], contact, field_of_view))


def contact_along(
    body: FloatArray, obstacles: FloatArray, direction: FloatArray, contact: float, field_of_view: float
) -> float:
    """How far a body can be moved along a unit vector [3] [Å] until it is at the contact distance from an obstacle.

    As `first_contact`, which is the way down.
    """
    steps = np.array([[i, j, 0] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    images = (obstacles + field_of_view * steps[:, None]).reshape(-1, 3)
    # Any two directions across will do, and a plane so wide that nothing of it is seen twice.
    across = np.linalg.svd(direction[None])[2][1:]
    turned, below = (part @ np.stack([*across, -direction]).T for part in (body, images))
    return first_contact(turned, below, contact, 10 * field_of_view)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _smallest_drop(
    above: FloatArray,
    cells: IntArray,
    below: FloatArray,
    starts: IntArray,
    across: int,
    contact: float,
    edge: float,
) -> float:
    """Smallest vertical way to contact over all pairs; obstacles are sorted by lateral cell."""
    smallest = np.inf
    for m in range(len(above)):
        i, j = cells[m] // across, cells[m] % across
        for di in range(-1, 2):
            for dj in range(-1, 2):
                cell = ((i + di) % across) * across + (j + dj) % across
                for k in range(starts[cell], starts[cell + 1]):
                    dz = above[m, 2] - below[k, 2]
                    if dz <= 0 or dz - contact >= smallest:
                        continue
                    dx = above[m, 0] - below[k, 0]
                    dy = above[m, 1] - below[k, 1]
                    dx -= edge * np.round(dx / edge)
                    dy -= edge * np.round(dy / edge)
                    rest = contact * contact - dx * dx - dy * dy
                    if rest > 0:
                        smallest = min(smallest, dz - np.sqrt(rest))
    return smallest


def in_the_way(positions: FloatArray, body: Body, distance: float, field_of_view: float | None) -> NDArray[np.bool_]:
    """Tell which atoms have no place beside a body: those inside its solid or too close to one of its atoms.

    Parameters
    ----------
    positions : ndarray [n, 3]
        Positions of other atoms [Å].
    body : Body
        What has precedence.
    distance : float
        Smallest distance allowed to an atom of the body [Å].
    field_of_view : float or None
        Edge of the periodic plane [Å]; None: not periodic.

    Returns
    -------
    ndarray, bool [n]
    """
    inside = in_solid(positions, body, field_of_view)
    left = np.flatnonzero(~inside)
    inside[left] = distances_to(body, positions[left], distance, field_of_view) < distance
    return inside


def in_solid(positions: FloatArray, body: Body, field_of_view: float | None) -> NDArray[np.bool_]:
    """Tell which positions [n, 3] lie in the solid of a body; the last argument is as in `in_the_way`."""
    centre, reach = body.solid.bounding_sphere()
    near = np.flatnonzero(in_box(positions, centre, np.full(3, reach), field_of_view or 0.0))
    images = positions[near]
    if field_of_view is not None and np.isfinite(reach):
        # A body is narrower than the cell, so that only the image nearest to its centre can be inside.
        images[:, :2] -= field_of_view * np.round((images[:, :2] - centre[:2]) / field_of_view)
    inside = np.zeros(len(positions), dtype=bool)
    inside[near] = body.solid.contains(images)
    return inside


def distances_to(body: Body, positions: FloatArray, within: float, field_of_view: float | None) -> FloatArray:
    """Distances [n] of positions [n, 3] to the nearest atom of a body [Å]; infinite beyond ``within``.

    ``field_of_view`` is the edge of the periodic plane [Å], or None if there is none.
    """
    distances = np.full(len(positions), np.inf)
    if not len(body) or not len(positions):
        return distances
    near = np.flatnonzero(in_box(positions, *box_around(body.positions, within), field_of_view or 0.0))
    if not len(near):
        return distances
    corner = body.positions.min(axis=0) - within
    edge = field_of_view
    if edge is None:  # a cell so wide that no image is near
        edge = float(np.ptp(body.positions[:, :2], axis=0).max()) + 4 * within
    height = float(body.positions[:, 2].max() + within - corner[2])
    bins = np.array([max(1, int(edge / within)), max(1, int(height / within))])
    order, starts = _by_cell(_cells(body.positions, corner, bins, edge, height), bins[0] ** 2 * bins[1])
    others = positions[near]
    cells = _cells(others, corner, bins, edge, height)
    distances[near] = _nearest(others, cells, body.positions[order], starts, bins, edge, within)
    return distances


@njit(cache=True)  # type: ignore[untyped-decorator]
def _cells(positions: FloatArray, corner: FloatArray, bins: IntArray, edge: float, height: float) -> IntArray:
    """Index of the cell of every position: bins of a lateral period from a corner on, and of a height above it."""
    across, up = bins
    cells = np.empty(len(positions), dtype=np.int64)
    for m in range(len(positions)):
        x, y = (positions[m, 0] - corner[0]) / edge, (positions[m, 1] - corner[1]) / edge
        i = min(int((x - np.floor(x)) * across), across - 1)
        j = min(int((y - np.floor(y)) * across), across - 1)
        k = min(max(int((positions[m, 2] - corner[2]) / height * up), 0), up - 1)
        cells[m] = (i * across + j) * up + k
    return cells


@njit(cache=True)  # type: ignore[untyped-decorator]
def _by_cell(cells: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Order that sorts by cell, and where each of a number of cells starts in it."""
    starts = np.zeros(count + 1, dtype=np.int64)
    for cell in cells:
        starts[cell + 1] += 1
    starts = np.cumsum(starts)
    filled, order = starts[:-1].copy(), np.empty(len(cells), dtype=np.int64)
    for m in range(len(cells)):
        order[filled[cells[m]]] = m
        filled[cells[m]] += 1
    return order, starts


@njit(cache=True)  # type: ignore[untyped-decorator]
def _nearest(
    positions: FloatArray,
    cells: IntArray,
    atoms: FloatArray,
    starts: IntArray,
    bins: IntArray,
    edge: float,
    within: float,
) -> FloatArray:
    """Distance of every position to the nearest of the atoms, which are sorted by cell; infinite beyond ``within``."""
    across, up = bins
    distances = np.empty(len(positions))
    for m in range(len(positions)):
        smallest = within * within
        found = False
        k = cells[m] % up
        i, j = cells[m] // up // across, cells[m] // up % across
        for di in range(-1, 2):
            for dj in range(-1, 2):
                column = ((i + di) % across * across + (j + dj) % across) * up
                # Cells above each other follow each other, so that three of them are one run.
                for n in range(starts[column + max(k - 1, 0)], starts[column + min(k + 1, up - 1) + 1]):
                    dx = positions[m, 0] - atoms[n, 0]
                    dy = positions[m, 1] - atoms[n, 1]
                    dz = positions[m, 2] - atoms[n, 2]
                    dx -= edge * np.round(dx / edge)
                    dy -= edge * np.round(dy / edge)
                    squared = dx * dx + dy * dy + dz * dz
                    if squared <= smallest:
                        smallest = squared
                        found = True
        distances[m] = np.sqrt(smallest) if found else np.inf
    return distances


def box_around(positions: FloatArray, margin: float) -> tuple[FloatArray, FloatArray]:
    """Centre [3] and half edges [3] of the box around positions, widened by a margin [Å]."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    return (low + high) / 2, (high - low) / 2 + margin


@njit(cache=True)  # type: ignore[untyped-decorator]
def in_box(positions: FloatArray, centre: FloatArray, half: FloatArray, edge: float) -> NDArray[np.bool_]:
    """Tell which positions [n, 3], or periodic images of theirs if the edge is above 0, lie in a box."""
    inside = np.empty(len(positions), dtype=np.bool_)
    for m in range(len(positions)):
        dx, dy = positions[m, 0] - centre[0], positions[m, 1] - centre[1]
        if edge > 0:
            dx -= edge * np.round(dx / edge)
            dy -= edge * np.round(dy / edge)
        inside[m] = abs(dx) <= half[0] and abs(dy) <= half[1] and abs(positions[m, 2] - centre[2]) <= half[2]
    return inside
