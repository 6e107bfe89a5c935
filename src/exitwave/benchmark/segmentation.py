"""How segmentations are judged. Pixels and particles are counted first, per image, and reduced to scores later.

With the probability p and the true mask y of every pixel, the counts are

    TP = sum p y,  FP = sum p (1 - y),  FN = sum (1 - p) y,  TN = sum (1 - p) (1 - y).

Of a thresholded p they are the usual (hard) counts; of p itself they are soft, and
F1 = 2 TP / (2 TP + FP + FN) = 2 sum p y / (sum p + sum y) is equation 6 of Rangel DaCosta et al.,
npj Comput. Mater. 10, 165 (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark import calibration, objects, surfaces
from exitwave.benchmark.areas import without_artifacts
from exitwave.benchmark.baselines import BASELINES
from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.conventions import mask_of_thickness
from exitwave.benchmark.metrics import SHARE, Metric, Score, Selection, f1_of, ratio
from exitwave.benchmark.prediction import predict_map
from exitwave.config.benchmarks import Benchmark
from exitwave.config.models import Preprocessing, Regression
from exitwave.items import Axis, lateral
from exitwave.training.task import Task

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork
    from exitwave.training.segmentation import SegmentationTask

HARD_COUNTS = ("tp", "fp", "fn", "tn")
SOFT_COUNTS = ("soft_tp", "soft_fp", "soft_fn", "soft_tn")
COUNTS = HARD_COUNTS + SOFT_COUNTS
EMPTY_FRACTION = 1e-3
"""An image of which less than this fraction is marked holds no particle."""
KEPT = np.float16
"""Precision in which predictions are kept."""
BESIDE: tuple[str, ...] = ()
NOTE = (
    "F1 of the particle class. Pooled: of the summed pixels of all images; mean: over the images with particles. "
    "Brackets: 95 % bootstrap interval over images, of which those of one structure or group are drawn together. Of "
    "networks the median over seeds is given, with the smallest and the largest seed; an ensemble is the mean "
    f"prediction of all seeds. Baselines are rules without training. {objects.NOTE} {surfaces.NOTE} {calibration.NOTE}"
)
SUMMARY = (
    Score("f1_pooled", "f1", "F1 pooled", "F1, pixels of all images pooled", "pixels", foremost=True, limits=SHARE),
    Score("f1_mean", "f1", "F1 mean", "F1, mean over images with particles", "pixels", True, mean=True, limits=SHARE),
    Score("iou_pooled", "iou", "IoU pooled", group="pixels"),
    Score("f1_soft_pooled", "f1_soft", "soft F1 pooled", group="pixels", of_rules=False),
    Score("f1_soft_two_class", "f1_soft_two_class", "soft F1, two classes", group="pixels", of_rules=False),
    *objects.SUMMARY,
    *surfaces.SUMMARY,
    *calibration.SUMMARY,
)


def mask_at(probability: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Pixels that are particle at a threshold; of a mask, the mask."""
    return np.asarray(np.asarray(probability, dtype=np.float64) >= threshold)


def count_pixels(probability: NDArray[Any], expert: NDArray[np.bool_], threshold: float = 0.5) -> dict[str, float]:
    """Hard and soft counts of one image.

    Parameters
    ----------
    probability : float or bool array [H, W]
        Probability of each pixel to be particle; of a mask, hard and soft counts are the same.
    expert : bool array [H, W]
        The true mask.
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
    for names, predicted in ((HARD_COUNTS, mask_at(soft, threshold).astype(np.float64)), (SOFT_COUNTS, soft)):
        tp = float(predicted[expert].sum())
        fp = float(predicted.sum()) - tp
        n_particle = int(expert.sum())
        values = (tp, fp, n_particle - tp, expert.size - n_particle - fp)
        counts.update(zip(names, values, strict=True))
    return counts


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
        background. An empty mask with an empty prediction has the F1 and IoU 1, which say that both agree. Precision
        is NaN where nothing was predicted and recall where nothing was to be found: shares of nothing.
    """
    tp, fp, fn, _, soft_tp, soft_fp, soft_fn, soft_tn = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    f1_soft = f1_of(soft_tp, soft_fp, soft_fn)
    # What is falsely particle is missing in the background, and the other way round.
    background = f1_of(soft_tn, soft_fn, soft_fp)
    return {
        "f1": f1_of(tp, fp, fn),
        "f1_soft": f1_soft,
        "iou": ratio(tp, tp + fp + fn, 1.0),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1_soft_two_class": (f1_soft + background) / 2,
    }


def describe(prediction: NDArray[Any], truth: NDArray[Any]) -> dict[str, Any]:
    """Size of an image, and how much of it is particle."""
    return {"pixels": float(truth.size), "particle_fraction": float(truth.mean())}


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of images and maps."""
    return lateral(pixel_size)


def truths(task: SegmentationTask, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
    """Masks that networks learn."""
    return task.masks(arrays)


def threshold(network: LoadedNetwork | None, block: Benchmark) -> float:
    """Probability from which a pixel is particle: that of the benchmark."""
    return block.threshold


def metric(task: Task, threshold: float) -> Metric:
    """Metric of masks, of probabilities at a threshold: of pixels, particles, outlines, and of the probabilities."""
    names = (COUNTS, objects.OBJECT_COUNTS, surfaces.SURFACE_COUNTS, calibration.CALIBRATION_COUNTS)
    ends = np.cumsum([len(some) for some in names])[:-1].tolist()

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, Any]:
        found, true = mask_at(prediction, threshold), truth.astype(bool)
        return {
            **count_pixels(prediction, true, threshold),
            **objects.count_objects(found, true, pixel_size),
            **surfaces.count_surfaces(found, true, pixel_size),
            **calibration.count_calibration(np.asarray(prediction, np.float64), true, pixel_size),
        }

    def scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        pixels, particles, outlines, probabilities = np.split(counts, ends, axis=-1)
        return {
            **scores_from_counts(pixels),
            **objects.scores_from_counts(particles),
            **surfaces.scores_from_counts(outlines),
            **calibration.scores_from_counts(probabilities),
        }

    return Metric(
        counts=tuple(name for some in names for name in some),
        count=count,
        scores=scores,
        describe=describe,
        summary=SUMMARY,
        note=NOTE,
        # On an image without particles F1 is 0 for a single wrong pixel and says nothing about size.
        selection=Selection("images_with_particles", "particle_fraction", EMPTY_FRACTION),
        distances=(objects.SIZES,),
    )


def _rule(baseline: Callable[[NDArray[np.float32], float], NDArray[Any]]) -> Rule:
    def rule(case: Case) -> NDArray[Any]:
        # What networks are spared, such as hot pixels and data bars, is not to decide a threshold either.
        image, left_out = without_artifacts(case.image, Preprocessing().outliers)
        return np.asarray(baseline(image, case.pixel_size) & ~left_out)

    return rule


def rules(task: Task) -> dict[str, Rule]:
    """The classical baselines."""
    return {name: _rule(baseline) for name, baseline in BASELINES.items()}


def fitted(task: Task) -> Mapping[str, Fit]:
    """No baseline learns from images."""
    return {}


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: Task) -> NDArray[Any]:
    """Probability of each pixel to be particle [H, W]; of a network of thicknesses the mask that follows."""
    values = predict_map(network, case.name, case.image, case.pixel_size, block)
    if isinstance(network.model, Regression):
        return mask_of_thickness(values, case.pixel_size, case.columns["convention"]).astype(np.float32)
    return np.clip(values, 0, 1)
