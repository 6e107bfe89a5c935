"""Losses of images of structure factors, and the disks that are found in them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

THRESHOLDS = (0.05, 0.08, 0.11, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Least heights of a peak, of which validation finds the best."""
REACH = 5
"""Edge of the square within which a found and a true disk are the same [px]: about 0.05 1/Å at the usual pixel."""
TRUTH_WEIGHT = 5.0
"""How much more an error counts where the truth is 1."""
PLACES_WEIGHT = 0.01
"""Of the ways to disks in the loss."""
NEAR, DIM = 2.5, 0.1
"""What is learned of ways: of pixels up to this way from the middle along an axis [px], and of this height at least."""
FINEST, COARSEST = 0.01, 4.0
"""Limits of the uncertainty of a place [px]."""
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
    """Loss [n] of images, and of the ways to disks where they are given.

    Parameters
    ----------
    outputs : torch.Tensor [n, 1 or 4, H, W]
        Image; with places also the way to the middle of a disk (x, y) [px], and the logarithm of its uncertainty.
    targets : torch.Tensor [n, 1 or 3, H, W]
        Image and way.
    loss : {"weighted_mse", "l1", "ssim_l1"}
        Of images the mean of ``(1 + 5 y) (y' - y)²``; of ``|y' - y|``; the latter plus one minus the structural
        similarity. To that comes :func:`places_loss`.
    """
    image, true = outputs[:, 0], targets[:, 0]
    errors = image - true
    if loss == "weighted_mse":
        result = ((1 + TRUTH_WEIGHT * true) * errors.square()).mean(dim=(1, 2))
    else:
        result = errors.abs().mean(dim=(1, 2))
    if loss == "ssim_l1":
        result = result + 1 - structural_similarity(image, true)
    return result if outputs.shape[1] == 1 else result + PLACES_WEIGHT * places_loss(outputs, targets)


def places_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Negative logarithm of the probability of the ways to disks [n], mean over the pixels of disks.

    The errors of both components have a Laplace distribution whose scale is the network's own. So a disk that cannot
    be seen costs little, and one that can be seen is to be told to a fraction of a pixel (A. Kendall and Y. Gal, What
    Uncertainties Do We Need, NeurIPS 2017).
    """
    near = (targets[:, 1:].abs().amax(dim=1) < NEAR) & (targets[:, 0] > DIM)
    weights = targets[:, 0] * near
    errors = (outputs[:, 1:3] - targets[:, 1:]).abs().sum(dim=1)
    scale = laplace_scale(outputs[:, 3])
    surprise = errors / scale + 2 * scale.log()
    return (weights * surprise).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=1e-3)


def laplace_scale(logarithm: torch.Tensor) -> torch.Tensor:
    """Scale of a Laplace distribution [px] of its logarithm, within what a place can be known to."""
    return logarithm.clamp(math.log(FINEST), math.log(COARSEST)).exp()


def gathered(image: torch.Tensor, ways: torch.Tensor, sigma: float) -> torch.Tensor:
    """Images [n, H, W] in which each pixel is added where it points to, and spots are Gaussians again.

    A Gaussian of this deviation whose pixels all point to its middle comes out as it was, but exactly in place.
    """
    number, height, width = image.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x = (columns.to(image) + ways[:, 0].clamp(-NEAR, NEAR)).clamp(0, width - 1.001)
    y = (rows.to(image) + ways[:, 1].clamp(-NEAR, NEAR)).clamp(0, height - 1.001)
    left, top = x.floor(), y.floor()
    right, below = x - left, y - top
    total = torch.zeros(number, height * width, device=image.device)
    corner = (top * width + left).long().flatten(1)
    for step, share in (
        (0, (1 - right) * (1 - below)),
        (1, right * (1 - below)),
        (width, (1 - right) * below),
        (width + 1, right * below),
    ):
        total.scatter_add_(1, corner + step, (share * image).flatten(1))
    reach = math.ceil(4 * sigma)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1, device=image.device) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    spread = conv2d(total.view(number, 1, height, width), kernel.view(1, 1, 1, -1), padding=(0, reach))
    return conv2d(spread, kernel.view(1, 1, -1, 1), padding=(reach, 0))[:, 0]


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
    def of(
        cls,
        outputs: torch.Tensor,
        targets: torch.Tensor,
        image: torch.Tensor,
        loss: str,
        asked: torch.Tensor,
        allowed: torch.Tensor,
    ) -> DiskSums:
        """Sums of outputs and targets, see :func:`disk_loss`, and of the images [n, H, W] that disks are found in.

        Peaks are whole pixels here. The direct beam is found always and counts as any other. Disks are asked for at
        pixels ``asked`` [n, H, W]; near pixels ``allowed`` they may be found or not.
        """
        peaks = local_maxima(image)
        near_asked = _spread(asked)
        near_any = near_asked | _spread(allowed)
        found = []
        for threshold in THRESHOLDS:
            there = peaks & (image > threshold)
            found.append(
                torch.stack([(there & near_asked).sum(), (there & ~near_any).sum(), (asked & ~_spread(there)).sum()])
            )
        return cls(len(outputs), disk_loss(outputs, targets, loss).double().sum(), torch.stack(found).double())

    def best(self) -> tuple[float, float]:
        """Threshold with the largest F1, and that."""
        hits, false, missed = self.found.T
        scores = 2 * hits / (2 * hits + false + missed).clamp(min=1)
        place = int(scores.argmax())
        return THRESHOLDS[place], float(scores[place])

    def scores(self) -> dict[str, float]:
        """Validation loss, F1 at the threshold that is best for it, and that threshold."""
        threshold, best = self.best()
        return {
            "validation_loss": float(self.loss / self.patterns),
            "validation_f1": best,
            "validation_threshold": threshold,
        }


def local_maxima(images: torch.Tensor) -> torch.Tensor:
    """Pixels [n, H, W] above nothing and none of their neighbours."""
    return (images == max_pool2d(images[:, None], 3, 1, 1)[:, 0]) & (images > 0)


def _spread(places: torch.Tensor) -> torch.Tensor:
    return max_pool2d(places[:, None].float(), REACH, 1, REACH // 2)[:, 0] > 0
