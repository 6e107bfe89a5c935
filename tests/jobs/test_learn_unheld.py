"""Training on images that memory does not hold."""

import json
import shutil
import zipfile

import pandas as pd
import pytest

from exitwave.data.shards import Shard, open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ShardError
from exitwave.jobs import learn
from exitwave.jobs.learn import make_dataset, train_network
from exitwave.training import loop
from exitwave.training.examples import StoredImages
from exitwave.training.kinds import task_of
from exitwave.training.streaming import ImagesSource

EXAMPLE = 32 * 32 * 5
"""Bytes of input and mask of an image."""


@pytest.fixture(params=[{}, {"streaming": True}], ids=["stored", "streaming"])
def train(request, jobs, simulated, learned):
    """Trains a network for two epochs."""
    images = jobs.describe("images")
    streams = {images.hash: ImagesSource(images.block, images.seed, {"exit_waves": simulated.exit_waves.parent})}
    training = jobs.describe("trainings", **request.param)

    def network(folder):
        model = jobs.describe("models", epochs=2)
        train_network(training, jobs.describe("datasets"), model, learned.manifest, 0, folder, streams)
        history = pd.read_csv(folder / "history.csv").drop(columns="seconds")
        return [(folder / name).read_bytes() for name in ("weights.safetensors", "network.json")], history

    return network


class Killed(BaseException):
    """Stands for a kill between two epochs."""


def test_a_network_is_the_same_whether_its_images_are_held_or_not_and_it_was_killed_or_not(
    train, tmp_path, monkeypatch
):
    expected, history = train(tmp_path / "held")
    monkeypatch.setattr(learn, "HELD_BYTES", 5 * EXAMPLE)
    save_checkpoint = loop.save_checkpoint

    def save_and_die(path, state):
        save_checkpoint(path, state)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_die)
        with pytest.raises(Killed):
            train(tmp_path / "read")
    found, found_history = train(tmp_path / "read")
    assert len(found_history) == 2
    assert found == expected
    pd.testing.assert_frame_equal(found_history, history)


def test_images_beyond_what_may_be_held_are_read_whenever_they_are_needed(jobs, learned, monkeypatch):
    rows = read_table(learned.manifest)
    read, reads = Shard.read, []

    def spy(shard, name, index):
        reads.append(index)
        return read(shard, name, index)

    monkeypatch.setattr(Shard, "read", spy)
    task = task_of(jobs.describe("models").block, {})
    images = StoredImages(rows, task, open_shard, kept_bytes=4 * EXAMPLE + 1)
    places = rows.index.to_numpy()
    for _ in range(2):
        images.make(places)
    first, second = reads[: 2 * len(rows)], reads[2 * len(rows) :]
    assert sorted(first) == sorted(2 * rows["row"].tolist())
    assert sorted(second) == sorted(2 * rows["row"].tolist()[4:])


def test_a_shard_that_is_damaged_is_named_where_images_are_read_as_needed(
    jobs, simulated, learned, tmp_path, monkeypatch
):
    path, manifest = tmp_path / "damaged.zarr.zip", tmp_path / "manifest.parquet"
    shutil.copy(table_path(simulated.images), table_path(path))
    shutil.copy(simulated.images, path)
    make_dataset(jobs.describe("datasets"), {"noisy": [str(path)]}, manifest, tmp_path / "fingerprint.json")
    used = read_table(manifest).query("split == 'validation'")["row"].iloc[-1]
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"counts/c/{used}/0/0")
    content = bytearray(path.read_bytes())
    # A local header has 30 bytes and the name before the data.
    content[info.header_offset + 30 + len(info.filename) + info.file_size // 2] ^= 0xFF
    path.write_bytes(content)
    monkeypatch.setattr(learn, "HELD_BYTES", 0)
    arguments = jobs.describe("datasets"), jobs.describe("models"), manifest, 0, tmp_path / "network"
    with pytest.raises(ShardError, match=rf"damaged\.zarr\.zip: array 'counts', item {used} is damaged"):
        train_network(jobs.describe("trainings"), *arguments)
    assert not (tmp_path / "network" / "weights.safetensors").exists()


def test_what_is_told_of_targets_comes_from_a_sample_where_images_are_many(jobs, learned, tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "SAMPLE", 3)
    told = []
    for held in (2**30, 0):
        monkeypatch.setattr(learn, "HELD_BYTES", held)
        folder = tmp_path / str(held)
        arguments = jobs.describe("datasets"), jobs.describe("models"), learned.manifest, 0, folder
        train_network(jobs.describe("trainings"), *arguments)
        told.append(json.loads((folder / "network.json").read_text())["info"]["data"]["target"]["particle_fraction"])
    whole = json.loads((learned.networks[0] / "network.json").read_text())["info"]["data"]["target"]
    assert told[0] == told[1] != whole["particle_fraction"]
