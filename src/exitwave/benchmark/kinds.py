"""The kinds of cases and the ways of judging, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from exitwave.benchmark.cases import Case, Examples, Kind, Rule
from exitwave.benchmark.metrics import Metric
from exitwave.config.benchmarks import Benchmark, MicrographBenchmark, SimulatedBenchmark
from exitwave.config.models import Classification, Network, Regression, Segmentation
from exitwave.training.task import Task

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork


class Scoring(Protocol):
    """A module that says how the networks of one kind of models are applied to cases and judged."""

    KEPT: Any
    """Type of the numbers in which predictions are kept."""

    def metric(self, task: Any, threshold: float) -> Metric:
        """Metric of a task; ``threshold`` is the probability from which a pixel is particle."""
        ...

    def rules(self, task: Any) -> Mapping[str, Rule]:
        """Baselines that learn nothing, by the name in tables."""
        ...

    def fitted(self, task: Any) -> Mapping[str, Callable[[Examples], Rule]]:
        """Baselines that learn from examples, by the name in tables."""
        ...

    def predict(self, network: LoadedNetwork, case: Case, block: Benchmark, task: Any) -> NDArray[Any]:
        """Prediction of a network for a case, in the words of the benchmark's task."""
        ...


def cases_of(block: Benchmark) -> Kind:
    """Module of the cases of a benchmark."""
    match block:
        case SimulatedBenchmark():
            from exitwave.benchmark import held_out

            return held_out
        case MicrographBenchmark():
            from exitwave.benchmark import micrographs

            return micrographs
    raise TypeError(f"there are no cases of {type(block).__name__}")


def scoring_of(model: Network) -> Scoring:
    """Module that judges the networks of a model."""
    match model:
        case Segmentation():
            from exitwave.benchmark import segmentation

            return segmentation
        case Regression():
            from exitwave.benchmark import regression

            return regression
        case Classification():
            from exitwave.benchmark import classification

            return classification
    raise TypeError(f"there is no scoring of {type(model).__name__}")


def metric_of(task: Task, threshold: float) -> Metric:
    """Metric of a task."""
    return scoring_of(task.model).metric(task, threshold)
