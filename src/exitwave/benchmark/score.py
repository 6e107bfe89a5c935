"""Scoring predictions on micrographs against the expert's masks, per image and over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.metrics import COUNTS, count_pixels, scores_from_counts
from exitwave.benchmark.readers import Micrograph
from exitwave.errors import MicrographError


def score_micrographs(
    predict: Callable[[Micrograph], NDArray[Any]], micrographs: Sequence[Micrograph], threshold: float = 0.5
) -> pd.DataFrame:
    """Score a way of segmenting on micrographs with masks, each on its own pixels.

    Parameters
    ----------
    predict : callable
        From a micrograph to the probability of each pixel to be particle, float [H, W], or to a mask, bool [H, W].
    micrographs : sequence of Micrograph
        Micrographs with masks.
    threshold : float
        Probability from which a pixel is particle.

    Returns
    -------
    DataFrame
        One row an image: ``name``, ``pixel_size`` [Å], ``pixels``, ``particle_fraction`` of the expert's mask, the
        counts and the scores of ``metrics``.

    Raises
    ------
    MicrographError
        If a micrograph has no mask or the prediction another shape.
    """
    rows = []
    for micrograph in micrographs:
        if micrograph.mask is None:
            raise MicrographError(f"micrograph {micrograph.name} has no mask; needed: one to score against")
        rows.append(
            {"name": micrograph.name, "pixel_size": micrograph.pixel_size}
            | score_prediction(predict(micrograph), micrograph.mask, threshold)
        )
    return pd.DataFrame(rows)


def score_prediction(probability: NDArray[Any], expert: NDArray[np.bool_], threshold: float = 0.5) -> dict[str, float]:
    """Counts and scores of one image.

    Parameters
    ----------
    probability : float or bool array [H, W]
        Prediction.
    expert : bool array [H, W]
        The expert's mask, or the label of a simulated image.
    threshold : float
        Probability from which a pixel is particle.

    Raises
    ------
    MicrographError
        If the shapes differ.
    """
    if probability.shape != expert.shape:
        raise MicrographError(f"a prediction has the shape {probability.shape}; allowed: {expert.shape}, as its mask")
    counts = count_pixels(probability, expert, threshold)
    scores = scores_from_counts(np.array([counts[name] for name in COUNTS]))
    return (
        {"pixels": float(expert.size), "particle_fraction": float(expert.mean())}
        | counts
        | {name: float(value) for name, value in scores.items()}
    )
