"""The graph of blocks: a block with those it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from exitwave.config.block import Block

B = TypeVar("B", bound=Block)


@dataclass(frozen=True)
class Node:
    """One block after expansion, and what it is made from.

    Attributes
    ----------
    stage : str
    name : str
        Name in the config, of a member of a family with its labels in brackets.
    block : Block
    upstream : mapping of sequences of Node
        For each key that names blocks of an earlier stage those blocks.
    """

    stage: str
    name: str
    block: Block
    upstream: Mapping[str, Sequence[Node]]

    def of(self, kind: type[B]) -> B:
        """The block, known to be of a kind, or of one of the kinds of a stage.

        Raises
        ------
        TypeError
            If it is not: a bug, since linking has checked it.
        """
        if not isinstance(self.block, kind):
            raise TypeError(f"{self.stage}.{self.name} is {type(self.block).__name__}, not {kind.__name__}")
        return self.block

    def source(self, key: str) -> Node:
        """The one block named by ``key``."""
        return self.upstream[key][0]

    def origin(self) -> Node:
        """The block that a block of the simulation stages goes back to: of structures, or of micrographs."""
        return self if not self.upstream else self.source(next(iter(self.block.MADE_FROM))).origin()
