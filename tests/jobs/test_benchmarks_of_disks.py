"""Benchmarks of disks and of strain, from the simulation to tables and figures."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

from exitwave.benchmark import datacubes
from exitwave.config.benchmarks import KnownStrain, ScanPart
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ConfigError, DatasetError
from exitwave.jobs.evaluate import score_network, summarise_benchmark
from exitwave.report.benchmarks import print_table
from exitwave.study import artifacts
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.plan import aim_of_benchmark
from exitwave.training.kinds import model_from
from jobs_by_hand import jobs_of
from strained_scan import strained_scan

STUDY = """
seed: 2
structures:
  library:
    kind: crystals
    crystals: 12
    count: 12
    orientations: {zone_axes: 2, random: 1, mistilt: {uniform: [0, 10]}}
  layers:
    kind: multilayer
    count: 16
    field_of_view: 24
    layers: [{width: 40, strain: 0.01}, {width: 60, strain: -0.01}]
    thickness: 40
    scan: {start: -20, columns: 8, step: 12}
exit_waves:
  bloch:
    structures: library
    kind: scattering_matrix
    semiangle: 2
    thickness: 60
    g_max: 1.2
    rms_displacement_of_others: 0.08
  probes: {structures: layers, kind: probe, semiangle: 2, sampling: 0.4, largest_angle: 15, frozen_phonons: 1}
images:
  cbed:
    exit_waves: bloch
    kind: diffraction
    per_structure: 1
    size: 48
    reciprocal_sampling: 0.05
    semiangle: {choice: [1, 2]}
    dose: 1.0e+6
  scan: {exit_waves: probes, kind: diffraction, size: 48, reciprocal_sampling: 0.05, semiangle: 2, dose: 1.0e+7}
datasets:
  disks: {images: cbed, validation: 0.2, test: 0.3}
models:
  unet: {kind: disks, width: 4, depth: 2, epochs: 2, batch_size: 4}
trainings:
  unet: {datasets: disks, model: unet, seeds: 1}
benchmarks:
  held_out: {kind: simulated, datasets: [disks], by: [semiangle, prototype], bootstrap: 100}
  strain: {kind: strain, images: scan, tuned_on: disks, bootstrap: 100, interface: 4}
  real:
    kind: datacube
    path: scan.npy
    probe: probe.npy
    reciprocal_sampling: 0.03
    tuned_on: disks
    reference: {columns: [0, 4], rows: [0, 6]}
    known:
      - {columns: [4, 8], rows: [0, 4], xx: 0.012, yy: -0.008, xy: 0.004, rotation: 26.18}
      - {columns: [4, 8], rows: [4, 5], xx: 0.022, yy: -0.008, xy: 0.004, rotation: 26.18}
    bootstrap: 100
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The study with all its artifacts, below the folder of its run."""
    folder = tmp_path_factory.mktemp("disks")
    before = Path.cwd()
    os.chdir(folder)
    patterns = strained_scan().patterns.copy()
    patterns[1, 5] = np.nan
    np.save("scan.npy", patterns)
    np.save("probe.npy", strained_scan().probe)
    try:
        study = study_from(yaml.safe_load(STUDY), "disks.yaml")
        for job in jobs_of(study, "disks", every_block=True):
            if not job.cell.startswith("figures/") or "/benchmarks/" in job.cell:
                job.run()
        yield SimpleNamespace(study=study, folder=folder)
    finally:
        os.chdir(before)


def table(run, benchmark, name):
    member = run.study.members["benchmarks"][benchmark]
    return read_table(run.folder / f"results/report/disks/{member.folder}/{name}.parquet")


def test_held_out_disks_are_those_of_whole_prototypes(run):
    manifest = read_table(run.folder / artifacts.manifest(run.study.members["datasets"]["disks"]))
    held = manifest.query("split == 'test'").set_index("image_id")
    images = table(run, "held_out", "per_image")
    assert set(images["image"]) == set(held.index)
    assert not set(held["prototype"]) & set(manifest.query("split == 'train'")["prototype"])
    assert images["group"].tolist() == held.loc[images["image"], "group"].tolist()
    assert images["semiangle"].tolist() == held.loc[images["image"], "semiangle"].tolist()
    assert set(images["method"]) == {
        "unet",
        "blank map",
        "correlation",
        "correlation + lattice",
        "correlation for strain",
    }


def test_the_table_of_disks_has_correlation_tuned_and_a_blank_map(run):
    summary = table(run, "held_out", "summary").set_index("method")
    assert summary.loc["correlation", "f1"] > 0.2
    assert summary.loc["blank map", "f1"] == 0
    assert summary.loc["blank map", "ssim"] > 0
    assert np.isnan(summary.loc["correlation", "ssim"])
    assert 0 < summary.loc["correlation", "position_error"] < 1


def test_scores_are_broken_down_by_the_columns_named(run):
    broken_down = table(run, "held_out", "by")
    images = table(run, "held_out", "per_image")
    assert set(broken_down["by"]) == {"semiangle", "prototype"}
    for (label, method), rows in broken_down.query("by == 'semiangle'").groupby(["label", "method"]):
        own = images[(images["semiangle"] == float(label)) & (images["method"] == method)]
        assert rows["images"].tolist() == [len(own)]
        tp, fp, fn = own[["tp", "fp", "fn"]].sum()
        assert rows["f1"].iloc[0] == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_every_place_of_a_scan_is_scored_but_reference_and_interfaces(run):
    images = table(run, "strain", "per_image").query("method == 'correlation'")
    assert len(images) == 16
    reference = images["layer"] == 0
    assert (images["is_reference"] == reference).all()
    assert (images["is_scored"] == (~reference & (images["interface_distance"] >= 4))).all()
    truth = images.set_index("layer")["true_xx"]
    assert truth[0].abs().max() == pytest.approx(0, abs=1e-6)
    assert truth[1].iloc[0] == pytest.approx(1.0)
    summary = table(run, "strain", "summary").set_index("method")
    assert summary.loc["correlation", "fit_failures"] == 0
    assert summary.loc["correlation", "fit_rms_yy"] < 2
    assert summary.loc["correlation map", "map_failures"] == 0
    assert summary.loc["correlation", "groups"] == images["layer"].nunique()
    # And the profile, the mean of the two rows.
    scored = images.query("is_scored and fit_places > 0")
    for name in ("yy", "xx"):
        profile = (scored[f"fit_{name}"] - scored[f"true_{name}"]).groupby(scored["scan_column"]).mean()
        assert summary.loc["correlation", f"rows_rms_{name}"] == pytest.approx(np.sqrt((profile**2).mean()))


def test_the_mean_of_equal_networks_scores_as_they_do(run, tmp_path):
    for name in ("held_out", "strain"):
        member = run.study.members["benchmarks"][name]
        training = member.upstream["trainings"][0]
        described, model = Description.parse(describe(member)), model_from(aim_of_benchmark(member))
        manifests = [run.folder / path for path in artifacts.manifests_of_benchmark(member)]
        weights = run.folder / artifacts.weights(training)[0]
        shards = [tmp_path / name / f"seed-{seed}.zarr.zip" for seed in range(2)]
        for seed, shard in enumerate(shards):
            score_network(described, model, manifests, weights, training.name, seed, 1, shard)
        folder = run.folder / "results" / member.folder
        paths = [tmp_path / f"{name}-{which}.parquet" for which in ("summary", "images", "by", "differences")]
        summarise_benchmark(described, folder / "task.json", folder / "baselines.parquet", shards, *paths)
        rows = read_table(paths[0]).set_index("kind")
        scores = [column for column in rows if f"{column}_low" in rows]
        one, mean = (rows.loc[kind, scores].to_numpy(float) for kind in ("network", "ensemble"))
        np.testing.assert_allclose(one, mean, rtol=1e-6)
        assert len(scores) == (8 if name == "held_out" else 14)


def test_predictions_keep_the_threshold_and_the_list_of_reflections(run):
    member = run.study.members["benchmarks"]["held_out"]
    shard = open_shard(run.folder / artifacts.predictions(member, member.upstream["trainings"][0])[0])
    assert 0 < shard.attributes["threshold"] < 1
    truth, map_ = shard.read("truth", 0), shard.read("prediction", 0)
    assert truth.shape[1] == 9
    assert map_.shape == (2, 48, 48)  # structure factors, and how surely disks are placed
    rows = read_table(table_path(shard.path))
    found = np.reshape(rows["disks"].iloc[0], (-1, 3))
    assert len(found) >= rows["tp"].iloc[0] + rows["fp"].iloc[0]


@pytest.mark.parametrize("name", ["held_out", "strain"])
@pytest.mark.parametrize("file", ["scores.png", "conditions.png", "predictions"])
def test_figures_of_disks_and_strain_are_drawn(run, name, file):
    member = run.study.members["benchmarks"][name]
    (path,) = (run.folder / "results/report/disks" / member.folder).glob(f"{file}{'/*.png' if '.' not in file else ''}")
    picture = imread(path)[..., :3]
    assert (picture.min(axis=2) < 0.9).mean() > 0.01
    assert picture.shape[0] > 150


def test_strain_is_printed_in_the_terminal(run, capsys):
    print_table([table(run, "strain", "summary")])
    told = capsys.readouterr().out
    assert "strain, lattice" in told
    assert "strain, mean over the rows" in told
    assert "correlation map" in told


def test_a_real_scan_is_scored_where_its_strain_is_known(run):
    images = table(run, "real", "per_image").query("method == 'correlation'").set_index(["scan_row", "scan_column"])
    assert len(images) == 6 * 8 - 1  # but for the place that cannot be read
    assert images["part"].value_counts().to_dict() == {"reference": 24, "part 1": 15, "part 2": 4, "elsewhere": 4}
    assert images.query("is_scored")["part"].unique().tolist() == ["part 1", "part 2"]
    found = images.query("part == 'part 1'")
    assert found["fit_xx"].median() == pytest.approx(1.2, abs=0.15)
    assert found["fit_yy"].median() == pytest.approx(-0.8, abs=0.15)
    assert found["fit_rotation"].median() == pytest.approx(1.5, abs=0.15)
    by = table(run, "real", "by").query("method == 'correlation' and by == 'part'").set_index("label")
    # What is said of the second part is wrong by 1 %, which counts as an error.
    assert by.loc["part 1", "fit_rms_xx"] < 0.3
    assert by.loc["part 2", "fit_rms_xx"] == pytest.approx(1.0, abs=0.3)
    skipped = (run.folder / "results" / run.study.members["benchmarks"]["real"].folder / "skipped.csv").read_text()
    assert "column 5, row 1 is empty, or not finite" in skipped


def test_networks_show_the_strain_of_a_real_scan_in_maps(run):
    member = run.study.members["benchmarks"]["real"]
    summary = table(run, "real", "summary").set_index("method")
    assert set(summary.index) == {"unet", "correlation", "correlation + rims", "correlation map", "cepstrum"}
    assert summary["images"].tolist() == [47] * 5
    (path,) = (run.folder / "results/report/disks" / member.folder / "predictions").glob("*.png")
    picture = imread(path)
    assert picture.shape[0] > 400


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": "gone.npy"}, "path: there is no file gone.npy; allowed: one that is there"),
        ({"probe": None}, "found no probe; allowed: one of probe, vacuum and semiangle"),
        ({"semiangle": 2}, "found probe and semiangle; allowed: one of probe, vacuum and semiangle"),
        ({"reciprocal_sampling": None}, "path: scan.npy has no calibration of its patterns; give the key reciprocal_s"),
        ({"reciprocal_sampling": 0.3}, "path: scan.npy has pixels of 0.3 1/Å, and 'unet' is trained on pixels of 0.05"),
        ({"reference": {"columns": [0, 9], "rows": [0, 2]}}, "reference: found 0:9,0:2; allowed: x from 0 to 8"),
        ({"known": [{"columns": [3, 3], "rows": [0, 2]}]}, "known: found 3:3,0:2; allowed: x from 0 to 8"),
        ({"by": ["layer"]}, "by: found 'layer'; allowed: part, scan_row, scan_column"),
        ({"reciprocal_sampling": None, "any_pixel_size": True}, "path: scan.npy has no calibration of its patterns"),
        ({"probe": None, "semiangle": 2}, "scan.npy does not say what semiangle needs besides; give energy"),
        ({"known": [{"columns": [4, 8], "rows": [0, 4], "xx": 1.2}]}, "known[0].xx: found 1.2; allowed: 0.09 or less"),
    ],
)
def test_scans_that_cannot_be_scored_are_refused_before_the_first_job(run, monkeypatch, change, told):
    monkeypatch.chdir(run.folder)
    config = yaml.safe_load(STUDY)
    config["benchmarks"]["real"] |= change
    with pytest.raises(ConfigError, match=re.escape(told)):
        study_from(config, "disks.yaml")


def test_layers_that_count_as_not_found_are_refused_before_the_first_job():
    config = yaml.safe_load(STUDY)
    del config["benchmarks"]["real"]
    config["structures"]["layers"]["layers"][0]["strain"] = 0.12
    with pytest.raises(ConfigError, match=r"images: layers of 'layers' are strained by 0.12; allowed: up to 0.09"):
        study_from(config, "disks.yaml")


@pytest.mark.parametrize("shape", [(40, 1), (100, 100), (1, 70), (9, 3)])
def test_no_more_places_than_asked_for_are_measured(shape):
    block = SimpleNamespace(size=20, known=[], reference=ScanPart(columns=(0, 1), rows=(0, 1)))
    places = datacubes.measured_at(shape, block)
    assert 10 <= len(places) <= 20


def test_a_known_part_without_a_place_is_told(run, monkeypatch):
    monkeypatch.chdir(run.folder)
    member = run.study.members["benchmarks"]["real"]
    known = [*member.block.known, KnownStrain(columns=(5, 6), rows=(1, 2), xx=0.01)]  # which cannot be read
    block = member.block.model_copy(update={"known": known})
    manifests = [run.folder / path for path in artifacts.manifests_of_benchmark(member)]
    with pytest.raises(DatasetError, match="no place of known part 3 can be used"):
        datacubes.cases(block, model_from(aim_of_benchmark(member)), manifests)
