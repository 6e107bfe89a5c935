"""The block of the models that classify the graphs of the atoms of images."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from exitwave.config.block import Whole
from exitwave.config.models import Classifier

FEATURES = 4
"""Numbers of an atom, or of a bond, in the table of a graph."""
ATOMS = 400
"""Atoms of a graph at most, those nearest to the middle of the image."""
CENTRES = 48
"""Of those the atoms at most that bonds start from; the others are only ends."""


class Graphs(Classifier):
    """A network that tells classes of images apart by the graph of the atoms found in them."""

    ROUNDED = False
    kind: Literal["graphs"]
    bonds: Literal["alike", "nearest"] = Field(
        "alike",
        description="what the atoms at the middle of an image are bonded to. alike: the atoms that the autocorrelation "
        "has them alike to, if no nearer one, as alike, stands before; nearest: the nearest atoms, whatever they are",
    )
    neighbours: Whole = Field(12, ge=2, le=24, description="bonds of an atom at the most")
    hidden: Whole = Field(48, ge=8, le=512, description="features of each atom, bond and pair of bonds in the network")
    line_layers: Whole = Field(
        2, ge=0, le=8, description="layers on the line graph, whose nodes are bonds, each followed by one on the graph"
    )
    layers: Whole = Field(1, ge=0, le=8, description="layers on the graph alone, after those")

    def table(self) -> tuple[int, int]:
        """Shape of the table of a graph."""
        return ATOMS + CENTRES * self.neighbours, FEATURES

    def seen(self, size: int) -> tuple[int, int]:
        """Channels and edge [px] of an image with as many numbers as a table, whatever the size of the images."""
        return 1, math.isqrt(math.prod(self.table()))

    def parts(self) -> dict[str, Any]:
        """See :meth:`Network.parts`."""
        return {key: getattr(self, key) for key in ("kind", "bonds", "neighbours", "hidden", "line_layers", "layers")}
