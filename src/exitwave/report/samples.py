"""What a preview is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exitwave.study.member import Member

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from exitwave.data.shards import Shard


@dataclass(frozen=True)
class Sample:
    """A few items of one member, as the workflow would write them.

    Attributes
    ----------
    member : Member
    shard : path
        Shard of the stage of the member.
    structures : int
        Structures behind the items.
    """

    member: Member
    shard: Path
    structures: int


@dataclass(frozen=True)
class Panels:
    """How the images of a kind are shown on a sheet.

    Attributes
    ----------
    draw : function
        Draws the image at a place of a shard, which has this row of the table.
    told : tuple of str
        Shape and pixel of the images, and what else there is to say of what is drawn.
    legend : sequence of Artist
        What is drawn over the images.
    """

    draw: Callable[[Axes, Shard, int, Mapping[Any, Any]], None]
    told: tuple[str, str]
    legend: Sequence[Artist] = field(default=())
