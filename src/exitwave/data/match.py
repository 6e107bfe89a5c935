"""Weights that draw images towards micrographs whose labels nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

FloatArray = NDArray[np.float64]

WEIGHT, DISTANCE = "match_weight", "match_distance"
"""Columns of the manifest of a matched dataset."""
_HALVINGS = 60
"""Of the interval of widths: more than double precision tells apart."""


def match_weights(
    images: FloatArray, fields: FloatArray, of: Sequence[int], nearest: float, evenly: float
) -> tuple[FloatArray, FloatArray]:
    """Weights of images by their distances to the fields of micrographs.

    Every micrograph gives the same weight, its fields alike, each as a Gaussian of its distance to the images. A field
    has its own width, such that in effect (by the perplexity) the weight goes to a share of the images, as in the
    stochastic neighbours of van der Maaten and Hinton, J. Mach. Learn. Res. 9, 2579 (2008): a micrograph that is far
    from all images is not lost, and one among many of them does not take all.

    Parameters
    ----------
    images : ndarray [n, features]
        Points of images; see :meth:`exitwave.data.image_fingerprint.Scale.points`.
    fields : ndarray [m, features]
        Points of fields of micrographs.
    of : sequence of int [m]
        Number of the micrograph of each field.
    nearest : float
        Share of the images that a field gives its weight to, above 0 and up to 1.
    evenly : float
        Share of all weight that goes to every image alike, above 0 and up to 1.

    Returns
    -------
    weights : ndarray [n]
        They add up to 1.
    distance : ndarray [n]
        Of each image to the nearest field.
    """
    numbers = np.asarray(of)
    weights, distance = np.zeros(len(images)), np.full(len(images), np.inf)
    for number in np.unique(numbers):
        own = fields[numbers == number]
        for field in own:
            away = cdist(field[None], images)[0]
            weights += _softened(away**2, nearest * len(images)) / len(own)
            distance = np.minimum(distance, away)
    weights /= weights.sum()
    return (1 - evenly) * weights + evenly / len(images), distance


def effective_number(weights: FloatArray) -> float:
    """How many images of equal weight would scatter as a mean with these weights: Kish, Survey Sampling (1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _softened(squares: FloatArray, number: float) -> FloatArray:
    """Gaussian weights of squared distances, whose perplexity is a number; all alike if that is all of them."""
    if number >= len(squares):
        return np.full(len(squares), 1 / len(squares))
    apart = squares - squares.min()
    # From one that takes all to one that hardly tells any apart.
    low, high = -20.0, 20.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        weights = np.exp(-apart / np.exp(middle))
        weights /= weights.sum()
        there = weights[weights > 0]
        few = -(there * np.log(there)).sum() < np.log(max(number, 1.0))
        low, high = (middle, high) if few else (low, middle)
    return np.asarray(weights)
