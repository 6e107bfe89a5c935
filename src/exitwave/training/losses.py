"""Losses and scores of masks and maps, from sums over pixels: sums first, the ratio last.

Sums of batches add up, so that the score of a whole set does not depend on how it was cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss

_SMOOTHING = 1.0
"""Pixels added to both sides of the Dice ratio: keeps it defined where there is neither particle nor prediction."""


@dataclass(frozen=True)
class PixelSums:
    """Sums over pixels; p is the predicted probability of particle and y the label.

    Each but the first is a tensor without axes.
    """

    pixels: int
    cross_entropy: torch.Tensor
    overlap: torch.Tensor
    """Sum of p y."""
    predicted: torch.Tensor
    """Sum of p."""
    labelled: torch.Tensor
    """Sum of y."""
    focal: torch.Tensor
    """Sum of the focal loss; 0 where it is not asked for."""
    boundary: torch.Tensor
    """Sum of (p - y) times the signed distance to the outline [nm]; 0 where it is not asked for."""

    def __add__(self, other: PixelSums) -> PixelSums:
        return PixelSums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def soft_sums(
    logits: torch.Tensor,
    labels: torch.Tensor,
    focal_gamma: float | None = None,
    distances: torch.Tensor | None = None,
) -> PixelSums:
    """Sums with p the sigmoid of the logits.

    Parameters
    ----------
    logits, labels : torch.Tensor, any equal shape
        Labels are 0 or 1 in floating point.
    focal_gamma : float, optional
        Exponent of the focal loss, if that is asked for.
    distances : torch.Tensor, optional
        Signed distance of each pixel to the outline of its label [nm], if the boundary loss is asked for.
    """
    probability = torch.sigmoid(logits)
    return PixelSums(
        pixels=labels.numel(),
        cross_entropy=binary_cross_entropy_with_logits(logits, labels, reduction="sum"),
        overlap=(probability * labels).sum(),
        predicted=probability.sum(),
        labelled=labels.sum(),
        focal=logits.new_zeros(()) if focal_gamma is None else _focal(logits, labels, focal_gamma),
        boundary=logits.new_zeros(()) if distances is None else ((probability - labels) * distances).sum(),
    )


def _focal(logits: torch.Tensor, labels: torch.Tensor, gamma: float) -> torch.Tensor:
    """Sum of the focal loss: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 4, without alpha."""
    entropy = binary_cross_entropy_with_logits(logits, labels, reduction="none")
    # The exponential of minus the entropy is the probability of the label.
    return ((-torch.expm1(-entropy)) ** gamma * entropy).sum()


@dataclass(frozen=True)
class MaskSums:
    """Sums over pixels of predictions as they are, and of predictions at the threshold of one half."""

    soft: PixelSums
    hard: torch.Tensor
    """Pixels that are [particle in both, predicted as particle, labelled as particle]."""

    @classmethod
    def of(
        cls,
        logits: torch.Tensor,
        masks: torch.Tensor,
        focal_gamma: float | None = None,
        distances: torch.Tensor | None = None,
    ) -> MaskSums:
        """Sums of logits in double precision, and masks (bool) and distances of equal shape; see :func:`soft_sums`."""
        particle = logits > 0
        hard = torch.stack([(particle & masks).sum(), particle.sum(), masks.sum()])
        return cls(soft_sums(logits, masks.double(), focal_gamma, distances), hard)

    def __add__(self, other: MaskSums) -> MaskSums:
        return MaskSums(self.soft + other.soft, self.hard + other.hard)


def segmentation_loss(
    sums: PixelSums,
    cross_entropy_weight: float,
    dice_weight: float,
    focal_weight: float = 0.0,
    boundary_weight: float = 0.0,
) -> torch.Tensor:
    """Weighted sum of mean cross-entropy, one minus the soft Dice coefficient, mean focal and mean boundary loss.

    Dice as in Milletari et al., V-Net, 3DV 2016, with plain instead of squared sums in the denominator, so that it is
    the soft F1 score. The boundary loss as in Kervadec et al., Med. Image Anal. 67 (2021) 101851, less its value
    for the label itself: a constant, without which it is 0 for a perfect prediction and never below.
    """
    dice = (2 * sums.overlap + _SMOOTHING) / (sums.predicted + sums.labelled + _SMOOTHING)
    loss = cross_entropy_weight * sums.cross_entropy / sums.pixels + dice_weight * (1 - dice)
    if focal_weight:
        loss = loss + focal_weight * sums.focal / sums.pixels
    return loss + boundary_weight * sums.boundary / sums.pixels if boundary_weight else loss


def f1(overlap: float, predicted: float, labelled: float) -> float:
    """F1 (Dice) score of the particle class; not a number where there is neither particle nor prediction."""
    return 2 * overlap / (predicted + labelled) if predicted + labelled > 0 else float("nan")


@dataclass(frozen=True)
class MapSums:
    """Sums over the pixels of maps that have a value."""

    pixels: torch.Tensor
    loss: torch.Tensor
    absolute: torch.Tensor
    """Sum of the absolute errors, in the scale of the outputs."""

    def __add__(self, other: MapSums) -> MapSums:
        return MapSums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def mean_loss(self) -> torch.Tensor:
        """Loss of a pixel; 0 where no pixel has a value."""
        return self.loss / self.pixels.clamp(min=1)


def map_sums(outputs: torch.Tensor, targets: torch.Tensor, loss: str) -> MapSums:
    """Sums of outputs against targets, both in the scale of the outputs and of any equal shape.

    Parameters
    ----------
    outputs, targets : torch.Tensor
        Where a target is not finite, there is nothing to learn.
    loss : {"l1", "huber"}
        Absolute error; or half the squared error up to 1, and the absolute error less a half above.
    """
    valid = torch.isfinite(targets)
    errors = torch.where(valid, outputs - torch.where(valid, targets, 0), 0)
    absolute = errors.abs().sum()
    total = absolute if loss == "l1" else huber_loss(errors, torch.zeros_like(errors), reduction="sum", delta=1.0)
    return MapSums(valid.sum(), total, absolute)
