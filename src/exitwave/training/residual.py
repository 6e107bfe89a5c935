"""The residual U-Net of K. Sytwu, L. Rangel DaCosta and M. C. Scott, arXiv:2306.11853 (2023).

At each stage two 3 x 3 convolutions beside a 1 x 1 one, maxima of 2 x 2 pixels on the way down, repeated pixels on the
way up, and the stage of the same size beside them. With four stages it has 130,682 weights in their hands, of two
outputs, and 130,677 here: the one output is the logit of particle, which is the difference of theirs
(:mod:`exitwave.training.peers`).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTH = 4
"""Channels of the first stage; each further one has twice as many."""


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation, added to a 1 x 1 convolution of the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv_add = nn.Conv2d(inputs, outputs, 1)
        for layer in (self.conv1, self.conv2, self.conv_add):
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features [n, outputs, H, W] of features [n, inputs, H, W]."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.conv_add(x))


class ResidualUnet(nn.Module):
    """Network with one output a pixel.

    Names of the layers are those of the weights that its authors have published.

    Parameters
    ----------
    depth : int
        Stages on the way down. Edges of images must be multiples of 2 to this power.
    outputs : int
        Values of each pixel.
    """

    def __init__(self, depth: int, outputs: int = 1) -> None:
        super().__init__()
        widths = [WIDTH * 2**stage for stage in range(depth + 1)]
        self.downs = nn.ModuleList(map(ResidualBlock, [1, *widths], widths[:-1]))
        self.bottleneck = ResidualBlock(widths[-2], widths[-1])
        self.ups = nn.ModuleList(
            ResidualBlock(width + below, width) for width, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.final_conv = nn.Conv2d(WIDTH, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values [n, outputs, H, W] of images [n, 1, H, W]."""
        beside = []
        for down in self.downs:
            x = down(x)
            beside.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for up, same in zip(self.ups, reversed(beside), strict=True):
            x = up(torch.cat([same, functional.interpolate(x, scale_factor=2.0)], dim=1))
        return torch.as_tensor(self.final_conv(x))
