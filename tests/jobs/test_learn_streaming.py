"""Training on images drawn anew for every epoch, and on draws of each network."""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest

from exitwave.config.datasets import Dataset
from exitwave.config.models import Regression, Segmentation
from exitwave.data.batches import load_arrays
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ConfigError, ShardError
from exitwave.jobs.learn import make_dataset, train_network
from exitwave.jobs.simulate import make_shard
from exitwave.training import loop
from exitwave.training.kinds import task_of
from exitwave.training.segmentation import SegmentationTask
from exitwave.training.streaming import ImagesSource, Stream, check_streaming


class AsTheyAre(SegmentationTask):
    """Segmentation of counts that nothing has been done to."""

    def inputs(self, arrays):
        return arrays["counts"].astype(np.float32)


TASK = AsTheyAre(Segmentation(kind="segmentation"))


@pytest.fixture(scope="module")
def images(jobs):
    return jobs.describe("images")


@pytest.fixture(scope="module")
def rows(learned):
    return read_table(learned.manifest).query("split == 'train'")


@pytest.fixture(scope="module")
def stream(images, simulated):
    """What makes a stream of some rows."""
    source = ImagesSource(images.block, images.seed, {"exit_waves": simulated.exit_waves.parent})
    return partial(Stream, sources={images.hash: source}, task=TASK)


def test_before_the_first_epoch_the_stored_images_come_once_more(stream, rows):
    drawn, masks = stream(rows).draw(0)
    stored = load_arrays(rows, TASK.arrays)
    np.testing.assert_array_equal(drawn, stored["counts"])
    np.testing.assert_array_equal(masks, TASK.targets(stored, rows))


def test_every_epoch_has_images_of_its_own(stream, rows):
    epochs = [stream(rows).draw(epoch) for epoch in (0, 1, 2, 3)]
    seen = {image.tobytes() for images, _ in epochs for image in images}
    assert len(seen) == 4 * len(rows)
    assert len({masks.tobytes() for _, masks in epochs}) == 4


@pytest.mark.parametrize("changes", [{}, {"threads": 3}, {"kept_bytes": 0}, {"kept_bytes": 2_000_000}], ids=str)
def test_an_epoch_repeats_itself_whatever_the_threads_and_the_memory(stream, rows, changes):
    first, again = stream(rows), stream(rows, **changes)
    again.draw(1)
    for epoch in (2, 5):
        for ours, theirs in zip(first.draw(epoch), again.draw(epoch), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_image_does_not_depend_on_the_others_of_its_manifest(stream, rows):
    whole, _ = stream(rows).draw(4)
    order = np.random.default_rng(0).permutation(len(rows))[: len(rows) // 2]
    part, _ = stream(rows.iloc[order]).draw(4)
    np.testing.assert_array_equal(part, whole[order])


def test_conditions_are_drawn_from_the_distributions_of_the_block(jobs, stream, rows):
    """The mean of the counts is the dose on a pixel, whose logarithm is uniform here."""
    means = np.concatenate([stream(rows).draw(epoch)[0].mean((1, 2)) for epoch in range(1, 21)])
    position = np.log(means / 0.8**2 / 200) / np.log(10)
    assert -0.02 < position.min() < 0.05
    assert 0.95 < position.max() < 1.02
    # Of a uniform variable, within four standard errors.
    assert position.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * len(position)))


def test_masks_lie_on_the_particles_at_the_new_places(stream, rows):
    """Lattice fringes and strong scattering make the counts of a particle vary more than shot noise makes those around.

    Measured 4.0 +- 0.3, and 1.1 +- 0.1 with the masks of other images.
    """
    matched, others = [], []
    for epoch in range(1, 6):
        images, masks = stream(rows).draw(epoch)
        for ratios, given in ((matched, masks), (others, np.roll(masks, 1, axis=0))):
            for image, mask in zip(images, given, strict=True):
                if mask.any():
                    ratios.append(dispersion(image[mask]) / dispersion(image[~mask]))
    assert np.mean(matched) > 2
    assert np.mean(others) < 2


def dispersion(counts):
    return counts.var() / counts.mean()


def test_a_missing_shard_of_exit_waves_is_named(images, simulated, rows, tmp_path):
    name = simulated.exit_waves.name
    shutil.copy(table_path(simulated.exit_waves), table_path(tmp_path / name))
    source = ImagesSource(images.block, images.seed, {"exit_waves": tmp_path})
    lacking = Stream(rows, {images.hash: source}, TASK)
    with pytest.raises(ShardError, match=rf"{name}: is missing; run the workflow"):
        lacking.draw(1)


@pytest.mark.parametrize(
    ("changes", "key", "column"),
    [
        ({"where": "radius_mean > 3 and dose < 500"}, "where", "dose"),
        ({"limit": {"structure": 3, "defocus": 3}}, "limit", "defocus"),
        ({"strata": {"particle_fraction": 2}, "draw": "stratified", "size": 8}, "strata", "particle_fraction"),
    ],
)
def test_a_dataset_chosen_by_what_is_drawn_anew_cannot_be_streamed(changes, key, column):
    with pytest.raises(ConfigError, match=rf"^streaming: found true with a dataset whose {key} names {column}, "):
        check_streaming(Dataset(images="noisy", **changes))


def test_a_dataset_chosen_by_its_structures_can_be_streamed():
    check_streaming(
        Dataset(
            images="noisy",
            where="radius_mean > 3 and\nmaterial == 'dose' and draw < 2",
            limit={"structure": 3},
            strata={"radius_mean": 2},
            draw="stratified",
            size=8,
        )
    )


def test_maps_made_from_atoms_are_streamed_with_the_structures(jobs, simulated, rows):
    """At epoch 0 the label map is that which a job with this label stores."""
    images = jobs.describe("images", labels=["thickness"])
    folders = {"exit_waves": simulated.exit_waves.parent, "structures": simulated.structures.parent}
    task = task_of(Regression(kind="regression", target={"map": "thickness"}), {"unit": "Å"})
    stream = Stream(rows, {images.hash: ImagesSource(images.block, images.seed, folders)}, task)
    sources = {"exit_waves": simulated.exit_waves, "structures": simulated.structures}
    path = simulated.images.parent / "labelled" / simulated.images.name
    make_shard(images, range(6), sources, path)
    stored = np.stack([open_shard(path).read("thickness", row) for row in rows["row"]])
    np.testing.assert_array_equal(stream.draw(0)[1], stored)
    assert not np.array_equal(stream.draw(1)[1], stored)


@pytest.mark.parametrize("target", [{"by": "thickness", "minimum": 3}, {"by": "phase", "fraction": 0.5}], ids=str)
def test_masks_of_each_particle_are_the_same_stored_and_streamed(jobs, simulated, rows, target):
    images = jobs.describe("images", labels=["particle_thickness"])
    folders = {"exit_waves": simulated.exit_waves.parent, "structures": simulated.structures.parent}
    task = AsTheyAre(Segmentation(kind="segmentation", target=target))
    sources = {"exit_waves": simulated.exit_waves, "structures": simulated.structures}
    path = simulated.images.parent / "particles" / simulated.images.name
    make_shard(images, range(6), sources, path)
    stored = load_arrays(rows.assign(shard=str(path)), task.arrays)
    masks = task.targets(stored, rows)
    assert 0.02 < masks.mean() < 0.9
    stream = Stream(rows, {images.hash: ImagesSource(images.block, images.seed, folders)}, task)
    np.testing.assert_array_equal(stream.draw(0)[1], masks)
    assert not np.array_equal(stream.draw(1)[1], masks)


class Killed(BaseException):
    """Stands for a kill between two epochs."""


@pytest.fixture(scope="module")
def streamed(jobs, simulated, learned):
    """Trains a network for three epochs on streamed images."""
    training, dataset = jobs.describe("trainings", streaming=True), jobs.describe("datasets")
    images = jobs.describe("images")
    streams = {images.hash: ImagesSource(images.block, images.seed, {"exit_waves": simulated.exit_waves.parent})}

    def train(folder, learning_rate=1e-3, **how):
        model = jobs.describe("models", epochs=3, learning_rate=learning_rate)
        train_network(training.with_values(**how), dataset, model, learned.manifest, 0, folder, streams)
        history = pd.read_csv(folder / "history.csv").drop(columns="seconds")
        return (folder / "weights.safetensors").read_bytes(), history

    return train


@pytest.fixture(scope="module")
def undisturbed(streamed, tmp_path_factory):
    return streamed(tmp_path_factory.mktemp("undisturbed"))


def test_a_killed_training_on_streamed_images_continues_to_the_identical_network(
    streamed, undisturbed, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        saved = []

        def save_and_die(path, state):
            save_checkpoint(path, state)
            saved.append(path)
            if len(saved) == 2:
                raise Killed

        save_checkpoint = loop.save_checkpoint
        patch.setattr(loop, "save_checkpoint", save_and_die)
        with pytest.raises(Killed):
            streamed(tmp_path)
    continued = streamed(tmp_path)
    assert continued[0] == undisturbed[0]
    pd.testing.assert_frame_equal(continued[1], undisturbed[1])


def test_two_devices_learn_from_the_images_that_one_does(streamed, tmp_path, caplog, capfd):
    """Every process draws the images of its parts; one writes, and what it logs is logged once."""
    caplog.set_level("INFO")
    # So slowly that losses tell of the images: batch normalisation and Adam make more of the last digits.
    _, one = streamed(tmp_path / "one", 1e-6)
    caplog.clear()
    _, two = streamed(tmp_path / "two", 1e-6, devices=2, threads=2)
    losses = ["train_loss", "validation_loss"]
    pd.testing.assert_frame_equal(two[losses], one[losses], rtol=1e-4)
    assert one["train_loss"].pct_change().abs().min() > 1e-3
    names = [{path.name for path in (tmp_path / folder).iterdir()} for folder in ("one", "two")]
    assert names[0] == names[1]
    told = [record.message.partition(":")[0] for record in caplog.records if record.name.startswith("exitwave")]
    assert [line for line in told if line.startswith("epoch")] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "2 processes train the network, each on a processor core" in told
    assert capfd.readouterr().out == ""


def test_the_first_epoch_on_streamed_images_is_that_on_stored_ones(jobs, undisturbed, learned, tmp_path):
    """Both networks begin alike, so that what differs later comes from the images."""
    _, history = undisturbed
    model = jobs.describe("models", epochs=2)
    train_network(jobs.describe("trainings"), jobs.describe("datasets"), model, learned.manifest, 0, tmp_path)
    stored = pd.read_csv(tmp_path / "history.csv").drop(columns="seconds")
    pd.testing.assert_frame_equal(history.iloc[:1], stored.iloc[:1])
    assert history["train_loss"][1] != stored["train_loss"][1]


@pytest.fixture(scope="module")
def own_draws(jobs, simulated, tmp_path_factory):
    """A dataset of which each network draws eight images, and three networks trained on it."""
    folder = tmp_path_factory.mktemp("own_draws")
    dataset = jobs.describe("datasets", draw_per_seed=True, size=8)
    manifest = folder / "dataset" / "manifest.parquet"
    manifest.parent.mkdir()
    make_dataset(dataset, {"noisy": [str(simulated.images)]}, manifest, manifest.with_name("fingerprint.json"))
    for seed in range(3):
        train_network(
            jobs.describe("trainings"), dataset, jobs.describe("models"), manifest, seed, folder / f"seed-{seed}"
        )
    return folder


def test_each_network_draws_its_own_images_from_the_pool_of_its_dataset(jobs, simulated, own_draws):
    pool = read_table(own_draws / "dataset" / "manifest.parquet")
    assert set(pool["image_id"]) == set(jobs.table(simulated.images)["image_id"])
    draws = [read_table(own_draws / f"seed-{seed}" / "manifest.parquet") for seed in range(3)]
    sides = pool.set_index("image_id")["split"]
    for drawn in draws:
        assert len(drawn) == drawn["image_id"].nunique() == 8
        assert set(drawn["split"]) == {"train", "validation"}
        assert (sides[drawn["image_id"]].to_numpy() == drawn["split"].to_numpy()).all()
    assert len({tuple(sorted(drawn["image_id"])) for drawn in draws}) == 3


def test_a_network_that_draws_for_itself_says_what_it_has_drawn(own_draws):
    for seed in range(3):
        info = json.loads((own_draws / f"seed-{seed}" / "network.json").read_text())
        drawn = read_table(own_draws / f"seed-{seed}" / "manifest.parquet")
        numbers = drawn["split"].value_counts().to_dict()
        found = next(part for part in json_parts(info) if "structures" in part and "columns" in part)
        assert {side: found["images"][side] for side in numbers} == numbers


def json_parts(value):
    """Every dict within a JSON value."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from json_parts(part)


def test_a_shared_draw_has_its_manifest_with_the_dataset_alone(learned):
    for folder in learned.networks:
        assert not (folder / "manifest.parquet").exists()
