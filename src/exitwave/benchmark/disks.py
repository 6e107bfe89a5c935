"""How networks that find Bragg disks are judged: by the disks that are found, missed and made up.

A network gives an image of structure factors; its disks are the peaks from a threshold on that was chosen on validation
patterns. Classical methods give lists of disks. Both are held against the list of true reflections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.classical_disks import disk_methods
from exitwave.benchmark.disk_maps import disk_maps, image_of
from exitwave.benchmark.matching import match_disks
from exitwave.benchmark.metrics import SHARE, Metric, Score, f1_of, ratio
from exitwave.benchmark.strain_tuning import strain_error
from exitwave.config.benchmarks import Benchmark
from exitwave.config.patterns import REFLECTIONS
from exitwave.data.peaks import find_peaks
from exitwave.items import Axis
from exitwave.labels.reflections import FIELDS, structure_factor_image
from exitwave.training.disks import PROBE, DisksTask

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

KEPT = np.float16
"""Precision in which predictions are kept."""
BESIDE: tuple[str, ...] = (PROBE,)
RADIUS = 0.05
"""Distance within which a disk is taken for a reflection [1/Å], as in Munshi et al. 2022."""
MAPS = ("structure_factors", "deviation")
"""What a network makes of a pattern."""
COUNTS = ("tp", "fp", "fn", "distance", "undefined")
FloatArray = NDArray[np.float64]
NOTE = (
    "Disks within 0.05 1/Å of a strong reflection (0.15 of the largest weight or more; weaker ones count neither way, "
    "the direct beam not at all). F1, precision, recall and the mean "
    "error of places: of the summed numbers of all patterns. "
    "Accuracy: TP/(TP+FP+FN) of intensities, eq. 1 of Munshi et al., npj Comput. Mater. 8 (2022) 254, mean over "
    "patterns. Error of strain: root of the mean square of e_xx, e_yy and e_xy that would be measured of an unstrained "
    "crystal, median over patterns with five disks or more, others are undefined. SSIM of the image of structure "
    "factors, mean over patterns: that of a blank map says how much of it is empty ground. Brackets: 95 % bootstrap "
    "interval over patterns, of which those of one prototype are drawn together. Of networks the median over seeds is "
    "given, with the smallest and the largest seed; an ensemble is the mean prediction of all seeds. Classical methods "
    "are tuned on training patterns."
)
SUMMARY = (
    Score("f1", "f1", "F1", "F1 of disks", "disks", foremost=True, limits=SHARE),
    Score("accuracy", "accuracy", "accuracy", "intensity-weighted accuracy", "disks", True, mean=True, limits=SHARE),
    Score("precision", "precision", "precision", group="precision and recall"),
    Score("recall", "recall", "recall", group="precision and recall"),
    Score("position_error", "position_error", "place [px]", "error of places [px]", "errors", foremost=True),
    Score("strain_error", "strain_error", "strain [%]", "error of strain [%]", "errors", foremost=True, median=True),
    Score("strain_undefined", "undefined", "undefined", group="errors", whole=True),
    Score("ssim", "ssim", "SSIM", group="image of structure factors", mean=True, limits=SHARE),
)


def is_map(prediction: NDArray[Any]) -> bool:
    """Whether a prediction is an image [H, W], or maps [k, H, W], and no list of disks [n, 3]."""
    return bool(prediction.shape[-1] != 3)


def disks_of(prediction: NDArray[Any], threshold: float, gamma: float = 1.0) -> FloatArray:
    """Disks of a prediction.

    Parameters
    ----------
    prediction : array [k, H, W], [H, W] or [n, 3]
        Maps with the image of structure factors, that alone, or list of disks.
    threshold : float
        Least height of a peak of an image.
    gamma : float
        Exponent of structure factors in the image, which is taken back.

    Returns
    -------
    float64 [n, 3]
        Place x, y [px] and weight, the strongest first.
    """
    if not is_map(prediction):
        return np.asarray(prediction, np.float64)
    found = find_peaks(np.asarray(image_of(prediction), np.float32), threshold)
    found[:, 2] **= 1 / gamma
    return found


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of a pattern or an image of structure factors, or of the list of reflections."""
    if name == "truth":
        return Axis("reflection"), Axis("field", labels=FIELDS)
    lateral = Axis("q_y", pixel_size, "1/Å"), Axis("q_x", pixel_size, "1/Å")
    return lateral if values.ndim == 2 else (Axis("map", labels=MAPS[: len(values)]), *lateral)


def truths(task: DisksTask, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
    """Lists of reflections."""
    return list(arrays[REFLECTIONS])


def threshold(network: LoadedNetwork | None, block: Benchmark) -> float:
    """Least height of a peak, which was chosen on validation patterns; maps of classical methods are in units of it."""
    return 1.0 if network is None else network.threshold


def metric(task: DisksTask, threshold: float) -> Metric:
    """Metric of images of structure factors, whose disks are peaks from ``threshold`` on, and of lists of disks."""
    aim = task.model.target

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, Any]:
        found = disks_of(prediction, threshold, aim.gamma)
        matched = match_disks(found, truth, RADIUS / pixel_size)
        strain = matched.strain
        return {
            "tp": float(matched.tp),
            "fp": float(matched.fp),
            "fn": float(matched.fn),
            "distance": float(matched.errors.sum()),
            "undefined": float(np.isnan(strain.xx)),
            "accuracy": matched.accuracy,
            "strain_error": 100 * strain_error(strain),
            "ssim": similarity(prediction, truth, task) if is_map(prediction) else float("nan"),
            "disks": found.ravel().tolist(),
        }

    return Metric(
        counts=COUNTS,
        count=count,
        scores=scores_from_counts,
        describe=lambda prediction, truth: {"reflections_listed": float(len(truth))},
        summary=SUMMARY,
        note=NOTE,
        same_shape=False,
    )


def scores_from_counts(counts: FloatArray) -> dict[str, FloatArray]:
    """Scores from counts in the order of ``COUNTS`` [..., 5], of single patterns or of sums over patterns.

    Precision is NaN where nothing was found and recall where there was nothing to find; the position error [px] is the
    mean over matched disks.
    """
    tp, fp, fn, distance, undefined = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return {
        "f1": f1_of(tp, fp, fn),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "position_error": ratio(distance, tp),
        "undefined": undefined,
    }


def similarity(prediction: NDArray[Any], truth: NDArray[np.floating], task: DisksTask) -> float:
    """Structural similarity of an image of structure factors [H, H] and that of the list of reflections.

    Z. Wang et al., IEEE Trans. Image Process. 13, 600 (2004), with its Gaussian window of 1.5 px.
    """
    from skimage.metrics import structural_similarity

    aim, given = task.model.target, np.asarray(image_of(prediction), np.float64)
    true = structure_factor_image(truth, given.shape[-1], aim.weight, aim.gamma, aim.sigma).astype(np.float64)
    found = structural_similarity(
        true, given, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(found)


def rules(task: DisksTask) -> dict[str, Rule]:
    """An image in which nothing is found: what it scores is worth nothing."""
    return {"blank map": lambda case: np.zeros(case.image.shape, np.float32)}


def fitted(task: DisksTask) -> Mapping[str, Fit]:
    """Classical methods, tuned on examples."""
    return disk_methods(RADIUS)


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: DisksTask) -> NDArray[Any]:
    """Maps of a pattern [k, H, W], see :meth:`exitwave.training.disks.DisksTask.maps`."""
    found = disk_maps(network, case.image[None], case.beside[PROBE][None])[0]
    # Scored as they are kept, so that a network and the mean of several are judged alike.
    return np.asarray(found, KEPT)
