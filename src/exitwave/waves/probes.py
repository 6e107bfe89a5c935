"""Convergent probes: what falls on the entrance face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from exitwave.electron import wavelength
from exitwave.waves.aberrations import reciprocal_grid, transfer_function


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
    aberrations : mapping
        Krivanek coefficients ``C12``, ... [Å] and angles ``phi12``, ... [rad] beside the defocus; what is left out
        is 0.
    """

    semiangles: NDArray[np.float64]
    positions: NDArray[np.float64]
    defocus: float = 0.0
    aberrations: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def at_all(
        cls,
        semiangles: Sequence[float],
        positions: NDArray[np.float64],
        defocus: float,
        aberrations: Mapping[str, float] | None = None,
    ) -> Probes:
        """Those of each semiangle in turn at all positions."""
        return cls(
            np.repeat(np.array(semiangles, np.float64), len(positions)),
            np.tile(positions, (len(semiangles), 1)),
            defocus,
            aberrations or {},
        )

    def __len__(self) -> int:
        return len(self.semiangles)

    def some(self, start: int, stop: int) -> Probes:
        """Those from one number up to another."""
        return replace(self, semiangles=self.semiangles[start:stop], positions=self.positions[start:stop])

    def by_semiangle(self) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """Positions of neighbours of one semiangle, in order."""
        for semiangle, members in groupby(range(len(self)), lambda probe: self.semiangles[probe]):
            yield float(semiangle), self.positions[list(members)]

    def spectra(self, size: int, edge: float, energy: float) -> NDArray[np.complex64]:
        """Spectra at the entrance face, ``A(k) exp(i π λ f k² - i χ(k) - 2 π i k·r)``, over the band.

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
        if any(self.aberrations.values()):
            focus = focus * transfer_function(reciprocal_grid((size, size), edge / size, energy), self.aberrations)
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


def beyond(distance: float, semiangle: float, energy: float, defocus: float, aberrations: Mapping[str, float]) -> float:
    """Share of the intensity of a probe in vacuum that lies further than a distance from its middle.

    Parameters
    ----------
    distance : float
        [Å].
    semiangle : float
        Semiangle of convergence [mrad].
    energy : float
        Beam energy [eV].
    defocus : float
        Distance of the focus [Å].
    aberrations : mapping
        As of :class:`Probes`.
    """
    # Of what falls as 1/r an eighth is beyond the edges of such a field.
    edge = 16 * distance
    size = 2 * int(np.ceil(1.5 * edge * frequency(semiangle, energy)))
    probe = Probes.at_all([semiangle], np.full((1, 2), edge / 2), defocus, aberrations)
    wave = np.fft.ifft2(probe.spectra(size, edge, energy)[0], norm="ortho")
    place = np.arange(size) * edge / size - edge / 2
    return float((np.abs(wave) ** 2)[np.hypot(place[:, None], place) > distance].sum())
