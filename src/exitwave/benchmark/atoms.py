"""How columns that were found are judged: against those that are there, each at most once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_laplace
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.columns import find_columns
from exitwave.benchmark.metrics import SHARE, Metric, Score, f1_of, ratio
from exitwave.benchmark.prediction import predict_map
from exitwave.config.benchmarks import Benchmark
from exitwave.config.stem import COLUMN_FIELDS
from exitwave.data.peaks import find_peaks
from exitwave.errors import MicrographError
from exitwave.items import Axis, lateral
from exitwave.labels.spots import spot_map
from exitwave.labels.visibility import VISIBLE
from exitwave.training.atoms import COLUMNS, AtomsTask, seen_and_faint

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

FloatArray = NDArray[np.float64]
Shown = Callable[[NDArray[np.floating], float], FloatArray]
"""Brings out spots of a standard deviation [px]."""
KEPT = np.float16
"""Precision in which predictions are kept."""
BESIDE: tuple[str, ...] = ()
TOLERANCE = 0.5
"""Distance [Å] within which a found column is the true one."""
SPACING = 0.5
"""Of two found columns closer than this [Å] the higher counts."""
MASK = 0.5
"""Height of the map above which a pixel belongs to a column."""
COUNTS = (
    *("tp", "fp", "fn", "squared", "off", "true", "faint", "faint_found"),
    *("mask_tp", "mask_fp", "mask_fn", "mask_tn"),
)
SIGMAS = (0.3, 0.4, 0.5, 0.65, 0.8)
"""Standard deviations [Å] that classical methods try."""
LEAST = (0.02, 0.05, 0.08, 0.12, 0.17, 0.23, 0.3, 0.4, 0.5)
"""Least heights that they try, over the highest peak but for the highest hundredth."""
TUNED_ON = 48
"""Images that they are tuned on, at the most."""
NOTE = (
    f"A found column is right within {TOLERANCE:g} Å of a true one, each at most once, so that most are right and the "
    f"sum of distances is least. Columns with a signal-to-noise ratio below {VISIBLE:g} are neither asked for nor "
    "wrong but in F1 of all. What lies as close as that to the edge of an image does not count. RMS: of the "
    "distances of right columns. Count: sum over images of the difference of the numbers over that of true columns. "
    "Mask: pixels where the map is above a half, but for those of columns that noise hides. Brackets: 95 % bootstrap "
    "interval over groups. Of networks the median over seeds is given, with the smallest and the largest seed; an "
    "ensemble is the mean prediction of all seeds. Classical methods are tuned on training images. A constant answer "
    "reaches the pixel accuracy of its row."
)


@dataclass(frozen=True)
class Matched:
    """Found columns and true ones that are each other's.

    Attributes
    ----------
    found, true : int64 [n]
        Places in both lists.
    distances : float64 [n]
        [px].
    """

    found: NDArray[np.int64]
    true: NDArray[np.int64]
    distances: FloatArray


def match(found: FloatArray, true: FloatArray, reach: float) -> Matched:
    """The most pairs within reach, and of these those with the smallest sum of distances.

    Parameters
    ----------
    found, true : float64 [n, 2], [m, 2]
        Places x, y [px].
    reach : float
        [px].
    """
    nothing = np.zeros(0, np.int64)
    if not len(found) or not len(true):
        return Matched(nothing, nothing, np.zeros(0))
    near = cKDTree(found).sparse_distance_matrix(cKDTree(true), reach, output_type="coo_matrix")
    one, other, distances = near.row, near.col + len(found), near.data
    links = coo_array((np.ones(len(one)), (one, other)), shape=(len(found) + len(true),) * 2)
    _, part = connected_components(links, directed=False)
    pairs: list[tuple[int, int, float]] = []
    order = np.argsort(part[one], kind="stable")
    # Far columns have nothing to do with each other: each group is matched by itself.
    for group in np.split(order, np.flatnonzero(np.diff(part[one][order])) + 1):
        rows, row = np.unique(one[group], return_inverse=True)
        columns, column = np.unique(other[group] - len(found), return_inverse=True)
        costs = np.full((len(rows), len(columns)), 1e3 * reach)
        costs[row, column] = distances[group]
        for i, j in zip(*linear_sum_assignment(costs), strict=True):
            if costs[i, j] <= reach:
                pairs.append((int(rows[i]), int(columns[j]), float(costs[i, j])))
    if not pairs:
        return Matched(nothing, nothing, np.zeros(0))
    found_at, true_at, away = zip(*pairs, strict=True)
    return Matched(np.array(found_at), np.array(true_at), np.array(away))


@dataclass(frozen=True)
class Judged:
    """Found columns held against those that are there, places x, y [px].

    Attributes
    ----------
    found : float64 [n, 2]
    true, faint : float64 [m, 2], [k, 2]
        Those that can be seen, and those that noise hides.
    right, guessed : Matched
        Found columns with the true ones, and of what is left with the faint ones.
    """

    found: FloatArray
    true: FloatArray
    faint: FloatArray
    right: Matched
    guessed: Matched

    def is_missed(self) -> NDArray[np.bool_]:
        """Which of the true ones are not found [m]."""
        return np.asarray(np.isin(np.arange(len(self.true)), self.right.true, invert=True))

    def is_false(self) -> NDArray[np.bool_]:
        """Which of the found ones are near none [n]."""
        return np.isin(np.arange(len(self.found)), [*self.right.found, *self.guessed.found], invert=True)


def judge(found: FloatArray, columns: NDArray[np.floating], pixel_size: float) -> Judged:
    """Hold found places x, y [n, 2] [px] against a stored list of columns."""
    true, faint = seen_and_faint(columns)
    right = match(found, true, TOLERANCE / pixel_size)
    left = np.setdiff1d(np.arange(len(found)), right.found)
    guessed = match(found[left], faint, TOLERANCE / pixel_size)
    return Judged(found, true, faint, right, Matched(left[guessed.found], guessed.true, guessed.distances))


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of an image or a map, or of the list of columns."""
    if name == "truth":
        return Axis("column"), Axis("field", labels=COLUMN_FIELDS)
    return lateral(pixel_size)


def truths(task: AtomsTask, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
    """Lists of columns."""
    return list(arrays[COLUMNS])


def threshold(network: LoadedNetwork | None, block: Benchmark) -> float:
    """Least height of a peak, which was chosen on validation images; spots of classical methods have the height 1."""
    return MASK if network is None else network.threshold


def places_of(prediction: NDArray[Any], threshold: float, pixel_size: float) -> FloatArray:
    """Columns of a map [n, 2], x and y [px]: its peaks."""
    return find_peaks(np.asarray(prediction, np.float32), threshold, spacing=SPACING / pixel_size)[:, :2]


def metric(task: AtomsTask, threshold: float) -> Metric:
    """Metric of maps, whose columns are peaks from ``threshold`` on."""
    sigma = task.model.target.sigma

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, Any]:
        size, reach = len(prediction), TOLERANCE / pixel_size
        judged = judge(places_of(prediction, threshold, pixel_size), truth, pixel_size)
        # At the edge a column may be in the image or not: it is neither asked for nor wrong.
        found, true, faint = (_inside(places, size, reach) for places in (judged.found, judged.true, judged.faint))
        right, missed, false = true[judged.right.true], true & judged.is_missed(), found & judged.is_false()
        away = 100 * pixel_size * judged.right.distances[right]
        real, hidden = (spot_map(places, size, sigma / pixel_size) > MASK for places in (judged.true, judged.faint))
        told = real | ~hidden
        answer, real = prediction[told] > MASK, real[told]
        hits = float((answer & real).sum())
        return {
            "tp": float(right.sum()),
            "fp": float(false.sum()),
            "fn": float(missed.sum()),
            "squared": float(away @ away),
            "off": abs(float(false.sum()) - float(missed.sum())),
            "true": float(true.sum()),
            "faint": float(faint.sum()),
            "faint_found": float(faint[judged.guessed.true].sum()),
            "mask_tp": hits,
            "mask_fp": float(answer.sum()) - hits,
            "mask_fn": float(real.sum()) - hits,
            "mask_tn": float((~answer & ~real).sum()),
        }

    return Metric(
        counts=COUNTS,
        count=count,
        scores=scores_from_counts,
        describe=lambda prediction, truth: {"columns_listed": float(len(truth))},
        summary=(
            Score("f1", "f1", "F1", foremost=True, limits=SHARE),
            Score("f1_all", "f1_all", "F1, all", "F1 of all columns, also of those that noise hides", limits=SHARE),
            Score("precision", "precision", "precision", limits=SHARE),
            Score("recall", "recall", "recall", limits=SHARE),
            Score("rms", "rms", "RMS [pm]", "root mean square distance of right columns [pm]", "places", foremost=True),
            Score("count_error", "count_error", "count [%]", "error of the number of columns [%]", "places"),
            Score("mask_f1", "mask_f1", "mask F1", group="mask", limits=SHARE),
            Score("pixel_accuracy", "pixel_accuracy", "pixel accuracy", group="mask", limits=SHARE),
        ),
        note=NOTE,
        same_shape=False,
    )


def _inside(places: FloatArray, size: int, margin: float) -> NDArray[np.bool_]:
    return np.asarray(((places >= margin - 0.5) & (places <= size - 0.5 - margin)).all(axis=1))


def scores_from_counts(counts: FloatArray) -> dict[str, FloatArray]:
    """Scores from counts in the order of ``COUNTS`` [..., 12], of single images or of sums over images."""
    tp, fp, fn, squared, off, true, faint, faint_found, *mask = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    pixels = sum(mask)
    return {
        "f1": f1_of(tp, fp, fn),
        "f1_all": f1_of(tp + faint_found, fp, fn + faint - faint_found),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "rms": np.sqrt(ratio(squared, tp)),
        "count_error": 100 * ratio(off, true),
        "mask_f1": f1_of(*mask[:3]),
        "pixel_accuracy": ratio(mask[0] + mask[3], pixels),
    }


def rules(task: AtomsTask) -> Mapping[str, Rule]:
    """What `exitwave atoms` finds without networks, and nothing: the pixel accuracy of that others have to beat."""
    spot = task.model.target.sigma

    def fitted_columns(case: Case) -> NDArray[Any]:
        try:
            places = find_columns(case.image, case.pixel_size).places
        except MicrographError:
            places = np.zeros((0, 2))
        return spot_map(places, len(case.image), spot / case.pixel_size)

    return {"nothing": lambda case: np.zeros(case.image.shape, np.float16), "columns, fitted": fitted_columns}


def fitted(task: AtomsTask) -> Mapping[str, Fit]:
    """Classical methods, tuned on examples."""
    spot = task.model.target.sigma
    return {
        "Laplacian of Gaussian": lambda examples: _tuned(examples, laplacian, spot),
        "local maxima": lambda examples: _tuned(examples, blurred, spot),
    }


def laplacian(image: NDArray[np.floating], sigma: float) -> FloatArray:
    """What is high where a spot of a standard deviation [px] is, and 0 where the image is even."""
    return np.asarray(-gaussian_laplace(image.astype(np.float64), sigma))


def blurred(image: NDArray[np.floating], sigma: float) -> FloatArray:
    """The image without noise and without its background."""
    smooth = gaussian_filter(image.astype(np.float64), sigma)
    return np.asarray(smooth - np.percentile(smooth, 5))


def _peaks(shown: FloatArray, pixel_size: float) -> FloatArray:
    """Peaks [n, 3] with heights over that which only a hundredth of them exceed."""
    peaks = find_peaks(shown.astype(np.float32), 0.0, spacing=SPACING / pixel_size)
    if len(peaks):
        peaks[:, 2] /= peaks[len(peaks) // 100, 2]
    return peaks


def _tuned(examples: Sequence[Case], shown: Shown, spot: float) -> Rule:
    """The width and the least height with which the examples have the largest F1 together.

    The rule gives a map of spots of a standard deviation ``spot`` [Å], as networks do.
    """
    chosen = examples[:: max(1, -(-len(examples) // TUNED_ON))]
    best, most = (SIGMAS[0], LEAST[0]), -1.0
    for sigma in SIGMAS:
        sums = np.zeros((len(LEAST), 3))
        for case in chosen:
            peaks = _peaks(shown(case.image, sigma / case.pixel_size), case.pixel_size)
            for number, least in enumerate(LEAST):
                found = peaks[peaks[:, 2] >= least, :2]
                judged = judge(found, case.truth, case.pixel_size)
                sums[number] += [len(judged.right.found), judged.is_false().sum(), judged.is_missed().sum()]
        scores = f1_of(*sums.T)
        if scores.max() > most:
            most, best = float(scores.max()), (sigma, LEAST[int(scores.argmax())])
    sigma, least = best

    def rule(case: Case) -> NDArray[Any]:
        peaks = _peaks(shown(case.image, sigma / case.pixel_size), case.pixel_size)
        return spot_map(peaks[peaks[:, 2] >= least, :2], len(case.image), spot / case.pixel_size)

    return rule


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: AtomsTask) -> NDArray[Any]:
    """Map of an image [H, W], scored as it is kept."""
    return np.asarray(predict_map(network, case.name, case.image, case.pixel_size, block), KEPT)
