"""Tasks: what a network takes, what it aims at, and how its errors add up, whatever the technique of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.models import Network

if TYPE_CHECKING:
    import torch

    from exitwave.data.shards import Shard

INPUT = "counts"
"""Stored array that networks see, after preprocessing."""
HELD_BYTES = 2 * 2**30
"""Inputs and targets that a training holds in memory; those of the images beyond are made whenever they are needed."""


@dataclass(frozen=True)
class Curves:
    """The scores in the history of a training beside the loss, as a figure shows them.

    Attributes
    ----------
    axis : str
        Name of the axis, with its unit.
    columns : mapping of str
        Columns of the history with their names in the legend, the foremost first.
    limits : tuple of float, optional
        Range of the axis, where the scores have one.
    """

    axis: str
    columns: Mapping[str, str]
    limits: tuple[float, float] | None = None


class Task(Protocol):
    """What a kind of models is: a block, what had to be known of its images, and what follows from both.

    Inputs and targets are stacks, one an image. Outputs are what the network of :meth:`build` gives of inputs
    [n, 1, H, W], or [n, c, H, W] where a task sees several channels.
    """

    @property
    def model(self) -> Network:
        """Its block in the config."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """What had to be known of the images, in plain values; recorded with the network."""
        ...

    @property
    def arrays(self) -> tuple[str, ...]:
        """Stored arrays that it reads."""
        ...

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """Those of the images of some rows, which are all simulated, or all of micrographs: then they may be others."""
        ...

    @property
    def curves(self) -> Curves:
        """Scores that :meth:`scores` gives beside ``validation_loss``."""
        ...

    def inputs(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.floating]:
        """What the network sees [n, H, H] or [n, c, H, H], from stacks of stored arrays."""
        ...

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[Any]:
        """What it aims at [n, ...], from stacks of stored arrays and the rows of the same images."""
        ...

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """What targets are like, in plain values: those of a sample of images, and the rows of all."""
        ...

    def build(self) -> torch.nn.Module:
        """Network with random weights, which come from PyTorch's random state.

        Raises
        ------
        TrainingError
            If there is no such network.
        """
        ...

    def check(self, network: torch.nn.Module, shape: Sequence[int]) -> None:
        """Refuse images, so many with so many pixels [n, H, W], that the network cannot be trained on.

        Raises
        ------
        TrainingError
        """
        ...

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same images and targets, seen another way."""
        ...

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of a batch, a tensor without axes."""
        ...

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> Any:
        """What validation needs of a batch; sums of batches are added with ``+``."""
        ...

    def scores(self, sums: Any) -> dict[str, float]:
        """Validation loss and scores, from the sums of all batches."""
        ...

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs in the words of the task: probabilities, or values of a map."""
        ...

    def truth(self, targets: Any) -> Any:
        """Targets, as tensor or array, in the words of the task: masks, values of a map, or places of classes."""
        ...


class Kind(Protocol):
    """A module that makes the tasks of one kind."""

    def check(self, model: Any, images: Sequence[Node]) -> None:
        """Refuse images blocks that do not have what the model aims at, as far as the config tells.

        Raises
        ------
        ConfigError
        """
        ...

    def facts(self, model: Any, manifest: pd.DataFrame) -> dict[str, Any]:
        """What must be known of the images of a manifest, in plain values.

        Raises
        ------
        ExitwaveError
            If they do not have what the model aims at.
        """
        ...

    def task(self, model: Any, facts: Mapping[str, Any]) -> Task:
        """The task of a block."""
        ...


def read_examples(
    task: Task, rows: pd.DataFrame, together: int, opened: Callable[[str], Shard] | None = None
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """Rows of a manifest in their order, a few at a time, with the arrays that a task reads; micrographs by themselves.

    What targets are made from, such as a map of each particle, takes more memory than they do.

    Parameters
    ----------
    task : Task
    rows : DataFrame
    together : int
        Images at a time, at the most.
    opened : callable, optional
        Gives shards that are open already.

    Yields
    ------
    rows : DataFrame
    arrays : dict
        Of :func:`exitwave.data.batches.load_arrays`.
    """
    from exitwave.data.batches import load_arrays
    from exitwave.data.shards import open_shard

    real = of_micrographs(rows)
    for _, run in rows.groupby((real != real.shift(fill_value=False)).cumsum().to_numpy()):
        for start in range(0, len(run), together):
            part = run.iloc[start : start + together]
            yield part, load_arrays(part, task.reads(part), opened or open_shard)


def of_micrographs(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether images are fields of micrographs, and no simulation."""
    return rows["micrograph"].notna() if "micrograph" in rows else pd.Series(False, rows.index)
