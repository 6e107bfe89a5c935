"""The task of finding atomic columns: a map with a spot at the place of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.atoms import Atoms
from exitwave.config.graph import Node
from exitwave.config.stem import COLUMN_FIELDS
from exitwave.errors import TrainingError
from exitwave.labels.spots import spot_map
from exitwave.labels.visibility import VISIBLE
from exitwave.training.pixels import PixelTask, check_arrays
from exitwave.training.task import INPUT, Curves

if TYPE_CHECKING:
    import torch

    from exitwave.training.disk_losses import DiskSums

FloatArray = NDArray[np.float64]
COLUMNS = "columns"
"""Stored list of the columns of an image."""
_LOSS = "weighted_mse"
_CERTAIN, _FAINT = 1.0, 0.5
"""Marks at the pixels of columns that can be seen for certain, and of others."""
_VISIBILITY = COLUMN_FIELDS.index("visibility")


def seen_and_faint(columns: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Places x, y [px] of the columns of a stored list: those that can be seen [n, 2], and those that noise hides."""
    places, can_be_seen = columns[:, :2].astype(np.float64), columns[:, _VISIBILITY] >= VISIBLE
    return places[can_be_seen], places[~can_be_seen]


def heights(columns: NDArray[np.floating]) -> FloatArray:
    """Heights [n] of the spots of a stored list: how well each column can be seen, 1 from where it is for certain.

    Of a faint column an image says little. A network that is asked for all of them alike guesses where other compounds
    have some, and one that is asked for none of them is silent about what a lattice would show.
    """
    return np.clip(columns[:, _VISIBILITY].astype(np.float64) / VISIBLE, 0, 1)


@dataclass(frozen=True)
class AtomsTask(PixelTask):
    """Maps of columns; see :class:`exitwave.training.task.Task`."""

    model: Atoms
    facts: ClassVar[dict[str, Any]] = {}
    arrays: ClassVar[tuple[str, ...]] = (INPUT, COLUMNS)
    curves: ClassVar[Curves] = Curves(
        "score of columns (validation)",
        {"validation_f1": "F1 at the best threshold", "validation_threshold": "that threshold"},
        (0.0, 1.0),
    )

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same of all images."""
        return self.arrays

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[np.float16]:
        """Maps [n, 2, H, H]: a Gaussian at each column, as high as it can be seen, and a mark at its pixel.

        Networks learn the first. The second says validation which are certain: a Gaussian between pixels is lower.
        """
        size, sigma = arrays[INPUT].shape[-1], self.model.target.sigma
        pixels = rows["pixel_size"].to_numpy(np.float64)
        targets = np.zeros((len(pixels), 2, size, size), np.float16)
        for (spots, marks), listed, pixel in zip(targets, arrays[COLUMNS], pixels, strict=True):
            spots[...] = spot_map(listed[:, :2], size, sigma / pixel, heights(listed))
            for places, mark in zip(reversed(seen_and_faint(listed)), (_FAINT, _CERTAIN), strict=True):
                x, y = np.clip(np.rint(places).astype(int), 0, size - 1).T
                marks[y, x] = mark
        return targets

    def truth(self, targets: Any) -> Any:
        """Maps [n, H, W] of columns."""
        return targets[:, 0]

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """Mean of the maps, which says how densely columns lie.

        Raises
        ------
        TrainingError
            If no image has a column, since then there is nothing to learn.
        """
        if not targets.any():
            raise TrainingError("columns: found no column in any image; allowed: images that show some")
        return {"mean": float(targets[:, 0].mean(dtype=np.float64))}

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Squared error, up to six times as much where a column is, by how well it can be seen."""
        from exitwave.training.disk_losses import disk_loss

        return disk_loss(outputs.float(), targets.float()[:, :1], _LOSS).mean()

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> DiskSums:
        """Loss, and columns found and missed at several thresholds."""
        from exitwave.training.disk_losses import DiskSums

        certain, faint = (targets[:, 1] == mark for mark in (_CERTAIN, _FAINT))
        return DiskSums.of(outputs.float(), targets.float()[:, :1], self.predict(outputs), _LOSS, certain, faint)

    def scores(self, sums: DiskSums) -> dict[str, float]:
        """Loss, F1 at the threshold that is best for it, and that threshold."""
        return sums.scores()

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Maps [n, H, W], not negative."""
        return outputs[:, 0].float().clamp(min=0)


def check(model: Atoms, images: Sequence[Node]) -> None:
    """Refuse images without a list of columns."""
    check_arrays([COLUMNS], images, lists=True)


def facts(model: Atoms, manifest: pd.DataFrame) -> dict[str, Any]:
    """A target follows from list and block alone."""
    return {}


def task(model: Atoms, facts: Mapping[str, Any]) -> AtomsTask:
    """The task of a block."""
    return AtomsTask(model)
