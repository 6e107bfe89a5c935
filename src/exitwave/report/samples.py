"""What a preview is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exitwave.study.member import Member


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
