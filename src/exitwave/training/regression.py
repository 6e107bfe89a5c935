"""The task of regression: for every pixel the value of a stored map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.models import Regression
from exitwave.data.batches import unit_of
from exitwave.data.shards import open_shard
from exitwave.errors import TrainingError
from exitwave.training.pixels import PixelTask, check_arrays
from exitwave.training.task import INPUT, Curves

if TYPE_CHECKING:
    import torch

    from exitwave.training.losses import MapSums

_SAMPLE = 1_000_000
"""Pixels at most of which quantiles are taken."""


@dataclass(frozen=True)
class RegressionTask(PixelTask):
    """Values of a stored map; see :class:`exitwave.training.task.Task`."""

    model: Regression
    unit: str
    """Of the map."""

    @property
    def facts(self) -> dict[str, Any]:
        """Unit of the map."""
        return {"unit": self.unit}

    @property
    def arrays(self) -> tuple[str, ...]:
        """The image and the map."""
        return INPUT, self.model.target.map

    @property
    def curves(self) -> Curves:
        """Error of a pixel."""
        unit = f" [{self.unit}]" if self.unit else ""
        return Curves(f"{self.model.target.map}{unit} (validation)", {"validation_mae": "mean absolute error"})

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same of all images."""
        return self.arrays

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[np.float32]:
        """Maps [n, H, H]; NaN where they have no value."""
        return arrays[self.model.target.map].astype(np.float32)

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """Quantiles of the values."""
        values = targets.ravel()[:: -(-targets.size // _SAMPLE)]
        values = values[np.isfinite(values)]
        if not values.size:
            return {"unit": self.unit}
        quantiles = np.quantile(values, [0, 0.05, 0.5, 0.95, 1]).tolist()
        return {"unit": self.unit, **dict(zip(("min", "q05", "median", "q95", "max"), quantiles, strict=True))}

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean loss of the pixels that have a value."""
        from exitwave.training.losses import map_sums

        return map_sums(outputs[:, 0].float(), targets / self.model.scale, self.model.loss).mean_loss

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> MapSums:
        """Sums over pixels."""
        from exitwave.training.losses import map_sums

        return map_sums(outputs[:, 0].double(), targets.double() / self.model.scale, self.model.loss)

    def scores(self, sums: MapSums) -> dict[str, float]:
        """Loss, and mean absolute error in the unit of the map.

        Raises
        ------
        TrainingError
            If no pixel has a value, since then every network would be without an error.
        """
        if not sums.pixels:
            raise TrainingError(
                f"target.map: found no value of '{self.model.target.map}' in any pixel of the validation images; "
                "allowed: images of which some have one"
            )
        error = self.model.scale * sums.absolute / sums.pixels
        return {"validation_loss": float(sums.mean_loss), "validation_mae": float(error)}

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Values of the map [n, H, W]."""
        return outputs[:, 0].float() * self.model.scale


def check(model: Regression, images: Sequence[Node]) -> None:
    """Refuse images without the map."""
    check_arrays([model.target.map], images)


def facts(model: Regression, manifest: pd.DataFrame) -> dict[str, Any]:
    """Unit of the map."""
    return {"unit": unit_of(open_shard(str(manifest["shard"].iloc[0])), model.target.map)}


def task(model: Regression, facts: Mapping[str, Any]) -> RegressionTask:
    """The task of a block."""
    return RegressionTask(model, str(facts["unit"]))
