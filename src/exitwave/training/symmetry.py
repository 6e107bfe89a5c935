"""The eight symmetries of the square, as augmentation of training images."""

from __future__ import annotations

import numpy as np
import torch

SQUARE_SYMMETRIES = 8


def transform(field: torch.Tensor, symmetry: int) -> torch.Tensor:
    """Turn and flip the last two axes.

    Parameters
    ----------
    field : torch.Tensor, shape [..., H, W]
    symmetry : int
        0 to 3: that many quarter turns; 4 to 7: the same and then a flip left to right. 0 changes nothing.
    """
    turned = torch.rot90(field, symmetry % 4, dims=(-2, -1))
    return turned if symmetry < 4 else turned.flip(-1)


def augment(images: torch.Tensor, masks: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Give every image and its mask the same random symmetry of the square.

    Parameters
    ----------
    images, masks : torch.Tensor, shape [n, H, H]
    rng : numpy.random.Generator

    Returns
    -------
    tuple of torch.Tensor, shape [n, H, H]
    """
    symmetries = rng.integers(SQUARE_SYMMETRIES, size=len(images)).tolist()
    return (
        torch.stack([transform(image, symmetry) for image, symmetry in zip(images, symmetries, strict=True)]),
        torch.stack([transform(mask, symmetry) for mask, symmetry in zip(masks, symmetries, strict=True)]),
    )
