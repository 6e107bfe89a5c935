"""Which figures a study has, what they are drawn from, what is said of them, and that all of them can be drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from docutils.core import publish_doctree
from docutils.nodes import system_message

from exitwave.config.kinds import STAGES
from exitwave.config.models import MaskTarget, Segmentation
from exitwave.data.tables import join_tables, write_table
from exitwave.report.figures import (
    FIGURES,
    draw_figure,
    figure_of_kind,
    figures,
    figures_of_kind,
    last_simulated,
    mask_shown,
    report_files,
)
from exitwave.report.front_files import about_front_page, front_page_inputs
from exitwave.study.artifacts import before_the_report
from exitwave.study.link import study_from
from exitwave.training.kinds import task_of
from exitwave.training.networks import save_network

MICROGRAPHS = Path(__file__).parents[2] / "resources" / "micrographs" / "scottlab_hrtem_patches"
TINY = f"""
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 6
    shard_size: 4
    field_of_view: 25.6
    particles: {{material: Au, radius: {{uniform: [4, 6]}}}}
  bare: {{like: gold, count: 2}}
exit_waves:
  thermal: {{structures: gold, kind: plane_wave, sampling: 0.4}}
  series: {{like: thermal, thickness_series: 8}}
images:
  noisy: {{exit_waves: thermal, kind: hrtem, pixel_size: 0.8, size: 32, dose: {{matrix: [100, 200]}}}}
  labelled: {{exit_waves: thermal, kind: hrtem, pixel_size: 0.8, size: 32, dose: 300, labels: [atoms, thickness]}}
datasets:
  gold: {{images: labelled, validation: 0.3, test: 0.3}}
models:
  small: {{kind: segmentation, target: {{minimum: 0.25}}}}
trainings:
  gold: {{datasets: gold, model: small, seeds: 2}}
  streamed: {{like: gold, streaming: true, seeds: 1}}
benchmarks:
  held_out: {{kind: simulated, datasets: [gold], threshold: 0.4}}
  real: {{kind: micrographs, path: {MICROGRAPHS}, trainings: [gold]}}
"""


def tiny(**changes):
    """The tiny study, dotted keys changed (``__`` for the dot)."""
    raw = yaml.safe_load(TINY)
    for key, value in changes.items():
        stage, block, name = key.split("__")
        raw[stage][block][name] = value
    return study_from(raw, "tiny.yaml")


@pytest.fixture(scope="module")
def study():
    return tiny()


def named(study, path):
    """A path with the names of blocks in place of their folders."""
    for stage in study.members:
        for member in study.stage(stage):
            path = path.replace(member.folder, f"{stage}/{member.name}")
            path = path.replace(member.folder.partition("/")[2], member.name)
    return path


def figure(study, path):
    return next(figure for figure in figures(study).values() if named(study, figure.path) == path)


def test_every_block_has_the_figures_of_its_kind(study):
    assert sorted(named(study, path) for path in figures(study)) == [
        "benchmarks/held_out/browse/gold.html",
        "benchmarks/held_out/browse/streamed.html",
        "benchmarks/held_out/calibration.png",
        "benchmarks/held_out/differences.html",
        "benchmarks/held_out/differences.png",
        "benchmarks/held_out/predictions/gold.png",
        "benchmarks/held_out/predictions/streamed.png",
        "benchmarks/held_out/scores.html",
        "benchmarks/held_out/scores.png",
        "benchmarks/real/browse/gold.html",
        "benchmarks/real/calibration.png",
        "benchmarks/real/differences.html",
        "benchmarks/real/predictions/gold.png",
        "benchmarks/real/scores.html",
        "benchmarks/real/scores.png",
        "datasets/gold/maps.png",
        "exit_waves/series/parameters.png",
        "exit_waves/series/waves.png",
        "exit_waves/thermal/waves.png",
        "images/labelled/contact_sheet.png",
        "images/labelled/labels.png",
        "images/labelled/parameters.png",
        "images/noisy[dose=100]/contact_sheet.png",
        "images/noisy[dose=100]/parameters.png",
        "images/noisy[dose=200]/contact_sheet.png",
        "images/noisy[dose=200]/parameters.png",
        "structures/bare/atoms.png",
        "structures/bare/parameters.png",
        "structures/gold/atoms.png",
        "trainings/gold/learning_curves.png",
        "trainings/streamed/learning_curves.png",
    ]
    folder = "results/report/tiny"
    last = [f"{folder}/{name}" for name in ("costs.png", "costs.html", "index.html")]
    assert report_files(study, "tiny") == [*(f"{folder}/{path}" for path in figures(study)), *last]


def test_the_last_simulated_are_those_that_nothing_is_simulated_from(study):
    assert [member.name for member in last_simulated(study)] == [
        "bare",
        "series",
        "noisy[dose=100]",
        "noisy[dose=200]",
        "labelled",
    ]


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("structures/gold/atoms.png", ["structures/gold/shard-000000-000004.zarr.zip"]),
        ("exit_waves/thermal/waves.png", ["exit_waves/thermal/shard-000000-000004.zarr.zip"]),
        (
            "images/labelled/contact_sheet.png",
            [f"images/labelled/shard-{part}.zarr.zip" for part in ("000000-000004", "000004-000006")],
        ),
        ("images/labelled/labels.png", ["images/labelled/shard-000000-000004.zarr.zip"]),
        (
            "images/labelled/parameters.png",
            [f"images/labelled/shard-{part}.parquet" for part in ("000000-000004", "000004-000006")],
        ),
        (
            "datasets/gold/maps.png",
            [
                "datasets/gold/manifest.parquet",
                *(f"images/labelled/shard-{part}.zarr.zip" for part in ("000000-000004", "000004-000006")),
            ],
        ),
        ("trainings/gold/learning_curves.png", [f"trainings/gold/seed-{seed}/history.csv" for seed in (0, 1)]),
        ("benchmarks/real/scores.html", ["report/tiny/benchmarks/real/summary.parquet"]),
        (
            "benchmarks/real/differences.html",
            [f"report/tiny/benchmarks/real/{name}.parquet" for name in ("differences", "summary")],
        ),
        (
            "benchmarks/held_out/browse/streamed.html",
            ["benchmarks/held_out/streamed/seed-0.zarr.zip", "benchmarks/held_out/baselines.parquet"],
        ),
        (
            "benchmarks/real/predictions/gold.png",
            [*(f"benchmarks/real/gold/seed-{seed}.zarr.zip" for seed in (0, 1)), "benchmarks/real/baselines.parquet"],
        ),
        (
            "benchmarks/held_out/predictions/streamed.png",
            ["benchmarks/held_out/streamed/seed-0.zarr.zip", "benchmarks/held_out/baselines.parquet"],
        ),
    ],
)
def test_a_figure_is_drawn_from_what_was_made_for_it(study, path, files):
    assert [named(study, file) for file in figure(study, path).inputs("tiny")] == [f"results/{file}" for file in files]


def test_all_that_figures_read_is_made_before_the_report(study):
    made = before_the_report(study, "tiny")
    assert len(made) == len(set(made))
    read = {file for figure in figures(study).values() for file in figure.inputs("tiny")}
    beside = {"per_image": "summary", ".parquet": ".zarr.zip", "history.csv": "weights.safetensors"}
    for file in read:
        if "/benchmarks/" in file and file.endswith((".zarr.zip", "/baselines.parquet")):
            continue  # the summary is made from the same predictions and baselines
        # One job makes the summary of a benchmark and the tables beside it.
        summary = str(Path(file).with_name("summary.parquet"))
        assert {file, summary, *(file.replace(end, other) for end, other in beside.items())} & set(made), file


def test_what_a_figure_is_told_is_canonical_and_does_not_depend_on_counts():
    before, after = tiny(), tiny(structures__gold__count=9, trainings__gold__seeds=3)
    for path, of in figures(before).items():
        told = of.about()
        assert told == json.dumps(json.loads(told), sort_keys=True)
        if path in figures(after):  # a dataset, and what is made from it, depends on the number of images
            assert figures(after)[path].about() == told


def test_masks_are_shown_as_the_networks_trained_on_the_images_learn_them(study):
    shown = {member.name: mask_shown(study, member) for member in study.stage("images")}
    assert shown == {
        "noisy[dose=100]": MaskTarget(),
        "noisy[dose=200]": MaskTarget(),
        "labelled": MaskTarget(minimum=0.25),
    }
    told = json.loads(figure(study, "images/labelled/contact_sheet.png").about())
    assert told["target"] == {"by": "phase", "fraction": 0.0, "minimum": 0.25}


def test_maps_are_coloured_by_the_classes_that_networks_learn_from_the_dataset():
    raw = yaml.safe_load(TINY)
    del raw["benchmarks"]  # of networks of one aim
    raw["datasets"]["other"] = {"images": "labelled", "validation": 0.3, "test": 0.2}
    for name, column in (("by_material", "material"), ("by_shape", "shape")):
        raw["models"][name] = {"kind": "classification", "target": {"column": column}}
        raw["trainings"][name] = {"datasets": "gold", "model": name}
    maps = [of for of in figures(study_from(raw, "tiny.yaml")).values() if of.figure.file == "maps.png"]
    told = {of.member.name: json.loads(of.about())["columns"] for of in maps}
    assert told == {"gold": ["material", "shape"], "other": []}


def test_figures_are_listed_by_block_training_or_benchmark(study):
    assert figure(study, "structures/bare/atoms.png").labels == {
        "block": figure(study, "structures/bare/atoms.png").member.folder.partition("/")[2],
        "figure": "atoms",
    }
    overlays = figure(study, "benchmarks/real/predictions/gold.png")
    assert list(overlays.labels) == ["benchmark", "figure"]
    assert named(study, overlays.labels["figure"]) == "predictions of gold"
    assert list(figure(study, "trainings/gold/learning_curves.png").labels) == ["training", "figure"]


def test_maps_of_two_conditions_are_drawn_where_two_are_named():
    def drawn(*by):
        return {of.figure.file for of in figures(tiny(benchmarks__held_out__by=list(by))).values()}

    assert not {"conditions.png", "failure_maps.png"} & drawn()
    assert {"conditions.png", "failure_maps.png"} & drawn("dose") == {"conditions.png"}
    found = figure(tiny(benchmarks__held_out__by=["dose", "defocus"]), "benchmarks/held_out/failure_maps.png")
    assert json.loads(found.about())["by"] == ["dose", "defocus"]
    assert [Path(file).name for file in found.inputs("tiny")] == ["per_image.parquet", "summary.parquet"]


def test_the_first_page_leads_to_all_figures_and_is_made_from_tables_and_figures(study):
    told = json.loads(about_front_page(study, "tiny"))
    elsewhere = study_from(yaml.safe_load(TINY), "/of/another/tiny.yaml")
    assert json.loads(about_front_page(elsewhere, "tiny")) == told
    listed = [path for _, of in told["chapters"] for _, path in of]
    assert sorted(listed) == sorted([*figures(study), "costs.png", "costs.html"])
    assert {made["what"]: made["number"] for made in told["made"]} == {
        "structures": 8,
        "exit waves": 12,
        "images": 18,
    }
    assert (told["networks"], told["trainings"]) == (3, 2)
    held_out, real = told["benchmarks"]
    assert {named(study, path) for path in held_out["browse"].values()} == {
        "benchmarks/held_out/browse/gold.html",
        "benchmarks/held_out/browse/streamed.html",
    }
    assert real["kind"] == "micrographs"
    made = set(front_page_inputs(study, "tiny"))
    for one in told["benchmarks"]:
        assert {*one["tables"].values(), one["skipped"]} <= made
    assert {f"results/report/tiny/{made['picture']}" for made in told["made"]} <= made
    assert not [file for file in made if file.endswith(".zarr.zip")]


def test_chapters_stand_in_the_order_of_the_stages(study):
    chapters = [of.figure.category for of in figures(study).values() if of.figure.file != "parameters.png"]
    assert chapters == sorted(chapters)


def test_a_kind_without_figures_of_its_own_has_those_of_its_stage():
    assert [figure.file for figure in figures_of_kind("structures", "files")] == ["atoms.png", "parameters.png"]
    assert [figure.file for figure in figures_of_kind("images", "hrtem")] == [
        "contact_sheet.png",
        "labels.png",
        "parameters.png",
    ]
    assert figure_of_kind("images", "hrtem", "contact_sheet.png") != figure_of_kind("images", "", "contact_sheet.png")
    assert figures_of_kind("models", "segmentation") == ()


@pytest.mark.parametrize(
    ("stage", "kind"), [(stage, kind) for stage in ("structures", "exit_waves", "images") for kind in STAGES[stage]]
)
def test_every_kind_of_the_simulation_has_a_figure_that_shows_its_arrays(stage, kind):
    assert any(figure.reads in ("shard", "shards") for figure in figures_of_kind(stage, kind))


@pytest.mark.parametrize(
    ("caption", "file"),
    sorted({(figure.caption, figure.file) for of in FIGURES.values() for figure in of}),
)
def test_captions_are_sound_and_say_what_is_simulated(caption, file):
    document = publish_doctree(caption, settings_overrides={"report_level": 5})
    assert not list(document.findall(system_message))
    assert any(word in caption for word in ("Simulated", "simulated", "Experimental")), file


def test_the_table_of_figures_imports_nothing_that_draws():
    modules = "exitwave.report.figures, exitwave.report.front_files"
    code = f"import sys, {modules}; print({{'matplotlib', 'torch', 'scipy', 'zarr'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def artifacts(tmp_path, rng, samples):
    """Files such as the figures of the tiny study are drawn from, by stage and what is read."""
    epochs = np.arange(1, 5)
    names = ("train_loss", "validation_loss", "validation_f1", "validation_f1_soft")
    history = pd.DataFrame({"epoch": epochs} | dict.fromkeys(names, 1 / (1 + epochs)))
    history.to_csv(tmp_path / "history.csv", index=False)
    task = task_of(Segmentation(kind="segmentation"), {})
    save_network(tmp_path, torch.nn.Linear(1, 1), task, pixel_size=0.8, info={})
    samples.summary().to_parquet(tmp_path / "summary.parquet")
    pd.DataFrame({"method": ["Otsu after blur"], "f1": [0.5]}).to_parquet(tmp_path / "baselines.parquet")
    samples.per_image(rng).to_parquet(tmp_path / "per_image.parquet")
    images = samples.images(tmp_path / "images.zarr.zip", [2, 0, 1], rng)
    write_table(tmp_path / "manifest.parquet", join_tables([images]).assign(group=list("abc")))
    return {
        "structures": samples.structures(tmp_path / "structures.zarr.zip", [2, 0, 1], rng),
        "exit_waves": samples.waves(tmp_path / "waves.zarr.zip", samples.structure_rows([2, 0, 1]), rng, 3),
        "images": images,
        "histories": [tmp_path / "history.csv"],
        "summary": [tmp_path / "summary.parquet"],
        "per_image": [tmp_path / "per_image.parquet"],
        "predictions": [*samples.predictions(tmp_path, 2, 3, rng), tmp_path / "baselines.parquet"],
        "dataset": [tmp_path / "manifest.parquet", images],
    }


@pytest.mark.parametrize(
    "path",
    [
        "structures/bare/atoms.png",
        "structures/bare/parameters.png",
        "exit_waves/series/waves.png",
        "exit_waves/series/parameters.png",
        "images/labelled/contact_sheet.png",
        "images/labelled/labels.png",
        "images/labelled/parameters.png",
        "datasets/gold/maps.png",
        "trainings/gold/learning_curves.png",
        "benchmarks/real/scores.html",
        "benchmarks/real/scores.png",
        "benchmarks/real/calibration.png",
        "benchmarks/real/predictions/gold.png",
        "benchmarks/held_out/scores.html",
        "benchmarks/held_out/predictions/gold.png",
    ],
)
def test_a_job_draws_its_figure_from_what_it_is_told(study, artifacts, tmp_path, path):
    of = figure(study, path)
    match of.figure.reads:
        case "shard" | "shards":
            files = [artifacts[of.member.stage]]
        case "tables":
            files = [Path(str(artifacts[of.member.stage]).replace(".zarr.zip", ".parquet"))]
        case reads:
            files = artifacts[reads]
    made = tmp_path / "made" / path
    draw_figure(of.about(), files, made)
    assert made.stat().st_size > 2000
