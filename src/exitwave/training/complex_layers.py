"""Layers of complex numbers, kept as real tensors: half of the channels are real parts, the other half imaginary ones.

So that mixed precision and memory layouts work as for any other network; complex tensors live within Fourier transforms
alone.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


def to_complex(maps: torch.Tensor) -> torch.Tensor:
    """Complex tensor [n, c, H, W] of maps [n, 2 c, H, W]."""
    real, imaginary = maps.float().chunk(2, dim=1)
    return torch.complex(real, imaginary)


def from_complex(maps: torch.Tensor) -> torch.Tensor:
    """Maps [n, 2 c, H, W] of a complex tensor [n, c, H, W]."""
    return torch.cat([maps.real, maps.imag], dim=1)


class ComplexConvolution(nn.Module):
    """Convolution of complex maps with complex kernels; maps go on periodically beyond their edges.

    ``K * F = (K_R * F_R - K_I * F_I) + i (K_I * F_R + K_R * F_I)``, as one real convolution (C. Trabelsi et al., Deep
    Complex Networks, ICLR 2018). Without offset: a normalisation follows.

    Parameters
    ----------
    incoming, outgoing : int
        Complex channels.
    edge : int
        Of the kernels [px], odd.
    """

    def __init__(self, incoming: int, outgoing: int, edge: int = 3) -> None:
        super().__init__()
        # Real and imaginary part share the spread that a real kernel would have (He et al., ICCV 2015).
        spread = 1 / math.sqrt(incoming * edge**2)
        self.real = nn.Parameter(spread * torch.randn(outgoing, incoming, edge, edge))
        self.imaginary = nn.Parameter(spread * torch.randn(outgoing, incoming, edge, edge))
        self._pad = edge // 2

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps [n, 2 outgoing, H, W] of maps [n, 2 incoming, H, W]."""
        above = torch.cat([self.real, -self.imaginary], dim=1)
        below = torch.cat([self.imaginary, self.real], dim=1)
        padded = functional.pad(maps, (self._pad,) * 4, mode="circular") if self._pad else maps
        return functional.conv2d(padded, torch.cat([above, below]))


class ComplexBlock(nn.Sequential):
    """Complex convolutions, each normalised and rectified; real and imaginary parts by themselves (CReLU)."""

    def __init__(self, incoming: int, outgoing: int, number: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for place in range(number):
            layers += [ComplexConvolution(incoming if place == 0 else outgoing, outgoing)]
            layers += [nn.BatchNorm2d(2 * outgoing), nn.ReLU(inplace=True)]
        super().__init__(*layers, *([nn.Dropout2d(dropout)] if dropout else []))


def joined(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Complex maps of both, real parts with real parts."""
    (a, b), (c, d) = first.chunk(2, dim=1), second.chunk(2, dim=1)
    return torch.cat([a, c, b, d], dim=1)


def spectral_half(maps: torch.Tensor) -> torch.Tensor:
    """Maps [..., H / 2, W / 2] of the low frequencies of maps [..., H, W], complex or real, H and W even.

    O. Rippel, J. Snoek, R. P. Adams, Spectral Representations for CNNs, NeurIPS 2015. The mean stays as it is. Of real
    maps the highest frequency of each axis keeps its real part, so that the result is real.
    """
    height, width = maps.shape[-2:]
    with torch.autocast(maps.device.type, enabled=False):
        spectrum = torch.fft.fftshift(torch.fft.fft2(maps if maps.is_complex() else maps.float()), dim=(-2, -1))
        cut = spectrum[..., height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2]
        smaller: torch.Tensor = torch.fft.ifft2(torch.fft.ifftshift(cut, dim=(-2, -1))) / 4
    return smaller if maps.is_complex() else smaller.real


class SpectralPooling(nn.Module):
    """Halves the edges of maps in Fourier space; complex maps as they are kept here, or real ones."""

    def __init__(self, of_complex: bool) -> None:
        super().__init__()
        self.of_complex = of_complex

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps [n, c, H / 2, W / 2]."""
        if self.of_complex:
            with torch.autocast(maps.device.type, enabled=False):
                return from_complex(spectral_half(to_complex(maps)))
        return spectral_half(maps)
