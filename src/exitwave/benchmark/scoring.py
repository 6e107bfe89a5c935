"""The ways of judging networks, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.cases import Case, Fit, Rule
from exitwave.benchmark.metrics import Metric
from exitwave.config.atoms import Atoms
from exitwave.config.benchmarks import Benchmark
from exitwave.config.disks import Disks
from exitwave.config.models import Classifier, Network, Regression, Segmentation
from exitwave.config.reconstruction import Autoencoder, SuperResolution
from exitwave.items import Axis
from exitwave.training.task import Task

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork


class Scoring(Protocol):
    """A module that says how the networks of one kind of models are applied to cases and judged."""

    KEPT: Any
    """Type of the numbers in which predictions are kept."""
    BESIDE: tuple[str, ...]
    """Stored arrays that predictions are made from beside the image."""

    def axes(self, name: str, values: NDArray[Any], pixel_size: float) -> tuple[Axis, ...]:
        """Axes of what is kept of a case: its ``image``, its ``truth`` or a ``prediction``."""
        ...

    def truths(self, task: Any, arrays: Mapping[str, Any], rows: pd.DataFrame) -> Sequence[Any] | NDArray[Any]:
        """What predictions are held against, of each image, from the stored arrays that the task reads."""
        ...

    def threshold(self, network: LoadedNetwork | None, block: Benchmark) -> float:
        """From which value on what a network predicts is found, or a baseline; it is kept with predictions."""
        ...

    def metric(self, task: Any, threshold: float) -> Metric:
        """Metric of a task; predictions count from ``threshold`` on."""
        ...

    def rules(self, task: Any) -> Mapping[str, Rule]:
        """Baselines that learn nothing, by the name in tables."""
        ...

    def fitted(self, task: Any) -> Mapping[str, Fit]:
        """Baselines that learn from examples, by the name in tables."""
        ...

    def predict(self, network: LoadedNetwork, case: Case, block: Benchmark, task: Any) -> NDArray[Any]:
        """Prediction of a network for a case, in the words of the benchmark's task."""
        ...


def kind_of_benchmark(block: Benchmark) -> str:
    """Kind of a benchmark, by its name in the config."""
    return str(getattr(block, "kind", ""))


def scoring_of(model: Network, benchmark: str = "") -> Scoring:
    """Module that judges the networks of a model, on a kind of benchmark."""
    match model:
        case Disks() if benchmark == "strain":
            from exitwave.benchmark import strain_maps

            return strain_maps
        case Disks() if benchmark == "datacube":
            from exitwave.benchmark import datacube_maps

            return datacube_maps
        case Disks():
            from exitwave.benchmark import disks

            return disks
        case Atoms():
            from exitwave.benchmark import atoms

            return atoms
        case Segmentation():
            from exitwave.benchmark import segmentation

            return segmentation
        case Regression():
            from exitwave.benchmark import regression

            return regression
        case Autoencoder():
            from exitwave.benchmark import autoencoder

            return autoencoder
        case SuperResolution():
            from exitwave.benchmark import super_resolution

            return super_resolution
        case Classifier() if benchmark == "lattices":
            from exitwave.benchmark import lattice_scores

            return lattice_scores
        case Classifier():
            from exitwave.benchmark import classification

            return classification
    raise TypeError(f"there is no scoring of {type(model).__name__}")


def metric_of(task: Task, threshold: float) -> Metric:
    """Metric of a task."""
    return scoring_of(task.model).metric(task, threshold)
