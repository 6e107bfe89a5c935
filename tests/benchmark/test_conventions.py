"""What counts as particle: masks of spheres whose thickness is known, and benchmarks whose images follow both ways."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from exitwave.benchmark.conventions import OUTLINE, mask_of_thickness
from exitwave.benchmark.micrographs import check_benchmark_folder, read_benchmark
from exitwave.benchmark.prediction import predict_image
from exitwave.benchmark.segmentation import count_pixels
from exitwave.config.models import Regression, Segmentation
from exitwave.data.tables import read_table
from exitwave.errors import ConfigError
from exitwave.report.benchmarks import print_table
from exitwave.study.link import study_from
from exitwave.training.bundle import load_bundle, save_bundle
from exitwave.training.kinds import task_of
from exitwave.training.networks import load_network, save_network
from jobs_by_hand import jobs_of

SMALL: dict[str, Any] = {"architecture": "residual", "encoder_depth": 3, "preprocessing": {"median": 1}}
SEGMENTS = Segmentation(kind="segmentation", **SMALL)
MEASURES = Regression(kind="regression", target={"map": "thickness"}, scale=30, **SMALL)


def sphere(radius: float, centre: tuple[float, float], size: int, pixel: float) -> np.ndarray:
    """Thickness of a sphere along the beam."""
    y, x = (np.mgrid[:size, :size] + 0.5) * pixel
    square = radius**2 - (y - centre[0]) ** 2 - (x - centre[1]) ** 2
    return 2 * np.sqrt(np.clip(square, 0, None))


def test_masks_of_spheres_have_the_areas_that_follow() -> None:
    pixel, radii = 0.25, (12.0, 30.0)
    thickness = sphere(radii[0], (20, 20), 480, pixel) + sphere(radii[1], (70, 75), 480, pixel)
    outline = mask_of_thickness(thickness, pixel, "outline")
    half = mask_of_thickness(thickness, pixel, "half")
    # A chord is as long as OUTLINE where it is sqrt(r² - OUTLINE²/4) off the centre, and half of 2 r at r sqrt(3)/2.
    discs = [np.pi * (radius**2 - OUTLINE**2 / 4) for radius in radii]
    assert outline.sum() * pixel**2 == pytest.approx(sum(discs), rel=0.01)
    assert half.sum() * pixel**2 == pytest.approx(0.75 * np.pi * sum(radius**2 for radius in radii), rel=0.01)
    # Each by its own thickness: the small one is nowhere half as thick as the large one.
    assert half[80, 80]
    assert thickness[80, 80] < 0.5 * thickness.max()
    assert mask_of_thickness(thickness, pixel, "outline", least=2.0).sum() > outline.sum()


def test_thin_particles_and_specks_are_not_halved_into_something() -> None:
    # Thinner than twice the least thickness, half of it is no limit; specks are no particles.
    thin = sphere(9.0, (20, 20), 160, 0.25) * (0.45 / 0.9)
    assert np.array_equal(mask_of_thickness(thin, 0.25, "half"), mask_of_thickness(thin, 0.25, "outline"))
    speck = np.zeros((50, 50))
    speck[20:23, 20:23] = 40
    assert mask_of_thickness(speck, 1.0, "outline").sum() == 9
    assert not mask_of_thickness(speck, 1.0, "half").any()
    assert not mask_of_thickness(np.zeros((8, 8)), 1.0, "half").any()


def write_folder(folder: Path) -> None:
    rng = np.random.default_rng(4)
    (folder / "set").mkdir()
    for name in "ab":
        image = rng.integers(0, 256, (64, 72)).astype(np.uint8)
        Image.fromarray(image).save(folder / "set" / f"{name}.png")
        mask = sphere(12, (20, 30 + 10 * (name == "b")), 72, 0.8)[:64] > 0
        Image.fromarray(np.uint8(255 * mask)).save(folder / "set" / f"{name}_mask.png")
    rows = ["image,mask,pixel_size,convention", "a.png,a_mask.png,0.8,outline", "b.png,b_mask.png,0.8,half"]
    (folder / "set" / "index.csv").write_text("\n".join(rows))


def write_networks(folder: Path) -> None:
    """Two networks that segment by each convention, and one that measures, with random weights."""
    folders = {}
    for number, name in enumerate(["outline-0", "outline-1", "half-0", "half-1", "thickness"]):
        torch.manual_seed(number)
        task = task_of(MEASURES if name == "thickness" else SEGMENTS, {"unit": "Å"} if name == "thickness" else {})
        folders[name], network = folder / name, task.build()
        if name == "thickness":  # about as often above as below the least thickness of an outline
            with torch.no_grad():
                outputs = network.eval()(torch.rand(1, 1, 64, 64))
                network.final_conv.bias += OUTLINE / MEASURES.scale - outputs.median()
        save_network(folders[name], network, task, pixel_size=0.8, info={"image_size": 64})
    both = {name: (name, [folders[f"{name}-{seed}"] for seed in range(2)], {}) for name in ("outline", "half")}
    save_bundle(folder / "both.safetensors", both)


def study_of(**keys: Any) -> Any:
    block = {"kind": "micrographs", "path": "set", "bootstrap": 100, "overlap": 0.5, **keys}
    return study_from({"benchmarks": {"mine": block}}, "mine.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path, before = tmp_path_factory.mktemp("conventions"), Path.cwd()
    write_folder(path)
    write_networks(path)
    os.chdir(path)
    yield path
    os.chdir(before)


@pytest.fixture(scope="module")
def run(folder: Path) -> SimpleNamespace:
    """A study that trains nothing, with all of its artifacts."""
    networks = {"ours": "both.safetensors", "half": "both.safetensors#half", "measured": "thickness"}
    study = study_of(networks=networks)
    for job in jobs_of(study, "mine"):
        job.run()
    (benchmark,) = study.stage("benchmarks")
    report = Path("results/report/mine") / benchmark.folder
    return SimpleNamespace(
        summary=read_table(report / "summary.parquet"),
        images=read_table(report / "per_image.parquet"),
        figures=sorted(path.name for path in report.glob("*.png")),
    )


def counted(prediction: np.ndarray, name: str) -> dict[str, float]:
    mask = np.asarray(Image.open(f"set/{name}_mask.png")) > 0
    return count_pixels(prediction, mask)


def predicted(network: Any, name: str) -> np.ndarray:
    image = np.asarray(Image.open(f"set/{name}.png"), np.float32)
    return predict_image(network, image, 0.8).values


@pytest.mark.parametrize(
    ("method", "image", "convention"), [("ours", "a", "outline"), ("ours", "b", "half"), ("half", "a", "half")]
)
def test_each_image_is_segmented_by_its_own_convention(run: Any, method: str, image: str, convention: str) -> None:
    rows = run.images[(run.images["method"] == method) & (run.images["image"] == image)].set_index("seed")
    networks = [predicted(network, image) for network in load_bundle(Path("both.safetensors"), convention)]
    for seed, prediction in [*enumerate(networks), (-1, np.mean(networks, axis=0))]:
        expected = counted(np.clip(prediction, 0, 1), image)
        assert {name: rows.loc[seed, name] for name in expected} == pytest.approx(expected)
    assert rows.loc[-1, "kind"] == "ensemble"


@pytest.mark.parametrize(("image", "convention"), [("a", "outline"), ("b", "half")])
def test_a_thickness_gives_the_mask_of_either_convention(run: Any, image: str, convention: Any) -> None:
    thickness = predicted(load_network(Path("thickness")), image)
    mask = mask_of_thickness(thickness, 0.8, convention)
    assert 0 < mask.mean() < 1
    (row,) = run.images[(run.images["method"] == "measured") & (run.images["image"] == image)].to_dict("records")
    assert {name: row[name] for name in ("tp", "fp", "fn", "tn")} == pytest.approx(
        {name: value for name, value in counted(mask, image).items() if not name.startswith("soft")}
    )
    assert row["convention"] == convention


def test_networks_that_are_named_stand_in_table_and_figures(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = run.summary.groupby("method")["kind"].agg(set).to_dict()
    assert (kinds["ours"], kinds["measured"]) == ({"network", "ensemble"}, {"network"})
    seeds = run.summary.set_index(["method", "kind"])["seeds"]
    assert (seeds["ours", "network"], seeds["measured", "network"]) == (2, 1)
    assert run.figures == ["calibration.png", "scores.png"]
    print_table([run.summary])
    said = capsys.readouterr().out
    assert "ours (ensemble)" in said
    assert "Hausdorff [Å]" in said
    calibration = said[said.index("calibration") :]
    assert "error at rims" in calibration
    assert "Otsu" not in calibration


def test_the_config_may_say_the_convention_of_all_images(folder: Path) -> None:
    from exitwave.benchmark.micrographs import cases

    (benchmark,) = study_of(convention="half").stage("benchmarks")
    told = [case.columns["convention"] for case in cases(benchmark.block, SEGMENTS, [])]
    assert told == ["half", "half"]
    assert [found.convention for found in read_benchmark("set")[0]] == ["outline", "half"]


def test_files_of_named_networks_are_inputs(folder: Path) -> None:
    (benchmark,) = study_of(networks={"a": "both.safetensors#half", "b": "thickness"}).stage("benchmarks")
    assert {"both.safetensors", "thickness/weights.safetensors", "thickness/network.json"} <= set(benchmark.files)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"networks": {"a": "nowhere.safetensors"}}, "networks: 'a': nowhere.safetensors: holds no network"),
        ({"networks": {"a": "both.safetensors#rim"}}, "no convention 'rim'; allowed: outline, half"),
        ({"networks": {"a": "thickness#half"}}, "thickness#half does not exist"),
        ({"convention": "rim"}, "convention"),
    ],
)
def test_networks_that_there_are_not_are_refused(folder: Path, keys: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        study_of(**keys)


def test_what_an_index_does_not_say_is_asked_for(folder: Path, tmp_path: Path) -> None:
    index = pd.read_csv("set/index.csv")
    for name in "ab":
        for file in (f"{name}.png", f"{name}_mask.png"):
            (tmp_path / file).write_bytes(Path("set", file).read_bytes())
    index.assign(convention=["half", None]).to_csv(tmp_path / "index.csv", index=False)
    named = {"networks": {"a": "both.safetensors"}, "path": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"of none for some images; allowed: one of theirs, as in .*#outline"):
        study_of(**named)
    study_of(**named, convention="half")
    study_of(path=str(tmp_path), networks={"a": "both.safetensors#half"})
    with pytest.raises(ConfigError, match="networks: 'a' measures the thickness"):
        study_of(path=str(tmp_path), networks={"a": "thickness"})
    index.assign(convention="rim").to_csv(tmp_path / "index.csv", index=False)
    with pytest.raises(ConfigError, match="has the convention rim; allowed: outline or half, or empty"):
        check_benchmark_folder(tmp_path)
