"""One row of the benchmark table: scores of a method over images and seeds, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.intervals import bootstrap
from exitwave.benchmark.metrics import Distance, Metric, wasserstein

AT_ONCE = 2**22
"""Values of distributions times resamples that are compared at a time."""


def summarise(table: pd.DataFrame, metric: Metric, resamples: int, rng: np.random.Generator) -> dict[str, Any]:
    """Sum up the scores of one method, which may be several networks that differ in their seed.

    Parameters
    ----------
    table : DataFrame
        Rows of :meth:`Metric.of_image` with the columns ``seed`` and ``group``, of images that are not independent of
        each other; every seed has the same images in the same order.
    metric : Metric
    resamples : int
        Bootstrap resamples of the groups.
    rng : Generator
        Source of randomness.

    Returns
    -------
    dict
        ``seeds``, ``images``, ``groups``, the number of images selected for means, and for each score of the metric's
        summary the median over seeds, its 95 % bootstrap interval over groups (``_low``, ``_high``; NaN with one group)
        and the range over seeds (``_seed_min``, ``_seed_max``). A score is that of the summed counts of all images, or
        the mean over the selected images for which it is defined (NaN where there are none), or the median. A distance
        is that of the values of all images.
    """
    by_seed = weighted_scores(table, metric)
    seeds = [group for _, group in table.groupby("seed")]
    n_images = len(seeds[0])
    values = by_seed(np.ones((1, n_images)))[0]
    groups, names = pd.factorize(seeds[0]["group"])
    low, high = bootstrap(lambda weights: np.median(by_seed(weights), axis=1), groups, resamples, rng)
    row: dict[str, Any] = {"seeds": len(seeds), "images": n_images, "groups": len(names)}
    if metric.selection is not None:
        row[metric.selection.name] = int(selected_images(seeds[0], metric).sum())
    for k, score in enumerate(metric.summary):
        row[score.name] = float(np.median(values[:, k]))
        row[f"{score.name}_low"], row[f"{score.name}_high"] = float(low[k]), float(high[k])
        row[f"{score.name}_seed_min"] = float(values[:, k].min())
        row[f"{score.name}_seed_max"] = float(values[:, k].max())
    return row


def weighted_scores(table: pd.DataFrame, metric: Metric) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Scores of one method as a function of how often each image counts.

    Parameters
    ----------
    table : DataFrame
        As of :func:`summarise`.
    metric : Metric

    Returns
    -------
    callable
        From weights [resamples, images] to the scores of the metric's summary [resamples, seeds, scores].
    """
    seeds = [group for _, group in table.groupby("seed")]
    counts = np.stack([group[list(metric.counts)].to_numpy(dtype=float) for group in seeds])
    means = {
        score.of: np.stack([group[score.of].to_numpy(dtype=float) for group in seeds])
        for score in metric.summary
        if score.mean or score.median
    }
    selected = selected_images(seeds[0], metric).astype(float)

    def by_seed(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores [resamples, seeds, summary] with each image counted ``weights`` times."""
        pooled = metric.scores(np.einsum("ri,sic->rsc", weights, counts))
        for distance in metric.distances:
            pooled[distance.name] = np.stack([_distance(weights, group, distance) for group in seeds], axis=-1)
        kept = weights * selected
        columns = []
        for score in metric.summary:
            if score.mean:
                values = means[score.of]
                defined = ~np.isnan(values)
                total = kept @ defined.T.astype(float)
                undefined = np.full(total.shape, np.nan)
                columns.append(np.divide(kept @ np.where(defined, values, 0).T, total, out=undefined, where=total > 0))
            elif score.median:
                columns.append(np.stack([_median(weights, of_seed) for of_seed in means[score.of]], axis=-1))
            else:
                columns.append(pooled[score.of])
        return np.stack(columns, axis=-1)

    return by_seed


def selected_images(table: pd.DataFrame, metric: Metric) -> NDArray[np.bool_]:
    """Of each row whether means are taken over its image."""
    if metric.selection is None:
        return np.ones(len(table), dtype=bool)
    return np.asarray(table[metric.selection.column] >= metric.selection.least)


def _median(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median [resamples] of values [images] counted ``weights`` [resamples, images] times; NaN is left out."""
    defined = np.flatnonzero(~np.isnan(values))
    order = defined[np.argsort(values[defined], kind="stable")]
    if not len(order):
        return np.full(len(weights), np.nan)
    below = np.cumsum(weights[:, order], axis=1)
    half, found = below[:, -1:] / 2, values[order]
    # Of an even number the mean of the two in the middle.
    low, high = (np.minimum((below < half + step).sum(axis=1), len(order) - 1) for step in (0.0, 1e-9))
    return np.where(half[:, 0] > 0, (found[low] + found[high]) / 2, np.nan)


def _distance(weights: NDArray[np.float64], table: pd.DataFrame, distance: Distance) -> NDArray[np.float64]:
    """Distance of two distributions [resamples] with the values of each image counted ``weights`` times."""
    columns = [table[name].to_list() for name in (distance.first, distance.second)]
    values = np.concatenate([np.asarray(of_image, dtype=np.float64) for column in columns for of_image in column])
    images = np.concatenate([np.repeat(np.arange(len(c)), [len(of_image) for of_image in c]) for c in columns])
    first = np.arange(values.size) < sum(len(of_image) for of_image in columns[0])
    parts = np.array_split(weights, max(1, weights.shape[0] * values.size // AT_ONCE))
    return np.concatenate([wasserstein(values, part[:, images] * first, part[:, images] * ~first) for part in parts])
