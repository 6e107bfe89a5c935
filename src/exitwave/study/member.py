"""The members of a study: blocks after expansion, with their identities and what they are made from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from exitwave.benchmark.kinds import cases_of
from exitwave.config.benchmarks import Benchmark
from exitwave.config.block import Block
from exitwave.config.datasets import Dataset
from exitwave.config.graph import Node
from exitwave.config.images import Images, MicrographFields
from exitwave.config.kinds import STAGES
from exitwave.config.models import DEFAULT_AIM
from exitwave.config.structures import Structures
from exitwave.errors import ConfigError
from exitwave.images.kinds import simulation_of
from exitwave.items import Cost
from exitwave.study.scale import PAPER


@dataclass(frozen=True)
class Member(Node):
    """A block of a study: what it is, what it is made from, and where its artifacts stand."""

    upstream: Mapping[str, Sequence[Member]]
    hash: str
    seed: int = field(repr=False)

    @cached_property
    def folder(self) -> str:
        """Folder below ``results/``; a changed value gives another folder."""
        # File systems allow 255 bytes; the hash tells apart what the name then does not.
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", self.name.replace("=", "-")).strip("_")[:120]
        return f"{self.stage}/{slug}-{self.hash}"

    @cached_property
    def cost(self) -> Cost:
        """What an item of a block of the simulation stages costs."""
        return simulation_of(self.block).cost(self)

    def source(self, key: str) -> Member:
        """The one block named by ``key``."""
        return self.upstream[key][0]

    def origin(self) -> Member:
        """The block that a block of the simulation stages goes back to: of structures, or of micrographs."""
        origin = super().origin()
        assert isinstance(origin, Member)
        return origin

    def first(self) -> Structures | MicrographFields:
        """The block of its origin, which says how many items there are."""
        block = self.origin().block
        assert isinstance(block, Structures | MicrographFields)
        return block


@dataclass(frozen=True)
class Study:
    """All members of a study, by stage and name."""

    source: str
    seed: int
    members: dict[str, dict[str, Member]]
    scale: str = PAPER

    def stage(self, stage: str) -> list[Member]:
        return list(self.members[stage].values())

    def member(self, folder: str) -> Member:
        """The member whose artifacts stand in ``folder`` (a wildcard of the workflow)."""
        if folder not in self._by_folder:
            raise ConfigError(f"{self.source}: no block has its artifacts in '{folder}'")
        return self._by_folder[folder]

    @cached_property
    def _by_folder(self) -> dict[str, Member]:
        found = [member for members in self.members.values() for member in members.values()]
        # Of blocks that are the same under two names the first.
        return {member.folder: member for member in reversed(found)}


def identity(stage: str, block: Block, upstream: Mapping[str, Sequence[Member]], seed: int) -> str:
    """Eight hex digits that stand for what a block makes.

    Covers the values of the resolved block that are not those of their defaults, without counts and names of other
    blocks; the identities upstream, the ``VERSION`` of the kind and the root seed. The price of leaving defaults out:
    a changed default must come with a new ``VERSION``, which the record ``config/defaults.json`` sees to.
    """
    left_out = set(block.COUNTS) | set(block.MADE_FROM)
    content: dict[str, Any] = {
        "stage": stage,
        "version": block.VERSION,
        # Without values equal to their defaults, so that a new key changes nothing that was made without it.
        "block": block.model_dump(mode="json", exclude=left_out, exclude_defaults=True),
        # A benchmark is the same whichever networks are scored on it.
        "upstream": {
            key: [m.hash for m in members] for key, members in upstream.items() if members and key not in block.COUNTS
        },
    }
    if stage not in ("models", "benchmarks"):
        content["seed"] = seed
    # A CIF file or an MTF is part of what is made, whatever its name; materials of the library are not files.
    # Of several structures in a file one is named after its path, as in phases.cif#anatase.
    # Networks to start from that are made by another block have its identity.
    named = [] if "start_from" in upstream else block.may_be_files()
    files = [Path(name if os.path.isfile(name) else name.rpartition("#")[0]) for name in named]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if os.path.isfile(path)]
    if digests:
        content["files"] = digests
    if names := block.file_names():
        content["names"] = names
    if isinstance(block, Benchmark):
        # Which networks are scored does not matter, but what they have learned is what they are scored against.
        aim = cases_of(block).aim(upstream["trainings"])
        version = STAGES["models"][aim["kind"]].VERSION
        if (aim, version) != (DEFAULT_AIM, 1):
            content["aim"] = {**aim, "version": version}
    if isinstance(block, Dataset):
        # What is drawn depends on how many there are to draw from. In the order of names, in which the draw goes too:
        # the order in the file does not matter.
        sources = zip(upstream["images"], block.shares().values(), strict=True)
        content["upstream"] = sorted((m.name, m.hash, pool_size(m), share) for m, share in sources)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def pool_size(images: Member) -> int:
    """Number of images that an images block gives."""
    return images.first().count * images.of(Images).per_structure
