"""Benchmarks of known lattices, from the simulation to tables and figures, and folders that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.image import imread
from PIL import Image

from exitwave.benchmark.cases import Case
from exitwave.benchmark.classification import FINDER, classified, seen_by
from exitwave.benchmark.known_lattices import AIM, cases, lattice_from, truth_of
from exitwave.benchmark.lattice_scores import metric, predict, rules
from exitwave.config.benchmarks import LatticeBenchmark
from exitwave.data.tables import read_table
from exitwave.errors import ConfigError, MicrographError
from exitwave.imaging.convolution import render
from exitwave.report.benchmarks import print_table
from exitwave.study.link import study_from
from exitwave.training.kinds import model_from, task_of
from exitwave.training.networks import load_network
from jobs_by_hand import jobs_of

STUDY = """
structures:
  sheets: {kind: monolayer, count: 20, field_of_view: 24}
images:
  stem: {structures: sheets, kind: stem_convolution, pixel_size: 0.25, size: 64, dose: 1.0e+5}
datasets:
  lattices: {images: stem, validation: 0.2, test: 0.2}
models:
  lattice: {kind: classification, target: {column: bravais}, epochs: 1, batch_size: 4}
  as_published: {kind: classification, target: {column: bravais_published}, epochs: 1, batch_size: 4}
  shape: {kind: classification, target: {column: prototype}, epochs: 1, batch_size: 4}
  atoms: {kind: atoms, encoder_depth: 3, epochs: 1, batch_size: 4}
trainings:
  lattice: {datasets: lattices, model: lattice, seeds: 1}
benchmarks:
  known: {kind: lattices, path: known, bootstrap: 100}
"""
SQUARE = lattice_from(3.9, 3.9, 90)


def image_of(vectors: np.ndarray, pixel: float = 0.15, size: int = 240) -> np.ndarray:
    """A noisy image of columns at the points of a lattice."""
    index = np.array([(i, j) for i in range(-40, 41) for j in range(-40, 41)])
    places = index @ vectors + size * pixel / 2
    seen = render(places, np.ones(len(places)), 0.6, pixel, size, [0.0, 0.0])
    return np.random.default_rng(0).poisson(2000 * seen).astype(np.float32)


def write_image(path: Path, image: np.ndarray) -> None:
    Image.fromarray(np.uint8(255 * (image - image.min()) / np.ptp(image))).save(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The study with all its artifacts, and a folder with two images, one of which is nowhere."""
    folder = tmp_path_factory.mktemp("lattices")
    known = folder / "known"
    known.mkdir()
    # Strained by 0.8 % along x and not along y, and 5 % larger than is said.
    write_image(known / "square.png", image_of(1.05 * SQUARE @ np.diag([1.008, 1.0])))
    rows = ["square.png,3.9,3.9,90,0.15", "gone.png,3,3,60,0.2"]
    (known / "index.csv").write_text("\n".join(["image,a,b,gamma,pixel_size", *rows]))
    before = Path.cwd()
    os.chdir(folder)
    try:
        study = study_from(yaml.safe_load(STUDY), "lattices.yaml")
        for job in jobs_of(study, "lattices"):
            if not job.cell.startswith("figures") or "benchmarks" in job.cell:
                job.run()
        yield SimpleNamespace(folder=folder, study=study)
    finally:
        os.chdir(before)


def test_class_strain_and_scale_of_a_known_lattice_are_told(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (member,) = run.study.stage("benchmarks")
    report = run.folder / "results/report/lattices" / member.folder
    summary = read_table(report / "summary.parquet").set_index(["kind", "method"])
    found = summary.loc[("baseline", FINDER)]
    assert (found["images"], found["accuracy"]) == (1, 1.0)
    assert found["strain"] == pytest.approx(0.004, abs=0.001)
    assert found["scale_error"] == pytest.approx(0.054, abs=0.002)
    networks = summary.loc[("network", "lattice")]
    assert networks["seeds"] == 1
    assert 0 <= networks["accuracy"] <= 1
    assert np.isnan(networks["strain"])
    images = read_table(report / "per_image.parquet")
    (row,) = images[images["method"] == FINDER].to_dict("records")
    assert row["truth"] == row["prediction"] == "square"
    assert row["lattice_gamma"] == pytest.approx(90, abs=0.3)
    print_table([report / "summary.parquet"])
    assert FINDER in capsys.readouterr().out
    skipped = pd.read_csv(next(iter(run.folder.glob("results/benchmarks/known-*/skipped.csv"))))
    assert skipped["file"].tolist() == ["gone.png"]
    (path,) = (report / "predictions").glob("*.png")
    picture = imread(path)
    assert np.ptp(picture[..., :3], axis=2).max() > 0.3  # the lattice in colour


def test_large_images_are_seen_in_fields_of_those_that_networks_know(run: Any) -> None:
    folder = next(iter(run.folder.glob("results/trainings/lattice-*/seed-0")))
    network = load_network(folder)
    task = task_of(model_from(AIM), {"classes": ["hexagonal", "square", "rectangular", "rhombus", "oblique"]})
    block = LatticeBenchmark(kind="lattices", path="known")
    case = Case("one", image_of(SQUARE, 0.25, 112), truth_of(SQUARE), 0.25, "one")
    found = predict(network, case, block, task)
    assert network.info["image_size"] == 64
    corners = np.stack([seen_by(network, case, block)[y : y + 64, x : x + 64] for y in (0, 48) for x in (0, 48)])
    assert found[:6] == pytest.approx(classified(network, corners, task.classes).mean(axis=0), abs=1e-5)
    assert found[:6].sum() == pytest.approx(1, abs=1e-5)
    assert np.isnan(found[6:]).all()
    far = Case("far", case.image, case.truth, 0.05, "far")
    with pytest.raises(MicrographError, match=r"5\.0 times finer"):
        predict(network, far, block, task)


def test_an_image_without_a_lattice_has_no_class() -> None:
    task = task_of(model_from(AIM), {"classes": ["hexagonal", "square", "rectangular", "rhombus", "oblique"]})
    case = Case("flat", np.ones((64, 64), np.float32), truth_of(SQUARE), 0.2, "flat")
    found = metric(task, 0.5).of_image(rules(task)[FINDER](case), case.truth, 0.2)
    assert (found["truth"], found["prediction"], found["accuracy"]) == ("square", "another", 0.0)
    assert np.isnan(found["strain"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,a,b\nx.png,3,3", "lacks gamma; needed: image, a, b and gamma"),
        ("image,a,b,gamma,pixel_size\nx.png,3,3,400,1", "has the gamma 400.*allowed: degrees from 30 to 150"),
        ("image,a,b,gamma,pixel_size\nx.png,-3,3,90,1", "has the a -3; allowed: Å above 0"),
        ("image,a,b,gamma,pixel_size\nx.png,3,,90,1", "the lattice 3, nan, 90; needed: a, b and gamma"),
        # The cell of a longer vector.
        ("image,a,b,gamma,pixel_size\nx.png,3,6,60,1", r"whose shortest vectors have 3 and 5\.196 Å; allowed: these"),
        ("image,a,b,gamma\nx.png,3,3,90", "has no pixel_size, its image files cannot carry one"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_before_the_first_job(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "index.csv").write_text(text)
    study = yaml.safe_load(STUDY)
    study["benchmarks"]["known"]["path"] = str(tmp_path)
    with pytest.raises(ConfigError, match=told) as caught:
        study_from(study, "lattices.yaml")
    assert "benchmarks.known.path" in str(caught.value)


def test_networks_that_name_no_lattice_are_refused_and_those_of_other_labels_are_not(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("image,a,b,gamma,pixel_size\nx.png,3,3,90,0.3")
    study = yaml.safe_load(STUDY)
    study["benchmarks"]["known"]["path"] = str(tmp_path)
    for name in ("as_published", "shape", "atoms"):
        study["trainings"][name] = {"datasets": "lattices", "model": name}
    study["images"]["stem"]["labels"] = ["columns"]
    member = study_from(study, "lattices.yaml").stage("benchmarks")[0]
    assert [training.name for training in member.upstream["trainings"]] == ["lattice", "as_published"]
    for name, told in (("shape", "column prototype"), ("atoms", "kind atoms")):
        study["benchmarks"]["known"]["trainings"] = [name]
        with pytest.raises(ConfigError, match=f"found '{name}', whose model is of {told}; allowed: classification"):
            study_from(study, "lattices.yaml")


def test_a_folder_without_a_usable_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("image,a,b,gamma,pixel_size\nx.png,3,3,90,0.3")
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(MicrographError, match=r"none of the 1 images of .* can be used; the first: "):
        cases(LatticeBenchmark(kind="lattices", path=tmp_path), model_from(AIM), [])
