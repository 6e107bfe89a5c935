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


def transform_about_pixel(field: torch.Tensor, symmetry: int) -> torch.Tensor:
    """As `transform`, but the pixel ``size // 2`` stays; of an even number the first row or column wraps around."""
    turned = field
    for _ in range(symmetry % 4):
        turned = _flip_about_pixel(turned.transpose(-2, -1), -2)
    return turned if symmetry < 4 else _flip_about_pixel(turned, -1)


def turned(ways: torch.Tensor, symmetry: int) -> torch.Tensor:
    """Components along x and y [2, H, W] of vectors in a field that was transformed."""
    x, y = ways
    for _ in range(symmetry % 4):
        x, y = y, -x
    return torch.stack([x if symmetry < 4 else -x, y])


def _flip_about_pixel(field: torch.Tensor, axis: int) -> torch.Tensor:
    return field.flip(axis).roll(1 - field.shape[axis] % 2, axis)


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
    symmetries = draw_symmetries(len(images), rng)
    return transform_each(images, symmetries), transform_each(masks, symmetries)


def draw_symmetries(number: int, rng: np.random.Generator) -> list[int]:
    """Random symmetries of so many images."""
    symmetries: list[int] = rng.integers(SQUARE_SYMMETRIES, size=number).tolist()
    return symmetries


def transform_each(fields: torch.Tensor, symmetries: list[int], about_pixel: bool = False) -> torch.Tensor:
    """Give each of the fields [n, ..., H, H] its own symmetry, about their middle or the pixel ``size // 2``."""
    each = transform_about_pixel if about_pixel else transform
    return torch.stack([each(field, symmetry) for field, symmetry in zip(fields, symmetries, strict=True)])


def exchanged(quarters: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Quarters [n, 2, h, h] of autocorrelations as they are about the other mirror line or from its other side.

    Half of them have their axes exchanged, and of half the part that the mirror changes has the other sign.
    """
    other, side = rng.integers(2, size=(2, len(quarters)))
    turned = torch.as_tensor(other, dtype=torch.bool, device=quarters.device)[:, None, None, None]
    signs = torch.as_tensor(1 - 2 * side, dtype=quarters.dtype, device=quarters.device)[:, None, None]
    seen = torch.where(turned, quarters.transpose(-2, -1), quarters)
    return torch.stack([seen[:, 0], signs * seen[:, 1]], 1)
