"""Losses of images of structure factors, and the disks that are found in them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch.nn.functional import avg_pool2d, max_pool2d

THRESHOLDS = (0.05, 0.08, 0.11, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
"""Least heights of a peak, of which validation finds the best."""
STRONG = 0.15
"""Share of the largest weight from which a reflection must be found; below it may be."""
FAINT = 1e-3
"""Share of the largest weight below which there is no reflection."""
REACH = 5
"""Edge of the square within which a found and a true disk are the same [px]: about 0.05 1/Å at the usual pixel."""
TRUTH_WEIGHT = 5.0
"""How much more an error counts where the truth is 1."""
_WINDOW = 7
"""Edge of the window of the structural similarity [px]."""
_C1, _C2 = 0.01**2, 0.03**2
"""Constants of the structural similarity, for images from 0 to 1."""


def structural_similarity(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Structural similarity [n] of images [n, H, W] from 0 to 1, with uniform windows that lie within the image.

    Z. Wang et al., IEEE Trans. Image Process. 13 (2004) 600, with the sample covariance of scikit-image.
    """
    a, b = first[:, None], second[:, None]
    number = _WINDOW**2
    sample = number / (number - 1)
    mean_a, mean_b = avg_pool2d(a, _WINDOW, 1), avg_pool2d(b, _WINDOW, 1)
    variance_a = sample * (avg_pool2d(a * a, _WINDOW, 1) - mean_a**2)
    variance_b = sample * (avg_pool2d(b * b, _WINDOW, 1) - mean_b**2)
    covariance = sample * (avg_pool2d(a * b, _WINDOW, 1) - mean_a * mean_b)
    value = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    value = value / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))
    return value.mean(dim=(1, 2, 3))


def disk_loss(outputs: torch.Tensor, targets: torch.Tensor, loss: str) -> torch.Tensor:
    """Loss [n] of images [n, H, W].

    Parameters
    ----------
    outputs, targets : torch.Tensor [n, H, W]
    loss : {"weighted_mse", "l1", "ssim_l1"}
        Mean of ``(1 + 5 y) (y' - y)²``; of ``|y' - y|``; the latter plus one minus the structural similarity.
    """
    errors = outputs - targets
    if loss == "weighted_mse":
        return ((1 + TRUTH_WEIGHT * targets) * errors.square()).mean(dim=(1, 2))
    absolute = errors.abs().mean(dim=(1, 2))
    return absolute if loss == "l1" else absolute + 1 - structural_similarity(outputs, targets)


@dataclass(frozen=True)
class DiskSums:
    """Sums over patterns.

    Attributes
    ----------
    patterns : int
    loss : torch.Tensor
        Sum of the losses.
    found : torch.Tensor
        Peaks [thresholds, 3] that are of a strong reflection, of none, and strong reflections without a peak.
    """

    patterns: int
    loss: torch.Tensor
    found: torch.Tensor

    def __add__(self, other: DiskSums) -> DiskSums:
        return DiskSums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @classmethod
    def of(cls, outputs: torch.Tensor, targets: torch.Tensor, loss: str, gamma: float) -> DiskSums:
        """Sums of images [n, H, W].

        Peaks are whole pixels here. The direct beam is found always and counts as any other.
        """
        peaks = _local_maxima(outputs)
        strong = _local_maxima(targets) & (targets > 0.9 * STRONG**gamma)
        near_strong, near_any = _spread(strong), _spread(targets > FAINT**gamma)
        found = []
        for threshold in THRESHOLDS:
            there = peaks & (outputs > threshold)
            found.append(
                torch.stack([(there & near_strong).sum(), (there & ~near_any).sum(), (strong & ~_spread(there)).sum()])
            )
        return cls(len(outputs), disk_loss(outputs, targets, loss).double().sum(), torch.stack(found).double())

    def best(self) -> tuple[float, float]:
        """Threshold with the largest F1, and that."""
        hits, false, missed = self.found.T
        scores = 2 * hits / (2 * hits + false + missed).clamp(min=1)
        place = int(scores.argmax())
        return THRESHOLDS[place], float(scores[place])


def _local_maxima(images: torch.Tensor) -> torch.Tensor:
    return (images == max_pool2d(images[:, None], 3, 1, 1)[:, 0]) & (images > 0)


def _spread(places: torch.Tensor) -> torch.Tensor:
    return max_pool2d(places[:, None].float(), REACH, 1, REACH // 2)[:, 0] > 0
