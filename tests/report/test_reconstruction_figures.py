"""Figures of images that were made again or made finer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from every_kind import every_kind
from exitwave.data.shards import shard_writer
from exitwave.items import Array, Item, lateral
from exitwave.report.figures import figures
from exitwave.report.predictions import draw_predictions
from exitwave.report.reconstruction import draw_latent
from exitwave.study.link import study_from

AIMS = {
    "autoencoder": {"model": {"kind": "autoencoder"}, "facts": {"edge": 16}},
    "super_resolution": {"model": {"kind": "super_resolution", "factor": 2}, "facts": {}},
}


def predictions(path: Path, kind: str, seeds: int, rng: np.random.Generator) -> list[Path]:
    """Predictions of two images; of one image without contrast."""
    paths = []
    for seed in range(seeds):
        attributes: dict[str, Any] = {"stage": "predictions", "method": "own", "task": AIMS[kind], "threshold": 0.5}
        with shard_writer(path / f"seed-{seed}.zarr.zip", 2, attributes) as writer:
            for place in range(2):
                image = place * rng.poisson(20, (16, 16)).astype(np.float32)
                true = np.kron(image, np.ones((2, 2), np.float32)) if kind == "super_resolution" else image
                arrays = {"image": image, "truth": true, "prediction": true + place}
                item = {name: Array(values, lateral(0.4), ragged=True) for name, values in arrays.items()}
                writer.add(Item(item, {"image": f"abcdef01-00000{place}-000", "pixel_size": 0.8}))
        paths.append(path / f"seed-{seed}.zarr.zip")
    return paths


@pytest.mark.parametrize("kind", AIMS)
def test_predictions_are_drawn_beside_the_truth(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    draw_predictions(predictions(tmp_path, kind, 2, rng), tmp_path / "figure.png", 0.5, title="held out, own")
    with Image.open(tmp_path / "figure.png") as drawn:
        assert min(drawn.size) > 500


def test_errors_are_drawn_against_the_numbers_that_are_kept(tmp_path: Path) -> None:
    methods = [("ae[latent=64]", "network"), ("ae[latent=448]", "network"), ("ae[latent=448]", "ensemble")]
    methods += [("PCA 64", "baseline"), ("PCA 448", "baseline"), ("mean image", "baseline"), ("lost", "network")]
    rows = [
        {"method": method, "kind": kind, "images": 30 * (method != "lost"), "squared_error": error,
         "squared_error_low": 0.9 * error, "squared_error_high": np.nan if method == "PCA 64" else 1.2 * error}
        for (method, kind), error in zip(methods, (300, 120, 100, 280, 150, 900, np.nan), strict=True)
    ]  # fmt: skip
    latent = {"ae[latent=64]": 64, "ae[latent=448]": 448, "lost": 512}
    draw_latent(pd.DataFrame(rows), latent, tmp_path / "figure.png", "held out")
    with Image.open(tmp_path / "figure.png") as drawn:
        assert min(drawn.size) > 400


def test_a_benchmark_of_several_sizes_has_a_figure_of_them(tmp_path: Path) -> None:
    study = every_kind(tmp_path)
    assert not any(path.endswith("latent.png") for path in figures(study_from(study, "examples.yaml")))
    study["models"]["few"]["latent"] = {"matrix": [4, 8]}
    found = {
        path: figure for path, figure in figures(study_from(study, "examples.yaml")).items() if "latent.png" in path
    }
    (figure,) = found.values()
    assert yaml.safe_load(figure.about())["latent"] == {"few[latent=4]": 4, "few[latent=8]": 8}
