"""Columns and lattices of images of one's own: places, tables, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from exitwave.benchmark.columns import find_columns, fitted
from exitwave.cli import app
from exitwave.errors import MicrographError
from exitwave.imaging.convolution import render
from exitwave.jobs.apply import find_images

PIXEL, SIZE = 0.2, 200
SILICON = Path(__file__).parents[2] / "resources/lattices/si110.png"


def layer(counts=3000.0, sigma=0.5, seed=0):
    """An image of a hexagonal layer with two kinds of columns, and where they are [px]."""
    cell = np.array([[3.2, 0.0], [-1.6, 3.2 * np.sqrt(3) / 2]]) @ np.array([[0.96, 0.28], [-0.28, 0.96]])
    index = np.array([(i, j) for i in range(-30, 30) for j in range(-30, 30)])
    heavy = index @ cell + [20.3, 19.6]
    light = heavy + [1 / 3, 2 / 3] @ cell
    places = np.concatenate([heavy, light])
    weights = np.repeat([1.0, 0.4], len(heavy))
    density = render(places, weights, sigma, PIXEL, SIZE)
    image = np.random.default_rng(seed).poisson(counts * PIXEL**2 * (density + 0.02))
    inside = ((places > 2) & (places < SIZE * PIXEL - 2)).all(axis=1)
    return image.astype(np.float32), places[inside] / PIXEL - 0.5, weights[inside]


def run(*words):
    own = [] if "--model" in words else ["--without-networks"]
    return CliRunner().invoke(app, ["atoms", *map(str, words), *own])


@pytest.mark.parametrize("sigma", [0.35, 0.43])
def test_all_columns_are_found_where_they_are_and_as_wide_as_they_are(sigma):
    image, true, weights = layer(sigma=sigma)
    found = find_columns(image, PIXEL)
    away, nearest = cKDTree(found.places).query(true)
    assert away.max() < 0.5
    inner = ((found.places > 13) & (found.places < SIZE - 14)).all(axis=1)
    assert cKDTree(true).query(found.places[inner])[0].max() < 0.5
    # As well as counting allows, within a half, and as well as is told.
    for weight in (1.0, 0.4):
        own = weights == weight
        limit = sigma / np.sqrt(3000 * weight) / PIXEL
        rms = np.sqrt(np.mean(away[own] ** 2) / 2)
        assert rms < 1.8 * limit
        assert np.median(found.errors[nearest[own]]) == pytest.approx(rms, rel=0.5)
    assert np.median(found.sigmas) * PIXEL == pytest.approx(sigma, rel=0.05)
    ratio = np.median(found.heights[nearest[weights == 0.4]]) / np.median(found.heights[nearest[weights == 1.0]])
    assert ratio == pytest.approx(0.4, rel=0.1)


def test_columns_beside_each_other_are_fitted_together():
    true = np.array([[40.0, 40.0], [46.8, 41.0], [80.0, 80.0]])
    density = render((true + 0.5) * PIXEL, np.ones(3), 0.5, PIXEL, 128)
    found = find_columns(np.random.default_rng(0).poisson(2e4 * PIXEL**2 * (density + 0.01)), PIXEL)
    assert cKDTree(found.places).query(true)[0].max() < 0.08


def test_noise_has_no_columns():
    with pytest.raises(MicrographError, match="no column stands out of the noise"):
        find_columns(np.random.default_rng(0).normal(100, 1, (64, 64)), PIXEL)


def test_tables_and_pictures_of_several_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, true, _ = layer()
    for folder in ("one", "two"):
        Path(folder).mkdir()
        np.save(f"{folder}/scan.npy", image)
    done = run("one", "two", "--pixel-size", PIXEL)
    assert done.exit_code == 0, done.output
    table = pd.read_csv("atoms/images.csv")
    assert table["results"].tolist() == ["scan", "scan_2"]
    assert (table["bravais"] == "hexagonal").all()
    assert table["lattice_a"].to_numpy() == pytest.approx(3.2, abs=0.01)
    assert table["nearest"].to_numpy() == pytest.approx(3.2 / np.sqrt(3), abs=0.04)
    columns = pd.read_csv("atoms/scan_columns.csv")
    assert cKDTree(columns[["x_px", "y_px"]]).query(true)[0].max() < 1
    assert columns["x"].to_numpy() == pytest.approx(PIXEL * columns["x_px"].to_numpy(), rel=1e-4)
    # Columns of a kind lie at the same place of their cells.
    bright = columns[columns["height"] > columns["height"].max() / 2][["cell_a", "cell_b"]].to_numpy()
    turns = np.exp(2j * np.pi * bright)
    assert np.abs(turns.mean(axis=0)).min() > 0.98
    assert Image.open("atoms/scan_columns.png").size[0] > 800
    # Again: the same rows, and no more of them.
    assert run("one", "--pixel-size", PIXEL).exit_code == 0
    assert pd.read_csv("atoms/images.csv")["results"].tolist() == ["scan_2", "scan"]


def test_names_that_look_like_numbers_are_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, _, _ = layer()
    for name in ("one/001", "two/001", "one/1e5", "one/nan"):
        Path(name).parent.mkdir(exist_ok=True)
        np.save(f"{name}.npy", image)
    for _ in range(2):  # again: the same names
        for name in ("one/001", "two/001", "one/1e5", "one/nan"):
            assert run(f"{name}.npy", "--pixel-size", PIXEL).exit_code == 0
        table = pd.read_csv("atoms/images.csv", dtype=str, keep_default_na=False)
        assert table["results"].tolist() == ["001", "001_2", "1e5", "nan"]
        assert len(list(Path("atoms").glob("*_columns.csv"))) == 4


def test_results_are_no_images_of_the_next_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("scan.npy", layer()[0])
    for _ in range(2):
        assert run(".", "--pixel-size", PIXEL).exit_code == 0
        assert pd.read_csv("atoms/images.csv")["path"].tolist() == ["scan.npy"]
    # Nor if they lie beside it.
    Path("atoms/scan_columns.png").rename("scan_columns.png")
    assert [path.name for path in find_images([Path()])] == ["scan.npy"]


def test_a_fit_that_ran_away_says_nothing_but_the_place():
    places = np.random.default_rng(1).uniform(8, 120, (60, 2))
    found = fitted(np.random.default_rng(0).poisson(3, (128, 128)).astype(np.float32), places, 0.5, PIXEL)
    away = np.isnan(found.errors)
    assert away.any()
    for values in (found.heights, found.backgrounds, found.sigmas):
        assert (np.isnan(values) == away).all()


def test_one_bad_image_costs_none_of_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", layer()[0])
    np.save("noise.npy", np.random.default_rng(0).normal(100, 1, (64, 64)).astype(np.float32))
    Path("broken.tif").write_bytes(b"II*\0nothing")
    done = run("broken.tif", "noise.npy", "good.npy", "--pixel-size", PIXEL)
    assert done.exit_code == 1
    assert "skipped: broken.tif" in done.output
    assert "skipped: noise.npy: no column stands out of the noise" in done.output
    assert "1 of 3 images; results in atoms" in done.output


def test_an_image_without_a_pixel_size_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", layer()[0])
    done = run("good.npy")
    assert done.exit_code == 1
    assert "good.npy has no pixel size" in done.output
    assert "--pixel-size" in done.output


def test_a_folder_with_another_table_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", layer()[0])
    Path("atoms").mkdir()
    Path("atoms/images.csv").write_text("a,b\n1,2\n")
    done = run("good.npy", "--pixel-size", PIXEL)
    assert done.exit_code == 1
    assert "is no table of exitwave atoms; allowed: another --output" in done.output
    assert Path("atoms/images.csv").read_text() == "a,b\n1,2\n"


def test_networks_of_another_kind_are_refused(tmp_path, monkeypatch):
    from exitwave.training.bundle import BUNDLED

    monkeypatch.chdir(tmp_path)
    np.save("good.npy", layer()[0])
    done = run("good.npy", "--pixel-size", PIXEL, "--model", BUNDLED)
    assert done.exit_code != 0
    assert "holds networks of kind segmentation; allowed: networks of kind atoms" in str(done.exception)


def test_a_model_and_none_are_too_much(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", layer()[0])
    done = run("good.npy", "--pixel-size", PIXEL, "--model", "some", "--without-networks")
    assert "--model is given with --without-networks; allowed: one of the two" in str(done.exception)


def test_the_lattice_of_a_real_image_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(SILICON, "--pixel-size", 50 / 512)
    assert done.exit_code == 0, done.output
    assert "rhombus, 1.2 % off: 3.59" in done.output
    # The dumbbells of silicon, 1.36 Å wide, are two columns each: in a scale that is 9 % too large, with half a pixel.
    row = pd.read_csv("atoms/images.csv").iloc[0]
    assert row["nearest"] == pytest.approx(1.48, abs=0.05)
    assert row["columns"] == pytest.approx(2 * 50**2 / (3.6 * 3.68 * np.sin(np.radians(70))), rel=0.06)


def test_a_column_that_is_alone_is_found():
    image = render(np.array([[10.3, 9.1]]), np.array([1.0]), 0.5, PIXEL, 100)
    noisy = np.random.default_rng(0).poisson(3000 * PIXEL**2 * (image + 0.02))
    (place,) = find_columns(noisy.astype(np.float32), PIXEL).places
    assert place * PIXEL + PIXEL / 2 == pytest.approx([10.3, 9.1], abs=0.05)
