"""Atomic columns: where the atoms of particles line up along the beam."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from exitwave.labels.crystals import crystal_domains
from exitwave.labels.projection import brought_together
from exitwave.structures.structure import Structure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def atomic_columns(structure: Structure, tolerance: float = 0.3) -> pd.DataFrame:
    """Columns of the atoms of all particles, without molecules on them.

    Atoms of one crystal are in one column if they lie along its zone axis nearest to the beam, of indices up to 3: seen
    along that axis, atoms that a chain of steps of up to ``tolerance`` connects are one column. It is where its atoms
    are on average as seen along the beam. Last, columns of different grains of a particle that are as near as that
    are made one. Where the crystal is far off its axis, the columns are rows of atoms at an angle to the beam, and no
    image shows them: ``spread`` and ``tilt`` tell.

    Parameters
    ----------
    structure : Structure
        The structure, with the metadata of the recipes.
    tolerance : float
        Largest step between neighbours in a column, as it is seen [Å].

    Returns
    -------
    DataFrame
        By particle, x and y: position ``x``, ``y`` in the cell [Å], ``number`` (atomic number of most atoms, of
        equally many the highest), ``atoms`` (how many), ``spread`` (root mean square distance of the atoms from the
        column as seen along the beam [Å]), ``tilt`` (of the nearest zone axis of
        the crystal that most atoms are of [°]) and ``object_id``.

    Raises
    ------
    StructureError
        If the metadata do not describe the particles.
    """
    atoms = structure.only_particles()
    tables = [_none()]
    for object_id in np.unique(atoms.object_id):
        chosen = atoms.object_id == object_id
        positions, numbers = atoms.positions[chosen].copy(), atoms.numbers[chosen]
        for axis in (0, 1):
            positions[:, axis] = brought_together(positions[:, axis], float(structure.cell[axis]))
        column, tilts = np.empty(len(positions), dtype=np.int64), np.empty(len(positions))
        owner: list[int] = []
        for number, domain in enumerate(crystal_domains(structure, int(object_id), positions, atoms.grain[chosen])):
            direction, tilt = domain.zone_axis()
            own = positions[domain.atoms]
            found = clusters(own[:, :2] - np.outer(own[:, 2], direction[:2] / direction[2]), tolerance)
            column[domain.atoms], tilts[domain.atoms] = len(owner) + found, tilt
            owner += [number] * (int(found.max()) + 1)
        if owner[-1] > 0:
            column = clusters(_means(column, positions[:, :2]), tolerance, np.array(owner))[column]
        tables.append(_table(column, positions, numbers, tilts).assign(object_id=np.uint8(object_id)))
    table = pd.concat(tables, ignore_index=True)
    table[["x", "y"]] = np.mod(table[["x", "y"]], structure.cell[:2])
    return table.sort_values(["object_id", "x", "y"], ignore_index=True)


def clusters(points: FloatArray, tolerance: float, owner: IntArray | None = None) -> IntArray:
    """Cluster of each point [n, 2], from 0: those that a chain of steps of up to ``tolerance`` connects are one.

    With the ``owner`` [n] of each point, only steps between points of different owners count.
    """
    pairs = cKDTree(points).query_pairs(tolerance, output_type="ndarray")
    if owner is not None:
        pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
    links = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(len(points),) * 2)
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def columns_in_image(
    columns: pd.DataFrame, cell: FloatArray, sampling: float, offset: tuple[int, int], binning: int, size: int
) -> pd.DataFrame:
    """The columns that an image shows, in its pixels.

    Parameters
    ----------
    columns : DataFrame
        What `atomic_columns` gives.
    cell : ndarray [3]
        Edges of the cell [Å].
    sampling : float
        Pixel of the wave [Å].
    offset : tuple of int
        Row and column of the wave where the image begins.
    binning : int
        Wave pixels along an image pixel.
    size : int
        Edge of the image [px].

    Returns
    -------
    DataFrame
        Those columns with ``x`` and ``y`` in image pixels: (0, 0) is the centre of the first pixel, the image covers
        -0.5 to size - 0.5.
    """
    shown = columns.copy()
    for name, first, edge in (("x", offset[1], cell[0]), ("y", offset[0], cell[1])):
        # The first wave pixel of the cut reaches half a pixel to the left of its centre.
        along = np.mod(columns[name] - (first - 0.5) * sampling, edge)
        shown[name] = along / (binning * sampling) - 0.5
    return shown[(shown[["x", "y"]] < size - 0.5).all(axis=1)].reset_index(drop=True)


def _means(group: IntArray, values: FloatArray) -> FloatArray:
    """Mean [k, d] of the values [n, d] of each group."""
    count = np.bincount(group)
    return np.stack([np.bincount(group, weights=column) / count for column in values.T], axis=1)


def _table(column: IntArray, positions: FloatArray, numbers: NDArray[np.uint8], tilts: FloatArray) -> pd.DataFrame:
    centres = _means(column, positions[:, :2])
    squares = ((positions[:, :2] - centres[column]) ** 2).sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "x": centres[:, 0],
            "y": centres[:, 1],
            "number": _most_frequent(column, numbers).astype(np.uint8),
            "atoms": np.bincount(column),
            "spread": np.sqrt(_means(column, squares)[:, 0]),
            "tilt": _most_frequent(column, tilts),
        }
    )


def _most_frequent(group: IntArray, values: NDArray[np.uint8] | FloatArray) -> NDArray[np.generic]:
    """The most frequent value of each group, of equally frequent ones the highest."""
    kinds, kind = np.unique(values, return_inverse=True)
    count = np.bincount(group * len(kinds) + kind.ravel(), minlength=(int(group.max()) + 1) * len(kinds))
    last = count.reshape(-1, len(kinds))[:, ::-1].argmax(axis=1)
    return np.asarray(kinds[len(kinds) - 1 - last])


def _none() -> pd.DataFrame:
    types = {"x": float, "y": float, "number": np.uint8, "atoms": np.int64, "spread": float, "tilt": float}
    return pd.DataFrame({name: np.empty(0, dtype=kind) for name, kind in {**types, "object_id": np.uint8}.items()})
