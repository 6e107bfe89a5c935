"""Convergent probes: what falls on the entrance face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from exitwave.electron import wavelength


@dataclass(frozen=True)
class Probes:
    """Some probes.

    Parameters
    ----------
    semiangles : float64 array [probe]
        Semiangles of convergence [mrad].
    positions : float64 array [probe, 2]
        Places x, y [Å].
    defocus : float
        Depth below the entrance face at which they are in focus [Å].
    """

    semiangles: NDArray[np.float64]
    positions: NDArray[np.float64]
    defocus: float = 0.0

    @classmethod
    def at_all(cls, semiangles: Sequence[float], positions: NDArray[np.float64], defocus: float) -> Probes:
        """Those of each semiangle in turn at all positions."""
        return cls(
            np.repeat(np.array(semiangles, np.float64), len(positions)),
            np.tile(positions, (len(semiangles), 1)),
            defocus,
        )

    def __len__(self) -> int:
        return len(self.semiangles)

    def some(self, start: int, stop: int) -> Probes:
        """Those from one number up to another."""
        return Probes(self.semiangles[start:stop], self.positions[start:stop], self.defocus)

    def by_semiangle(self) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """Positions of neighbours of one semiangle, in order."""
        for semiangle, members in groupby(range(len(self)), lambda probe: self.semiangles[probe]):
            yield float(semiangle), self.positions[list(members)]

    def spectra(self, size: int, edge: float, energy: float) -> NDArray[np.complex64]:
        """Spectra at the entrance face, ``A(k) exp(i π λ f k² - 2 π i k·r)``, over the band.

        Parameters
        ----------
        size : int
            Frequencies M along an edge.
        edge : float
            Edge of the field [Å].
        energy : float
            Beam energy [eV].

        Returns
        -------
        complex64 array [probe, M, M]
            Rows ky, columns kx in the order of ``fftfreq``; the sum of intensities is 1.
        """
        k = np.fft.fftfreq(size, edge / size)
        focus = np.exp(1j * np.pi * wavelength(energy) * self.defocus * (k[:, None] ** 2 + k**2))
        spectra: list[NDArray[np.complex64]] = []
        for semiangle, positions in self.by_semiangle():
            disk = aperture_disk(size, edge, semiangle, energy) * focus
            disk /= np.linalg.norm(disk)
            for x, y in positions:
                shifts = [np.exp(-2j * np.pi * k * place) for place in (y, x)]
                spectra.append((disk * np.outer(*shifts)).astype(np.complex64))
        return np.stack(spectra)


def aperture_disk(size: int, edge: float, semiangle: float, energy: float) -> NDArray[np.float64]:
    """Aperture of a probe, with an edge as soft as the pixels of its spectrum, as abTEM makes it.

    Parameters
    ----------
    size : int
        Frequencies M along an edge.
    edge : float
        Edge of the field [Å]; the spacing of frequencies is its inverse.
    semiangle : float
        Semiangle of convergence [mrad].
    energy : float
        Beam energy [eV].

    Returns
    -------
    float64 array [M, M]
        ``clip(k_r + 1/2 - |k|, 0, 1)`` with k in pixels and ``k_r`` the semiangle over the wavelength, in the order of
        ``fftfreq``.
    """
    k = np.fft.fftfreq(size, 1 / size)
    radius = frequency(semiangle, energy) * edge
    disk: NDArray[np.float64] = np.clip(radius + 0.5 - np.hypot(k[:, None], k), 0, 1)
    return disk


def frequency(angle: float, energy: float) -> float:
    """Spatial frequency [1/Å] of a scattering angle [mrad]: the angle over the wavelength, as for small ones."""
    return angle * 1e-3 / wavelength(energy)
