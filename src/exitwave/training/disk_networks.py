"""Networks that turn a diffraction pattern and its probe into an image of structure factors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from exitwave.config.disks import Disks
from exitwave.training.complex_layers import ComplexBlock, SpectralPooling, from_complex, joined, to_complex

EVENED = {"hybrid": 0.5, "edges": 0.25}
"""Exponent of the size of the spectrum of a correlation; 1 leaves it, 0 is a phase correlation."""
FAINTEST = 1e-5
"""Of the largest, size of a component of that spectrum below which it is not amplified further."""
SPREAD = 5.0
"""Standard deviations of an evened correlation that are one unit."""
AROUND, DARK, CONTRAST = 9, 3e-3, 3.0
"""Of the contrast: edge of the square in which the mean is taken [px], amplitude that is added to it, and unit."""
TINY = 1e-12
CONVOLUTIONS = 2
"""Complex convolutions in each block; four are published, at twice the cost."""


def correlation(pattern: torch.Tensor, probe: torch.Tensor) -> torch.Tensor:
    """Spectrum [n, H, W] of the correlation of patterns with their probes, which are centred at ``size // 2``."""
    with torch.autocast(pattern.device.type, enabled=False):
        middle = torch.fft.ifftshift(probe.float(), dim=(-2, -1))
        spectrum: torch.Tensor = torch.fft.fft2(pattern.float()) * torch.fft.fft2(middle).conj()
    return spectrum


def channels(seen: torch.Tensor, names: Sequence[str], power: float) -> torch.Tensor:
    """What a network sees [n, len(names), H, W] of patterns and probes.

    Parameters
    ----------
    seen : torch.Tensor [n, 2, H, W]
        Amplitudes, as from :func:`exitwave.data.patterns.scaled`.
    names : sequence of str
        See :class:`exitwave.config.disks.Disks`.
    power : float
        Exponent of intensities.
    """
    amplitude = seen.float().clamp(min=0)
    pattern, probe = (amplitude ** (2 * power)).unbind(dim=1)
    maps = {"pattern": pattern, "probe": probe}
    with torch.autocast(seen.device.type, enabled=False):
        if {"correlation", "hybrid", "edges"} & set(names):
            spectrum = correlation(pattern, probe)
            energy = probe.square().sum(dim=(-2, -1), keepdim=True).clamp(min=TINY)
            maps["correlation"] = torch.fft.ifft2(spectrum).real / energy
            size = spectrum.abs() / spectrum.abs().amax(dim=(-2, -1), keepdim=True).clamp(min=TINY)
            for name in EVENED.keys() & set(names):
                evened = torch.fft.ifft2(spectrum * size.clamp(min=FAINTEST) ** (EVENED[name] - 1)).real
                maps[name] = evened / (SPREAD * evened.std(dim=(-2, -1), keepdim=True).clamp(min=TINY))
        if "contrast" in names:
            mean = functional.avg_pool2d(
                amplitude[:, :1].square(), AROUND, 1, AROUND // 2, count_include_pad=False
            ).sqrt()[:, 0]
            maps["contrast"] = amplitude[:, 0] / (mean + DARK) / CONTRAST
    return torch.stack([maps[name] for name in names], dim=1)


class RealBlock(nn.Sequential):
    """Two convolutions, each normalised and rectified."""

    def __init__(self, incoming: int, outgoing: int, dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for number in (incoming, outgoing):
            layers += [nn.Conv2d(number, outgoing, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outgoing), nn.ReLU(inplace=True)]
        super().__init__(*layers, *([nn.Dropout2d(dropout)] if dropout else []))


class DiskUnet(nn.Module):
    """U-Net on pattern, probe and correlation (O. Ronneberger et al., MICCAI 2015)."""

    def __init__(self, model: Disks) -> None:
        super().__init__()
        widths = [model.width * 2**stage for stage in range(model.depth + 1)]
        self.inputs, self.power = model.seen, model.power
        self.merge = model.merge
        pixels = model.merge**2
        incoming = [len(model.seen) * pixels, *widths[:-1]]
        self.down = nn.ModuleList(RealBlock(*pair, model.dropout) for pair in zip(incoming, widths, strict=True))
        self.up = nn.ModuleList(RealBlock(wide + narrow, narrow) for narrow, wide in pairwise(widths))
        self.pool = SpectralPooling(of_complex=False) if model.pooling == "spectral" else nn.MaxPool2d(2)
        self.last = nn.Conv2d(widths[0], maps_of(model) * pixels, 1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Images [n, 1, H, W], or four maps with places, of patterns and probes [n, 2, H, W]."""
        maps = functional.pixel_unshuffle(channels(seen, self.inputs, self.power), self.merge)
        skips = []
        for place, block in enumerate(self.down):
            maps = block(maps if place == 0 else self.pool(maps))
            skips.append(maps)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            maps = block(torch.cat([functional.interpolate(maps, scale_factor=2.0), skip], dim=1))
        return functional.pixel_shuffle(self.last(maps), self.merge)


class FourierUnet(nn.Module):
    """Complex U-Net on the spectrum of the correlation of pattern and probe: FCU-Net.

    J. Munshi et al., npj Comput. Mater. 8 (2022) 254. As there: the spectrum normalised by its power, blocks of complex
    convolutions, CReLU, spectral pooling, nearest-neighbour upsampling, skips joined as complex numbers, an inverse
    transform, a real block and a linear output. Otherwise than in the published code the zero frequency is in the
    middle and maps go on periodically, so that kernels see neighbours in frequency; dropout is off once trained; blocks
    have two convolutions and not four.
    """

    def __init__(self, model: Disks) -> None:
        super().__init__()
        widths = [model.width * 2**stage for stage in range(model.depth + 1)]
        self.inputs, self.power = model.seen, model.power
        self.down = nn.ModuleList(
            ComplexBlock(*pair, CONVOLUTIONS, model.dropout) for pair in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            ComplexBlock(wide + narrow, narrow, CONVOLUTIONS, 0.0) for narrow, wide in pairwise(widths)
        )
        self.pool = SpectralPooling(of_complex=True)
        self.real = RealBlock(2 * widths[0] + len(model.seen), 2 * widths[0])
        self.last = nn.Conv2d(2 * widths[0], maps_of(model), 1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Images [n, 1, H, W], or four maps with places, of patterns and probes [n, 2, H, W]."""
        with torch.autocast(seen.device.type, enabled=False):
            pattern, probe = (seen.float().clamp(min=0) ** (2 * self.power)).unbind(dim=1)
            spectrum = torch.fft.fftshift(correlation(pattern, probe), dim=(-2, -1))
            power = spectrum.abs().square().mean(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
            maps = from_complex((spectrum / power.sqrt())[:, None])
        skips = []
        for place, block in enumerate(self.down):
            maps = block(maps if place == 0 else self.pool(maps))
            skips.append(maps)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            maps = block(joined(functional.interpolate(maps, scale_factor=2.0), skip))
        with torch.autocast(seen.device.type, enabled=False):
            inverse = torch.fft.ifft2(torch.fft.ifftshift(to_complex(maps), dim=(-2, -1)), norm="ortho")
            found = from_complex(inverse)
        if self.inputs:
            found = torch.cat([found, channels(seen, self.inputs, self.power)], dim=1)
        output: torch.Tensor = self.last(self.real(found))
        return output


def maps_of(model: Disks) -> int:
    """Maps that a network gives: the image; with places also the way to the middle of a disk (x, y), and how unsure."""
    return 4 if model.places else 1


def build_disk_network(model: Disks) -> nn.Module:
    """Network with random weights, which come from PyTorch's random state."""
    return FourierUnet(model) if model.architecture == "fcunet" else DiskUnet(model)
