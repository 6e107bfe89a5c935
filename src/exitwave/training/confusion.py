"""Accuracy and F1 of classes, from how often each class was taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def accuracy(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the images whose class was found.

    Parameters
    ----------
    confusion : array [..., k, m], m at least k
        Images of each true class taken for each class; classes from k on are never true.

    Returns
    -------
    float array [...]
        Not a number where there are no images.
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def macro_f1(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over the true classes of the F1 score of each, whatever the number of its images.

    A class that neither occurs nor was found is left out.

    Parameters
    ----------
    confusion : array [..., k, m], m at least k

    Returns
    -------
    float array [...]
        Not a number where there are no images.
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    found = np.diagonal(confusion, axis1=-2, axis2=-1)
    named = confusion.sum(axis=-1) + confusion.sum(axis=-2)[..., : confusion.shape[-2]]
    scores = np.divide(2 * found, named, out=np.zeros_like(named), where=named > 0)
    return _ratio(scores.sum(axis=-1), (named > 0).sum(axis=-1))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    undefined = np.full(np.shape(part), np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=np.asarray(whole) > 0))
