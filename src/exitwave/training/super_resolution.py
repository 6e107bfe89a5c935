"""The task of super-resolution: from a coarse and noisy image the electrons expected at closer places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.reconstruction import SuperResolution
from exitwave.config.stem import FINE, StemConvolution
from exitwave.errors import ConfigError, TrainingError
from exitwave.training.task import INPUT, Curves

if TYPE_CHECKING:
    import torch

    from exitwave.training.image_sums import FinerSums

_SMALLEST = 8
"""Edge of an image [px]."""


@dataclass(frozen=True)
class SuperResolutionTask:
    """Finer images; see :class:`exitwave.training.task.Task`.

    Inputs and targets are in units of the standard deviation of the coarse image, from its mean on.
    """

    model: SuperResolution
    feature_errors: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """Errors of features [n] of images made and true [n, H, W], where they are part of the loss of a training."""
    facts: ClassVar[dict[str, Any]] = {}
    arrays: ClassVar[tuple[str, ...]] = (INPUT, FINE)
    curves: ClassVar[Curves] = Curves("peak signal-to-noise ratio [dB] (validation)", {"validation_psnr": "PSNR"})

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same of all images."""
        return self.arrays

    def inputs(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Coarse images [n, H, H]."""
        offset, scale = scale_of(arrays[INPUT])
        return np.asarray((arrays[INPUT] - offset) / scale, np.float32)

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[np.float32]:
        """Fine images [n, factor H, factor H]."""
        offset, scale = scale_of(arrays[INPUT])
        return np.asarray((arrays[FINE] - offset) / scale, np.float32)

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """Mean standard deviation of the fine images over that of the coarse ones: how much of these is no noise."""
        return {"deviation": float(targets.std(axis=(1, 2), dtype=np.float64).mean())}

    def build(self) -> torch.nn.Module:
        """Network that makes images finer."""
        from exitwave.training.reconstruction_networks import FinerImages

        return FinerImages(self.model)

    def check(self, network: torch.nn.Module, shape: Sequence[int]) -> None:
        """Refuse images without room for anything."""
        _, height, width = shape
        if min(height, width) < _SMALLEST:
            raise TrainingError(f"images have {height} x {width} pixels; allowed: {_SMALLEST} or more")

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn and flip images and targets alike; the edges of both are the same."""
        from exitwave.training.symmetry import augment

        return augment(images, targets, rng)

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean over images of the loss of each."""
        return self._losses(outputs[:, 0].float(), targets.float()).mean()

    def _losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Error of pixels, and of features if they count, of each image [n]."""
        from exitwave.training.image_sums import squared

        losses = squared(outputs, targets)
        if self.model.features is not None:
            assert self.feature_errors is not None, "a task is trained with what `features.equipped` gives it"
            losses = losses + self.model.feature_weight * self.feature_errors(outputs, targets)
        return losses

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> FinerSums:
        """Losses, and ratios in decibels."""
        from exitwave.training.image_sums import FinerSums, decibels

        made, true = outputs[:, 0].float(), targets.float()
        losses = self._losses(made, true).double().sum()
        return FinerSums(len(made), losses, decibels(made.double(), true.double()).sum())

    def scores(self, sums: FinerSums) -> dict[str, float]:
        """Loss without what a critic says, and the mean ratio."""
        return {
            "validation_loss": float(sums.loss) / sums.images,
            "validation_psnr": float(sums.decibels) / sums.images,
        }

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Fine images [n, factor H, factor W], in units of the coarse ones."""
        return outputs[:, 0].float()

    def truth(self, targets: Any) -> Any:
        """Fine images [n, factor H, factor W]."""
        return targets


def scale_of(images: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of images [..., H, W], with axes of length 1; 1 where an image has no contrast."""
    offset = images.mean(axis=(-2, -1), keepdims=True, dtype=np.float64)
    scale = images.std(axis=(-2, -1), keepdims=True, dtype=np.float64)
    return offset, np.where(scale > 1e-9 * np.abs(offset), scale, 1.0)


def check(model: SuperResolution, images: Sequence[Node]) -> None:
    """Refuse images without the finer ones that are aimed at."""
    for node in images:
        found = node.block.fine if isinstance(node.block, StemConvolution) else None
        if found != model.factor:
            told = "have no map fine" if found is None else f"have fine: {found}"
            raise ConfigError(
                f"found a model with factor {model.factor}, and images '{node.name}' {told}; allowed: images of kind "
                f"stem_convolution with fine: {model.factor}"
            )


def facts(model: SuperResolution, manifest: pd.DataFrame) -> dict[str, Any]:
    """A target follows from the image alone."""
    return {}


def task(model: SuperResolution, facts: Mapping[str, Any]) -> SuperResolutionTask:
    """The task of a block."""
    return SuperResolutionTask(model)
