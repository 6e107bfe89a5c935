"""Metrics: counts of an image that add up over images, and scores that follow from counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.errors import MicrographError

SHARE = (0.0, 1.0)
"""Range of scores that are shares."""
Scores = Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class Score:
    """A score of the table that sums up a benchmark.

    Attributes
    ----------
    name : str
        Column of the table.
    of : str
        The score that the metric gives.
    label : str
        Heading of the column.
    axis : str
        Name of the axis in figures; the label if left out.
    group : str
        Name of the table that it stands in, with others of that name.
    foremost : bool
        Whether it stands in figures, and with its intervals in tables.
    mean : bool
        Whether it is the mean over the selected images, not the score of the summed counts of all images.
    median : bool
        Whether it is the median over the images for which it is defined.
    of_rules : bool
        Whether it says something of predictions without degrees, such as those of baselines.
    whole : bool
        Whether it is a number of things, and shown without decimals.
    limits : tuple of float, optional
        Its range, where it has one.
    """

    name: str
    of: str
    label: str
    axis: str = ""
    group: str = ""
    foremost: bool = False
    mean: bool = False
    median: bool = False
    of_rules: bool = True
    whole: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Selection:
    """Images over which means are taken.

    Attributes
    ----------
    name : str
        Column of the summary with their number.
    column : str
        Column of the table of images that decides.
    least : float
        Its smallest value.
    """

    name: str
    column: str
    least: float


@dataclass(frozen=True)
class Distance:
    """A score that compares two distributions: the Wasserstein distance between two lists of values.

    Attributes
    ----------
    name : str
        Name of the score.
    first, second : str
        Columns with the lists of an image; those of several images are put together.
    """

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Metric:
    """How predictions are judged.

    Attributes
    ----------
    counts : tuple of str
        Names of what is counted of an image; all add up over images.
    count : callable
        From prediction, truth and pixel [Å] of an image to its counts, and to the lists of ``distances``.
    scores : callable
        From counts [..., n], of single images or of sums over images, to scores by name [...]; NaN where undefined.
    describe : callable
        From prediction and truth of an image to further columns of the table of images.
    summary : tuple of Score
        Scores of the summary; by the first of them tables are ordered.
    note : str
        What a reader of the scores must know.
    unit : str
        Unit of the foremost scores.
    higher_is_better : bool
        Of the first score.
    selection : Selection, optional
        Needed where a score is a mean over images.
    distances : tuple of Distance
        Scores that follow from lists of values, not from counts; NaN where a list is empty.
    same_shape : bool
        Whether a prediction must have the shape of its truth where that has two axes.
    together : callable, optional
        What is counted of an image where that depends on the others: from the predictions of all images and the table
        of their rows to the counts of each. ``count`` then says nothing.
    """

    counts: tuple[str, ...]
    count: Callable[[NDArray[Any], NDArray[Any], float], dict[str, Any]]
    scores: Scores
    describe: Callable[[NDArray[Any], NDArray[Any]], dict[str, Any]]
    summary: tuple[Score, ...]
    note: str
    unit: str = ""
    higher_is_better: bool = True
    selection: Selection | None = None
    distances: tuple[Distance, ...] = ()
    same_shape: bool = True
    together: Callable[[Sequence[NDArray[Any]], pd.DataFrame], list[dict[str, Any]]] | None = None

    def of_images(self, predictions: Sequence[NDArray[Any]], table: pd.DataFrame) -> pd.DataFrame:
        """The table with counts and scores that depend on all images; as it is if there are none.

        Parameters
        ----------
        predictions : sequence of ndarray
            Of all images, in the order of the rows.
        table : DataFrame
            Rows of the images, with what :meth:`of_image` says of each.
        """
        if self.together is None or table.empty:
            return table
        rows = [counts | self._scores(counts) for counts in self.together(predictions, table)]
        return table.assign(**pd.DataFrame(rows, index=table.index))

    def of_image(self, prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, Any]:
        """Description, counts and scores of one image.

        Parameters
        ----------
        prediction, truth : ndarray
            As the kind of models gives them.
        pixel_size : float
            Pixel [Å].

        Raises
        ------
        MicrographError
            If prediction and truth are maps of different shapes.
        """
        if self.same_shape and truth.ndim == 2 and prediction.shape != truth.shape:
            raise MicrographError(
                f"a prediction has the shape {prediction.shape}; allowed: {truth.shape}, as its truth"
            )
        counts = self.count(prediction, truth, pixel_size)
        if self.together is not None:
            return self.describe(prediction, truth) | counts
        return self.describe(prediction, truth) | counts | self._scores(counts)

    def _scores(self, counts: dict[str, Any]) -> dict[str, float]:
        """Scores that follow from the counts of an image."""
        scores = self.scores(np.array([counts[name] for name in self.counts], dtype=np.float64))
        for distance in self.distances:
            lists = [counts[distance.first], counts[distance.second]]
            first = np.repeat([1.0, 0.0], [len(values) for values in lists])
            scores[distance.name] = wasserstein(np.concatenate(lists), first, 1 - first)
        return {name: float(value) for name, value in scores.items()}


def f1_of(tp: NDArray[np.float64], fp: NDArray[np.float64], fn: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 score from true positives, false positives and false negatives; 1 where all three are 0."""
    return ratio(2 * tp, 2 * tp + fp + fn, 1.0)


def ratio(
    part: NDArray[np.float64], whole: NDArray[np.float64], of_nothing: float = float("nan")
) -> NDArray[np.float64]:
    """part / whole; where the whole is 0, ``of_nothing``: a share of nothing is not a number."""
    return np.divide(part, whole, out=np.full_like(whole, of_nothing), where=whole > 0)


def wasserstein(
    values: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Wasserstein distance between two distributions: the area between their cumulated ones.

    L. N. Vaserstein, Probl. Inf. Transm. 5, 64 (1969); in one dimension, S. S. Vallender, Theory Probab. Appl. 18, 784
    (1974).

    Parameters
    ----------
    values : float array [n]
        Values of both distributions.
    first, second : float array [..., n]
        How often each value is in the one and in the other.

    Returns
    -------
    float array [...]
        In the unit of the values; NaN where one of them holds nothing.
    """
    order = np.argsort(values, kind="stable")
    totals = [number.sum(axis=-1) for number in (first, second)]
    defined = (totals[0] > 0) & (totals[1] > 0)
    one, other = (
        np.cumsum(number[..., order], axis=-1) / np.where(defined, total, 1.0)[..., None]
        for number, total in zip((first, second), totals, strict=True)
    )
    area = (np.abs(one - other)[..., :-1] * np.diff(values[order])).sum(axis=-1)
    return np.asarray(np.where(defined, area, np.nan))
