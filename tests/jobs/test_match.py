"""Datasets that are drawn towards micrographs, and where micrographs lie among images."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.datasets import Dataset
from exitwave.data.match import DISTANCE, WEIGHT
from exitwave.data.tables import read_table, write_table
from exitwave.errors import ConfigError, DatasetError
from exitwave.jobs.learn import make_dataset
from exitwave.training.streaming import check_streaming

PIXEL, EDGE = 0.8, 64


def image(seed, blur):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(EDGE, EDGE)), blur)
    return 1000 + 200 * (noise - noise.mean()) / noise.std()


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(values / 8, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, write_images):
    """240 images of 120 structures: of half of them noise, of half blurred noise."""
    path = tmp_path_factory.mktemp("images") / "shard-0.zarr.zip"
    number = np.arange(240)
    table = pd.DataFrame(
        {
            "image_id": [f"0badcafe-{one:06d}" for one in number],
            "structure_id": [f"0badcafe-{one // 2:06d}" for one in number],
            "split_position": np.random.default_rng(0).random(120)[number // 2],
            "pixel_size": PIXEL,
            "blurred": (number % 4 < 2).astype(int),
        }
    )
    counts = np.stack([image(one, 1.5 if one % 4 < 2 else 0.3) for one in number]).astype(np.float32)
    write_images(path, {"counts": counts}, table)
    return path


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    """Three images of blurred noise that need a finer pixel, a table that is none, and a file that is no image."""
    folder = tmp_path_factory.mktemp("micrographs")
    for seed in range(3):
        save(folder / f"{seed}.png", image(1000 + seed, 1.5))
    (folder / "broken.png").write_text("no image")
    (folder / "notes.txt").write_text("taken in May")
    return folder


def drawn(jobs, simulated, folder, **changes):
    """Manifest and fingerprint of a dataset."""
    description = jobs.describe("datasets", **{"size": 40, "test": 0.2, "validation": 0.2, **changes})
    folder.mkdir(exist_ok=True)
    manifest = folder / "manifest.parquet"
    make_dataset(description, {"noisy": [str(simulated)]}, manifest, folder / "fingerprint.json")
    return read_table(manifest), json.loads((folder / "fingerprint.json").read_text())


def test_a_dataset_is_drawn_towards_micrographs_and_says_how_far(jobs, simulated, micrographs, tmp_path, caplog):
    match = {"path": str(micrographs), "pixel_size": PIXEL}
    plain, _ = drawn(jobs, simulated, tmp_path / "plain")
    matched, content = drawn(jobs, simulated, tmp_path / "matched", match=match)
    learned = matched[matched["split"] != "test"]
    assert plain.loc[plain["split"] != "test", "blurred"].mean() < 0.7
    assert learned["blurred"].mean() > 0.8
    assert learned[WEIGHT].notna().all()
    assert learned.loc[learned["blurred"] == 1, DISTANCE].max() < learned.loc[learned["blurred"] == 0, DISTANCE].min()
    # What is scored on stays all that there is.
    tests = [set(table.loc[table["split"] == "test", "image_id"]) for table in (plain, matched)]
    assert tests[0] == tests[1]
    told = content["match"]
    assert told["micrographs"] == ["0.png", "1.png", "2.png"]
    assert told["median_distance_of_drawn"] < told["median_distance_of_all"]
    assert told["effective_images"] < told["images"]
    assert len(told["skipped"]) == 1
    assert "match: skipped" in caplog.text
    again, _ = drawn(jobs, simulated, tmp_path / "again", match=match)
    assert again.equals(matched)


def test_a_size_beyond_what_weights_count_as_is_told(jobs, simulated, micrographs, tmp_path, caplog):
    drawn(jobs, simulated, tmp_path, size=150, match={"path": str(micrographs), "pixel_size": PIXEL})
    assert "match: size 150 is more than the" in caplog.text


def test_each_network_can_draw_its_own_images_towards_them(jobs, simulated, micrographs, tmp_path):
    match = {"path": str(micrographs), "pixel_size": PIXEL}
    pool, content = drawn(jobs, simulated, tmp_path, match=match, draw_per_seed=True)
    assert pool["pool"].all()
    assert pool.loc[pool["split"] != "test", WEIGHT].mean() == pytest.approx(1)
    assert "median_distance_of_drawn" not in content["match"]


def test_an_index_says_which_images_are_meant_and_those_kept_back_for_the_test_are_not(
    jobs, simulated, micrographs, tmp_path
):
    folder = tmp_path / "indexed"
    shutil.copytree(micrographs, folder)
    rows = pd.DataFrame(
        {"image": ["0.png", "1.png"], "pixel_size": PIXEL, "split": ["train", "test"], "mask": ["masks/0.png", ""]}
    )
    rows.to_csv(folder / "index.csv", index=False)
    _, content = drawn(jobs, simulated, tmp_path / "d", match=str(folder))
    assert content["match"]["micrographs"] == ["0.png"]


def test_a_folder_of_nothing_that_can_be_used_names_the_first(jobs, simulated, micrographs, tmp_path):
    with pytest.raises(DatasetError, match=r"^datasets\.gold\.match: none of the micrographs of .* can be used"):
        drawn(jobs, simulated, tmp_path, match=str(micrographs))  # without a pixel size
    assert not (tmp_path / "manifest.parquet").exists()


def test_identity_follows_the_content_of_the_folder(new_jobs, micrographs, tmp_path):
    folder = tmp_path / "micrographs"
    shutil.copytree(micrographs, folder)

    def identity(match):
        text = new_jobs().text.replace(
            "{images: noisy, validation: 0.3, test: 0.3}",
            f"{{images: noisy, validation: 0.3, test: 0.3, size: 9, match: {match}}}",
        )
        return new_jobs(text).members.datasets.hash

    first = identity(f'"{folder}"')
    assert identity(f'{{path: "{folder}"}}') == first
    assert identity(f'{{path: "{folder}", nearest: 0.2}}') != first
    (folder / ".hidden").write_text("of a file manager")
    assert identity(f'"{folder}"') == first
    (folder / "0.png").rename(folder / "first.png")  # names are recorded
    assert identity(f'"{folder}"') != first
    (folder / "first.png").rename(folder / "0.png")
    assert identity(f'"{folder}"') == first
    save(folder / "2.png", image(7, 1.0))
    assert identity(f'"{folder}"') != first


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("match: /nowhere, size: 9", "/nowhere is no folder"),
        ("match: FOLDER", "match is given without a size"),
        ("match: FOLDER, size: 9, draw: stratified, strata: {dose: 2}", "match is given without a size, or with draw"),
        ("match: {path: FOLDER, evenly: 0}, size: 9", r"match\.evenly"),
        ("match: EMPTY, size: 9", "holds no micrograph"),
    ],
)
def test_what_cannot_be_matched_is_refused_before_the_first_job(new_jobs, micrographs, tmp_path, changes, told):
    (tmp_path / "empty").mkdir()
    changes = changes.replace("FOLDER", f'"{micrographs}"').replace("EMPTY", f'"{tmp_path / "empty"}"')
    text = new_jobs().text.replace("images: noisy, validation: 0.3", f"images: noisy, {changes}, validation: 0.3")
    with pytest.raises(ConfigError, match=told):
        new_jobs(text)


@pytest.fixture(scope="module")
def manifest(jobs, simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    drawn(jobs, simulated, folder, size=160)
    return folder / "manifest.parquet"


def run(*words):
    return CliRunner().invoke(app, ["fingerprint", *map(str, words)], catch_exceptions=False)


def test_an_image_like_the_simulated_ones_lies_among_them_and_another_outside(manifest, tmp_path):
    x = np.arange(EDGE)[None] + np.zeros((EDGE, 1))
    save(tmp_path / "own" / "like.png", image(2000, 1.5))
    save(tmp_path / "own" / "fringes.png", 1000 + 500 * np.cos(2 * np.pi * x / 8) + 10 * image(1, 0.3) / 200)
    save(tmp_path / "own" / "small.png", image(1, 1)[:20])
    output = tmp_path / "out"
    done = run(tmp_path / "own", "--pixel-size", PIXEL, "--dataset", manifest, "--output", output)
    assert done.exit_code == 1  # one could not be used
    assert "like.png: among the simulated images" in done.output
    assert "warning: fringes.png: outside of the simulated images" in done.output
    assert "above that of 99 %" in done.output
    assert "skipped" in done.output
    table = pd.read_csv(output / "fingerprint.csv").set_index("image")
    assert table["outside"].to_dict() == {"fringes.png": True, "like.png": False}
    # A period of 8 px is 6.4 Å: nearest to the ring whose middle is at 0.125 / px.
    assert table.loc["fringes.png", "power_6 [%]"] == 100
    assert Image.open(output / "fingerprint.png").size[0] > 1000


def test_an_image_that_is_taken_out_of_the_dataset_is_its_own_nearest(manifest, simulated, tmp_path):
    from exitwave.data.image_fingerprint import of_field
    from exitwave.data.placed import placed
    from exitwave.data.shards import open_shard
    from exitwave.jobs.fingerprint import surroundings_of

    among = surroundings_of(manifest)
    for place in (0, 17):
        row = among.rows.iloc[place]
        found = placed(of_field(open_shard(row["shard"]).read("counts", row["row"]))[None], among)
        assert (found.place, found.distance, found.nearer) == (place, 0, 0)
        rank = (among.found[:, 3] < found.values[3]).mean()
        assert found.shares[3] == pytest.approx(rank + 0.5 / len(among.found))


def test_of_few_images_nothing_is_said(jobs, simulated, tmp_path):
    drawn(jobs, simulated, tmp_path)
    save(tmp_path / "own.png", image(0, 1))
    with pytest.raises(DatasetError, match="allowed: 50 or more"):
        run(tmp_path / "own.png", "--dataset", tmp_path / "manifest.parquet")


def test_a_table_that_is_no_manifest_is_refused(tmp_path):
    write_table(tmp_path / "table.parquet", pd.DataFrame({"a": [1]}))
    save(tmp_path / "own.png", image(0, 1))
    with pytest.raises(DatasetError, match=r"has no column image_id, so that it is no manifest"):
        run(tmp_path / "own.png", "--dataset", tmp_path / "table.parquet")


def test_a_matched_dataset_is_not_streamed(micrographs):
    dataset = Dataset(images="noisy", size=9, match=str(micrographs))
    with pytest.raises(ConfigError, match="streaming: found true with a dataset that is drawn towards micrographs"):
        check_streaming(dataset)


def test_a_dataset_is_found_by_its_name(manifest, tmp_path, monkeypatch):
    from exitwave.jobs.fingerprint import find_dataset

    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="run a study first"):
        find_dataset(None)
    for name in ("wide-01234567", "wide-89abcdef", "small-01234567"):
        folder = tmp_path / "results" / "datasets" / name
        folder.mkdir(parents=True)
        write_table(folder / "manifest.parquet", pd.DataFrame({"dataset_hash": [name[-8:]]}))
    assert find_dataset("small").parent.name == find_dataset("small-01234567").parent.name == "small-01234567"
    assert find_dataset(str(folder)) == folder / "manifest.parquet"
    with pytest.raises(DatasetError, match="wide is several datasets; allowed: small-01234567, wide-01234567"):
        find_dataset("wide")
