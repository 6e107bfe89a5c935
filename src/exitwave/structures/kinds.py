"""The kinds of structures, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exitwave.config.crystals import Crystals, Multilayer
from exitwave.config.monolayers import Monolayers
from exitwave.config.structures import NanoparticlesOnSubstrate, StructureFiles, Structures
from exitwave.items import StructureSimulation

CRYSTALS_TOLD = 20
"""Crystals that a study is made of, told one a line."""


def kind_of(block: Structures) -> StructureSimulation:
    """Module that makes structures of a block."""
    match block:
        case NanoparticlesOnSubstrate():
            from exitwave.structures import nanoparticles

            return nanoparticles
        case StructureFiles():
            from exitwave.structures import files

            return files
        case Crystals():
            from exitwave.structures import crystals

            return crystals
        case Multilayer():
            from exitwave.structures import multilayer

            return multilayer
        case Monolayers():
            from exitwave.structures import monolayers

            return monolayers
        case _:
            raise TypeError(f"no kind of structures: {type(block).__name__}")


def crystals_told(blocks: Iterable[Structures]) -> Iterator[str]:
    """What is read as crystals, each once in words; of many the first ones, and that there are more."""
    told: set[str] = set()
    for text in (text for block in blocks for text in kind_of(block).crystals(block)):
        if text not in told:
            if len(told) == CRYSTALS_TOLD:
                yield "and more crystals"
                return
            told.add(text)
            yield text
