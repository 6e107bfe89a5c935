"""A published set, scored by its name alone as whoever has downloaded it does."""

from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.models import Network
from exitwave.config.published import published_set
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ConfigError
from exitwave.jobs.evaluate import score_baselines, score_network, summarise_benchmark
from exitwave.study.doubts import doubtful_stacks
from exitwave.study.link import study_from
from exitwave.study.plan import plan

KNOWN = published_set("zenodo_3755011_au")
NUMBER, EDGE = 4, 128
BENCHMARKS = """
benchmarks:
  published:
    kind: micrographs
    published: zenodo_3755011_au
    path: downloads
    bootstrap: 100
  folder:
    kind: micrographs
    path: folder
    pixel_size: 0.2
    convention: outline
    bootstrap: 100
"""


def synthetic():
    """Discs that are darker than a noisy background, and their masks."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:EDGE, :EDGE]
    masks = np.array([np.hypot(y - 50 - 5 * n, x - 60) < 18 + 2 * n for n in range(NUMBER)])
    images = rng.normal(100, 8, masks.shape) - 30 * masks
    return images.astype(np.float32), masks


@pytest.fixture(scope="module")
def scores(jobs, learned, tmp_path_factory):
    """Both benchmarks of the same images: of HDF5 as it was published, and of a folder of single files."""
    images, masks = synthetic()
    run = tmp_path_factory.mktemp("run")
    (run / "downloads").mkdir()
    (run / "folder").mkdir()
    with h5py.File(run / "downloads" / KNOWN.images.file, "w") as file:
        file[KNOWN.images.key] = images.astype(np.float64)[..., np.newaxis]
    with h5py.File(run / "downloads" / KNOWN.masks.file, "w") as file:
        file[KNOWN.masks.key] = np.stack([~masks, masks], axis=-1).astype(np.float64)
    for place in range(NUMBER):
        np.save(run / "folder" / f"{place}.npy", images[place])
        Image.fromarray(masks[place].astype(np.uint8) * 255).save(run / "folder" / f"{place}.png")
    rows = "".join(f"{place}.npy,{place}.png\n" for place in range(NUMBER))
    (run / "folder" / "index.csv").write_text("image,mask\n" + rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run)
        jobs = type(jobs)(jobs.text.partition("benchmarks:")[0] + BENCHMARKS)
        found = {}
        for name in ("published", "folder"):
            benchmark, model = jobs.describe("benchmarks", name), jobs.describe("models").of(Network)
            out = run / name
            out.mkdir(exist_ok=True)
            shard, made = out / "gold" / "seed-0.zarr.zip", [out / f for f in ("b.parquet", "skipped.csv", "task.json")]
            weights = learned.networks[0] / "weights.safetensors"
            score_network(benchmark, model, [], weights, "gold", 0, 1, shard)
            score_baselines(benchmark, model, [], *made)
            tables = [out / f"{table}.parquet" for table in ("summary", "images", "by", "differences")]
            summarise_benchmark(benchmark, made[2], made[0], [shard], *tables)
            summary, per_image = (read_table(table) for table in tables[:2])
            found[name] = SimpleNamespace(
                summary=summary,
                images=per_image,
                network=read_table(table_path(shard)),
                skipped=pd.read_csv(made[1]),
            )
        yield SimpleNamespace(**found, run=run, jobs=jobs)


def test_it_has_the_scores_of_the_same_images_in_a_folder(scores):
    assert scores.published.skipped.empty
    per = [
        found.images.sort_values(["method", "image"]).reset_index(drop=True)
        for found in (scores.published, scores.folder)
    ]
    assert len(per[0]) == len(per[1]) > NUMBER * 5
    assert per[0]["image"].unique().tolist() == [f"{KNOWN.images.file}[{place}]" for place in range(NUMBER)]
    same = [name for name in per[0].columns if pd.api.types.is_numeric_dtype(per[0][name])]
    assert {"tp", "fp", "fn", "f1"} <= set(same)
    pd.testing.assert_frame_equal(per[0][same], per[1][same])
    pooled = [found.summary.set_index(["kind", "method"])["f1_pooled"] for found in (scores.published, scores.folder)]
    pd.testing.assert_series_equal(*pooled)


def test_a_baseline_that_calls_all_particle_has_the_score_that_follows_from_the_masks(scores):
    _, masks = synthetic()
    share = masks.mean()
    summary = scores.published.summary.set_index("method")
    (name,) = [name for name in summary.index if "everything" in name or "all" in name.split("_")]
    assert summary.loc[name, "f1_pooled"] == pytest.approx(2 * share / (1 + share))
    assert summary.loc[name, "groups"] == NUMBER


def test_every_image_says_which_file_it_was_read_from(scores):
    for table in (scores.published.images, scores.published.network):
        assert table["images_sha256"].str.fullmatch("[0-9a-f]{64}").all()
        assert (table["images_sha256"] != table["masks_sha256"]).all()
        assert set(table["convention"]) == {"outline"}


def test_the_study_counts_its_pixels_and_says_what_is_not_known(scores, monkeypatch):
    monkeypatch.chdir(scores.run)
    assert plan(scores.jobs.study)
    files = scores.jobs.study.members["benchmarks"]["published"].files
    assert files == [f"downloads/{KNOWN.images.file}", f"downloads/{KNOWN.masks.file}"]
    told = doubtful_stacks(scores.jobs.study)
    assert len(told) == len(KNOWN.assumed) + 1
    assert all(sentence.startswith("benchmarks.published: ") for sentence in told)
    assert f"which of the {NUMBER} images are patches of one micrograph" in told[-1]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"path": "folder"},
            f"path: folder/{KNOWN.images.file} does not exist; needed: this file of ",
        ),
        ({"published": "zenodo_0"}, "published: found 'zenodo_0'; allowed: zenodo_3755011_au, "),
        ({"hdf5": {"images": "x"}}, "found published with hdf5 or split"),
        ({"split": "test"}, "found published with hdf5 or split"),
        ({"published": None, "path": "folder", "hdf5": {"images": "x"}}, "hdf5: found with the path folder"),
        ({"published": None, "path": f"downloads/{KNOWN.images.file}"}, "give the masks: hdf5.mask_file"),
        ({"published": None, "path": f"downloads/{KNOWN.images.file}", "split": "test"}, "split: found with a file"),
        ({"pixel_size": 0.1}, f"path: {KNOWN.images.file} has pixels of 0.1 Å"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_the_first_job(scores, monkeypatch, keys, said):
    monkeypatch.chdir(scores.run)
    content = yaml.safe_load(scores.jobs.text)
    content["benchmarks"]["published"] |= keys
    with pytest.raises(ConfigError) as caught:
        study_from(content, "study.yaml")
    assert said in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_its_images_can_be_segmented(scores, learned):
    path = str(scores.run / "downloads" / KNOWN.images.file)
    options = ["--model", str(learned.networks[0]), "--pixel-size", "0.2", "--output", str(scores.run / "segmented")]
    result = CliRunner().invoke(app, ["segment", path, "--frame", "all", *options])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(scores.run / "segmented" / "images.csv")
    assert table["page"].tolist() == list(range(1, NUMBER + 1))
    refused = CliRunner().invoke(app, ["segment", path, *options])
    assert refused.exit_code == 1
    assert "--frame all" in refused.output.replace("\n", " ")
