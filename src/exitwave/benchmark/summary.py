"""One row of the benchmark table: scores of a method over images and seeds, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.intervals import bootstrap
from exitwave.benchmark.metrics import COUNTS, scores_from_counts
from exitwave.benchmark.micrographs import EMPTY_FRACTION

SUMMARY = ("f1_pooled", "f1_mean", "iou_pooled", "f1_soft_pooled", "f1_soft_two_class")


def summarise(scores: pd.DataFrame, resamples: int, rng: np.random.Generator) -> dict[str, Any]:
    """Sum up the scores of one method, which may be several networks that differ in their seed.

    Parameters
    ----------
    scores : DataFrame
        Rows of `score.score_micrographs` with a column ``seed``; every seed has the same images in the same order.
    resamples : int
        Bootstrap resamples of the images.
    rng : Generator
        Source of randomness.

    Returns
    -------
    dict
        ``seeds``, ``images``, ``images_with_particles``, and for each score of ``SUMMARY`` the median over seeds, its
        95 % bootstrap interval over images (``_low``, ``_high``) and the range over seeds (``_seed_min``,
        ``_seed_max``). ``pooled`` is the score of the summed counts of all images; ``f1_mean`` the mean over images
        with particles, of which the expert marked 0.1 % or more (NaN where there are none): on an image without
        particles F1 is 0 for a single wrong pixel and says nothing about size.
    """
    seeds = [group for _, group in scores.groupby("seed")]
    counts = np.stack([group[list(COUNTS)].to_numpy(dtype=float) for group in seeds])
    f1 = np.stack([group["f1"].to_numpy(dtype=float) for group in seeds])
    with_particles = (seeds[0]["particle_fraction"] >= EMPTY_FRACTION).to_numpy(dtype=float)

    def by_seed(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores [resamples, seeds, SUMMARY] with each image counted ``weights`` times."""
        pooled = scores_from_counts(np.einsum("ri,sic->rsc", weights, counts))
        kept = weights * with_particles
        total = kept.sum(axis=1)[:, None]
        mean = np.divide(kept @ f1.T, total, out=np.full((len(weights), len(f1)), np.nan), where=total > 0)
        columns = [pooled["f1"], mean, pooled["iou"], pooled["f1_soft"], pooled["f1_soft_two_class"]]
        return np.stack(columns, axis=-1)

    n_images = counts.shape[1]
    values = by_seed(np.ones((1, n_images)))[0]
    low, high = bootstrap(lambda weights: np.median(by_seed(weights), axis=1), n_images, resamples, rng)
    row: dict[str, Any] = {
        "seeds": len(seeds),
        "images": n_images,
        "images_with_particles": int(with_particles.sum()),
    }
    for k, name in enumerate(SUMMARY):
        row[name] = float(np.median(values[:, k]))
        row[f"{name}_low"], row[f"{name}_high"] = float(low[k]), float(high[k])
        row[f"{name}_seed_min"], row[f"{name}_seed_max"] = float(values[:, k].min()), float(values[:, k].max())
    return row
