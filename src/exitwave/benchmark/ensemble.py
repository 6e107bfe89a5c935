"""Predictions of the networks of a training on a benchmark, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.data.shards import Shard, open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.training.kinds import task_from
from exitwave.training.task import Task


@dataclass(frozen=True)
class Predictions:
    """What the networks of a training have predicted.

    Attributes
    ----------
    shards : tuple of Shard
        One a network; those that have diverged have predicted nothing and are left out.
    diverged : int
        How many these are.
    table : DataFrame
        Scores of the first network, one row an image; empty where all have diverged.
    """

    shards: tuple[Shard, ...]
    diverged: int
    table: pd.DataFrame

    @property
    def task(self) -> Task:
        """What they were scored against."""
        return task_from(self.shards[0].attributes["task"])

    def threshold(self, otherwise: float) -> float:
        """From which value on their mean counts: the mean of the thresholds of the networks.

        Earlier versions have not kept them: then the given one.
        """
        return float(np.mean([shard.attributes.get("threshold", otherwise) for shard in self.shards]))

    @property
    def told(self) -> str:
        """Whose mean they are, in words."""
        number = len(self.shards)
        told = "one network" if number == 1 else f"mean prediction of {number} networks"
        return f"{told}, {self.diverged} diverged" if self.diverged else told

    def image(self, place: int) -> NDArray[Any]:
        """Image of a row."""
        return self.shards[0].read(f"image/{place}")

    def truth(self, place: int) -> NDArray[Any]:
        """Truth of a row."""
        return self.shards[0].read(f"truth/{place}")

    def mean(self, place: int) -> NDArray[np.float64]:
        """Mean prediction of the networks for a row."""
        return np.asarray(
            np.mean([shard.read(f"prediction/{place}").astype(np.float64) for shard in self.shards], axis=0)
        )


def open_predictions(paths: Sequence[str | Path]) -> Predictions:
    """Open the predictions of the networks of one training.

    Raises
    ------
    ShardError
        If one is missing or damaged.
    """
    shards = [open_shard(path) for path in paths]
    kept = tuple(shard for shard in shards if "diverged" not in shard.attributes)
    table = read_table(table_path((kept or shards)[0].path))
    return Predictions(kept, len(shards) - len(kept), table)
