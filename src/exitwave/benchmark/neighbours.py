"""What the nearest neighbours of images among features say of them, those of their own group left out.

Items of one group, such as all images of one structure, are nearly the same. That they lie beside each other says
nothing of how well anything new would be known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

FloatArray = NDArray[np.float64]

NEAREST = 5
"""Neighbours that are asked."""


@dataclass(frozen=True)
class ClassScores:
    """How well classes are told apart by distances in a space of features.

    Attributes
    ----------
    accuracy : float
        Share of the images whose class most of their ``NEAREST`` neighbours have; of classes that as many have the one
        that is nearest counts.
    majority : float
        Share of the most frequent class, which is the accuracy of one that always names it.
    silhouette : float
        Mean of (b - a) / max(a, b), a the mean distance to images of the same class, b that to the nearest other class
        (P. J. Rousseeuw, J. Comput. Appl. Math. 20 (1987) 53): 1 where classes are clumps far apart, 0 where they
        overlap.
    images : int
        Images that this is of: those whose class some other group has too.
    """

    accuracy: float
    majority: float
    silhouette: float
    images: int


def class_scores(features: FloatArray, classes: ArrayLike, groups: ArrayLike) -> ClassScores | None:
    """How well the neighbours of other groups name the class of each image, leave-one-group-out.

    Parameters
    ----------
    features : float [n, features]
    classes, groups : text [n]

    Returns
    -------
    ClassScores, optional
        None where no two classes are each in two groups.
    """
    names, own = np.unique(np.asarray(classes, str), return_inverse=True)
    distances, others = _to_others(features, groups)
    of_class = np.eye(len(names))[own]
    counts = others @ of_class
    asked = np.flatnonzero(counts[np.arange(len(own)), own])
    frequent = np.bincount(own[asked], minlength=len(names))
    if np.count_nonzero(frequent) < 2:
        return None
    right = [Counter(own[_nearest(distances[i], others[i])].tolist()).most_common(1)[0][0] == own[i] for i in asked]
    sums = np.where(others, distances, 0) @ of_class
    means = np.divide(sums, counts, out=np.full(sums.shape, np.inf), where=counts > 0)[asked]
    here = own[asked]
    within = means[np.arange(len(here)), here]
    means[np.arange(len(here)), here] = np.inf
    # Finite: of two classes that are each in two groups, an image is outside one group of the other.
    beyond = means.min(axis=1)
    larger = np.maximum(within, beyond)
    apart = np.divide(beyond - within, larger, out=np.zeros(len(larger)), where=larger > 0)
    return ClassScores(float(np.mean(right)), float(frequent.max() / len(asked)), float(apart.mean()), len(asked))


def variance_explained(features: FloatArray, values: FloatArray, groups: ArrayLike) -> float | None:
    """Share of the variance of a number that the mean of the neighbours of other groups explains: R².

    Parameters
    ----------
    features : float [n, features]
    values : float [n]
    groups : text [n]

    Returns
    -------
    float, optional
        1 where all are told exactly, 0 where the mean of all is as good. None where the number does not vary, or there
        is one group alone.
    """
    distances, others = _to_others(features, groups)
    variance = float(((values - values.mean()) ** 2).sum())
    if variance == 0 or not others.any():
        return None
    told = np.array([values[_nearest(distances[i], others[i])].mean() for i in range(len(values))])
    return 1 - float(((values - told) ** 2).sum()) / variance


def _to_others(features: FloatArray, groups: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Distances of images [n, n], and which of them are to another group."""
    of = np.unique(np.asarray(groups, str), return_inverse=True)[1]
    return np.asarray(cdist(features, features)), of[:, None] != of[None]


def _nearest(distances: FloatArray, others: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of the nearest images of other groups, the nearest first."""
    candidates = np.flatnonzero(others)
    return candidates[np.argsort(distances[candidates], kind="stable")[:NEAREST]]
