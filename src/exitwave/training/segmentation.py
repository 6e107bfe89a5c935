"""The task of segmentation: for every pixel the probability that it is particle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.images import DRAWN, MicrographFields
from exitwave.config.models import Segmentation
from exitwave.labels.mask import signed_distance, target_mask
from exitwave.training.pixels import PixelTask, check_arrays
from exitwave.training.task import INPUT, Curves, of_micrographs

if TYPE_CHECKING:
    import torch

    from exitwave.training.losses import MaskSums, PixelSums


@dataclass(frozen=True)
class SegmentationTask(PixelTask):
    """Masks of a stored map; see :class:`exitwave.training.task.Task`."""

    model: Segmentation
    facts: ClassVar[dict[str, Any]] = {}
    curves: ClassVar[Curves] = Curves(
        "F1 of the particle class (validation)",
        {"validation_f1": "hard F1", "validation_f1_soft": "soft F1"},
        (0.0, 1.0),
    )

    @property
    def arrays(self) -> tuple[str, ...]:
        """The image and what its mask is made from."""
        return INPUT, *self.model.target.arrays

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same, or of micrographs the mask that was drawn."""
        return (INPUT, DRAWN) if of_micrographs(rows).all() else self.arrays

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[np.bool_ | np.float16]:
        """Masks [n, H, H]; for the boundary loss signed distances to their outlines [nm], which are negative inside.

        Distances are measured once, and not in every step: turns and flips leave them as they are.
        """
        masks = self.masks(arrays)
        if not self.model.boundary_weight:
            return masks
        each = zip(masks, 0.1 * rows["pixel_size"].to_numpy(np.float64), strict=True)
        return np.stack([signed_distance(mask, pixel).astype(np.float16) for mask, pixel in each])

    def masks(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Masks [n, H, H], from stacks of stored arrays."""
        # One by one: all at once in single precision would take as much memory as the images.
        names = (DRAWN,) if DRAWN in arrays else self.model.target.arrays
        each = zip(*(arrays[name] for name in names), strict=True)
        return np.stack([target_mask(self.model.target, dict(zip(names, one, strict=True))) for one in each])

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """Spread of the particle fraction over images."""
        fractions = self.truth(targets).mean(axis=(1, 2))
        spread = {name: float(getattr(np, name)(fractions)) for name in ("min", "median", "mean", "max")}
        return {"particle_fraction": spread}

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy, Dice, focal and boundary loss."""
        from exitwave.training.losses import soft_sums

        labels = self.truth(targets).float()
        return self._loss(soft_sums(outputs[:, 0].float(), labels, self._gamma, self._distances(targets)))

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> MaskSums:
        """Soft and hard sums over pixels."""
        from exitwave.training.losses import MaskSums

        return MaskSums.of(outputs[:, 0].double(), self.truth(targets), self._gamma, self._distances(targets))

    def scores(self, sums: MaskSums) -> dict[str, float]:
        """Loss and pooled F1, hard and soft."""
        from exitwave.training.losses import f1

        soft = sums.soft
        return {
            "validation_loss": float(self._loss(soft)),
            "validation_f1": f1(*sums.hard.tolist()),
            "validation_f1_soft": f1(float(soft.overlap), float(soft.predicted), float(soft.labelled)),
        }

    def truth(self, targets: Any) -> Any:
        """Masks (bool) [n, H, W]."""
        return targets < 0 if self.model.boundary_weight else targets

    def _distances(self, targets: torch.Tensor) -> torch.Tensor | None:
        return targets if self.model.boundary_weight else None

    @property
    def _gamma(self) -> float | None:
        return self.model.focal_gamma if self.model.focal_weight else None

    def _loss(self, sums: PixelSums) -> torch.Tensor:
        from exitwave.training.losses import segmentation_loss

        model = self.model
        weights = model.cross_entropy_weight, model.dice_weight, model.focal_weight, model.boundary_weight
        return segmentation_loss(sums, *weights)

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Probability of each pixel to be particle [n, H, W]."""
        return outputs[:, 0].float().sigmoid()


def check(model: Segmentation, images: Sequence[Node]) -> None:
    """Refuse images without what masks are made from; those of micrographs were drawn."""
    simulated = [node for node in images if not isinstance(node.block, MicrographFields)]
    # The table of the particles comes with their thicknesses.
    check_arrays([name for name in model.target.arrays if name != "particles"], simulated, lists=True)


def facts(model: Segmentation, manifest: pd.DataFrame) -> dict[str, Any]:
    """A mask follows from image and block alone."""
    return {}


def task(model: Segmentation, facts: Mapping[str, Any]) -> SegmentationTask:
    """The task of a block."""
    return SegmentationTask(model)
