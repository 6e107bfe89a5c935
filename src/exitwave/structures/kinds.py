"""The kinds of structures, each imported when it is asked for."""

from __future__ import annotations

from exitwave.config.structures import NanoparticlesOnSubstrate, StructureFiles, Structures
from exitwave.items import StructureSimulation


def kind_of(block: Structures) -> StructureSimulation:
    """Module that makes structures of a block."""
    match block:
        case NanoparticlesOnSubstrate():
            from exitwave.structures import nanoparticles

            return nanoparticles
        case StructureFiles():
            from exitwave.structures import files

            return files
        case _:
            raise TypeError(f"no kind of structures: {type(block).__name__}")
