"""What a study will cost and make, known before the first job."""

from __future__ import annotations

import json
from dataclasses import dataclass

from exitwave.config.distributions import bounds
from exitwave.config.specimen import LayeredSubstrate
from exitwave.config.study import Member, Study, pool_size, structures_of


def shard_ranges(structures: Member) -> list[tuple[int, int]]:
    """Item ranges of the shards of a structures block: [start, stop) for each job."""
    count, size = structures.block.count, structures.block.shard_size
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def describe(member: Member) -> str:
    """A block as a job sees it, as canonical JSON: no counts, so that raising one reruns nothing."""
    block = member.block.model_dump(mode="json", exclude=set(member.block.COUNTS))
    content = {"stage": member.stage, "name": member.name, "hash": member.hash, "seed": member.seed, "block": block}
    return json.dumps(content, sort_keys=True)


@dataclass(frozen=True)
class StagePlan:
    """Jobs, items and disk of one block."""

    stage: str
    name: str
    folder: str
    jobs: int
    items: int
    gigabytes: float


def plan(study: Study) -> list[StagePlan]:
    """Jobs, items and estimated disk of every block of a study."""
    rows = []
    for stage in ("structures", "exit_waves", "images"):
        for member in study.stage(stage):
            structures = structures_of(member)
            items = pool_size(member) if stage == "images" else structures.block.count
            size = items * _bytes_per_item(member) / 1e9
            rows.append(StagePlan(stage, member.name, member.folder, len(shard_ranges(structures)), items, size))
    for member in study.stage("datasets"):
        pool = sum(pool_size(m) for m in member.upstream["images"])
        rows.append(StagePlan("datasets", member.name, member.folder, 1, member.block.size or pool, pool * 1e-6))
    for member in study.stage("trainings"):
        seeds = member.block.seeds
        # Weights of about 14 million parameters in single precision; the checkpoint has four such sets.
        rows.append(StagePlan("trainings", member.name, member.folder, seeds, seeds, seeds * 14.3e6 * 4 * 5 / 1e9))
    for member in study.stage("benchmarks"):
        networks = sum(m.block.seeds for m in member.upstream["trainings"])
        rows.append(StagePlan("benchmarks", member.name, member.folder, networks + 2, networks, networks * 0.02))
    return rows


_LAYER_THICKNESS = 6.5
"""Thickness [Å] of a layer, about that of MX2."""


def _bytes_per_item(member: Member) -> float:
    structures = structures_of(member).block
    if member.stage == "structures":
        substrate, thickness = structures.substrate, 0.0
        if isinstance(substrate, LayeredSubstrate):
            thickness = _LAYER_THICKNESS * bounds(substrate.layers)[1]
        elif substrate is not None:
            thickness = bounds(substrate.thickness)[1]
        # About 0.1 atoms an Å³; 16 bytes an atom, of which some nine remain after compression.
        return float(structures.field_of_view**2 * thickness * 0.1 * 9)
    if member.stage == "exit_waves":
        grid = structures.field_of_view / member.block.sampling
        return float(2 * max(1, member.block.frozen_phonons) * grid**2 * 8)
    # Counts of mostly one byte and a half-precision phase.
    return float(member.block.size**2 * 3)
