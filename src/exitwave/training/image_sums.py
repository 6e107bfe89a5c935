"""Errors of images that are made: sums over images, which add up whatever the batches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch

LEAST = 1e-10
"""Squared error over the squared range below which an image counts as right: 100 dB."""


@dataclass(frozen=True)
class SquaredSums:
    """Sums over images, tensors without axes."""

    images: int
    loss: torch.Tensor
    """Of what the loss of each image is."""

    @classmethod
    def of(cls, outputs: torch.Tensor, targets: torch.Tensor) -> SquaredSums:
        """Of images [n, H, W], whose loss is the mean squared error of their pixels."""
        return SquaredSums(len(outputs), squared(outputs, targets).sum())

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


@dataclass(frozen=True)
class FinerSums(SquaredSums):
    """The same, and how images compare with the range of the true ones."""

    decibels: torch.Tensor
    """Sum of the peak signal-to-noise ratios."""


def squared(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each image [n], of images [n, H, W]."""
    return (outputs - targets).square().mean(dim=(1, 2))


def decibels(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of each image [n, dB], of images [n, H, W]: by the range of the true one."""
    spread = targets.amax(dim=(1, 2)) - targets.amin(dim=(1, 2))
    share = squared(outputs, targets) / spread.square().clamp(min=1e-30)
    return -10 * share.clamp(min=LEAST).log10()
