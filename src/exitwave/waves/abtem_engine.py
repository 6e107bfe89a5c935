"""The multislice of abTEM, as a reference: plainly called, one configuration after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.config.exit_waves import MultisliceWaves
from exitwave.waves.grid import ANTIALIASING, TAPER, cut_to_band, output_grid
from exitwave.waves.multislice import Configuration, Spectra
from exitwave.waves.probes import Probes

if TYPE_CHECKING:
    from abtem import Potential

# NumPy's transforms give the same bits in every run; plans that FFTW measures do not.
SETTINGS = {
    "antialias.cutoff": 1 / ANTIALIASING,
    "antialias.taper": TAPER,
    "device": "cpu",
    "fft": "numpy",
    "precision": "float32",
}


class AbtemMultislice:
    """Engine ``abtem``; see :class:`exitwave.waves.multislice.Multislice` for what it is made from and gives."""

    def __init__(self, block: MultisliceWaves, edge: float) -> None:
        self._block, self._edge = block, edge
        self._band = output_grid(edge, block.simulated_sampling)

    def spectra(
        self,
        configurations: Sequence[Configuration],
        n_slices: int,
        tilt: tuple[float, float] = (0.0, 0.0),
        planes: Sequence[int] = (),
    ) -> Spectra:
        """Pass the plane wave through a batch of configurations; see ``Multislice.spectra``."""
        whole = [self._simulated(c, np.ones(len(c.numbers), bool), n_slices, tilt, planes) for c in configurations]
        alone = [self._simulated(c, c.in_particle, n_slices, tilt, ()) for c in configurations]
        return Spectra(
            np.stack([waves[n_slices] for waves in whole]),
            np.stack([waves[n_slices] for waves in alone]),
            [np.stack([waves[plane] for waves in whole]) for plane in planes],
        )

    def probes(
        self, configuration: Configuration, probes: Probes, n_slices: int, planes: Sequence[int]
    ) -> Iterator[NDArray[np.complex64]]:
        """Pass probes through a configuration, as abTEM makes them; see ``Multislice.probes``."""
        import abtem

        passed = []
        with abtem.config.set(SETTINGS):
            potential = self._potential(configuration, np.ones(len(configuration.numbers), bool), n_slices, planes)
            for semiangle, positions in probes.by_semiangle():
                probe = abtem.Probe(
                    semiangle_cutoff=semiangle,
                    energy=self._block.energy,
                    defocus=probes.defocus,
                    aberrations=dict(probes.aberrations),
                )
                waves = probe.multislice(potential, scan=abtem.CustomScan(positions), lazy=False)
                spectra = self._spectra(waves.array).reshape(len(planes), len(positions), self._band, self._band)
                # Its probes have a sum of intensities of 1 in the unnormalised spectrum.
                passed.append(spectra * (self._band * 3 // 2) ** 2)
        yield from np.concatenate(passed, axis=1)

    def _simulated(
        self,
        configuration: Configuration,
        chosen: NDArray[np.bool_],
        n_slices: int,
        tilt: tuple[float, float],
        planes: Sequence[int],
    ) -> dict[int, NDArray[np.complex64]]:
        """Spectra [M, M] by the number of slices passed: those asked for, and all."""
        import abtem

        passed = sorted({*planes, n_slices})
        with abtem.config.set(SETTINGS):
            potential = self._potential(configuration, chosen, n_slices, passed)
            waves = abtem.PlaneWave(energy=self._block.energy, tilt=tilt).multislice(potential, lazy=False)
        spectra = self._spectra(waves.array.reshape(-1, *waves.array.shape[-2:]))
        return dict(zip(passed, spectra, strict=True))

    def _potential(
        self, configuration: Configuration, chosen: NDArray[np.bool_], n_slices: int, planes: Sequence[int]
    ) -> Potential:
        from abtem import Potential
        from ase import Atoms

        block = self._block
        positions = configuration.positions[chosen].copy()
        positions[:, :2] %= self._edge
        cell = (self._edge, self._edge, n_slices * block.slice_thickness)
        return Potential(
            Atoms(configuration.numbers[chosen], positions, cell=cell, pbc=True),
            gpts=self._band * 3 // 2,
            slice_thickness=(block.slice_thickness,) * n_slices,
            parametrization=block.parametrization,
            projection=block.projection,
            exit_planes=tuple(plane - 1 for plane in planes),
        )

    def _spectra(self, waves: NDArray[np.complex64]) -> NDArray[np.complex64]:
        """Spectra [..., M, M] over the band of waves [..., x, y], in our order."""
        return cut_to_band(np.fft.fft2(waves.swapaxes(-2, -1), norm="forward"), self._band).astype(np.complex64)
