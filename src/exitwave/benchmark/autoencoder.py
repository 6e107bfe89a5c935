"""How images that were made again of a few numbers are judged: by the squared error of their pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.metrics import Metric, Score, ratio
from exitwave.config.benchmarks import Benchmark
from exitwave.config.models import Preprocessing
from exitwave.data.preprocess import preprocess
from exitwave.errors import MicrographError, TrainingError
from exitwave.items import Axis, lateral
from exitwave.training.autoencoder import GREY, AutoencoderTask

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

KEPT = np.float32
"""Precision in which predictions are kept."""
BESIDE: tuple[str, ...] = ()
EXAMPLES = 4096
"""Training images at the most that principal components are taken of: there are no more of them than images."""
MEAN = "mean image"
"""Name of what takes no number at all."""
NOTE = (
    "Images are compared as they were normalised. Squared error: mean over the pixels of all images, in grey levels "
    "of which 255 lie between 0 and 1. Lost: the same over the variance of the pixels within each image, in per cent, "
    "so that an even grey has 100. Brackets: 95 % bootstrap interval over groups. Of networks the median over seeds is "
    "given, with the smallest and the largest seed; an ensemble is the mean image of all seeds. PCA: so many principal "
    "components of the training images."
)


def axes(name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
    """Of images."""
    return lateral(pixel_size)


def truths(task: AutoencoderTask, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
    """Images as networks see them."""
    return task.targets(arrays, rows)


def threshold(network: LoadedNetwork | None, block: Benchmark) -> float:
    """That of the benchmark: nothing is found or not."""
    return block.threshold


def metric(task: AutoencoderTask, threshold: float) -> Metric:
    """Metric of images."""

    def count(prediction: NDArray[Any], truth: NDArray[Any], pixel_size: float) -> dict[str, float]:
        error = np.asarray(prediction, np.float64) - truth
        about = truth - truth.mean(dtype=np.float64)
        return {
            "pixels": float(truth.size),
            "squared": float((error**2).sum()),
            "spread": float((about**2).sum()),
        }

    def scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        pixels, squared, spread = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
        return {"squared_error": GREY**2 * ratio(squared, pixels), "lost": 100 * ratio(squared, spread)}

    return Metric(
        counts=("pixels", "squared", "spread"),
        count=count,
        scores=scores,
        describe=lambda prediction, truth: {},
        summary=(
            Score("squared_error", "squared_error", "squared error [grey²]", foremost=True),
            Score("lost", "lost", "lost [%]", "squared error over variance [%]", foremost=True),
        ),
        note=NOTE,
        higher_is_better=False,
    )


def rules(task: AutoencoderTask) -> Mapping[str, Rule]:
    """None: what images have in common has to be learned."""
    return {}


def fitted(task: AutoencoderTask) -> Mapping[str, Fit]:
    """The mean of the training images, and as many of their principal components as the task asks for."""
    components = _Components(task.model.preprocessing)
    numbers = {f"PCA {number}": number for number in task.model.principal_components}
    return {
        MEAN: lambda examples: components.fitted(examples, 0, task.model.principal_components),
        **{
            name: lambda examples, number=number: components.fitted(  # type: ignore[misc]
                examples, number, task.model.principal_components
            )
            for name, number in numbers.items()
        },
    }


class _Components:
    """Principal components of examples, worked out once for all numbers of them."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self._mean = np.zeros(0, np.float32)
        self._found = np.zeros((0, 0), np.float32)

    def fitted(self, examples: Sequence[Case], number: int, numbers: Sequence[int]) -> Rule:
        """Images of the mean and so many components.

        Raises
        ------
        TrainingError
            If there are not more images than components.
        """
        if not self._mean.size:
            self._fit(examples, max(numbers, default=0))
        axes = self._found[:number]

        def rule(case: Case) -> NDArray[Any]:
            image = preprocess(case.image, self._preprocessing)
            about = image.ravel() - self._mean
            return (self._mean + (axes @ about) @ axes).reshape(image.shape)

        return rule

    def _fit(self, examples: Sequence[Case], most: int) -> None:
        if most >= min(len(examples), examples[0].truth.size):
            raise TrainingError(
                f"principal_components: found {most} with {len(examples)} training images of "
                f"{examples[0].truth.size} pixels; allowed: fewer than there are of either"
            )
        images = np.stack([example.truth.ravel() for example in examples]).astype(np.float32)
        self._mean = images.mean(axis=0, dtype=np.float64).astype(np.float32)
        if most:
            from sklearn.decomposition import PCA

            self._found = PCA(most, svd_solver="randomized", random_state=0).fit(images).components_


def predict(network: LoadedNetwork, case: Case, block: Benchmark, task: AutoencoderTask) -> NDArray[Any]:
    """Image made again [H, H].

    Raises
    ------
    MicrographError
        If it is not of the size that the network has learned.
    """
    import torch

    own = network.task
    assert isinstance(own, AutoencoderTask)
    if case.image.shape != (own.edge, own.edge):
        raise MicrographError(
            f"{case.name} has {case.image.shape[0]} x {case.image.shape[1]} px; allowed: {own.edge} x {own.edge}, the "
            "size that the network has learned"
        )
    seen = preprocess(case.image, own.model.preprocessing)
    with torch.inference_mode():
        return np.asarray(own.predict(network.module(torch.from_numpy(seen)[None, None]))[0].numpy(), KEPT)
