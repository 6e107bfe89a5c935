"""The task of finding Bragg disks: from a pattern and its vacuum probe an image of the structure factors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.disks import Disks
from exitwave.config.graph import Node
from exitwave.config.patterns import REFLECTIONS, Diffraction
from exitwave.data.columns import pixel_column
from exitwave.data.patterns import scaled
from exitwave.electron import wavelength
from exitwave.errors import ConfigError, TrainingError
from exitwave.labels.reflections import LEAST_WEIGHT, STRONG, places_image
from exitwave.training.task import INPUT, Curves

if TYPE_CHECKING:
    import torch

    from exitwave.training.disk_losses import DiskSums

PROBE = "probe"
"""Stored array with the vacuum probe of a pattern."""


@dataclass(frozen=True)
class DisksTask:
    """Images of structure factors; see :class:`exitwave.training.task.Task`."""

    model: Disks
    facts: ClassVar[dict[str, Any]] = {}
    curves: ClassVar[Curves] = Curves(
        "score of disks (validation)",
        {"validation_f1": "F1 at the best threshold", "validation_threshold": "that threshold"},
        (0.0, 1.0),
    )

    @property
    def arrays(self) -> tuple[str, ...]:
        """Pattern, probe, and the list of reflections."""
        return INPUT, PROBE, REFLECTIONS

    def reads(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """The same of all patterns."""
        return self.arrays

    def inputs(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float16]:
        """Amplitudes of patterns and probes [n, 2, H, H]; see :func:`exitwave.data.patterns.scaled`."""
        return scaled(arrays[INPUT], arrays[PROBE])

    def targets(self, arrays: Mapping[str, NDArray[Any]], rows: pd.DataFrame) -> NDArray[np.float16]:
        """Images of structure factors [n, 1, H, H]; with places also the way to the reflection [n, 3, H, H]."""
        size, aim = arrays[INPUT].shape[-1], self.model.target
        drawn = [places_image(each, size, aim.weight, aim.gamma, aim.sigma) for each in arrays[REFLECTIONS]]
        return np.stack(drawn).astype(np.float16)[:, : 3 if self.model.places else 1]

    def statistics(self, targets: NDArray[Any], rows: pd.DataFrame) -> dict[str, Any]:
        """Mean of the images, and range of the radii of the disks [px]."""
        told: dict[str, Any] = {"mean": float(targets[:, 0].mean(dtype=np.float64))}
        pixel = pixel_column(rows.columns)
        if {"semiangle", "energy"} <= set(rows.columns):
            lengths = rows["energy"].map(wavelength)
            radii = (1e-3 * rows["semiangle"] / lengths / rows[pixel]).dropna()
            if len(radii):
                told["disk_radius"] = {"min": float(radii.min()), "max": float(radii.max())}
        return told

    def build(self) -> torch.nn.Module:
        """Network with one map, or four."""
        from exitwave.training.disk_networks import build_disk_network

        return build_disk_network(self.model)

    def check(self, network: torch.nn.Module, shape: Sequence[int]) -> None:
        """Refuse patterns, so many with so many channels and pixels [n, 2, H, W], that do not fit the network.

        Raises
        ------
        TrainingError
        """
        check_size(self.model, shape[-1])

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn and flip patterns, probes and targets alike, about their middle pixel."""
        import torch

        from exitwave.training.symmetry import draw_symmetries, transform_each, turned

        symmetries = draw_symmetries(len(images), rng)
        # The middle is a pixel: what turning an even number of pixels would move by one.
        seen = transform_each(images, symmetries, about_pixel=True)
        aims = transform_each(targets, symmetries, about_pixel=True)
        if self.model.places:
            aims[:, 1:] = torch.stack([turned(way, one) for way, one in zip(aims[:, 1:], symmetries, strict=True)])
        return seen, aims

    def objective(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of the model's choice."""
        from exitwave.training.disk_losses import disk_loss

        return disk_loss(outputs.float(), targets.float(), self.model.loss).mean()

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> DiskSums:
        """Loss, and disks found and missed at several thresholds."""
        from exitwave.training.disk_losses import DiskSums, local_maxima

        true, gamma = targets.float(), self.model.target.gamma
        strong = local_maxima(true[:, 0]) & (true[:, 0] > 0.9 * STRONG**gamma)
        weak = true[:, 0] > LEAST_WEIGHT**gamma
        return DiskSums.of(outputs.float(), true, self.predict(outputs), self.model.loss, strong, weak)

    def scores(self, sums: DiskSums) -> dict[str, float]:
        """Loss, F1 at the threshold that is best for it, and that threshold."""
        return sums.scores()

    def truth(self, targets: Any) -> Any:
        """Images of structure factors [n, H, W]."""
        return targets[:, 0]

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Images of structure factors [n, H, W], not negative; with places, each pixel is taken where it points to."""
        from exitwave.training.disk_losses import gathered

        image = outputs[:, 0].float().clamp(min=0)
        return gathered(image, outputs[:, 1:3].float(), self.model.target.sigma) if self.model.places else image

    def maps(self, outputs: torch.Tensor) -> torch.Tensor:
        """Images of structure factors, and with places how surely disks are placed [n, 1 or 2, H, W].

        The second is the standard deviation of the place of a disk along an axis, in each of its pixels [px].
        """
        import torch

        from exitwave.training.disk_losses import laplace_scale

        image = self.predict(outputs)
        if not self.model.places:
            return image[:, None]
        return torch.stack([image, math.sqrt(2) * laplace_scale(outputs[:, 3].float())], dim=1)


def multiple_of(model: Disks) -> int:
    """What the edges of patterns must be multiples of [px]."""
    return int(model.merge * 2**model.depth)


def check_size(model: Disks, size: int) -> None:
    """Refuse patterns whose edge [px] cannot be halved as often as the network does.

    Raises
    ------
    TrainingError
    """
    if size % multiple_of(model):
        raise TrainingError(
            f"patterns have {size} x {size} pixels; allowed: edges that are multiples of {multiple_of(model)}, as "
            f"depth is {model.depth} and merge {model.merge}"
        )


def check(model: Disks, images: Sequence[Node]) -> None:
    """Refuse images that are no diffraction patterns."""
    for node in images:
        if not isinstance(node.block, Diffraction):
            kind = getattr(node.block, "kind", "")
            raise ConfigError(
                f"found a model that finds Bragg disks, and images '{node.name}' of kind {kind}; allowed: images of "
                "kind diffraction"
            )


def facts(model: Disks, manifest: pd.DataFrame) -> dict[str, Any]:
    """A target follows from list and block alone."""
    return {}


def task(model: Disks, facts: Mapping[str, Any]) -> DisksTask:
    """The task of a block."""
    return DisksTask(model)
