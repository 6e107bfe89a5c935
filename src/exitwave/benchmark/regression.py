"""How predicted maps are judged: their errors, and the masks that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from exitwave.benchmark.areas import without_artifacts
from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.metrics import Metric, Score, f1_of
from exitwave.benchmark.prediction import predict_map
from exitwave.config.benchmarks import Benchmark
from exitwave.config.models import Preprocessing
from exitwave.items import Axis, lateral
from exitwave.labels.mask import mask_of
from exitwave.training.regression import RegressionTask

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

KEPT = np.float32
"""Precision in which predictions are kept."""
BESIDE: tuple[str, ...] = ()
BLUR = 3.0
"""Standard deviation of the blur before a line is laid through intensities [px]."""
NOTE = (
    "Errors are prediction minus truth, over the pixels of all images that have a true value. Brackets: 95 % bootstrap "
    "interval over images, of which those of one structure or group are drawn together. Of networks the median over "
    "seeds is given, with the smallest and the largest seed; an ensemble is the mean prediction of all seeds. "
    "Baselines are fitted to training images."
)


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of images and maps."""
    return lateral(pixel_size)


def truths(task: RegressionTask, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
    """Maps that networks learn."""
    return task.targets(arrays, rows)


def threshold(network: LoadedNetwork | None, block: Benchmark) -> float:
    """That of the benchmark; the thresholds of maps are those of the task."""
    return block.threshold


def metric(task: RegressionTask, threshold: float) -> Metric:
    """Metric of maps; the thresholds of masks are those of the task."""
    masks = task.model.masks
    unit = f" {task.unit}" if task.unit else ""
    bracketed = f" [{task.unit}]" if task.unit else ""
    counted = [f"{name}_above_{above:g}" for above in masks for name in ("tp", "fp", "fn")]

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, float]:
        valid = np.isfinite(truth)
        error = np.asarray(prediction, np.float64)[valid] - np.asarray(truth, np.float64)[valid]
        counts = {"pixels": float(valid.sum()), "error": float(error.sum()), "absolute": float(np.abs(error).sum())}
        for above in masks:
            found, true = mask_of(prediction[valid], above), mask_of(truth[valid], above)
            hits = float((found & true).sum())
            names = (f"{name}_above_{above:g}" for name in ("tp", "fp", "fn"))
            counts |= dict(zip(names, (hits, float(found.sum()) - hits, float(true.sum()) - hits), strict=True))
        return counts

    def scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        pixels, error, absolute, *rest = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
        undefined = np.full(pixels.shape, np.nan)
        result = {
            "mae": np.divide(absolute, pixels, out=undefined.copy(), where=pixels > 0),
            "bias": np.divide(error, pixels, out=undefined.copy(), where=pixels > 0),
        }
        for number, above in enumerate(masks):
            result[f"f1_above_{above:g}"] = f1_of(*rest[3 * number : 3 * number + 3])
        return result

    summary = [
        Score("mae", "mae", f"MAE{bracketed}", f"mean absolute error{bracketed}", foremost=True),
        Score("bias", "bias", f"bias{bracketed}", f"mean error{bracketed}", foremost=True),
        *(Score(f"f1_above_{a:g}", f"f1_above_{a:g}", f"F1 above {a:g}{unit}") for a in masks),
    ]
    return Metric(
        counts=("pixels", "error", "absolute", *counted),
        count=count,
        scores=scores,
        describe=lambda prediction, truth: {"true_mean": _mean(truth)},
        summary=tuple(summary),
        note=NOTE,
        unit=task.unit,
        higher_is_better=False,
    )


def _mean(values: NDArray[Any]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else float("nan")


def rules(task: RegressionTask) -> Mapping[str, Rule]:
    """None: a map in its unit has to be learned."""
    return {}


def fitted(task: RegressionTask) -> Mapping[str, Fit]:
    """What is reached without a look at the image, and by its local brightness alone."""
    return {"mean of the training images": constant, "line through blurred intensity": line}


def constant(examples: Sequence[Case]) -> Rule:
    """The mean value of the training targets everywhere."""
    value = _mean(np.concatenate([example.truth.ravel() for example in examples]))
    return lambda case: np.full(case.image.shape, value, np.float32)


def line(examples: Sequence[Case]) -> Rule:
    """The line through blurred intensity, in units of the mean of the image, with the smallest squared error."""
    moments = np.zeros(5)
    for example in examples:
        valid = np.isfinite(example.truth)
        x, y = _blurred(example.image)[valid], example.truth[valid].astype(np.float64)
        moments += [x.size, x.sum(), y.sum(), (x * x).sum(), (x * y).sum()]
    n, x, y, xx, xy = moments
    spread = n * xx - x * x
    slope = (n * xy - x * y) / spread if spread > 0 else 0.0
    offset = (y - slope * x) / n if n else float("nan")
    return lambda case: (offset + slope * _blurred(case.image)).astype(np.float32)


def _blurred(image: NDArray[np.float32]) -> NDArray[np.float64]:
    image, _ = without_artifacts(image, Preprocessing().outliers)
    mean = float(image.mean(dtype=np.float64))
    return np.asarray(gaussian_filter(image.astype(np.float64) / (mean or 1.0), BLUR))


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: RegressionTask) -> NDArray[Any]:
    """Value of the map in each pixel [H, W]."""
    return predict_map(network, case.name, case.image, case.pixel_size, block)
