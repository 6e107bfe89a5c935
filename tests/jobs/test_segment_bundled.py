"""The networks that come with exitwave, as a person uses them right after the installation."""

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import exitwave
from exitwave.benchmark.instances import find_instances
from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.micrographs import read_benchmark
from exitwave.benchmark.prediction import predict_ensemble
from exitwave.benchmark.segmentation import metric
from exitwave.cli import app
from exitwave.errors import MicrographError
from exitwave.training.bundle import BUNDLED, load_bundle, read_bundle
from exitwave.training.kinds import task_from

PATCHES, TILES = "resources/micrographs/scottlab_hrtem_patches", "resources/micrographs/seg_track_tem"
OVERLAP = {PATCHES: 0.5, TILES: 0.25}
"""Of tiles, as in config/studies/real_patches.yaml."""


def score(folder: str, convention: str) -> dict[str, float]:
    """Scores of the mean prediction on a folder of micrographs, as the benchmark has them."""
    networks = load_bundle(BUNDLED, convention)
    judged: Metric = metric(task_from(read_bundle(BUNDLED)[convention].networks[0]), 0.5)
    rows = []
    for micrograph in read_benchmark(folder)[0]:
        found = predict_ensemble(
            networks, micrograph.image, micrograph.pixel_size, OVERLAP[folder], symmetry_average=True, any_image=True
        )
        # As predictions are kept.
        rows.append(judged.of_image(found.values.astype(np.float16), micrograph.mask, micrograph.pixel_size))
    counts = pd.DataFrame(rows)[list(judged.counts)].sum().to_numpy(float)
    return {name: float(value) for name, value in judged.scores(counts).items()}


def test_the_file_is_small_and_says_what_it_is():
    assert BUNDLED.stat().st_size <= 10e6
    assert list(read_bundle(BUNDLED)) == ["outline", "half"]
    for convention in read_bundle(BUNDLED).values():
        assert {"scottlab", "seg_track"} < set(convention.scores)
        assert convention.pixel_size == 0.8


def test_scores_on_the_patches_are_those_that_the_file_says():
    recorded = read_bundle(BUNDLED)["outline"].scores["scottlab"]
    assert score(PATCHES, "outline")["f1"] == pytest.approx(recorded["f1_pooled"], abs=2e-3)


@pytest.mark.slow
def test_scores_on_the_tiles_are_those_that_the_file_says():
    recorded = read_bundle(BUNDLED)["half"].scores["seg_track"]
    assert score(TILES, "half")["f1"] == pytest.approx(recorded["f1_pooled"], abs=2e-3)


@pytest.mark.parametrize(("folder", "convention"), [(PATCHES, "outline"), (TILES, "half")])
def test_counts_and_diameters_are_those_of_the_experts(folder, convention):
    sizes: dict[str, list[float]] = {"experts": [], "networks": []}
    for micrograph in read_benchmark(folder)[0]:
        found = exitwave.segment(micrograph.image, micrograph.pixel_size, convention=convention)
        truth = find_instances(micrograph.mask, micrograph.pixel_size)
        for who, labels in (("experts", truth), ("networks", found.labels)):
            areas = np.bincount(labels.ravel())[1:] * micrograph.pixel_size**2
            sizes[who] += list(2 * np.sqrt(areas / np.pi))
    assert len(sizes["networks"]) == pytest.approx(len(sizes["experts"]), rel=0.1)
    assert np.median(sizes["networks"]) == pytest.approx(np.median(sizes["experts"]), rel=0.1)


def noise(rng):
    return rng.poisson(30, (256, 256)).astype(np.float32)


def dark_field(rng):
    y, x = np.indices((256, 256))
    image = np.full(y.shape, 5.0)
    for centre in rng.uniform(20, 236, (12, 2)):
        image += 60 * np.clip(1 - (np.hypot(y - centre[0], x - centre[1]) / 14) ** 2, 0, None) ** 0.5
    return rng.poisson(image).astype(np.float32)


def diffraction_pattern(rng):
    y, x = np.indices((256, 256)) - 128
    image = 2 + 20 * np.exp(-np.hypot(y, x) / 40)
    for h in range(-4, 5):
        for k in range(-4, 5):
            disc = np.hypot(y - 30 * h, x - 30 * k) < 5
            image[disc] += 4000 * np.exp(-(h**2 + k**2) / 3)
    return rng.poisson(image).astype(np.float32)


@pytest.mark.parametrize("image", [noise, dark_field, diffraction_pattern])
def test_what_the_networks_have_never_seen_is_told_or_refused(image):
    seen = image(np.random.default_rng(0))
    try:
        told = exitwave.segment(seen, 0.8).warnings
    except MicrographError as error:
        told = (str(error),)
    assert any("unlike the training images" in text for text in told)


def test_right_after_the_installation(tmp_path):
    called = CliRunner().invoke(
        app, ["segment", f"{PATCHES}/images/Au5nm_0.png", "--pixel-size", "0.773", "--output", str(tmp_path / "out")]
    )
    assert called.exit_code == 0, called.output
    assert "Au5nm_0.png: " in called.output
    assert (tmp_path / "out" / "summary.html").stat().st_size > 10_000


def test_the_first_day_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "resources").symlink_to(Path("resources").resolve())
    script = Path("docs/first_day.py").resolve()
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    told = capsys.readouterr().out
    agreement = re.search(r"F1 ([0-9.]+); warnings: none", told)
    assert agreement is not None, told
    assert float(agreement[1]) > 0.85
    assert "21 particles" in told
    assert (tmp_path / "first_day.png").stat().st_size > 10_000
