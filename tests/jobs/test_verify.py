"""Results are compared with their checksums, and a sample of items with what is made again of their metadata."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.data.shards import open_shard, shard_writer
from exitwave.data.tables import read_table, table_path, write_table
from exitwave.errors import ShardError
from exitwave.items import Item
from exitwave.jobs.simulate import make_shard
from exitwave.jobs.verify import verify

STAGES = ("structures", "exit_waves", "images")


@pytest.fixture
def results(jobs, simulated, learned, tmp_path):
    """A folder of results with one shard of each stage, a dataset, two networks and their scores."""
    folder = tmp_path / "results"
    shards = {}
    for stage in STAGES:
        shards[stage] = folder / getattr(jobs.members, stage).folder / "shard-000000-000006.zarr.zip"
        shards[stage].parent.mkdir(parents=True)
        made = getattr(simulated, stage)
        shutil.copy(made, shards[stage])
        shutil.copy(table_path(made), table_path(shards[stage]))
    dataset = folder / jobs.members.datasets.folder
    shutil.copytree(learned.manifest.parent, dataset)
    rows = read_table(dataset / "manifest.parquet")
    write_table(dataset / "manifest.parquet", rows.assign(shard=str(shards["images"].relative_to(folder.parent))))
    for network in learned.networks:
        shutil.copytree(network, folder / jobs.members.trainings.folder / network.name)
    shutil.copytree(learned.folder / "scores", folder / jobs.members.benchmarks.folder)
    return SimpleNamespace(
        folder=folder,
        **shards,
        manifest=dataset / "manifest.parquet",
        weights=folder / jobs.members.trainings.folder / "seed-0" / "weights.safetensors",
        predictions=next((folder / "benchmarks").rglob("*.zarr.zip")),
        scores=next((folder / "benchmarks").rglob("baselines.parquet")),
    )


def findings(results, items=1):
    return [finding for one in verify(results.folder, items) for finding in one.findings]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def rewrite(path, change):
    """Write a shard again, whole, with other items."""
    shard, table = open_shard(path), read_table(table_path(path))
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    items = [change(Item(dict(shard.item(place).items()), row)) for place, row in enumerate(rows)]
    with shard_writer(path, len(items), shard.attributes) as writer:
        for item in items:
            writer.add(item)


def scaled(name, factor):
    def change(item):
        array = item.arrays[name]
        values = (array.values * factor).astype(array.values.dtype)
        return Item({**item.arrays, name: replace(array, values=values)}, item.row)

    return change


def test_what_was_just_made_is_whole_and_the_same_when_it_is_made_again(results):
    verified = list(verify(results.folder, items=3))
    assert [one.folder.split("/")[0] for one in verified] == [*STAGES, "datasets", "trainings", "benchmarks"]
    assert not [finding for one in verified for finding in one.findings]
    assert [one.remade for one in verified[:3]] == [{"identical": 3, "rounded": 0, "different": 0}] * 3
    assert [one.checked for one in verified] == [1, 1, 1, 1, 2, 3]


@pytest.mark.parametrize("name", [*STAGES, "manifest", "weights", "predictions", "scores"])
def test_a_flipped_bit_is_found_and_named_in_every_stage(results, name):
    path = getattr(results, name)
    flip(path)
    found = findings(results, items=0)
    assert found
    assert all(str(path) in finding or str(path.parent) in finding for finding in found)


def test_one_damaged_shard_ends_nothing(results):
    flip(results.structures)
    verified = list(verify(results.folder))
    assert len(verified) == 6
    assert verified[0].checked == 1
    assert not verified[0].remade["identical"]
    # What was made from it cannot be made again, which is said too.
    assert any("cannot be made again" in finding for finding in verified[1].findings)


def test_an_item_that_was_made_with_another_seed_is_found_though_its_file_is_whole(jobs, results):
    other = replace(jobs.describe("structures"), seed=4)
    make_shard(other, range(6), {}, results.structures)
    rewrite(results.structures, lambda item: Item(item.arrays, {**item.row, "seed": 3}))
    (finding,) = [one for one in findings(results) if "structures" in one.split(":")[0]]
    assert "is another when it is made again; it differs in " in finding
    assert "positions" in finding


def test_a_changed_number_of_the_table_is_found(results):
    rewrite(results.images, lambda item: Item(item.arrays, {**item.row, "defocus": item.row["defocus"] + 1}))
    (finding,) = findings(results)
    assert finding.startswith(f"{results.images}: item ")
    assert finding.endswith("it differs in defocus")


def test_waves_of_another_processor_are_told_from_others(results):
    def remade():
        return next(one for one in verify(results.folder, items=2) if one.folder.startswith("exit_waves"))

    rewrite(results.exit_waves, scaled("whole", 1 + 1e-6))
    assert (remade().remade, remade().findings) == ({"identical": 0, "rounded": 2, "different": 0}, [])
    rewrite(results.exit_waves, scaled("whole", 1.01))
    assert remade().remade["different"] == 2
    assert all(finding.endswith("it differs in whole") for finding in remade().findings)


def test_a_lost_stage_is_said_where_its_items_are_missed(results):
    shutil.rmtree(results.folder / "exit_waves")
    found = findings(results)
    assert len(found) == 1
    assert "cannot be made again: " in found[0]
    assert "has no folder of the exit_waves " in found[0]


def test_a_manifest_of_images_that_are_not_there_is_found(results):
    rows = read_table(results.manifest)
    write_table(results.manifest, rows.assign(row=rows["row"].to_numpy()[::-1]))
    (finding,) = findings(results, items=0)
    assert finding.startswith(f"{results.manifest}: names images of ")
    write_table(results.manifest, rows.assign(shard="results/images/gone/shard-0-6.zarr.zip"))
    (finding,) = findings(results, items=0)
    assert "which is not there" in finding


def test_a_block_of_another_version_is_said(jobs, results):
    shard = open_shard(results.structures)
    rows = read_table(table_path(results.structures)).to_dict("records")
    items = [Item(dict(shard.item(place).items()), row) for place, row in enumerate(rows)]
    block = {**shard.attributes["block"], "new_key": 1}
    attributes = {**shard.attributes, "block": block, "exitwave_version": "9.0"}
    with shard_writer(results.structures, len(items), attributes) as writer:
        for item in items:
            writer.add(item)
    (finding,) = findings(results)
    assert "it was made by exitwave 9.0" in finding


def test_what_a_killed_job_has_left_is_told(results):
    left = results.images.with_name(f".{results.images.name}.123.part")
    left.write_bytes(b"half")
    assert findings(results, items=0) == [f"{left}: is what a killed job has left; it can be deleted"]


def test_no_results_are_refused(tmp_path):
    with pytest.raises(ShardError, match=r"lost: is no folder; allowed: a folder of results"):
        list(verify(tmp_path / "lost"))


def test_the_command_ends_with_a_count_and_with_status_1_if_something_is_wrong(results):
    done = CliRunner().invoke(app, ["verify", str(results.folder), "--items", "1"])
    assert done.exit_code == 0
    assert (
        done.stdout.splitlines()[-1] == "9 checked; items made again: 3 identical, 0 rounded, 0 different; 0 findings"
    )
    flip(results.images)
    done = CliRunner().invoke(app, ["verify", str(results.folder), "--items", "1"])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].endswith("1 findings")
