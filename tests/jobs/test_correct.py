"""From a segmented folder over a corrected mask to a fine-tuned network, scored beside the old one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.models import Network
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.data.whole import unsealed
from exitwave.errors import MicrographError, TrainingError
from exitwave.jobs import learn
from exitwave.jobs.apply import Applying, segment_files
from exitwave.jobs.correct import COLUMNS, collect, segmented_images
from exitwave.jobs.evaluate import score_network
from exitwave.jobs.learn import make_dataset, train_network
from exitwave.jobs.simulate import make_shard
from exitwave.study.artifacts import shards, start_of
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.training.networks import load_network
from exitwave.training.record import read_record

EDGE = 48


def micrograph(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a darker disk, and where that is."""
    rng = np.random.default_rng(number)
    y, x = np.indices((EDGE, EDGE))
    disk = np.hypot(y - 16 - 2 * number, x - 24) < 8
    return np.clip(rng.normal(120, 12, disk.shape) - 50 * disk, 0, 255).astype(np.uint8), disk


@pytest.fixture(scope="module")
def segmented(learned: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of four micrographs; not to be written to."""
    folder = tmp_path_factory.mktemp("micrographs")
    paths = [folder / f"disk{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        Image.fromarray(micrograph(number)[0]).save(path)
    results = folder / "segmented"
    assert all(o.done for o in segment_files(paths, learned.networks[0], results, Applying(pixel_size=0.8)))
    return results


@pytest.fixture
def results(segmented: Path, tmp_path: Path) -> Path:
    """The same, where masks can be corrected."""
    return Path(shutil.copytree(segmented, tmp_path / "segmented"))


def corrected(results: Path, *numbers: int) -> Path:
    for number in numbers:
        tifffile.imwrite(results / f"disk{number}_corrected.tif", micrograph(number)[1].astype(np.uint8) * 255)
    return results


def index_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "index.csv").set_index("mask")


FINE = """
seed: 3
images:
  mine: {kind: micrographs, path: MINE, per_structure: 3, pixel_size: 0.8, size: 32}
datasets:
  mine: {images: mine, validation: 0.4, test: 0}
models:
  small: {kind: segmentation, encoder_depth: 3, epochs: 3, batch_size: 4, learning_rate: 3.0e-4}
trainings:
  fine: {datasets: mine, model: small, start_from: NETWORK, seeds: 1}
benchmarks:
  kept: {kind: micrographs, path: MINE, split: test, bootstrap: 100}
"""


def test_from_a_corrected_mask_to_scores_of_the_old_and_the_fine_tuned_network(
    new_jobs: Any, learned: SimpleNamespace, results: Path, tmp_path: Path
) -> None:
    mine, old = tmp_path / "mine", learned.networks[0]
    outcomes, left = collect(corrected(results, 0, 1, 2, 3), mine, test=0.25)
    assert left == 0
    assert all(outcome.done for outcome in outcomes)
    jobs = new_jobs(FINE.replace("MINE", str(mine)).replace("NETWORK", str(old)))
    images = tmp_path / "shard.zarr.zip"
    make_shard(jobs.describe("images"), range(3), {}, images)
    table = read_table(table_path(images))
    kept = index_of(mine).query("split == 'test'")
    assert len(kept) == 1
    assert not set(table["micrograph"]) & {str(mine / name) for name in kept["image"]}
    dataset, model = jobs.describe("datasets"), jobs.describe("models")
    manifest = tmp_path / "dataset" / "manifest.parquet"
    manifest.parent.mkdir()
    make_dataset(dataset, {"mine": [str(images)]}, manifest, manifest.with_name("fingerprint.json"))
    fine = tmp_path / "fine"
    (start,) = start_of(jobs.members.trainings, 0)
    train_network(jobs.describe("trainings"), dataset, model, manifest, 0, fine, start=Path(start))
    assert read_record(fine).info["start_from"] == read_record(old).weights_sha256
    before, after = (load_network(folder).module.state_dict() for folder in (old, fine))
    moved = torch.cat([(after[n] - before[n]).flatten().abs() for n in before if before[n].is_floating_point()])
    # Adam moves a weight by at most its learning rate a step, of which there are 3 x 2.
    assert 0 < float(moved.median()) < 6 * 3e-4
    rows = {}
    for name, network in (("old", old), ("fine", fine)):
        output = tmp_path / name / "seed-0.zarr.zip"
        score_network(jobs.describe("benchmarks"), model.of(Network), [], network, name, 0, 1, output)
        rows[name] = read_table(table_path(output))
        (number,) = (int(stem[-1]) for stem in kept["image"].str.removesuffix(".png"))
        np.testing.assert_array_equal(open_shard(output).read("truth/0"), micrograph(number)[1])
    assert rows["old"]["image"].tolist() == rows["fine"]["image"].tolist()
    assert rows["old"]["soft_tp"].tolist() != rows["fine"]["soft_tp"].tolist()


def test_untouched_masks_are_no_truth_unless_all_are_meant(results: Path, tmp_path: Path) -> None:
    corrected(results, 1)
    outcomes, left = collect(results, tmp_path / "mine", test=0.3)
    assert ([o.image.name for o in outcomes], left) == (["disk1.png"], 3)
    outcomes, left = collect(results, tmp_path / "all", test=0.3, untouched=True)
    assert (len(outcomes), left) == (4, 0)
    for number in range(4):
        found = np.asarray(Image.open(tmp_path / "all" / "masks" / f"disk{number}.png"))
        network = np.asarray(Image.open(next(results.glob(f"disk{number}_mask.*")))) > 0
        np.testing.assert_array_equal(found, (micrograph(1)[1] if number == 1 else network) * 255)


def test_a_folder_that_grows_keeps_what_was_kept_back(results: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    collect(corrected(results, 0, 1), mine, test=0.5)
    first = index_of(mine)["split"].to_dict()
    assert sorted(first.values()) == ["test", "train"]
    index = pd.read_csv(mine / "index.csv")
    index["group"], index["note"] = "one grid", "beautiful"
    index.to_csv(mine / "index.csv", index=False)
    collect(corrected(results, 2, 3), mine, test=0.5)
    again = index_of(mine)
    assert list(pd.read_csv(mine / "index.csv")) == [*COLUMNS, "note"]
    # The two are one group now, of which one has been kept back.
    assert again.loc[list(first), "split"].tolist() == ["test", "test"]
    # One and a half of three groups are two.
    assert sorted(again.loc[["masks/disk2.png", "masks/disk3.png"], "split"]) == ["test", "train"]


def test_a_mask_that_cannot_be_used_costs_none_of_the_others(results: Path, tmp_path: Path) -> None:
    corrected(results, 0, 1, 2, 3)
    tifffile.imwrite(results / "disk0_corrected.tif", np.zeros((EDGE, EDGE + 1), np.uint8))
    tifffile.imwrite(results / "disk1_mask_corrected.tif", np.zeros((EDGE, EDGE), np.uint8))
    tifffile.imwrite(results / "disk2_corrected.tif", np.zeros((EDGE, EDGE), np.uint8))
    outcomes, _ = collect(results, tmp_path / "mine", test=0.3)
    told = [outcome.told for outcome in outcomes]
    assert [outcome.done for outcome in outcomes] == [False, False, True, True]
    assert f"is {EDGE} x {EDGE + 1} px, but its micrograph" in told[0]
    assert "several corrected masks, disk1_corrected.tif, disk1_mask_corrected.tif" in told[1]
    assert told[2].endswith("warning: nothing is marked")
    assert set(index_of(tmp_path / "mine").index) == {"masks/disk2.png", "masks/disk3.png"}
    assert not list((tmp_path / "mine").rglob("*.part"))


def test_the_command_says_what_it_has_collected(results: Path, tmp_path: Path) -> None:
    called = CliRunner().invoke(app, ["correct", str(results), "--output", str(tmp_path / "mine")])
    assert called.exit_code == 1
    assert "0 of 4 images collected" in called.output
    corrected(results, 0, 1)
    called = CliRunner().invoke(app, ["correct", str(results), "--output", str(tmp_path / "mine")])
    assert called.exit_code == 0
    assert "2 of 4 images collected" in called.output
    assert "2 without a corrected mask" in called.output


def test_the_table_of_results_is_read(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("file,path,page,name,pixel size [nm]\na.dm4,/data/a.dm4,2,a_page2,0.025\n")
    (found,) = segmented_images(tmp_path)
    assert (found.path, found.page, found.name, found.pixel_size) == (Path("/data/a.dm4"), 2, "a_page2", 0.25)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MicrographError, match=r"has no table images\.csv"):
        collect(tmp_path, tmp_path / "mine", 0.3)


def test_a_network_that_was_to_start_from_a_diverged_one_is_left_out(
    new_jobs: Any, learned: SimpleNamespace, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(learned.networks[0], tmp_path / "old"))
    record = unsealed(json.loads((old / "network.json").read_text()))
    (old / "network.json").write_text(json.dumps({**record, "diverged": "the loss is nan"}))
    jobs = new_jobs()
    training, dataset, model = (jobs.describe(stage) for stage in ("trainings", "datasets", "models"))
    fine = tmp_path / "fine"
    train_network(training, dataset, model, learned.manifest, 0, fine, start=old / "weights.safetensors")
    assert "to start from has diverged" in read_record(fine).diverged
    assert pd.read_csv(fine / "history.csv").empty


def test_weights_that_do_not_fit_are_one_sentence(new_jobs: Any, learned: SimpleNamespace, tmp_path: Path) -> None:
    jobs = new_jobs()
    training, dataset = (jobs.describe(stage) for stage in ("trainings", "datasets"))
    model = jobs.describe("models", encoder="resnet34")
    with pytest.raises(TrainingError, match="the weights to start from do not fit"):
        train_network(training, dataset, model, learned.manifest, 0, tmp_path / "fine", start=learned.networks[0])


def test_fields_of_micrographs_and_simulated_images_are_learned_together(
    new_jobs: Any, simulated: SimpleNamespace, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    collect(corrected(results, 0, 1, 2, 3), mine, test=0)
    text = new_jobs().text.replace(
        "datasets:\n  gold: {images: noisy", "datasets:\n  gold: {images: {noisy: 1, mine: 1}"
    )
    real = f"  mine: {{kind: micrographs, path: {mine}, per_structure: 3, pixel_size: 0.8, size: 32}}\ndatasets:"
    jobs = new_jobs(text.replace("datasets:", real, 1))
    images = tmp_path / "shard.zarr.zip"
    make_shard(jobs.describe("images", "mine"), range(4), {}, images)
    manifest = tmp_path / "manifest.parquet"
    pools = {"noisy": [str(simulated.images)], "mine": [str(images)]}
    make_dataset(jobs.describe("datasets"), pools, manifest, manifest.with_name("fingerprint.json"))
    for folder, held in (("net", 2**30), ("read", 0)):
        monkeypatch.setattr(learn, "HELD_BYTES", held)
        blocks = (jobs.describe(stage) for stage in ("trainings", "datasets", "models"))
        train_network(*blocks, manifest, 0, tmp_path / folder)
    weights = [(tmp_path / folder / "weights.safetensors").read_bytes() for folder in ("net", "read")]
    assert weights[0] == weights[1]
    drawn = open_shard(images).read("drawn")
    table = read_table(manifest)
    trained = table[(table["split"] == "train") & table["micrograph"].notna()]
    recorded = read_record(tmp_path / "net").info["data"]["target"]["particle_fraction"]
    assert recorded["max"] >= drawn[trained["row"]].mean(axis=(1, 2)).max() > 0


def test_a_field_is_cut_where_it_says_and_its_mask_with_it(results: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    collect(corrected(results, 0, 1), mine, test=0)
    study = study_from(
        {"images": {"mine": {"kind": "micrographs", "path": str(mine), "pixel_size": 0.8, "size": 32}}}, "mine.yaml"
    )
    (member,) = study.stage("images")
    assert len(shards(member)) == 1
    images = tmp_path / "shard.zarr.zip"
    make_shard(Description.parse(describe(member)), range(2), {}, images)
    for place, row in read_table(table_path(images)).iterrows():
        top, left = (round(row[name] / 0.8) for name in ("place_y", "place_x"))
        field = slice(top, top + 32), slice(left, left + 32)
        image, mask = micrograph(int(Path(row["micrograph"]).stem[-1]))
        np.testing.assert_allclose(open_shard(images).read("counts", place), image[field], atol=1e-3)
        np.testing.assert_array_equal(open_shard(images).read("drawn", place), mask[field])


def test_a_network_without_an_epoch_is_the_one_that_it_starts_from(
    new_jobs: Any, learned: SimpleNamespace, tmp_path: Path
) -> None:
    jobs = new_jobs()
    training, dataset = (jobs.describe(stage) for stage in ("trainings", "datasets"))
    model, old = jobs.describe("models", epochs=0), learned.networks[1]
    train_network(training, dataset, model, learned.manifest, 0, tmp_path / "old", start=old)
    assert read_record(tmp_path / "old").weights_sha256 == read_record(old).weights_sha256
    assert pd.read_csv(tmp_path / "old" / "history.csv").empty
