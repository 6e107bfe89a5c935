"""How finer images are judged: by their pixels, and by the columns that are found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.atoms import TOLERANCE, match
from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.columns import find_columns
from exitwave.benchmark.metrics import Metric, Score, ratio
from exitwave.config.benchmarks import Benchmark
from exitwave.config.stem import FINE
from exitwave.errors import MicrographError
from exitwave.items import Axis, lateral
from exitwave.training.super_resolution import SuperResolutionTask, scale_of

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

FloatArray = NDArray[np.float64]
KEPT = np.float32
"""Precision in which predictions are kept."""
BESIDE: tuple[str, ...] = ()
BALANCES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""How much the Wiener filter smooths, over the share of the noise in the variance: what is tried."""
TUNED_ON = 48
"""Images that it is tuned on, at the most."""
COUNTS = ("images", "share", "similarity", "right", "invented", "lost", "squared")
NOTE = (
    "PSNR: by the range of the true image, at most 100 dB; mean over images, as is SSIM (Gaussian window of 1.5 px). "
    "Columns are those that are found without learning in the true image, which has no noise, and in the other; "
    f"within {TOLERANCE:g} Å of each other they are the same, and RMS is the root mean square of their distances. "
    "Invented and lost: columns of one of the two alone, of those in the true image. Brackets: 95 % bootstrap interval "
    "over groups. Of networks the median over seeds is given, with the smallest and the largest seed; an ensemble is "
    "the mean image of all seeds. The Wiener filter is tuned on training images; none of the others is."
)


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of coarse images, and finer ones of the same field."""
    return lateral(pixel_size)


def truths(task: SuperResolutionTask, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
    """Electrons expected at the fine places."""
    return np.asarray(arrays[FINE])


def threshold(network: LoadedNetwork | None, block: Benchmark) -> float:
    """That of the benchmark: pixels are not found or missed."""
    return block.threshold


def metric(task: SuperResolutionTask, threshold: float) -> Metric:
    """Metric of finer images, whose pixels are ``factor`` times smaller than those of their cases."""
    from skimage.metrics import structural_similarity

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, float]:
        made, true = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
        spread = float(np.ptp(true)) or 1.0
        columns = _compared(made, true, pixel_size / task.model.factor)
        return {
            "images": 1.0,
            "share": max(float(((made - true) ** 2).mean()) / spread**2, 1e-10),
            "similarity": float(
                structural_similarity(true, made, data_range=spread, gaussian_weights=True, use_sample_covariance=False)
            ),
            **columns,
        }

    def scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        images, share, similarity, right, invented, lost, squared = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
        true = right + lost
        return {
            "ssim": ratio(similarity, images),
            "psnr": -10 * np.log10(np.maximum(ratio(share, images), 1e-10)),
            "rms": np.sqrt(ratio(squared, right)),
            "invented": 100 * ratio(invented, true),
            "lost": 100 * ratio(lost, true),
        }

    return Metric(
        counts=COUNTS,
        count=count,
        scores=scores,
        describe=lambda prediction, truth: {"mean_expected": float(truth.mean(dtype=np.float64))},
        summary=(
            Score("ssim", "ssim", "SSIM", "structural similarity", foremost=True),
            Score("psnr", "psnr", "PSNR [dB]", "peak signal-to-noise ratio [dB]", foremost=True, mean=True),
            Score("rms", "rms", "RMS [pm]", "root mean square distance of columns [pm]", "columns", foremost=True),
            Score("invented", "invented", "invented [%]", "columns invented [%]", "columns"),
            Score("lost", "lost", "lost [%]", "columns lost [%]", "columns"),
        ),
        note=NOTE,
    )


def _compared(made: FloatArray, true: FloatArray, pixel: float) -> dict[str, float]:
    """Columns found in both of two images, and in one of them, and the squared distances [pm²]."""
    found, expected, reach = _columns(made, pixel), _columns(true, pixel), TOLERANCE / pixel
    pairs = match(found, expected, reach)
    # At the edge a column may be in one of them by chance.
    inner_found, inner = (_inside(places, len(true), reach) for places in (found, expected))
    counted = inner[pairs.true]
    away = 100 * pixel * pairs.distances[counted]
    invented, lost = inner_found.copy(), inner.copy()
    invented[pairs.found], lost[pairs.true] = False, False
    return {
        "right": float(counted.sum()),
        "invented": float(invented.sum()),
        "lost": float(lost.sum()),
        "squared": float(away @ away),
    }


def _columns(image: FloatArray, pixel: float) -> FloatArray:
    """Places of the columns of an image [n, 2]: x, y [px]."""
    try:
        return find_columns(image, pixel).places
    except MicrographError:
        return np.zeros((0, 2))


def _inside(places: FloatArray, size: int, margin: float) -> NDArray[np.bool_]:
    return np.asarray(((places >= margin - 0.5) & (places <= size - 0.5 - margin)).all(axis=1))


def rules(task: SuperResolutionTask) -> Mapping[str, Rule]:
    """Interpolations, which know nothing of noise."""
    factor = task.model.factor
    return {
        "bicubic": lambda case: interpolated(case.image, factor, "BICUBIC"),
        "Lanczos": lambda case: interpolated(case.image, factor, "LANCZOS"),
    }


def interpolated(image: NDArray[np.floating], factor: int, how: str) -> NDArray[np.float32]:
    """An image at places so many times closer; the edges of both are the same.

    Parameters
    ----------
    image : float [H, W]
    factor : int
    how : {"BICUBIC", "LANCZOS"}
        Name of a filter of Pillow.
    """
    from PIL import Image

    height, width = image.shape
    size = (factor * width, factor * height)
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling[how]))


def fitted(task: SuperResolutionTask) -> Mapping[str, Fit]:
    """A Wiener filter, which knows how strong the noise is, and cubic interpolation."""
    return {"Wiener filter, bicubic": lambda examples: wiener(examples, task.model.factor)}


def wiener(examples: Sequence[Case], factor: int) -> Rule:
    """The Wiener filter with the strength that is best for the examples."""
    chosen = examples[:: max(1, -(-len(examples) // TUNED_ON))]

    def error(balance: float) -> float:
        return float(
            np.mean(
                [
                    ((interpolated(smoothed(case.image, balance), factor, "BICUBIC") - case.truth) ** 2).mean()
                    / (case.truth.var() or 1.0)
                    for case in chosen
                ]
            )
        )

    best = min(BALANCES, key=error)
    return lambda case: interpolated(smoothed(case.image, best), factor, "BICUBIC")


def smoothed(image: NDArray[np.floating], balance: float) -> FloatArray:
    """An image of counts without part of its noise.

    The filter is that of scikit-image for an image that nothing has blurred: structure is taken to grow rarer with the
    fourth power of its frequency. It smooths the more, the more of the variance is noise of the counts: their mean.

    Parameters
    ----------
    image : float [H, W]
        Counts.
    balance : float
        Of what is smooth, for an image in which signal and noise are as strong.
    """
    from skimage.restoration import wiener as restored

    counts = np.asarray(image, np.float64)
    noise, all_of_it = float(counts.mean()), float(counts.var())
    signal = max(all_of_it - noise, 0.05 * all_of_it)
    if signal <= 0:
        return counts
    # The filter takes the image to go on at the opposite edge.
    edge = min(8, min(counts.shape) - 1)
    wide = np.pad(counts, edge, mode="reflect")
    found = restored(wide, np.ones((1, 1)), balance * noise / signal, clip=False)
    return np.asarray(found[edge:-edge, edge:-edge], np.float64)


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: SuperResolutionTask) -> NDArray[Any]:
    """Finer image [factor H, factor W], in counts as the coarse one.

    Raises
    ------
    MicrographError
        If the pixel is not that of the network: how fine columns are is what it has learned.
    """
    import torch

    own = network.task
    assert isinstance(own, SuperResolutionTask)
    if abs(case.pixel_size - network.pixel_size) > 0.05 * network.pixel_size and not block.any_pixel_size:
        raise MicrographError(
            f"{case.name} has pixels of {case.pixel_size:g} Å; allowed: about {network.pixel_size:g} Å, which the "
            "network has learned, or any_pixel_size: true"
        )
    offset, scale = scale_of(case.image)
    seen = np.asarray((case.image - offset) / scale, np.float32)
    with torch.inference_mode():
        made = own.predict(network.module(torch.from_numpy(seen)[None, None]))[0].numpy()
    return np.asarray(made * scale + offset, KEPT)
