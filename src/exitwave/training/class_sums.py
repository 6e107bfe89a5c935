"""Loss and confusion matrix of classes, from sums over images, which of batches add up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class ClassSums:
    """Sums over images; each is a tensor."""

    images: int
    loss: torch.Tensor
    confusion: torch.Tensor
    """Images of [true class, predicted class]."""

    @classmethod
    def of(cls, logits: torch.Tensor, classes: torch.Tensor, smoothing: float) -> ClassSums:
        """Sums of logits [n, k] and the places of the true classes [n]."""
        number = logits.shape[1]
        pairs = classes * number + logits.argmax(1)
        confusion = torch.bincount(pairs, minlength=number**2).reshape(number, number)
        return cls(len(logits), cross_entropy(logits, classes, reduction="sum", label_smoothing=smoothing), confusion)

    def __add__(self, other: ClassSums) -> ClassSums:
        return ClassSums(self.images + other.images, self.loss + other.loss, self.confusion + other.confusion)
