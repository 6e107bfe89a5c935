"""What a study will make and cost, known before the first job: shards, their sources, memory, time, disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from exitwave.benchmark.kinds import cases_of
from exitwave.config.benchmarks import Benchmark
from exitwave.config.datasets import Dataset
from exitwave.config.images import Images
from exitwave.config.trainings import Training
from exitwave.images.kinds import simulation_of
from exitwave.items import BYTES_OF_A_ROW
from exitwave.study.member import Member, Study, pool_size

SIMULATION = ("structures", "exit_waves", "images")
"""Stages whose kinds make items in shards."""
_LONGER = 10.0
"""A job is given so many times the time that is estimated: for slower processors, and the first call of each kernel."""


def shard_ranges(member: Member) -> list[tuple[int, int]]:
    """Item ranges of the shards of a block of the simulation: [start, stop) for each job."""
    count, size = member.first().count, member.first().shard_size
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def sources_of(member: Member) -> dict[str, Member]:
    """Blocks of earlier stages whose shards a job of the simulation reads, the one whose table goes on first."""
    named = [source for sources in member.upstream.values() for source in sources]
    chain, further = {}, member
    while further.upstream:
        further = further.source(next(iter(further.block.MADE_FROM)))
        chain[further.stage] = further
    needed = simulation_of(member.block).needs(member.block)
    return {**{source.stage: source for source in named}, **{stage: chain[stage] for stage in needed}}


def items_of(member: Member) -> int:
    """Items that a block of the simulation gives."""
    return pool_size(member) if member.stage == "images" else member.first().count


def memory_of_shard(member: Member) -> int:
    """Memory of a job of the simulation [MB], however many items it makes."""
    return math.ceil(simulation_of(member.block).cost(member).memory)


def runtime_of_shard(member: Member, structures: int) -> int:
    """Time that a job of the simulation is given [min]."""
    items = structures * (member.of(Images).per_structure if member.stage == "images" else 1)
    return math.ceil(10 + _LONGER * items * simulation_of(member.block).cost(member).seconds / 60)


def memory_of_training(training: Member) -> int:
    """Memory of a training [MB]: counts, images and targets; what is streamed, and two more epochs of it."""
    dataset = training.source("datasets")
    families = dataset.upstream["images"]
    images = dataset.of(Dataset).size or sum(map(pool_size, families))
    megapixels = 1e-6 * images * families[0].of(Images).size ** 2
    streamed = 2200 + 10 * megapixels if training.of(Training).streaming else 0
    return int(4000 + 14 * megapixels + streamed)


def how_to_train(training: Member) -> dict[str, Any]:
    """Device, precision and threads of a training, which are no part of what it is."""
    block = training.of(Training)
    return {"device": block.device, "precision": block.precision, "threads": block.threads}


def aim_of_benchmark(benchmark: Member) -> dict[str, Any]:
    """Kind and target of the networks that a benchmark scores, in plain values."""
    return cases_of(benchmark.of(Benchmark)).aim(benchmark.upstream["trainings"])


@dataclass(frozen=True)
class StagePlan:
    """Jobs, items, disk and time of one block."""

    stage: str
    name: str
    folder: str
    jobs: int
    items: int
    bytes_per_item: float
    seconds_per_item: float | None = None
    """Time of one core [s]; none where no estimate is made: of what learns."""

    @property
    def core_hours(self) -> float:
        """Estimated time of one core for all items [h]; 0 where none is made."""
        return self.items * (self.seconds_per_item or 0.0) / 3600

    @property
    def gigabytes(self) -> float:
        """Estimated disk of all items."""
        return self.items * self.bytes_per_item / 1e9


def plan(study: Study) -> list[StagePlan]:
    """Jobs, items, estimated disk and time of every block of a study."""
    rows = []
    for stage in SIMULATION:
        for member in study.stage(stage):
            cost = simulation_of(member.block).cost(member)
            jobs, items = len(shard_ranges(member)), items_of(member)
            rows.append(StagePlan(stage, member.name, member.folder, jobs, items, cost.stored, cost.seconds))
    for member in study.stage("datasets"):
        pool = sum(pool_size(m) for m in member.upstream["images"])
        drawn = member.of(Dataset).size or pool
        rows.append(StagePlan("datasets", member.name, member.folder, 1, drawn, BYTES_OF_A_ROW))
    for member in study.stage("trainings"):
        seeds = member.of(Training).seeds
        # Weights of about 14 million parameters in single precision; the checkpoint has four such sets.
        rows.append(StagePlan("trainings", member.name, member.folder, seeds, seeds, 14.3e6 * 4 * 5))
    for member in study.stage("benchmarks"):
        networks = sum(m.of(Training).seeds for m in member.upstream["trainings"])
        rows.append(StagePlan("benchmarks", member.name, member.folder, networks + 2, networks, 20e6))
    return rows
