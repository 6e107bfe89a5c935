"""Cases: what a benchmark scores, one image with its truth after another, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.benchmarks import FARTHEST_PIXEL
from exitwave.config.graph import Node
from exitwave.config.images import Images
from exitwave.config.models import Network
from exitwave.errors import ConfigError
from exitwave.training.task import Task


@dataclass(frozen=True)
class Case:
    """An image and its truth.

    Attributes
    ----------
    name : str
    image : float32 array [H, W]
        As it was taken, before any preprocessing.
    truth : ndarray
        What predictions are held against: a mask or a map [H, W], the place [1] of a class among those of the task, or
        the reflections [n, 9] of a pattern.
    pixel_size : float
        [Å]; of a pattern [1/Å]
    group : str
        Images of one group, such as those of one structure, are not independent of each other.
    beside : mapping of ndarray
        Further arrays that are stored with the image and that its kind of networks sees, by their names.
    columns : mapping
        Metadata of the image that its scores are broken down by.
    """

    name: str
    image: NDArray[np.float32]
    truth: NDArray[Any]
    pixel_size: float
    group: str
    beside: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)


Rule = Callable[[Case], NDArray[Any]]
"""From a case to its prediction, without a look at the truth."""
Fit = Callable[[Sequence[Case]], Rule]
"""From examples to a rule that has learned from them."""


class Cases(Protocol):
    """The cases of a benchmark."""

    @property
    def task(self) -> Task:
        """What their truth is."""
        ...

    def __iter__(self) -> Iterator[Case]: ...

    def skipped(self) -> pd.DataFrame:
        """Files that cannot be used: columns ``file`` and ``reason``."""
        ...

    def examples(self) -> Sequence[Case] | None:
        """Images that were not held out, for baselines that learn; none where all are held out."""
        ...


def check_pixel_sizes(sizes: Mapping[str, float], trainings: Sequence[Node]) -> None:
    """Refuse images whose pixels are known to be too far from those that networks are trained on.

    Parameters
    ----------
    sizes : mapping of float
        Pixel of images, in the unit of those that networks are trained on, by what is to be said of them.
    trainings : sequence of Node

    Raises
    ------
    ConfigError
    """
    for training in trainings:
        for images in training.source("datasets").upstream["images"]:
            pixel, unit = images.of(Images).pixel()
            for name, size in sizes.items():
                if max(size / pixel, pixel / size) > FARTHEST_PIXEL:
                    raise ConfigError(
                        f"{name} has pixels of {size:g} {unit}, and '{training.name}' is trained on pixels of "
                        f"{pixel:g} {unit}; allowed: up to {FARTHEST_PIXEL:g} times coarser or finer, or "
                        "any_pixel_size: true"
                    )


def datasets_learned(training: Node) -> Iterator[Node]:
    """Datasets that the networks of a training have seen: its own, and those of the networks that it starts from."""
    yield training.source("datasets")
    for before in training.upstream.get("start_from", ()):
        yield from datasets_learned(before)


N = TypeVar("N", bound=Node)


class Kind(Protocol):
    """A module that gives the cases of one kind of benchmarks."""

    def check(self, node: Node) -> None:
        """Refuse a benchmark that cannot be scored, as far as that is known before the first job.

        Raises
        ------
        ConfigError
            One sentence that begins with the key.
        """
        ...

    def scorable(self, trainings: Sequence[N]) -> list[N]:
        """Of these trainings those that a benchmark scores that lists none."""
        ...

    def aim(self, trainings: Sequence[Node]) -> dict[str, Any]:
        """Kind and target of the networks scored; see :meth:`exitwave.config.models.Network.aim`."""
        ...

    def files(self, block: Any) -> list[str]:
        """Files that no job of the study makes; the benchmark is scored again when one changes."""
        ...

    def cases(self, block: Any, model: Network, manifests: Sequence[Path]) -> Cases:
        """Cases of a benchmark.

        Parameters
        ----------
        block : Benchmark
        model : Network
            A model with the aim of the networks scored.
        manifests : sequence of path
            Of its datasets, if it has any.

        Raises
        ------
        ExitwaveError
            If there is nothing to score.
        """
        ...
