"""The block of the models that find atomic columns in images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exitwave.config.block import Block, Positive
from exitwave.config.models import PixelNetwork


class SpotTarget(Block):
    """A map with a Gaussian at the place of each column, lower where noise hides the column."""

    sigma: Positive = Field(0.35, description="standard deviation of the Gaussians [Å]")


class Atoms(PixelNetwork):
    """A network that finds atomic columns: from an image a map with a spot at the place of each."""

    VERSION = 3
    kind: Literal["atoms"]
    target: SpotTarget = Field(SpotTarget(), description="map that is learned")

    def columns(self) -> tuple[str, ...]:
        """The pixel, from which the width of spots in pixels follows."""
        return ("pixel_size",)
