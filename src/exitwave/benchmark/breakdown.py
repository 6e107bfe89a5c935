"""Scores broken down by the conditions of images: where a method is good, and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.summary import summarise
from exitwave.items import item_rng

FEW = 6
"""Different numbers up to which each is a bin of its own."""
NONE = "none"
"""Name of the bin of images without a value."""


def break_down(
    scores: pd.DataFrame, metric: Metric, by: Sequence[str], bins: int, resamples: int, identity: str
) -> pd.DataFrame:
    """Scores of all methods in bins of columns.

    Parameters
    ----------
    scores : DataFrame
        One row an image, method and seed, with the columns that :func:`exitwave.benchmark.summary.summarise` needs.
    metric : Metric
    by : sequence of str
        Columns, each of which makes bins of its own.
    bins : int
        Bins of equal counts of a column with many different numbers.
    resamples : int
        Bootstrap resamples of the groups.
    identity : str
        Hash of the benchmark, from which the random numbers follow.

    Returns
    -------
    DataFrame
        One row a column, bin and method: ``by``, ``bin`` (its number, from the smallest values on), ``label``, ``low``
        and ``high`` (its ends; NaN of text), ``method``, ``kind``, and the scores of the summary.
    """
    rows: list[dict[str, Any]] = []
    for column in by:
        images = scores.drop_duplicates("image").set_index("image")[column]
        of_image, told = binned(images, bins)
        bin_of = scores["image"].map(of_image)
        for number, (label, low, high) in enumerate(told):
            for (kind, method), part in scores[bin_of == number].groupby(["kind", "method"], sort=False):
                names = {"by": column, "bin": number, "label": label, "low": low, "high": high}
                rng = item_rng(0, "bootstrap", identity)
                rows.append({**names, "method": method, "kind": kind, **summarise(part, metric, resamples, rng)})
    return pd.DataFrame(rows)


def binned(values: pd.Series[Any], bins: int) -> tuple[pd.Series[int], list[tuple[str, float, float]]]:
    """Bins of a column.

    Parameters
    ----------
    values : Series
        Of each image; of text or of few different numbers each value is a bin.
    bins : int
        Bins of equal counts of many different numbers.

    Returns
    -------
    numbers : Series of int
        Number of the bin of each image.
    told : list of tuple
        Label, smallest and largest value of each bin; the last one is of images without a value, if there are any.
    """
    there = values.dropna()
    if not pd.api.types.is_numeric_dtype(values):
        different = sorted(there.unique())
        told = [(str(value), float("nan"), float("nan")) for value in different]
        numbers = values.map({value: number for number, value in enumerate(different)})
    elif there.nunique() <= max(FEW, bins):
        different = sorted(there.unique())
        told = [(f"{value:g}", float(value), float(value)) for value in different]
        numbers = values.map({value: number for number, value in enumerate(different)})
    else:
        edges = np.unique(np.quantile(there, np.linspace(0, 1, bins + 1)))
        places = np.clip(np.searchsorted(edges, values.to_numpy(float), side="right") - 1, 0, len(edges) - 2)
        numbers = pd.Series(places, values.index).where(values.notna())
        told = [(f"{_short(low)} to {_short(high)}", float(low), float(high)) for low, high in pairwise(edges)]
    if len(there) < len(values):
        numbers = numbers.fillna(len(told))
        told = [*told, (NONE, float("nan"), float("nan"))]
    return numbers.astype(int), told


def _short(value: float) -> str:
    """Three digits; of large numbers whole ones."""
    return f"{float(f'{value:.3g}'):.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.3g}"
