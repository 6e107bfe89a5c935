"""How many structures belong into a shard: a job should take some tens of minutes, and all should be some thousand."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exitwave.config.images import Images
from exitwave.config.structures import LARGEST_SHARD, Structures
from exitwave.study.member import Member, Study
from exitwave.study.plan import SIMULATION

WANTED = 1800.0
"""Time of one core that the longest job of a shard is to take [s]."""
AT_ONCE = 8
"""Shards of a block at the least, so that there is something to do side by side."""
FAR = 4.0
"""Factor between a written and the proposed size below which nothing is said."""
MANY = 100
"""Jobs of the simulation below which short ones are no loss worth telling of."""


@dataclass(frozen=True)
class Sharding:
    """How the structures of a block, and all that is simulated from them, are divided into jobs.

    Attributes
    ----------
    name : str
        Name of the structures block.
    count, size : int
        Structures, and how many of them a shard has.
    stages : int
        Blocks that make a shard each of the same structures.
    seconds : float
        Time of one core for one structure in the block that takes longest [s].
    """

    name: str
    count: int
    size: int
    stages: int
    seconds: float

    @property
    def proposed(self) -> int:
        """Structures in a shard so that jobs are neither long nor more than need be; shards are about equal."""
        most = min(LARGEST_SHARD, math.ceil(self.count / AT_ONCE), max(1, math.floor(WANTED / self.seconds)))
        return math.ceil(self.count / math.ceil(self.count / most))

    def jobs(self, size: int) -> int:
        """Jobs of the simulation with so many structures in a shard."""
        return self.stages * math.ceil(self.count / size)

    def told(self, size: int) -> str:
        """Jobs and the longest of them with so many structures in a shard, in words."""
        return f"{self.jobs(size)} jobs, the longest of about {_duration(min(size, self.count) * self.seconds)}"

    @property
    def doubt(self) -> str | None:
        """A sentence where the written size is far from the proposed one; none where it is not."""
        too_small = self.size * FAR < self.proposed and self.jobs(self.size) > MANY
        too_large = self.size > self.proposed and min(self.size, self.count) * self.seconds > FAR * WANTED
        if not too_small and not too_large:
            return None
        return (
            f"structures.{self.name}.shard_size: {self.size} makes {self.told(self.size)}; write {self.proposed} for "
            f"{self.told(self.proposed)}"
        )


def shardings(study: Study) -> list[Sharding]:
    """How the structures of each block are divided into jobs; without blocks that only GPUs compute."""
    found: dict[str, list[Member]] = {}
    for stage in SIMULATION:
        for member in study.stage(stage):
            found.setdefault(member.origin().folder, []).append(member)
    result = []
    for members in found.values():
        first = members[0].origin()
        seconds = [_seconds(member) for member in members if getattr(member.block, "device", "cpu") != "cuda"]
        if isinstance(first.block, Structures) and seconds:
            block = first.block
            result.append(Sharding(first.name, block.count, block.shard_size, len(members), max(seconds)))
    return result


def sharding_doubts(study: Study) -> list[str]:
    """A sentence for each block of structures whose shards make far too many jobs, or far too long ones."""
    return [doubt for one in shardings(study) if (doubt := one.doubt)]


def _seconds(member: Member) -> float:
    """Time of one core for all items of one structure [s]."""
    return member.cost.seconds * (member.of(Images).per_structure if member.stage == "images" else 1)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
