"""What every kind of structures, exit waves and images keeps to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from exitwave.config.kinds import STAGES
from exitwave.data.columns import COLUMNS, columns_made
from exitwave.data.tables import read_table, table_path
from exitwave.images.kinds import groups_of, simulation_of
from exitwave.items import Asked, Item, Simulation, item_rng
from exitwave.jobs.simulate import read_source
from exitwave.study.plan import SIMULATION, items_of, memory_of_shard, runtime_of_shard, sources_of

KINDS = [(stage, kind) for stage in SIMULATION for kind in STAGES[stage]]
UNITS = {"", "Å", "Å²", "rad", "°", "counts/px", "mrad", "1/Å", "1/Å³"}
"""Units of arrays and axes that are in use."""


@pytest.fixture(params=KINDS, ids=[f"{stage}/{kind}" for stage, kind in KINDS])
def member(made: Any, request: pytest.FixtureRequest) -> Any:
    stage, kind = request.param
    found = [m for m in made.study.stage(stage) if m.block.kind == kind]
    assert found, f"EXAMPLES in tests/shared/every_kind.py has no {stage} of kind {kind}"
    return found[0]


@pytest.fixture
def kind(member: Any) -> Simulation:
    return simulation_of(member.block)


def asked_for(made: Any, member: Any, items: list[int]) -> list[Asked]:
    sources = {stage: made.open(source) for stage, source in sources_of(member).items()}
    draws = getattr(member.block, "per_structure", 1)
    rows: list[Any] = []
    if sources:
        rows = read_table(table_path(next(iter(sources.values())).path)).to_dict("records")
    return [
        Asked(
            item,
            tuple(item_rng(1, member.stage, member.hash, item, draw) for draw in range(draws)),
            *(
                (rows[item], {stage: shard.item(item) for stage, shard in sources.items()})
                if sources
                else read_source(member.block, item)
            ),
        )
        for item in items
    ]


def same(one: Item, other: Item) -> bool:
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(one.arrays[name].values, other.arrays[name].values, equal_nan=True) for name in one.arrays
    )


def test_every_array_says_what_its_axes_and_numbers_are(made: Any, member: Any) -> None:
    shard = made.open(member)
    assert shard.names()
    for name, array in shard.item(0).items():
        names = [axis.name for axis in array.axes]
        assert len(set(names)) == len(names), name
        assert array.unit in UNITS, name
        for axis, length in zip(array.axes, array.values.shape, strict=True):
            assert (axis.spacing is None) == (axis.unit == ""), f"{name}: axis {axis.name}"
            assert axis.unit in UNITS
            assert not axis.labels or len(axis.labels) == length
            assert axis.spacing is not None or axis.name not in ("x", "y", "z", "kx", "ky"), f"{name} has no spacing"


def test_dimension_names_stand_in_the_store_itself(made: Any, member: Any) -> None:
    shard = made.open(member)
    for name, array in shard.item(1).items():
        node = shard.group[f"{name}/1"] if array.ragged else shard.group[name]
        expected = ([] if array.ragged else ["item"]) + [axis.name for axis in array.axes]
        assert list(node.metadata.dimension_names) == expected, name


def test_the_columns_made_are_those_declared(made: Any, member: Any) -> None:
    table = read_table(table_path(made.shard(member)))
    assert set(table.columns) == set(columns_made(member))
    for name in table:
        text = not pd.api.types.is_numeric_dtype(table[name])
        assert text == COLUMNS[name].text, name


def test_a_column_of_two_kinds_has_one_meaning() -> None:
    for stage in STAGES:
        for kind, model in STAGES[stage].items():
            for name, column in model.COLUMNS.items():
                assert (column.unit, column.text) == (COLUMNS[name].unit, COLUMNS[name].text), f"{stage}/{kind}: {name}"


def test_a_redrawn_column_is_one_that_another_draw_may_change(made: Any, member: Any) -> None:
    if member.stage != "images":
        assert not any(column.redrawn for column in member.block.COLUMNS.values())
        return
    table = read_table(table_path(made.shard(member)))
    fixed = [name for name, column in member.block.COLUMNS.items() if not column.redrawn]
    assert (table.groupby("structure_id")[fixed].nunique(dropna=False) == 1).all(axis=None)
    redrawn = [name for name, column in member.block.COLUMNS.items() if column.redrawn]
    assert (table.groupby("structure_id")[redrawn].nunique() > 1).any(axis=None)


def test_items_are_the_same_bytes_in_shards_of_another_size(made: Any, member: Any) -> None:
    whole, table = made.open(member), read_table(table_path(made.shard(member)))
    draws = getattr(member.block, "per_structure", 1)
    for start in (2, 0):
        part = made.open(member, start, start + 2)
        for place in range(2 * draws):
            one, other = part.item(place), whole.item(start * draws + place)
            assert set(one) == set(other)
            for name in one:
                assert one[name].values.tobytes() == other[name].values.tobytes(), name
        rows = read_table(table_path(part.path))
        expected = table.iloc[start * draws : (start + 2) * draws].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, expected, check_exact=True)


def test_items_are_the_same_in_any_order_and_whatever_is_wanted(made: Any, member: Any, kind: Simulation) -> None:
    draws = getattr(member.block, "per_structure", 1)
    forward = list(kind.make(member.block, asked_for(made, member, [0, 1])))
    backward = list(kind.make(member.block, asked_for(made, member, [1, 0])))
    assert len(forward) == 2 * draws
    assert all(map(same, forward, backward[draws:] + backward[:draws]))
    (first,) = {next(iter(item.arrays)) for item in forward}
    for item in kind.make(member.block, asked_for(made, member, [0]), {first}):
        assert first in item.arrays
    wanted = next(iter(kind.make(member.block, asked_for(made, member, [0]), {first})))
    assert wanted.arrays[first].values.tobytes() == forward[0].arrays[first].values.tobytes()


def test_what_is_planned_on_disk_is_within_a_factor_of_two(made: Any, member: Any, kind: Simulation) -> None:
    path = made.shard(member)
    items = len(read_table(table_path(path)))
    stored = (path.stat().st_size + table_path(path).stat().st_size) / items
    planned = kind.cost(member).stored
    assert 0.5 < planned / stored < 2, f"planned {planned:.0f}, made {stored:.0f} bytes an item"


def test_a_job_is_given_memory_and_time(member: Any) -> None:
    assert 300 < memory_of_shard(member) < 4000
    assert runtime_of_shard(member, 1) >= 10
    assert runtime_of_shard(member, 5000) > runtime_of_shard(member, 1)
    assert items_of(member) == 4 * getattr(member.block, "per_structure", 1)


def test_a_sketch_is_a_block_of_the_same_kind_that_costs_no_more(member: Any, kind: Simulation) -> None:
    from dataclasses import replace

    sketch = kind.sketch(member.block)
    assert type(sketch) is type(member.block)
    assert kind.cost(replace(member, block=sketch)).seconds <= kind.cost(member).seconds


def test_groups_do_not_depend_on_which_items_are_asked_for(member: Any) -> None:
    if member.upstream:
        return
    whole = groups_of(member.block, member.hash, 0, 4)
    part = groups_of(member.block, member.hash, 2, 4)
    assert part.names == whole.names[2:]
    np.testing.assert_array_equal(part.positions, whole.positions[2:])
    assert ((whole.positions >= 0) & (whole.positions < 1)).all()


def test_structures_have_elements_and_fields_a_height(member: Any) -> None:
    from exitwave.config.structures import Fields
    from exitwave.structures.kinds import kind_of

    if member.stage == "structures":
        assert kind_of(member.block).elements(member.block)
        assert (kind_of(member.block).height(member.block) > 0) == isinstance(member.block, Fields)
