"""The folder of results: what is in it agrees, opens elsewhere, and survives whatever happens."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from exitwave.benchmark.masks import read_mask
from exitwave.benchmark.readers import read_micrograph
from exitwave.errors import MicrographError
from exitwave.jobs import results_folder
from exitwave.jobs.results_folder import FILES, ResultsFolder, Segmented, write_tiff
from exitwave.jobs.results_table import ResultsTable

SETTINGS = {"model": "gold", "threshold": 0.5}
SHAPE = (120, 150)
ROW, COLUMN = np.indices(SHAPE)


def discs(*places):
    """Discs at (row, column, radius), numbered in this order."""
    labels = np.zeros(SHAPE, np.int32)
    for number, (row, column, radius) in enumerate(places, start=1):
        labels[np.hypot(ROW - row, COLUMN - column) < radius] = number
    return labels


def found(path="one.tif", seed=0, labels=None, **others):
    image = np.random.default_rng(seed).normal(100, 10, SHAPE).astype(np.float32)
    labels = discs((30, 40, 12), (70, 100, 20), (110, 30, 15)) if labels is None else labels
    probability = np.where(labels > 0, 0.9, 0.1).astype(np.float32)
    nothing = np.zeros(SHAPE, bool)
    return replace(
        Segmented(Path(path), 1, image, 5.0, labels, probability, probability / 10, nothing, (), None, SETTINGS),
        **others,
    )


def add(folder, *several, overwrite=False):
    results = ResultsFolder(folder, overwrite)
    told = [results.add(one) for one in several]
    results.finish()
    return told


def tables(folder):
    return [pd.read_csv(folder / name) for name in ("images.csv", "particles.csv")]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


def test_masks_instances_and_maps_are_calibrated_in_nm_and_agree(folder):
    one = found()
    add(folder, one)
    expected = {
        "mask": ((one.labels > 0) * 255, np.uint8),
        "instances": (one.labels, np.uint16),
        "probability": (one.probability, np.float32),
        "uncertainty": (one.spread, np.float32),
    }
    for what, (values, kind) in expected.items():
        path = folder / f"one{FILES[what]}"
        with tifffile.TiffFile(path) as file:
            assert file.imagej_metadata["unit"] == "nm"
            horizontal, vertical = (file.pages[0].tags[f"{axis}Resolution"].value for axis in "XY")
            # Half a nanometre a pixel are two pixels a nanometre.
            assert horizontal[0] / horizontal[1] == vertical[0] / vertical[1] == pytest.approx(2)
            pixels = file.asarray()
        assert pixels.dtype == kind
        np.testing.assert_allclose(pixels, values, atol=1 / 1024)
        assert read_micrograph(path).pixel_size == pytest.approx(5.0)
    np.testing.assert_array_equal(read_mask(folder / "one_mask.tif", Path("one.tif"), SHAPE), one.labels > 0)


@pytest.mark.parametrize("pixel_size", [0.0774, 0.2, 1 / 3, 12.5])
def test_the_pixel_of_a_tiff_is_read_back(tmp_path, pixel_size):
    for kind in (np.uint8, np.uint16, np.uint32, np.float32):
        pixels = (ROW * 150 + COLUMN).astype(kind)
        write_tiff(tmp_path / "a.tif", pixels.__getitem__, pixels.shape, kind, pixel_size)
        back = read_micrograph(tmp_path / "a.tif")
        assert back.pixel_size == pytest.approx(pixel_size, rel=1e-6)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)


def test_more_than_65535_particles_keep_their_numbers(folder, monkeypatch):
    monkeypatch.setattr(results_folder, "LARGEST_SHORT", 2)
    add(folder, found())
    pixels = tifffile.imread(folder / "one_instances.tif")
    assert pixels.dtype == np.uint32
    np.testing.assert_array_equal(pixels, found().labels)


def test_tables_have_units_and_the_right_sizes(folder):
    add(folder, found())
    images, particles = tables(folder)
    row = particles.set_index("number").loc[2]
    assert row["equivalent diameter [nm]"] == pytest.approx(20, rel=0.01)
    assert (row["x [nm]"], row["y [nm]"]) == pytest.approx((50.25, 35.25))
    assert row["area [nm^2]"] == pytest.approx(np.pi * 100, rel=0.02)
    assert (row["mean probability"], row["uncertainty"]) == pytest.approx((0.9, 0.09))
    assert particles["touches edge"].tolist() == [False, False, True]
    assert (row["file"], row["model"], row["threshold"]) == ("one.tif", "gold", 0.5)
    summary = images.iloc[0]
    assert (summary["particles"], summary["particles cut by edge"]) == (3, 1)
    # Of the two whole particles.
    assert summary["D50 [nm]"] == pytest.approx(particles["equivalent diameter [nm]"][:2].mean(), rel=1e-5)
    assert summary["D10 low [nm]"] <= summary["D10 [nm]"] <= summary["D90 [nm]"] <= summary["D90 high [nm]"]
    assert summary["area fraction"] == pytest.approx((found().labels > 0).mean(), rel=1e-5)
    assert summary["number density [um^-2]"] == pytest.approx(3 / (120 * 150 * 0.0005**2), rel=1e-5)


def test_shares_are_of_what_shows_the_specimen(folder):
    left_out = ROW >= 90
    labels = discs((30, 40, 12))
    add(folder, found(labels=labels, left_out=left_out, warnings=("25.0% of it is left out",), distance=1.5))
    summary = tables(folder)[0].iloc[0]
    assert summary["area fraction"] == pytest.approx((labels > 0).sum() / (90 * 150), rel=1e-5)
    assert (summary["left out"], summary["unlikeness"]) == (0.25, 1.5)
    assert summary["warnings"] == "25.0% of it is left out"


def test_outlines_and_overlay_have_the_numbers_of_the_table(folder):
    add(folder, found())
    particles = tables(folder)[1]
    outlines = json.loads((folder / "one_outlines.geojson").read_text())
    assert [feature["properties"]["number"] for feature in outlines["features"]] == particles["number"].tolist()
    for feature, row in zip(outlines["features"], particles.to_dict("records"), strict=True):
        corners = np.array(feature["geometry"]["coordinates"][0])
        middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
        assert middle * 0.5 == pytest.approx((row["x [nm]"], row["y [nm]"]), abs=0.5)
        assert feature["properties"]["measurements"]["equivalent diameter [nm]"] == row["equivalent diameter [nm]"]
    assert Image.open(folder / "one_overlay.png").size == (150, 120)


def test_all_images_together(folder):
    far = found("two.tif", 1, discs((60, 60, 24)))
    add(folder, found(), far, found("none.tif", 2, np.zeros(SHAPE, np.int32)))
    images, particles = tables(folder)
    joint = pd.read_csv(folder / "all_images.csv").iloc[0]
    whole = particles[~particles["touches edge"]]["equivalent diameter [nm]"]
    assert (joint["images"], joint["particles"], joint["particles cut by edge"]) == (3, 4, 1)
    assert joint["D50 [nm]"] == pytest.approx(whole.median(), rel=1e-5)
    assert joint["area fraction"] == pytest.approx(images["area fraction"].mean(), rel=1e-5)
    histograms = pd.read_csv(folder / "histograms.csv", keep_default_na=False)
    assert histograms.groupby("file")["particles"].sum().to_dict() == {"all images": 3, "one.tif": 2, "two.tif": 1}
    page = (folder / "summary.html").read_text(encoding="utf-8")
    assert all(f"{name}.tif" in page for name in ("one", "two", "none"))
    assert page.count('class="stage"') == 3
    assert Image.open(folder / "all_sizes.png").size[0] > 400


def test_the_same_again_is_passed_over(folder):
    first = add(folder, found())
    before = contents(folder)
    again = add(folder, found())
    assert first[0].startswith("one.tif: 3 particles")
    assert again == ["one.tif: already there"]
    after = contents(folder)
    assert {path: data for path, data in after.items() if path.name != "summary.html"} == {
        path: data for path, data in before.items() if path.name != "summary.html"
    }


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"settings": {**SETTINGS, "threshold": 0.6}}, r"threshold: 0.5, now 0.6"),
        ({"settings": {**SETTINGS, "split": True}}, r"split: none, now True"),
        ({"settings": {"model": "silver", "threshold": 0.5}}, r"model: gold, now silver"),
        ({"pixel_size": 2.5}, r"pixel size \[nm\]: 0.5, now 0.25"),
        ({"image": np.zeros(SHAPE, np.float32)}, "the image itself is another one"),
    ],
)
def test_other_settings_do_not_destroy_what_is_there(folder, other, told):
    add(folder, found(), found("two.tif", 1))
    before = contents(folder)
    with pytest.raises(MicrographError, match=rf"one.tif is in .*{told}.*allowed: another --output, or --overwrite"):
        ResultsFolder(folder).add(found(**other))
    assert contents(folder) == before
    add(folder, found(**other), overwrite=True)
    images, particles = tables(folder)
    assert images["file"].tolist() == ["two.tif", "one.tif"]
    assert particles.groupby("file").size().to_dict() == {"one.tif": 3, "two.tif": 3}


def test_overwriting_leaves_no_file_of_before(folder):
    add(folder, found())
    add(folder, found(spread=None), overwrite=True)
    assert not (folder / "one_uncertainty.tif").exists()
    assert tables(folder)[1]["uncertainty"].isna().all()


def consistent(folder, files):
    """Tables, files and numbers of these images agree, and nothing else is there."""
    images, particles = tables(folder)
    assert images["file"].tolist() == files
    assert set(particles["file"]) <= set(files)
    for row in images.to_dict("records"):
        own = particles[particles["file"] == row["file"]]
        assert len(own) == row["particles"]
        assert tifffile.imread(folder / f"{row['name']}_instances.tif").max() == row["particles"]
    masks = {path.name.removesuffix("_mask.tif") for path in folder.glob("*_mask.tif")}
    assert masks == set(images["name"])
    assert not list(folder.glob(".*finished*"))


class Killed(BaseException):
    """Nothing can react to it, as to the end of a process."""


STEPS = {
    "writing": (results_folder, "draw_sizes"),
    "first table": (ResultsTable, "append"),
    "second table": (ResultsTable, "append"),
    "moving": (ResultsFolder, "_move"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_call_killed_at_any_moment_leaves_what_the_next_one_puts_in_order(folder, monkeypatch, step, overwrite):
    other = found(labels=discs((60, 60, 24)), settings={**SETTINGS, "threshold": 0.7})
    add(folder, found("two.tif", 1), *([found()] if overwrite else []))
    owner, name = STEPS[step]
    original, calls = getattr(owner, name), []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == (2 if step == "second table" else 1):
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            ResultsFolder(folder, overwrite).add(other if overwrite else found())
    ResultsFolder(folder).finish()
    # What was there stays until what replaces it is written, and what has its row is there.
    kept = (overwrite and step == "writing") or step == "moving"
    consistent(folder, ["two.tif", "one.tif"] if kept else ["two.tif"])
    add(folder, other, overwrite=True)
    consistent(folder, ["two.tif", "one.tif"])
    assert sorted(path.name for path in folder.glob("one*_mask.tif")) == ["one_mask.tif"]


def test_a_full_disk_costs_the_image_and_leaves_no_half_line(folder, monkeypatch):
    add(folder, found("two.tif", 1))
    original = ResultsTable.append

    def full(table, rows):
        if table.path.name == "images.csv":
            raise OSError(28, "No space left on device")
        original(table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(ResultsTable, "append", full)
        with pytest.raises(OSError, match="No space left"):
            ResultsFolder(folder).add(found())
    ResultsFolder(folder)
    consistent(folder, ["two.tif"])


def test_a_line_that_a_killed_call_has_not_written_to_its_end_is_taken_off(folder, monkeypatch):
    add(folder, found("two.tif", 1))
    original = ResultsTable.append

    def torn(table, rows):
        if table.path.name == "images.csv":
            with table.path.open("a") as file:
                file.write(rows.to_csv(header=False, index=False)[:40])
            raise Killed
        original(table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(ResultsTable, "append", torn)
        with pytest.raises(Killed):
            ResultsFolder(folder).add(found())
    ResultsFolder(folder)
    consistent(folder, ["two.tif"])
    add(folder, found())
    consistent(folder, ["two.tif", "one.tif"])


def test_a_table_of_another_kind_is_not_touched(folder):
    folder.mkdir()
    (folder / "particles.csv").write_text("image,area\ngood.png,7")
    with pytest.raises(MicrographError, match=r"particles.csv has no column file.*allowed: another output folder"):
        ResultsFolder(folder)
    assert (folder / "particles.csv").read_text() == "image,area\ngood.png,7"


def test_the_page_goes_on_without_the_picture_of_an_image(folder):
    add(folder, found(), found("two.tif", 1))
    shutil.rmtree(folder / ".summary")
    add(folder, found("three.tif", 2))
    page = (folder / "summary.html").read_text(encoding="utf-8")
    assert page.count('class="stage"') == 1
    assert page.count("no picture") == 2


def test_an_image_may_be_called_like_what_is_of_all(folder):
    add(folder, found("all.tif"))
    assert tables(folder)[0]["name"].tolist() == ["all-2"]
    assert (folder / "all-2_sizes.png").exists()


def test_a_summary_that_cannot_be_written_is_told(folder, monkeypatch):
    results = ResultsFolder(folder)
    results.add(found())

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(results_folder, "write_summary", full)
        with pytest.raises(MicrographError, match="summary cannot be written: No space left on device"):
            results.finish()
    assert add(folder, found()) == ["one.tif: already there"]
    assert (folder / "summary.html").exists()
