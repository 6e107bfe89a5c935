"""Sum of the intensities of many waves in PyTorch, for GPUs: the counterpart of :mod:`exitwave.imaging.kernels`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from exitwave.imaging.kernels import halves

_POINTS_AT_ONCE = 2**27
"""Points of all waves in flight: 1 GiB for the waves, and as much for the work space of their transforms."""


def spectra_on(waves: NDArray[np.complex64], device: str) -> torch.Tensor:
    """Spectra of waves [wave, y, x], plain sums, on a device."""
    spectra: torch.Tensor = torch.fft.fft2(torch.as_tensor(waves, dtype=torch.complex64, device=device))
    return spectra


def summed_spectrum(
    spectra: torch.Tensor,
    transfer: NDArray[np.complex64],
    rows: NDArray[np.complex64],
    columns: NDArray[np.complex64],
    size: tuple[int, int],
    highest: tuple[int, int],
) -> NDArray[np.complex64]:
    """As :func:`exitwave.imaging.kernels.summed_spectrum`, on the device of the spectra; any size will do."""
    device, (height, width) = spectra.device, transfer.shape
    lens, along, across = (torch.as_tensor(array, device=device) for array in (transfer, rows, columns))
    defocus = along[:, :, None] * across[:, None, :]
    bands = torch.empty((len(spectra), height, width), dtype=torch.complex64, device=device)
    pairs = [
        (y, x) for y in halves(height, spectra.shape[1], size[0]) for x in halves(width, spectra.shape[2], size[1])
    ]
    for y, x in pairs:
        bands[:, y[0], x[0]] = spectra[:, y[1], x[1]] * lens[y[0], x[0]]
    total = torch.zeros(size, device=device)
    at_once = max(1, _POINTS_AT_ONCE // (len(defocus) * size[0] * size[1]))
    for first in range(0, len(bands), at_once):
        some = bands[first : first + at_once]
        grids = torch.zeros((len(some), len(defocus), *size), dtype=torch.complex64, device=device)
        for y, x in pairs:
            grids[:, :, y[2], x[2]] = some[:, None, y[0], x[0]] * defocus[:, y[0], x[0]]
        total += torch.view_as_real(torch.fft.ifft2(grids, norm="forward")).square().sum(dim=(0, 1, 4))
    spectrum = torch.fft.rfft2(total, norm="forward")[:, : highest[1] + 1]
    kept = torch.cat([spectrum[: highest[0] + 1], spectrum[size[0] - highest[0] :]])
    return np.asarray(kept.cpu().numpy(), np.complex64)
