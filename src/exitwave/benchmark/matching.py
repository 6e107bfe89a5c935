"""Disks that were found against the reflections that there are.

A true reflection weighs at least a share of the strongest but 000. Weaker ones are there as well, and may be seen or
not: who finds one is neither right nor wrong. 000 is always seen, and does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.affine import in_two_directions, robust_fit
from exitwave.benchmark.cells import evened
from exitwave.benchmark.strain import Strain, strain_of
from exitwave.errors import LatticeError
from exitwave.labels.reflections import STRONG, weights

FloatArray = NDArray[np.float64]

UNRESOLVED = 2.0
"""Of two reflections closer than this [px] the weaker one is not asked for."""
FEWEST = 5
"""Matches from which the strain that they show is defined."""


@dataclass(frozen=True, eq=False)
class Matching:
    """What was found of a pattern.

    Attributes
    ----------
    tp, fp, fn : int
        Reflections found, disks found where there is none, reflections missed.
    weight_found, weight_false : float
        Sum of the weights of all disks that count, and of the false ones.
    weight_true, weight_missed : float
        Sum of the weights of all true reflections, and of the missed ones [V].
    errors : float64 [tp]
        Distance of each disk from its reflection [px].
    strain : Strain
        What would be measured of an unstrained crystal: of the affine map from true to found places, 000 among them,
        fitted as lattices are. NaN, undefined, with fewer than `FEWEST` of them or all in a line.
    """

    tp: int
    fp: int
    fn: int
    weight_found: float
    weight_false: float
    weight_true: float
    weight_missed: float
    errors: FloatArray
    strain: Strain

    @property
    def accuracy(self) -> float:
        """Intensity-weighted accuracy of Munshi et al., npj Comput. Mater. 8 (2022) 254, eq. (1).

        TP / (TP + FP + FN), with TP and FP as shares of the weight of what was found, and FN as a share of that of what
        is true; 0 if nothing was found, NaN if nothing is true.
        """
        if self.weight_true == 0:
            return float("nan")
        false = self.weight_false / self.weight_found if self.weight_found else 1.0
        return (1 - false) / (1 + self.weight_missed / self.weight_true)


def match_disks(found: FloatArray, reflections: NDArray[np.floating], radius: float) -> Matching:
    """Match disks and reflections, one to one, in order of their distance.

    Parameters
    ----------
    found : float64 [n, 3]
        Places x, y [px] and weights.
    reflections : float [m, 9]
        List of a pattern, see :data:`exitwave.labels.reflections.FIELDS`.
    radius : float
        Largest distance of a match [px].

    Returns
    -------
    Matching
        Disks that match no true reflection but a weak one are left out.
    """
    truth = Truth.of(reflections)
    hits, seen, false, missed = pairs(found[:, :2], truth, radius)
    centre, heavy = truth.centre, truth.weights
    counts = ~centre[seen]
    return Matching(
        tp=int(counts.sum()),
        fp=len(false),
        fn=len(missed),
        weight_found=float(found[hits[counts], 2].sum() + found[false, 2].sum()),
        weight_false=float(found[false, 2].sum()),
        weight_true=float(heavy[truth.asked & ~centre].sum()),
        weight_missed=float(heavy[missed].sum()),
        errors=np.linalg.norm(found[hits, :2] - truth.places[seen], axis=1)[counts],
        strain=_strain(truth.places[seen], found[hits]),
    )


@dataclass(frozen=True, eq=False)
class Truth:
    """What there is to be found in a pattern.

    Attributes
    ----------
    places : float64 [n, 2]
        Of all reflections [px].
    weights : float64 [n]
        [V].
    centre : bool [n]
        Where it is 000.
    asked : bool [n]
        Where it is 000 or strong; the others are weak, or cannot be resolved from a stronger one.
    """

    places: FloatArray
    weights: FloatArray
    centre: NDArray[np.bool_]
    asked: NDArray[np.bool_]

    @classmethod
    def of(cls, reflections: NDArray[np.floating]) -> Truth:
        """From the list of a pattern [n, 9]."""
        from scipy.spatial import cKDTree

        places, heavy = reflections[:, :2].astype(np.float64), weights(reflections, "ewald")
        centre = (reflections[:, 2:5] == 0).all(axis=1)
        asked = centre | ((heavy >= STRONG * heavy[~centre].max(initial=0.0)) & (heavy > 0))
        rank = np.where(centre, np.inf, heavy)
        strong = np.flatnonzero(asked)
        for one, other in cKDTree(places[strong]).query_pairs(UNRESOLVED) if len(strong) else ():
            asked[strong[one if rank[strong[one]] < rank[strong[other]] else other]] = False
        return cls(places, heavy, centre, asked)


def pairs(
    found: FloatArray, truth: Truth, radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Which disks are which reflections.

    Parameters
    ----------
    found : float64 [n, 2]
        [px].
    truth : Truth
    radius : float
        Largest distance of a match [px].

    Returns
    -------
    hits, seen : int [m]
        Disks, and the reflections that they are, 000 among them.
    false : int [k]
        Disks that are none, not even weak ones.
    missed : int [l]
        Reflections that were not found, but for 000.
    """
    asked = np.flatnonzero(truth.asked)
    hits, seen = _matched(found, truth.places[asked], radius)
    seen = asked[seen]
    left = np.delete(np.arange(len(found)), hits)
    false = np.delete(left, _matched(found[left], truth.places[~truth.asked], radius)[0])
    missed = truth.asked & ~truth.centre
    missed[seen] = False
    return hits, seen, false, np.flatnonzero(missed)


def _matched(found: FloatArray, places: FloatArray, radius: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of disks and of places that belong together."""
    distance = np.linalg.norm(found[:, None] - places, axis=-1)
    one, other = np.nonzero(distance <= radius)
    free_one, free_other = np.ones(len(found), dtype=bool), np.ones(len(places), dtype=bool)
    pairs = []
    for number in np.argsort(distance[one, other], kind="stable"):
        if free_one[one[number]] and free_other[other[number]]:
            free_one[one[number]] = free_other[other[number]] = False
            pairs.append(number)
    return one[pairs], other[pairs]


def _strain(true: FloatArray, found: FloatArray) -> Strain:
    """Strain of an affine map from places to those found."""
    undefined = Strain(*[float("nan")] * 4)
    if len(true) < FEWEST or not in_two_directions(true):
        return undefined
    try:
        affine, _ = robust_fit(true - true.mean(axis=0), found[:, :2], evened(found[:, 2]))
    except LatticeError:
        return undefined
    return strain_of(affine[1:].T, np.eye(2))
