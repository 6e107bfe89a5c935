"""Methods compared on the same images: whether one is better than another, or whether that is within the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.intervals import bootstrap
from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.summary import selected_images, weighted_scores
from exitwave.items import item_rng

BETTER, WORSE, IMAGES, SEEDS, UNKNOWN = "better", "worse", "within images", "within seeds", "unknown"
"""What is said of the first method of a pair: ahead or behind; or that the difference is within the spread of the
images, or of the seeds; or that nothing can be said, of images of one group or of networks that have diverged."""
MOST = 20
"""Trainings up to which all pairs are compared; of more each with the best."""
Method = tuple[str, str]
"""Kind and name."""


def compare(scores: pd.DataFrame, metric: Metric, resamples: int, identity: str) -> pd.DataFrame:
    """Differences of the first score of the metric between methods, on the images that all of them have.

    Compared are all pairs of trainings, each given by the median over its networks, and each training with the best
    baseline; of more than ``MOST`` trainings each with the best one. Resamples of the groups of images are the same for
    both methods of a pair: a hard image is hard for both, so that differences are known better than the scores
    themselves.

    Parameters
    ----------
    scores : DataFrame
        One row an image, method and seed, with the columns that :func:`exitwave.benchmark.summary.summarise` needs and
        ``image``, ``kind`` and ``method``.
    metric : Metric
    resamples : int
        Bootstrap resamples of the groups.
    identity : str
        Hash of the benchmark, from which the random numbers follow.

    Returns
    -------
    DataFrame
        One row a pair, the better method first: ``first``, ``second`` and ``second_kind``; ``score`` and its
        ``difference``, first minus second, with the 95 % interval ``low`` to ``high`` over groups of images; the
        smallest and the largest difference of any two networks, ``seed_min`` and ``seed_max``; how probable it is that
        equal methods lie as far apart as to have all networks of one above all of the other, ``chance``; the number of
        images that score higher with the first method, ``higher``, and lower, ``lower``; ``images``, ``groups``; and
        the ``verdict``: one of the words of this module.
    """
    tables = _common(dict(list(scores.groupby(["kind", "method"], sort=False))))
    if not tables:
        return pd.DataFrame()
    first = next(iter(tables.values()))
    shown = first[first["seed"] == first["seed"].iloc[0]]
    groups, names = pd.factorize(shown["group"])
    of_first = replace(metric, summary=metric.summary[:1], distances=_needed(metric))
    by_seed = {key: weighted_scores(table, of_first) for key, table in tables.items()}
    values = {key: scored(np.ones((1, len(shown))))[0, :, 0] for key, scored in by_seed.items()}
    pairs = _pairs(values, metric)
    if not pairs:
        return pd.DataFrame()
    compared = list(dict.fromkeys(key for pair in pairs for key in pair))

    def differences(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of all pairs [resamples, pairs]."""
        medians = {key: np.median(by_seed[key](weights)[:, :, 0], axis=1) for key in compared}
        return np.stack([medians[one] - medians[other] for one, other in pairs], axis=-1)

    low, high = bootstrap(differences, groups, resamples, item_rng(0, "bootstrap", identity))
    kept = selected_images(shown, metric)
    rows = []
    for place, (one, other) in enumerate(pairs):
        between = values[one][:, None] - values[other][None]
        row: dict[str, Any] = {"first": one[1], "second": other[1], "second_kind": other[0]}
        row |= {"score": metric.summary[0].name}
        row |= {"difference": float(np.median(values[one]) - np.median(values[other]))}
        row |= {"low": float(low[place]), "high": float(high[place])}
        row |= {"seed_min": float(between.min()), "seed_max": float(between.max())}
        row |= {"chance": chance(len(values[one]), len(values[other]), other[0])}
        row |= dict(zip(("higher", "lower"), _images_ahead(tables[one], tables[other], metric, kept), strict=True))
        row |= {"images": len(shown), "groups": len(names)}
        rows.append({**row, "verdict": verdict(row, metric.higher_is_better)})
    return pd.DataFrame(rows)


def chance(first: int, second: int, second_kind: str) -> float:
    """Probability that so many networks of two equal trainings have ranges of scores that do not meet.

    Of all orders of the networks, two have those of one training first. A baseline gives the same score always: then
    all networks lie on one side of it, either of two.
    """
    return 2 / comb(first + second, first) if second_kind == "network" else 2.0 ** (1 - first)


def verdict(row: dict[str, Any], higher_is_better: bool) -> str:
    """What a difference with its interval and the range of its seeds says of the first method."""
    if not np.all(np.isfinite([row["difference"], row["low"], row["high"], row["seed_min"], row["seed_max"]])):
        return UNKNOWN
    if row["low"] <= 0 <= row["high"]:
        return IMAGES
    if row["seed_min"] <= 0 <= row["seed_max"]:
        return SEEDS
    return BETTER if (row["difference"] > 0) == higher_is_better else WORSE


def _common(tables: dict[Any, pd.DataFrame]) -> dict[Method, pd.DataFrame]:
    """Rows of trainings and baselines of the images that all of them have, in one order."""
    kept = {(str(kind), str(name)): _numbered(table) for (kind, name), table in tables.items() if kind != "ensemble"}
    images = set.intersection(*(set(table["image"]) for table in kept.values())) if kept else set()
    if not images:
        return {}
    return {
        key: table[table["image"].isin(images)].sort_values(["seed", "image"], kind="stable")
        for key, table in kept.items()
    }


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a number after each name of an image: with masks of two experts it is there twice."""
    number = table.groupby(["seed", "image"]).cumcount().astype(str)
    return table.assign(image=table["image"].astype(str) + " " + number)


def _needed(metric: Metric) -> tuple[Any, ...]:
    """The distance that the first score is, if it is one: others are slow to compute and not compared."""
    return tuple(distance for distance in metric.distances if distance.name == metric.summary[0].of)


def _pairs(values: dict[Method, NDArray[np.float64]], metric: Metric) -> list[tuple[Method, Method]]:
    """Pairs of trainings, and each training with the best baseline; in each the better one first."""
    sign = -1 if metric.higher_is_better else 1
    medians = {key: sign * float(np.median(of_method)) for key, of_method in values.items()}
    known = sorted((key for key in values if np.isfinite(medians[key])), key=lambda key: (medians[key], key))
    networks = [key for key in known if key[0] == "network"]
    baseline = [key for key in known if key[0] == "baseline"][:1]
    of_networks = combinations(networks, 2) if len(networks) <= MOST else ((networks[0], one) for one in networks[1:])
    # A training stays first in its pair with a baseline, whichever is better.
    return [*of_networks, *((network, rule) for network in networks for rule in baseline)]


def _images_ahead(one: pd.DataFrame, other: pd.DataFrame, metric: Metric, kept: NDArray[np.bool_]) -> Sequence[int]:
    """Numbers of images with a higher, and with a lower score in the first of two tables."""
    name = metric.summary[0].of
    if name not in one or name not in other:
        return 0, 0
    first, second = (table.groupby("image", sort=False)[name].median().to_numpy(float)[kept] for table in (one, other))
    return int((first > second).sum()), int((first < second).sum())
