"""Scores of a segmentation. Pixels are counted first, per image, and reduced to scores later.

With the probability p and the expert's mask y of every pixel, the counts are

    TP = sum p y,  FP = sum p (1 - y),  FN = sum (1 - p) y,  TN = sum (1 - p) (1 - y).

Of a thresholded p they are the usual (hard) counts; of p itself they are soft, and
F1 = 2 TP / (2 TP + FP + FN) = 2 sum p y / (sum p + sum y) is equation 6 of Rangel DaCosta et al.,
npj Comput. Mater. 10, 165 (2024).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HARD_COUNTS = ("tp", "fp", "fn", "tn")
SOFT_COUNTS = ("soft_tp", "soft_fp", "soft_fn", "soft_tn")
COUNTS = HARD_COUNTS + SOFT_COUNTS
SCORES = ("f1", "f1_soft", "iou", "precision", "recall", "f1_soft_two_class")


def count_pixels(probability: NDArray[Any], expert: NDArray[np.bool_], threshold: float = 0.5) -> dict[str, float]:
    """Hard and soft counts of one image.

    Parameters
    ----------
    probability : float or bool array [H, W]
        Probability of each pixel to be particle; of a mask, hard and soft counts are the same.
    expert : bool array [H, W]
        The expert's mask.
    threshold : float
        Probability from which a pixel is particle.

    Returns
    -------
    dict
        ``tp``, ``fp``, ``fn``, ``tn`` and the same with the prefix ``soft_``.
    """
    soft = np.asarray(probability, dtype=np.float64)
    expert = np.asarray(expert, dtype=bool)
    counts: dict[str, float] = {}
    for names, predicted in ((HARD_COUNTS, (soft >= threshold).astype(np.float64)), (SOFT_COUNTS, soft)):
        tp = float(predicted[expert].sum())
        fp = float(predicted.sum()) - tp
        n_particle = int(expert.sum())
        values = (tp, fp, n_particle - tp, expert.size - n_particle - fp)
        counts.update(zip(names, values, strict=True))
    return counts


def _f1(tp: NDArray[np.float64], fp: NDArray[np.float64], fn: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole; 1 where nothing was to be found and nothing was found."""
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)


def scores_from_counts(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Scores from counts, of single images or of sums over images.

    Parameters
    ----------
    counts : float array [..., 8]
        Counts in the order of ``COUNTS``.

    Returns
    -------
    dict of float arrays [...]
        ``f1``, ``iou``, ``precision`` and ``recall`` of the thresholded prediction, ``f1_soft`` (equation 6), and
        ``f1_soft_two_class``, the variant in the code of the paper's authors: the soft F1 averaged over particle and
        background. An empty mask with an empty prediction scores 1.
    """
    tp, fp, fn, _, soft_tp, soft_fp, soft_fn, soft_tn = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    f1_soft = _f1(soft_tp, soft_fp, soft_fn)
    # What is falsely particle is missing in the background, and the other way round.
    background = _f1(soft_tn, soft_fn, soft_fp)
    return {
        "f1": _f1(tp, fp, fn),
        "f1_soft": f1_soft,
        "iou": _ratio(tp, tp + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1_soft_two_class": (f1_soft + background) / 2,
    }
