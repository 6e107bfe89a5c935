"""The multislice of abTEM, as a reference: plainly called, one configuration after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exitwave.config.exit_waves import PlaneWave
from exitwave.waves.grid import ANTIALIASING, TAPER, cut_to_band, output_grid
from exitwave.waves.multislice import Configuration, Spectra


class AbtemMultislice:
    """Engine ``abtem``; see :class:`exitwave.waves.multislice.Multislice` for what it is made from and gives."""

    def __init__(self, block: PlaneWave, edge: float) -> None:
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
        from ase import Atoms

        block = self._block
        height = n_slices * block.slice_thickness
        passed = sorted({*planes, n_slices})
        # NumPy's transforms give the same bits in every run; plans that FFTW measures do not.
        settings = {
            "antialias.cutoff": 1 / ANTIALIASING,
            "antialias.taper": TAPER,
            "device": "cpu",
            "fft": "numpy",
            "precision": "float32",
        }
        positions = configuration.positions[chosen].copy()
        positions[:, :2] %= self._edge
        with abtem.config.set(settings):
            potential = abtem.Potential(
                Atoms(configuration.numbers[chosen], positions, cell=(self._edge, self._edge, height), pbc=True),
                gpts=self._band * 3 // 2,
                slice_thickness=(block.slice_thickness,) * n_slices,
                parametrization=block.parametrization,
                projection=block.projection,
                exit_planes=tuple(plane - 1 for plane in passed),
            )
            waves = abtem.PlaneWave(energy=block.energy, tilt=tilt).multislice(potential, lazy=False)
        array = waves.array.reshape(-1, *waves.array.shape[-2:]).swapaxes(-2, -1)
        spectra = cut_to_band(np.fft.fft2(array, norm="forward"), self._band).astype(np.complex64)
        return dict(zip(passed, spectra, strict=True))
