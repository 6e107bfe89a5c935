"""Networks that give images: an autoencoder, one that makes an image finer, and the critic that it learns against."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import interpolate

from exitwave.config.reconstruction import Autoencoder, SuperResolution

_WIDEST = 128
"""Channels of a stage at the most."""
_SLOPE = 0.2
"""Of the critic's rectifiers below 0."""


class DenseAutoencoder(nn.Module):
    """Images of one size [n, 1, H, H] through ``latent`` numbers and back.

    Parameters
    ----------
    model : Autoencoder
    edge : int
        H [px], a multiple of ``2**depth``.
    """

    def __init__(self, model: Autoencoder, edge: int) -> None:
        super().__init__()
        widths = [min(model.width * 2**stage, max(_WIDEST, model.width)) for stage in range(model.depth)]
        self._inner = (widths[-1], edge // 2**model.depth, edge // 2**model.depth)
        number = widths[-1] * self._inner[1] ** 2
        down = [_normalised(before, after, 2) for before, after in zip([1, *widths[:-1]], widths, strict=True)]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(number, model.latent))
        self.decoder = nn.Sequential(nn.Linear(model.latent, number), nn.Unflatten(1, self._inner), nn.SiLU())
        up = widths[::-1]
        for before, after in zip(up, [*up[1:], up[-1]], strict=True):
            self.decoder.append(nn.Upsample(scale_factor=2.0))
            self.decoder.append(_normalised(before, after, 1))
        self.decoder.append(nn.Conv2d(up[-1], 1, 3, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [n, 1, H, H]."""
        result: torch.Tensor = self.decoder(self.encoder(images))
        return result


def _normalised(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.SiLU())


class FinerImages(nn.Module):
    """Images [n, 1, H, W] on places ``factor`` times closer [n, 1, factor H, factor W].

    What residual blocks on the coarse grid find is added to the interpolation in straight lines (B. Lim et al., CVPR
    Workshops 2017, 1132: blocks without normalisation), on all fine places of a coarse one at once (W. Shi et al., CVPR
    2016, 1874).
    """

    def __init__(self, model: SuperResolution) -> None:
        super().__init__()
        self._factor = model.factor
        fine = max(1, model.width // 4)
        self.first = nn.Conv2d(1, model.width, 5, padding=2)
        self.blocks = nn.Sequential(*(_Residual(model.width) for _ in range(model.blocks)))
        self.finer = nn.Sequential(
            nn.Conv2d(model.width, fine * model.factor**2, 3, padding=1), nn.PixelShuffle(model.factor), nn.ReLU()
        )
        self.last = nn.Conv2d(fine, 1, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Finer images."""
        found: torch.Tensor = self.first(images)
        found = self.last(self.finer(found + self.blocks(found)))
        # The edges of both grids are the same, as those of the images are.
        return found + interpolate(images, scale_factor=self._factor, mode="bilinear", align_corners=False)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = seen + self.layers(seen)
        return result


class Critic(nn.Module):
    """How much fields of images [n, 1, H, W] look like true ones: logits [n, 1, H / 8, W / 8]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, padding=1), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        result: torch.Tensor = self.layers(images)
        return result
