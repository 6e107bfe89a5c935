"""The size of shards that is proposed, and what is told where the written one is far from it."""

from __future__ import annotations

from typing import Any

import pytest

from exitwave.config.structures import LARGEST_SHARD
from exitwave.study.plan import SIMULATION, shard_ranges
from exitwave.study.sharding import WANTED, Sharding, sharding_doubts, shardings


@pytest.mark.parametrize("count", [1, 7, 160, 1000, 10**4, 10**5])
@pytest.mark.parametrize("seconds", [0.01, 0.5, 4.0, 40.0, 4000.0])
def test_the_longest_job_takes_tens_of_minutes_at_most_and_jobs_are_as_few_as_that_allows(
    count: int, seconds: float
) -> None:
    one = Sharding("gold", count, 1, 1, seconds)
    size = one.proposed
    assert 1 <= size <= LARGEST_SHARD
    assert size == 1 or size * seconds <= WANTED
    assert one.jobs(size) >= min(count, 4)
    assert one.jobs(size) <= max(8, 1.1 * count / LARGEST_SHARD) or count * seconds / one.jobs(size) > WANTED / 2
    assert Sharding("gold", count, size, 1, seconds).doubt is None


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (
            Sharding("gold", 10**4, 20, 5, 0.5),
            "structures.gold.shard_size: 20 makes 2500 jobs, the longest of about 10 s; write 250 for 200 jobs, the "
            "longest of about 2 min",
        ),
        (
            Sharding("gold", 1000, 125, 3, 100.0),
            "structures.gold.shard_size: 125 makes 24 jobs, the longest of about 3.5 h; write 18 for 168 jobs, the "
            "longest of about 30 min",
        ),
        (Sharding("gold", 32, 1, 2, 0.5), None),
        (Sharding("gold", 1000, 250, 5, 0.5), None),
    ],
)
def test_far_too_many_and_far_too_long_jobs_are_told_with_what_to_write(one: Sharding, told: str | None) -> None:
    assert one.doubt == told


def test_the_longest_job_is_that_of_the_block_that_costs_most_for_a_structure(changed: Any) -> None:
    made = changed()
    (one,) = shardings(made)
    members = [member for stage in SIMULATION for member in made.stage(stage)]
    assert (one.stages, one.jobs(one.size)) == (3, sum(len(shard_ranges(member)) for member in members))
    assert one.seconds == max(m.cost.seconds * getattr(m.block, "per_structure", 1) for m in members)
    assert sharding_doubts(made) == []
    (told,) = sharding_doubts(changed(("structures.gold.count", 10**5), ("structures.gold.shard_size", 1)))
    assert told.startswith("structures.gold.shard_size: 1 makes 300000 jobs, ")


def test_blocks_that_only_a_gpu_computes_are_not_timed(changed: Any) -> None:
    on_cores = shardings(changed())[0].seconds
    assert shardings(changed(("exit_waves.thermal.device", "cuda")))[0].seconds < on_cores
