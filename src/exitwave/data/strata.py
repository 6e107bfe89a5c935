"""Strata: groups of images that a stratified draw takes equally many of."""

from __future__ import annotations

import logging
import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.errors import DatasetError

log = logging.getLogger(__name__)


def bins_of(values: pd.Series, bins: int) -> NDArray[np.int64]:
    """Bin of each value, such that the bins hold about equally many of them and equal values share one.

    Parameters
    ----------
    values : Series
        Numbers, which go into bins of equal counts in ascending order, missing ones into one more bin; or text, of
        which each value is a bin.
    bins : int

    Returns
    -------
    ndarray of int, shape (len(values),)

    Raises
    ------
    DatasetError
        If there are fewer different numbers than bins, or a number of different texts other than bins.
    """
    if not pd.api.types.is_numeric_dtype(values):
        codes, different = pd.factorize(values, sort=True, use_na_sentinel=False)
        if len(different) != bins:
            raise DatasetError(f"found {bins}; allowed: {len(different)}, as many as there are different values")
        return codes
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    there = ~np.isnan(numbers)
    _, place, counts = np.unique(numbers[there], return_inverse=True, return_counts=True)
    if len(counts) < bins:
        raise DatasetError(f"found {bins}; allowed: at most {len(counts)}, as many as there are different values")
    # The middle of its ties is the quantile of a value, so that none is torn apart.
    quantile = (np.cumsum(counts) - counts / 2) / counts.sum()
    result = np.full(len(numbers), bins)
    result[there] = np.floor(quantile * bins).astype(int)[place]
    return result


class Strata:
    """Strata of a pool, and equal draws from parts of it.

    Parameters
    ----------
    pool : DataFrame
        All images that may be drawn; bins are made over these.
    bins : dict of int
        Columns with their number of bins; a stratum is a combination.
    rng : Generator

    Raises
    ------
    DatasetError
        If a column cannot be divided so.
    """

    def __init__(self, pool: pd.DataFrame, bins: dict[str, int], rng: np.random.Generator) -> None:
        columns = {}
        for name, number in sorted(bins.items()):
            try:
                columns[name] = bins_of(pool[name], number)
            except DatasetError as error:
                raise DatasetError(f"strata.{name}: {error}") from error
        self.combinations = math.prod(len(np.unique(column)) for column in columns.values())
        self.of = pd.DataFrame(columns, index=pool.index).groupby(list(columns)).ngroup()
        self._order = rng.permutation(int(self.of.max()) + 1)
        self._due, self._got = (np.zeros(len(self._order), dtype=int) for _ in range(2))

    def draw(self, labels: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw equally many of each stratum, as far as there are, from the rows with these labels.

        Images beyond whole rounds go to strata in a random order that goes on from one draw to the next, so that
        the sum of several draws is as even as one of them. A stratum that runs out is made up for by the others.

        Returns
        -------
        ndarray of int, shape (wanted,)
            Labels of the rows drawn.
        """
        numbers = self.of.loc[pd.Index(labels)].to_numpy()
        kinds = len(self._order)
        available = np.bincount(numbers, minlength=kinds)
        counts = np.zeros(kinds, dtype=int)
        while left := wanted - counts.sum():
            still = self._order[available[self._order] > counts[self._order]]
            if left < len(still):
                counts[still[:left]] += 1
            else:
                counts[still] = np.minimum(counts[still] + left // len(still), available[still])
        self._due += wanted // kinds
        self._got += np.minimum(available, wanted // kinds)
        self._order = np.roll(self._order, -(wanted % kinds))
        return np.concatenate(
            [rng.choice(labels[numbers == kind], size=count, replace=False) for kind, count in enumerate(counts)]
        )

    def report(self) -> None:
        """Say in one sentence which strata could not give their share, if any."""
        short = self._got < self._due
        empty = self.combinations - len(self._order)
        if not short.any() and not empty:
            return
        found = [f"{empty} hold no image"] if empty else []
        if short.any():
            found.append(f"{short.sum()} hold too few, {self._got[short].min()} where {self._due[short][0]} are due")
        log.warning("strata: of %d strata %s; the others make up for them", self.combinations, " and ".join(found))
