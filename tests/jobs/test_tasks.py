"""Every task from a dataset to the figures of its benchmark, and a training that diverges beside one that does not."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from sklearn.metrics import accuracy_score, f1_score

from exitwave.benchmark.kinds import cases_of
from exitwave.data.batches import load_arrays
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ConfigError, TrainingError
from exitwave.jobs.evaluate import score_baselines, score_network, summarise_benchmark
from exitwave.jobs.learn import make_dataset, train_network
from exitwave.report.benchmarks import forest_plot, print_table, score_page
from exitwave.report.predictions import draw_predictions
from exitwave.report.training import draw_training
from exitwave.training.bundle import load_networks
from exitwave.training.kinds import model_from
from exitwave.training.networks import load_network

STUDY = """
seed: 5
structures:
  metals:
    kind: nanoparticles_on_substrate
    count: 8
    field_of_view: 25.6
    particles: {material: {choice: [Au, Ag]}, radius: {uniform: [4, 6]}}
    substrate: {thickness: {uniform: [4, 6]}}
exit_waves:
  still: {structures: metals, kind: plane_wave, sampling: 0.4}
images:
  noisy:
    exit_waves: still
    kind: hrtem
    per_structure: 3
    pixel_size: 0.8
    size: 32
    dose: 2000
    labels: [thickness]
datasets:
  metals: {images: noisy, validation: 0.3, test: 0.3}
models:
  mask: {kind: segmentation, encoder_depth: 3, epochs: 2, batch_size: 4}
  wild: {like: mask, learning_rate: 1.0e+36}
  thickness: {kind: regression, target: {map: thickness}, scale: 5, masks: [2, 6.5], encoder_depth: 3, epochs: 2,
              batch_size: 4}
  material: {kind: classification, target: {column: material}, epochs: 2, batch_size: 4}
trainings:
  mask: {datasets: metals, model: mask, seeds: 2}
  wild: {datasets: metals, model: wild, seeds: 2}
  thickness: {datasets: metals, model: thickness, seeds: 2}
  material: {datasets: metals, model: material, seeds: 2}
benchmarks:
  masks: {kind: simulated, datasets: [metals], trainings: [mask, wild], bootstrap: 100}
  thickness: {kind: simulated, datasets: [metals], trainings: [thickness], bootstrap: 100}
  material: {kind: simulated, datasets: [metals], trainings: [material], bootstrap: 100}
"""


@pytest.fixture(scope="module")
def study(jobs, tmp_path_factory):
    """The study's jobs, its images and its dataset."""
    own = type(jobs)(STUDY)
    folder = tmp_path_factory.mktemp("tasks")
    images = own.simulate(folder, 0, 8).images
    manifest = folder / "dataset" / "manifest.parquet"
    manifest.parent.mkdir()
    dataset = own.describe("datasets", "metals")
    make_dataset(dataset, {"noisy": [str(images)]}, manifest, manifest.with_name("fingerprint.json"))
    return SimpleNamespace(jobs=own, folder=folder, manifest=manifest, dataset=dataset)


def run(study, benchmark):
    """Train and score all networks of a benchmark, and sum up."""
    member = study.jobs.study.members["benchmarks"][benchmark]
    described = study.jobs.describe("benchmarks", benchmark)
    aim = model_from(cases_of(member.block).aim(member.upstream["trainings"]))
    folder = study.folder / benchmark
    networks, shards = {}, []
    for training in member.upstream["trainings"]:
        description = study.jobs.describe("trainings", training.name)
        model = study.jobs.describe("models", training.source("model").name)
        for seed in range(2):
            network = folder / training.name / f"seed-{seed}"
            train_network(description, study.dataset, model, study.manifest, seed, network)
            networks.setdefault(training.name, []).append(network)
            shards.append(folder / "scores" / training.name / f"seed-{seed}.zarr.zip")
            score_network(described, aim, [study.manifest], network, training.name, seed, 1, shards[-1])
    baselines, skipped, task = (folder / name for name in ("baselines.parquet", "skipped.csv", "task.json"))
    summary, images, *others = (folder / f"{name}.parquet" for name in ("summary", "all", "by", "differences"))
    score_baselines(described, aim, [study.manifest], baselines, skipped, task)
    summarise_benchmark(described, task, baselines, shards, summary, images, *others)
    return SimpleNamespace(
        folder=folder, networks=networks, shards=shards, summary=read_table(summary), images=read_table(images)
    )


def check_figures(made, training):
    """Every table and figure is made of what there is."""
    score_page(made.summary, made.folder / "scores.html", "Held-out images.", training)
    forest_plot(made.summary, made.folder / "scores.png", "Held-out images.", training)
    print_table([made.summary])
    draw_training(made.networks[training], made.folder / "curves.png", training)
    shards = [path for path in made.shards if path.parent.name == training]
    draw_predictions(shards, made.folder / "predictions.png", 0.5, real=False, title=training)
    for name in ("scores", "curves", "predictions"):
        assert (imread(made.folder / f"{name}.png")[..., :3].min(axis=2) < 0.9).mean() > 0.01
    return (made.folder / "scores.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def thickness(study):
    return run(study, "thickness")


def held_out(study, name):
    rows = read_table(study.manifest).query("split == 'test'")
    return rows, load_arrays(rows, [name])[name].astype(np.float64)


def test_the_error_of_a_regression_is_that_of_its_predictions(study, thickness):
    """Computed here from what is kept, apart from the package's metrics."""
    _, truth = held_out(study, "thickness")
    kept = [
        np.stack([open_shard(path).read(f"prediction/{i}") for i in range(len(truth))]).astype(np.float64)
        for path in thickness.shards
    ]
    rows = thickness.summary.set_index(["kind", "method"])
    row = rows.loc["network", "thickness"]
    assert row["mae"] == pytest.approx(np.median([np.abs(p - truth).mean() for p in kept]))
    assert row["bias"] == pytest.approx(np.median([(p - truth).mean() for p in kept]))
    mean = np.mean(kept, axis=0)
    ensemble = rows.loc["ensemble", "thickness"]
    assert ensemble["mae"] == pytest.approx(np.abs(mean - truth).mean())
    for above in (2, 6.5):
        expected = f1_score(truth.ravel() > above, mean.ravel() > above)
        assert ensemble[f"f1_above_{above:g}"] == pytest.approx(expected)


def test_the_baselines_of_a_regression_are_fitted_to_training_images(study, thickness):
    rows = read_table(study.manifest).query("split == 'train'")
    values = load_arrays(rows, ["thickness"])["thickness"].astype(np.float64)
    _, truth = held_out(study, "thickness")
    found = thickness.summary.set_index("method")
    assert found.loc["mean of the training images", "mae"] == pytest.approx(
        np.abs(truth - values.mean()).mean(), rel=1e-4
    )
    assert found.loc["mean of the training images", "bias"] == pytest.approx(values.mean() - truth.mean(), rel=1e-3)
    assert "line through blurred intensity" in found.index


def test_the_best_method_of_a_regression_has_the_smallest_error(thickness):
    page = check_figures(thickness, "thickness")
    for text in ("MAE [Å]", "bias [Å]", "F1 above 6.5 Å", "mean of the training images"):
        assert text in page


def test_a_regression_records_unit_and_quantiles_of_its_target(thickness):
    record = json.loads((thickness.networks["thickness"][0] / "network.json").read_text())
    assert record["facts"] == {"unit": "Å"}
    assert record["info"]["data"]["target"]["unit"] == "Å"
    assert 0 <= record["info"]["data"]["target"]["median"] < record["info"]["data"]["target"]["max"]
    loaded = load_network(thickness.networks["thickness"][0])
    assert (loaded.task.unit, loaded.model.scale) == ("Å", 5)


@pytest.fixture(scope="module")
def material(study):
    return run(study, "material")


def test_accuracy_and_f1_of_a_classification_are_those_of_scikit_learn(study, material):
    rows, _ = held_out(study, "counts")
    per_image = material.images.query("kind == 'network' and seed == 1")
    assert per_image["truth"].tolist() == rows["material"].tolist()
    found = material.summary.set_index(["kind", "method"]).loc["network", "material"]
    both = material.images.query("kind == 'network'").groupby("seed")
    expected = [accuracy_score(group["truth"], group["prediction"]) for _, group in both]
    assert found["accuracy"] == pytest.approx(np.median(expected))
    expected = [f1_score(group["truth"], group["prediction"], average="macro") for _, group in both]
    assert found["macro_f1"] == pytest.approx(np.median(expected))


def test_a_confusion_matrix_stands_in_the_table_of_images(material):
    counts = material.images.filter(regex=r"^c_\d+_\d+$")
    assert counts.shape[1] == 2 * 3  # the last column of the matrix is any other class
    assert (counts.sum(axis=1) == 1).all()
    hits = counts["c_0_0"] + counts["c_1_1"]
    assert (hits == (material.images["truth"] == material.images["prediction"])).all()
    assert "macro F1" in check_figures(material, "material")


def test_a_class_that_a_network_has_never_seen_is_an_error_and_no_crash(study, material, tmp_path):
    """The material of half of the held-out images is written over with one that no network knows."""
    table = read_table(study.manifest)
    strange = table.index[table["split"] == "test"][::2]
    table.loc[strange, "material"] = "Zz"
    table.to_parquet(tmp_path / "manifest.parquet")
    member = study.jobs.study.members["benchmarks"]["material"]
    aim = model_from(cases_of(member.block).aim(member.upstream["trainings"]))
    described = study.jobs.describe("benchmarks", "material")
    network = material.networks["material"][0]
    score_network(described, aim, [tmp_path / "manifest.parquet"], network, "material", 0, 1, tmp_path / "a.zarr.zip")
    scores = read_table(table_path(tmp_path / "a.zarr.zip"))
    assert (scores.loc[scores["truth"] == "Zz", "accuracy"] == 0).all()
    assert (scores["truth"] == "Zz").sum() == len(strange)


@pytest.fixture(scope="module")
def masks(study):
    return run(study, "masks")


def test_a_diverged_training_leaves_the_scores_of_the_others(masks):
    rows = masks.summary.set_index(["kind", "method"])
    assert rows.loc["network", "mask"]["seeds"] == 2
    assert rows.loc["network", "mask"]["diverged"] == 0
    assert np.isfinite(rows.loc["network", "mask"]["f1_pooled"])
    lost = rows.loc["network", "wild"]
    assert (lost["seeds"], lost["diverged"], lost["images"]) == (0, 2, 0)
    assert np.isnan(lost["f1_pooled"])
    assert ("ensemble", "wild") not in rows.index
    assert set(masks.images["method"]) >= {"mask", "Otsu after blur"}
    assert "wild" not in set(masks.images["method"])


def test_a_diverged_training_says_so_and_holds_no_weights(masks):
    for network in masks.networks["wild"]:
        record = json.loads((network / "network.json").read_text())
        assert "a lower learning_rate may help; images: " in record["diverged"]
        assert not (network / "checkpoint.pt").exists()
        history = pd.read_csv(network / "history.csv")
        assert {"epoch", "train_loss", "validation_loss", "validation_f1"} <= set(history)
        with pytest.raises(TrainingError, match="holds no network, since its training has diverged: the"):
            load_network(network)
    with pytest.raises(TrainingError, match="all 2 networks have diverged"):
        load_networks(masks.folder / "wild")


def test_what_is_left_of_a_diverged_training_is_drawn(masks, capsys):
    page = check_figures(masks, "wild")
    assert "2 diverged" in page
    assert "2 diverged" in capsys.readouterr().out


def test_one_network_of_two_that_diverges_is_left_out_and_counted(masks, study, tmp_path, caplog):
    described = study.jobs.describe("benchmarks", "masks")
    aim = model_from({"kind": "segmentation"})
    shards = [tmp_path / "mask" / f"seed-{seed}.zarr.zip" for seed in range(2)]
    with caplog.at_level(logging.WARNING):
        for seed, name in enumerate(("mask", "wild")):
            network = masks.networks[name][seed]
            score_network(described, aim, [study.manifest], network, "mask", seed, 1, shards[seed])
    assert "no scores: the training has diverged: the" in caplog.text
    paths = [tmp_path / f"{name}.parquet" for name in ("summary", "all", "by", "differences")]
    summarise_benchmark(described, masks.folder / "task.json", masks.folder / "baselines.parquet", shards, *paths)
    row = read_table(paths[0]).set_index("kind").loc["network"]
    assert (row["seeds"], row["diverged"]) == (1, 1)
    draw_predictions(shards, tmp_path / "one.png", 0.5, real=False)


def test_an_error_that_is_no_divergence_still_ends_the_job(study, tmp_path):
    model = study.jobs.describe("models", "mask", encoder="resnet19")
    with pytest.raises(TrainingError, match=r"^trainings\.mask: seed 0: encoder is 'resnet19'"):
        train_network(study.jobs.describe("trainings", "mask"), study.dataset, model, study.manifest, 0, tmp_path / "a")
    assert not (tmp_path / "a" / "network.json").exists()


def test_networks_of_different_targets_are_not_scored_together(jobs):
    text = STUDY.replace(
        "datasets: [metals], trainings: [thickness], bootstrap: 100", "datasets: [metals], trainings: [thickness, mask]"
    )
    words = "'thickness' learns regression"
    with pytest.raises(ConfigError, match=rf"benchmarks\.thickness\.trainings: .*{words}.*; allowed: trainings"):
        type(jobs)(text)
