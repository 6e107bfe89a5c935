"""The kinds of images, each imported when it is asked for; and those of all stages of the simulation."""

from __future__ import annotations

from exitwave.config.block import Block
from exitwave.config.exit_waves import ExitWaves
from exitwave.config.images import Hrtem, Images, MicrographFields
from exitwave.config.patterns import Diffraction
from exitwave.config.stem import Stem, StemConvolution
from exitwave.config.stm import Stm
from exitwave.config.structures import Structures
from exitwave.items import Groups, Simulation
from exitwave.structures import kinds as structures_kinds
from exitwave.waves import kinds as waves_kinds


def kind_of(block: Images) -> Simulation:
    """Module that makes images of a block."""
    match block:
        case Hrtem():
            from exitwave.images import hrtem

            return hrtem
        case StemConvolution():
            from exitwave.images import stem_convolution

            return stem_convolution
        case Stem():
            from exitwave.images import stem

            return stem
        case Stm():
            from exitwave.images import stm

            return stm
        case Diffraction():
            from exitwave.images import diffraction

            return diffraction
        case MicrographFields():
            from exitwave.images import micrographs

            return micrographs
        case _:
            raise TypeError(f"no kind of images: {type(block).__name__}")


def simulation_of(block: Block) -> Simulation:
    """Module that makes the items of a block of structures, exit waves or images."""
    match block:
        case Structures():
            return structures_kinds.kind_of(block)
        case ExitWaves():
            return waves_kinds.kind_of(block)
        case Images():
            return kind_of(block)
        case _:
            raise TypeError(f"nothing is simulated from {type(block).__name__}")


def groups_of(block: Block, identity: str, start: int, stop: int) -> Groups:
    """Groups of the items ``start`` ... ``stop - 1`` of a block that is made from no other."""
    match block:
        case Structures():
            return structures_kinds.kind_of(block).groups(block, identity, start, stop)
        case MicrographFields():
            from exitwave.images import micrographs

            return micrographs.groups(block, start, stop)
        case _:
            raise TypeError(f"{type(block).__name__} is made from other blocks")
