"""Bonded amorphous carbon: pieces of a periodic network that was quenched from the melt once and ships with exitwave.

``resources/carbon_network`` has the script that made it and says how like carbon it is.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from exitwave.config.structures import NETWORK
from exitwave.errors import StructureError
from exitwave.structures.transforms import random_quaternion, rotation_matrix

FloatArray = NDArray[np.float64]

NETWORK_DENSITY = 2.0
"""Mass density of the network [g/cm³]."""
CLOSEST = 1.35
"""No two atoms of a piece are closer [Å]; no bond inside the network is as short."""
_CELLS = 8
"""Cells along an edge of the block, in which atoms outside a slab are passed over without a look at each."""
_NARROWEST = 10.0
"""Smallest edge of a periodic piece [Å], some bonds across."""
_BOND = 1.65
"""Atoms closer than this are bonded [Å]; the network has hardly a distance between this and 2.1 Å."""
_INSERTED = 1.4
"""Smallest distance of an atom put into a gap of the seam from all others [Å]."""
_TRIALS = 60
"""Places tried for every atom that the seam has lost."""


@cache
def network_block() -> tuple[FloatArray, float]:
    """Positions [n, 3] and edge [Å] of the cubic block, periodic in all directions."""
    with np.load(NETWORK) as stored:
        edge = float(stored["edge"])
        return stored["fractions"] * (edge / 2**16), edge


@cache
def _block_in_cells() -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
    """Positions [n, 3] of the block cell by cell, the first atom of each cell and the last's end, middles of cells."""
    block, edge = network_block()
    cell = np.ravel_multi_index(tuple((block.T * (_CELLS / edge)).astype(int)), (_CELLS,) * 3)
    order = np.argsort(cell, kind="stable")
    firsts = np.searchsorted(cell[order], np.arange(_CELLS**3 + 1))
    along = np.arange(0.5, _CELLS) * (edge / _CELLS)
    return block[order], firsts, np.stack(np.meshgrid(*[along] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def carbon_network(edge: float, thickness: float, rng: np.random.Generator) -> FloatArray:
    """Cut a square slab out of the network, turned and shifted at random, and make it laterally periodic.

    At the seam, where what was cut apart meets itself, atoms that come too close are taken out and as many are put into
    gaps, where they find most bonds. Within a bond length of the seam the network is therefore disturbed; elsewhere it
    is as it was made. All slabs are cut from one block, which repeats itself after its own edge of 94.7 Å and in
    directions that are not those of the slab.

    Parameters
    ----------
    edge, thickness : float
        Lateral edge and thickness [Å].
    rng : Generator
        Source of all randomness.

    Returns
    -------
    ndarray, float64 [n, 3]
        Positions [Å], x and y in [0, edge), z in [0, thickness], no two closer than `CLOSEST` across the seam too.

    Raises
    ------
    StructureError
        If the edge is too small for a periodic piece.
    """
    if edge < _NARROWEST:
        raise StructureError(
            f"field_of_view is {edge:g} Å for a substrate of structure network; allowed: {_NARROWEST:g} Å or more"
        )
    period = network_block()[1]
    block, firsts, middles = _block_in_cells()
    rotation = rotation_matrix(random_quaternion(rng))
    shift = rotation @ (rng.random(3) * period)
    box = np.array([edge, edge, thickness])
    turned, lattice = block @ rotation.T, period * rotation.T
    # Copies of the block, and cells of a copy, are told by the balls around them, of half their diagonal.
    reach = period * np.sqrt(3) / 2
    span = int(np.ceil((np.linalg.norm(box) + reach) / period)) + 1
    steps = np.stack(np.meshgrid(*[np.arange(-span, span + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    origins = steps @ lattice + shift
    origins = origins[_touches(box, origins + lattice.sum(axis=0) / 2, reach)]
    near = _touches(box, origins[:, None] + middles @ rotation.T, reach / _CELLS)
    pieces = [turned[firsts[cell] : firsts[cell + 1]] + origins[copy] for copy, cell in np.argwhere(near)]
    positions = np.concatenate(pieces)
    inside = ((positions >= 0) & (positions < box)).all(axis=1)
    return _healed(positions[inside], edge, thickness, rng)


def _touches(box: FloatArray, centres: FloatArray, radius: float) -> NDArray[np.bool_]:
    """Whether balls around centres [..., 3] touch the box from the origin to its far corner."""
    beyond = centres - np.clip(centres, 0, box)
    return np.asarray(np.einsum("...i,...i->...", beyond, beyond) < radius**2)


def _healed(positions: FloatArray, edge: float, thickness: float, rng: np.random.Generator) -> FloatArray:
    """Replace atoms [n, 3] that are too close to each other across the seam by atoms in its gaps."""
    from_seam = np.minimum(positions[:, :2], edge - positions[:, :2]).min(axis=1)
    around = np.flatnonzero(from_seam < _INSERTED + _BOND)
    # No period along z.
    box = [edge, edge, 0]
    rim = positions[around]
    lost = np.zeros(len(rim), dtype=bool)
    for first, second in cKDTree(rim, boxsize=box).query_pairs(CLOSEST, output_type="ndarray"):
        if not lost[first]:
            lost[second] = True
    missing = int(lost.sum())
    rim = rim[~lost]
    tree = cKDTree(rim, boxsize=box)
    trials = rng.random((_TRIALS * missing, 3)) * [2 * _INSERTED, edge, thickness] - [_INSERTED, 0, 0]
    along_y = rng.random(len(trials)) < 0.5
    trials[along_y, :2] = trials[along_y, 1::-1]
    # The remainder of a tiny negative number can round up to the edge itself.
    trials[:, :2] = np.minimum(trials[:, :2] % edge, np.nextafter(edge, 0))
    trials = trials[tree.query(trials)[0] >= _INSERTED]
    bonds = tree.query_ball_point(trials, _BOND, return_length=True)
    added: list[FloatArray] = []
    for trial in trials[np.argsort(-bonds, kind="stable")]:
        if len(added) == missing:
            break
        offset = np.array(added).reshape(-1, 3) - trial
        offset[:, :2] -= edge * np.round(offset[:, :2] / edge)
        if (np.einsum("ij,ij->i", offset, offset) >= _INSERTED**2).all():
            added.append(trial)
    return np.concatenate([np.delete(positions, around[lost], axis=0), np.array(added).reshape(-1, 3)])
