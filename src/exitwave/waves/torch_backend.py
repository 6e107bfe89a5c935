"""The multislice's operations in PyTorch: for GPUs, and in double precision for checking the others.

The band is held as the whole spectrum, zero outside: a GPU multiplies faster than it cuts and pads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from exitwave.waves.backend import Deposit
from exitwave.waves.spreading import Support, spread

_FIXED_POINT = 2.0**32
"""Deposits are summed as whole multiples of 1 / this: the sum of whole numbers does not depend on their order, as that
of floating-point numbers does on a GPU."""
_ARRAYS_PER_MEMBER = 14
"""Complex grids that a batch member takes up at the most, the work space of the transforms among them."""
_SHARE_OF_MEMORY = 0.8
_MOST_MEMBERS = 128
"""Batches beyond this only fill memory: the device has been busy long before."""


def members_that_fit(size: int) -> int:
    """Configurations of a simulation grid of ``size`` pixels along an edge that the free memory of the GPU takes."""
    free, _ = torch.cuda.mem_get_info()
    return int(np.clip(_SHARE_OF_MEMORY * free / (_ARRAYS_PER_MEMBER * 8 * size**2), 1, _MOST_MEMBERS))


class TorchBackend:
    """Operations in PyTorch on one device; see :class:`exitwave.waves.backend.Backend`.

    Parameters
    ----------
    size : int
        Edge of the simulation grid [px].
    support : {2, 4}
        Points along an axis that an atom is spread over.
    aperture : float32 array [M, M]
        Aperture of the band, in the order of ``fftfreq``.
    device : str
        PyTorch device.
    dtype : torch.dtype
        ``complex64`` or ``complex128``.
    """

    def __init__(
        self,
        size: int,
        support: Support,
        aperture: NDArray[np.float32],
        device: str = "cuda",
        dtype: torch.dtype = torch.complex64,
    ) -> None:
        self._size, self._band_size, self._support = size, len(aperture), support
        self._device, self._dtype = torch.device(device), dtype
        self._kept = np.r_[: self._band_size // 2, size - self._band_size // 2 : size]
        self._columns = torch.as_tensor(self._kept, device=self._device)
        self._rows = self._columns[:, None]
        self._aperture = self.propagator(aperture.astype(np.complex64))

    def factor(self, values: NDArray[np.float32]) -> torch.Tensor:
        return torch.as_tensor(values, device=self._device, dtype=self._dtype.to_real())

    def propagator(self, values: NDArray[np.complex64]) -> torch.Tensor:
        spectrum = torch.zeros((*values.shape[:-2], self._size, self._size), dtype=self._dtype, device=self._device)
        spectrum[..., self._rows, self._columns] = torch.as_tensor(values, device=self._device, dtype=self._dtype)
        return spectrum

    def band(self, values: NDArray[np.complex64]) -> torch.Tensor:
        return self.propagator(values).mul_(self._size**2)

    def potentials(self, terms: Sequence[tuple[torch.Tensor, Sequence[Deposit]]]) -> torch.Tensor:
        shape = (len(terms[0][1]), self._size, self._size)
        spectrum = torch.zeros(shape, dtype=self._dtype, device=self._device)
        for factor, deposits in terms:
            spectrum += torch.fft.fft2(self._deposited(deposits)).mul_(factor)
        potentials: torch.Tensor = torch.fft.ifft2(spectrum)
        return potentials

    def transmission(self, potentials: torch.Tensor, second: bool, limited: bool) -> torch.Tensor:
        phase = potentials.imag if second else potentials.real
        transmission = torch.complex(phase.cos(), phase.sin())
        if limited:
            transmission = torch.fft.ifft2(torch.fft.fft2(transmission).mul_(self._aperture))
        return transmission

    def transmit(self, band: torch.Tensor | None, transmission: torch.Tensor, propagator: torch.Tensor) -> torch.Tensor:
        wave = transmission if band is None else torch.fft.ifft2(band).mul_(transmission)
        onward: torch.Tensor = torch.fft.fft2(wave).mul_(propagator)
        return onward

    def propagate(self, band: torch.Tensor, propagator: torch.Tensor) -> torch.Tensor:
        return band.mul_(propagator)

    def to_host(self, band: torch.Tensor) -> NDArray[np.complex64]:
        spectrum = (band / self._size**2).cpu().numpy()
        return np.ascontiguousarray(spectrum[:, self._kept[:, None], self._kept], np.complex64)

    def _deposited(self, deposits: Sequence[Deposit]) -> torch.Tensor:
        """Atoms of every batch member on its grid [batch, N, N]."""
        size, batch = self._size, len(deposits)
        member = np.repeat(np.arange(batch), [len(deposit.pixels) for deposit in deposits])
        pixels = np.concatenate([deposit.pixels for deposit in deposits])
        weights = np.concatenate([deposit.weights for deposit in deposits])
        first, shares = (torch.as_tensor(part, device=self._device) for part in spread(pixels, self._support))
        points = (first[:, :, None] + torch.arange(self._support, device=self._device)) % size
        place = torch.as_tensor(member * size**2, device=self._device)[:, None, None]
        index = (place + points[:, 1, :, None] * size + points[:, 0, None, :]).flatten()
        share = shares[:, 1, :, None] * shares[:, 0, None, :]
        grids = torch.zeros((2, batch * size**2), dtype=torch.int64, device=self._device)
        for grid, part in zip(grids, (weights.real, weights.imag), strict=True):
            strength = torch.as_tensor(part.astype(np.float64), device=self._device)[:, None, None]
            grid.index_add_(0, index, (strength * share * _FIXED_POINT).round().to(torch.int64).flatten())
        real, imaginary = (grids.to(torch.float64) / _FIXED_POINT).to(self._dtype.to_real()).view(2, batch, size, size)
        return torch.complex(real, imaginary)
