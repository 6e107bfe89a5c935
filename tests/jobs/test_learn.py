import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

from exitwave.benchmark.baselines import BASELINES
from exitwave.config.models import Network
from exitwave.data.tables import read_table, table_path, write_table
from exitwave.errors import DatasetError, MicrographError, ShardError
from exitwave.jobs.evaluate import score_network, summarise_benchmark
from exitwave.jobs.learn import make_dataset, train_network

SCORES = ("f1_pooled", "f1_mean", "iou_pooled", "f1_soft_pooled", "f1_soft_two_class")


def test_a_manifest_says_where_each_image_stands_and_copies_none(jobs, simulated, learned):
    manifest = read_table(learned.manifest)
    table = jobs.table(simulated.images)
    assert set(manifest["shard"]) == {str(simulated.images)}
    assert manifest["image_id"].tolist() == table["image_id"].to_numpy()[manifest["row"]].tolist()
    assert {path.name for path in learned.manifest.parent.iterdir()} == {"manifest.parquet", "fingerprint.json"}
    content = json.loads(learned.manifest.with_name("fingerprint.json").read_text())
    assert sum(content["images"].values()) == len(manifest) == 18


def test_mistake_08_no_structure_stands_on_two_sides_of_a_manifest(learned):
    manifest = read_table(learned.manifest)
    assert (manifest.groupby("structure_id")["split"].nunique() == 1).all()
    assert set(manifest["split"]) == {"train", "validation", "test"}


def test_an_image_of_a_pixel_too_far_from_the_networks_is_skipped_and_told(jobs, learned, tmp_path, caplog):
    """Of an image whose file alone says what pixel it has, that is known no sooner."""
    manifest, far = read_table(learned.manifest), tmp_path / "manifest.parquet"
    tests = manifest.index[manifest["split"] == "test"]
    model, weights = jobs.describe("models").of(Network), learned.networks[0] / "weights.safetensors"
    arguments = jobs.describe("benchmarks"), model, [far], weights, "gold", 0, 1, tmp_path / "scores.zarr.zip"
    write_table(far, manifest.assign(pixel_size=manifest["pixel_size"].where(manifest.index != tests[0], 80.0)))
    score_network(*arguments)
    assert len(read_table(table_path(arguments[-1]))) == len(tests) - 1
    assert f"skipped: {manifest.loc[tests[0], 'image_id']}: its pixel of 80 Å is 100.0 times coarser" in caplog.text
    write_table(far, manifest.assign(pixel_size=80.0))
    with pytest.raises(MicrographError, match=r"100\.0 times coarser"):
        score_network(*arguments)


def test_a_dataset_that_cannot_be_drawn_names_its_key(jobs, simulated, tmp_path):
    description = jobs.describe("datasets", where="dose > 1e9")
    with pytest.raises(DatasetError, match=r"^datasets\.gold\.where: 'dose > 1e9' leaves no image of 'noisy'"):
        make_dataset(description, {"noisy": [str(simulated.images)]}, tmp_path / "m.parquet", tmp_path / "f.json")
    assert not list(tmp_path.iterdir())


def test_a_network_says_what_it_was_trained_on(jobs, learned):
    for seed, folder in enumerate(learned.networks):
        info = json.loads((folder / "network.json").read_text())
        text = json.dumps(info)
        for stage in ("trainings", "datasets"):
            assert jobs.describe(stage).hash in text
        assert '"seed": ' + str(seed) in text
        assert "columns" in text  # the fingerprint of the data
        assert len(pd.read_csv(folder / "history.csv")) == 1
        assert not (folder / "checkpoint.pt").exists()


def test_seeds_differ_and_a_seed_repeats_itself(jobs, learned, tmp_path):
    weights = [(folder / "weights.safetensors").read_bytes() for folder in learned.networks]
    assert weights[0] != weights[1]
    train_network(
        jobs.describe("trainings"),
        jobs.describe("datasets"),
        jobs.describe("models"),
        learned.manifest,
        1,
        tmp_path / "again",
    )
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == weights[1]


def test_shards_of_another_size_give_the_same_dataset_weights_and_scores(jobs, learned, tmp_path):
    parts = [jobs.simulate(tmp_path / "pairs", start, start + 2) for start in (4, 0, 2)]
    manifest = tmp_path / "manifest.parquet"
    shards = [str(part.images) for part in parts]
    make_dataset(jobs.describe("datasets"), {"noisy": shards}, manifest, tmp_path / "fingerprint.json")
    places = ["shard", "row"]
    expected = read_table(learned.manifest)
    pd.testing.assert_frame_equal(
        read_table(manifest).drop(columns=places), expected.drop(columns=places), check_exact=True
    )
    described, network = (jobs.describe("datasets"), jobs.describe("models")), tmp_path / "network"
    train_network(jobs.describe("trainings"), *described, manifest, 0, network)
    weights = network / "weights.safetensors"
    assert weights.read_bytes() == (learned.networks[0] / weights.name).read_bytes()
    scores = tmp_path / "gold" / "seed-0.zarr.zip"
    score_network(jobs.describe("benchmarks"), described[1].of(Network), [manifest], weights, "gold", 0, 1, scores)
    assert scores.read_bytes() == learned.scores[0].read_bytes()
    assert table_path(scores).read_bytes() == table_path(learned.scores[0]).read_bytes()


def test_a_damaged_shard_of_images_stops_the_training_and_is_named(jobs, simulated, learned, tmp_path):
    path, manifest = tmp_path / "damaged.zarr.zip", tmp_path / "manifest.parquet"
    shutil.copy(table_path(simulated.images), table_path(path))
    shutil.copy(simulated.images, path)
    make_dataset(jobs.describe("datasets"), {"noisy": [str(path)]}, manifest, tmp_path / "fingerprint.json")
    used = read_table(manifest).query("split == 'train'")["row"].iloc[0]
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"counts/c/{used}/0/0")
    content = bytearray(path.read_bytes())
    # A local header has 30 bytes and the name before the data.
    content[info.header_offset + 30 + len(info.filename) + info.file_size // 2] ^= 0xFF
    path.write_bytes(content)
    arguments = jobs.describe("datasets"), jobs.describe("models"), manifest, 0, tmp_path / "network"
    with pytest.raises(ShardError, match=rf"damaged\.zarr\.zip: array 'counts', item {used} is damaged"):
        train_network(jobs.describe("trainings"), *arguments)
    assert not (tmp_path / "network" / "weights.safetensors").exists()


def test_networks_are_scored_on_the_held_out_images_alone(learned):
    manifest = read_table(learned.manifest)
    held_out = manifest.loc[manifest["split"] == "test", "image_id"].tolist()
    for seed, path in enumerate(learned.scores):
        scores = read_table(table_path(path))
        assert scores["image"].tolist() == held_out
        assert set(scores["method"]) == {"gold"}
        assert set(scores["seed"]) == {seed}
    baselines = read_table(learned.baselines)
    assert set(baselines["method"]) == set(BASELINES)
    assert (baselines.groupby("method")["image"].agg(list).map(lambda names: names == held_out)).all()


@pytest.fixture(scope="module")
def summary(jobs, learned):
    names = ("summary", "per_image", "by", "differences")
    path, per_image, *others = (learned.folder / f"{name}.parquet" for name in names)
    described = jobs.describe("benchmarks")
    summarise_benchmark(described, learned.task, learned.baselines, learned.scores, path, per_image, *others)
    return read_table(path), read_table(per_image)


def test_a_summary_has_networks_their_ensemble_and_every_baseline(learned, summary):
    table, per_image = summary
    manifest = read_table(learned.manifest).query("split == 'test'")
    of_image = dict(zip(manifest["image_id"], manifest["group"], strict=True))
    assert per_image["group"].tolist() == per_image["image"].map(of_image).tolist()
    assert set(table["images"]) == {len(of_image)} == {3}
    # Three images of one structure do not say what another would give.
    assert set(table["groups"]) == {len(set(of_image.values()))} == {1}
    assert table["kind"].value_counts().to_dict() == {"baseline": len(BASELINES), "network": 1, "ensemble": 1}
    assert table.set_index("kind")["seeds"].to_dict() == {"baseline": 1, "network": 2, "ensemble": 1}
    assert set(table["benchmark"]) == {"held_out"}
    for name in SCORES:
        assert table[name].between(0, 1).all()
        assert table[[f"{name}_low", f"{name}_high"]].isna().all(axis=None)
        assert (table[f"{name}_seed_min"] <= table[f"{name}_seed_max"]).all()


def test_pooled_scores_of_the_summary_follow_from_the_predictions_kept(jobs, learned, summary):
    """Counted here from probabilities and masks, apart from the package's metrics."""
    # Kept as half precision, in which a probability just below the threshold may have come to lie on it.
    lowest, highest = [], []
    for path in learned.scores:
        items = jobs.items(path)
        probability = np.concatenate([item["prediction"].values.ravel() for item in items])
        expert = np.concatenate([item["truth"].values.ravel() == 1 for item in items])
        on = probability == 0.5
        certain, doubtful = probability > 0.5, [on & expert, on & ~expert]
        scores = [
            2 * (predicted & expert).sum() / (predicted.sum() + expert.sum())
            for predicted in (certain | doubtful[0], certain | doubtful[1])
        ]
        lowest.append(min(scores))
        highest.append(max(scores))
    row = summary[0].set_index("kind").loc["network"]
    for name, over_seeds in (("f1_pooled", np.median), ("f1_pooled_seed_min", min), ("f1_pooled_seed_max", max)):
        assert over_seeds(lowest) - 1e-9 <= row[name] <= over_seeds(highest) + 1e-9


def test_everything_is_particle_has_the_f1_of_the_particle_fraction(learned, summary):
    """F1 of a prediction of particle everywhere is 2 p / (1 + p) at a particle fraction p."""
    per_image = summary[1]
    fraction = per_image.loc[per_image["method"] == "everything is particle", "particle_fraction"].mean()
    row = summary[0].set_index("method").loc["everything is particle"]
    assert row["f1_pooled"] == pytest.approx(2 * fraction / (1 + fraction))


def test_scores_repeat_themselves(jobs, learned, tmp_path):
    path = tmp_path / "gold" / "seed-0.zarr.zip"
    weights = learned.networks[0] / "weights.safetensors"
    described = jobs.describe("benchmarks"), jobs.describe("models").of(Network)
    score_network(*described, [learned.manifest], weights, "gold", 0, 1, path)
    assert path.read_bytes() == learned.scores[0].read_bytes()
    assert table_path(path).read_bytes() == table_path(learned.scores[0]).read_bytes()


def test_a_job_that_is_asked_to_writes_event_files_and_the_same_network(jobs, learned, tmp_path):
    pytest.importorskip("tensorboard")
    description = jobs.describe("trainings").with_values(tensorboard=True)
    blocks = jobs.describe("datasets"), jobs.describe("models")
    train_network(description, *blocks, learned.manifest, 0, tmp_path / "seed-0", events=tmp_path / "logs")
    assert len(list((tmp_path / "logs").glob("events.out.tfevents.*"))) == 1
    weights = [folder / "weights.safetensors" for folder in (tmp_path / "seed-0", learned.networks[0])]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    train_network(description, *blocks, learned.manifest, 0, tmp_path / "again")
    assert not list((tmp_path / "again").glob("events*"))
