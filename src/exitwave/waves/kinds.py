"""The kinds of exit waves, each imported when it is asked for."""

from __future__ import annotations

from exitwave.config.exit_waves import ExitWaves, PlaneWave, Probe, ScatteringMatrix
from exitwave.config.scans import ProbeScan
from exitwave.config.stm import LocalDensity
from exitwave.items import Simulation


def kind_of(block: ExitWaves) -> Simulation:
    """Module that makes exit waves of a block."""
    match block:
        case PlaneWave():
            from exitwave.waves import plane_wave

            return plane_wave
        case ScatteringMatrix():
            from exitwave.waves import scattering_matrix

            return scattering_matrix
        case Probe():
            from exitwave.waves import probe

            return probe
        case ProbeScan():
            from exitwave.waves import scan

            return scan
        case LocalDensity():
            from exitwave.waves import ldos

            return ldos
        case _:
            raise TypeError(f"no kind of exit waves: {type(block).__name__}")
