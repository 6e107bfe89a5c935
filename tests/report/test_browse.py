"""The page on which images and predictions are browsed, of every kind of models."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from exitwave.labels.spots import spot_map
from exitwave.report import browse
from exitwave.report.browse import browse_page, picture_edge
from pages import Page, in_browser

PIXEL = 0.8


def of_masks(rng):
    """Images that are predicted the worse the earlier they stand; the last has no particle."""
    y, x = np.mgrid[:60, :80]
    for shift in (24, 12, 0):
        mask = np.hypot(y - 30, x - 30) < 12
        yield mask, np.hypot(y - 30, x - 30 - shift) < 12
    yield np.zeros((60, 80), bool), np.hypot(y - 8, x - 8) < 3


def of_thickness(rng):
    for error in (1.0, 6.0, 3.0):
        truth = rng.uniform(0, 20, (48, 48)).astype(np.float32)
        truth[:4] = np.nan
        yield truth, np.nan_to_num(truth) + error


def of_classes(rng):
    for place, sure in ((0, 0.9), (1, 0.2), (2, 0.6)):
        given = np.full(4, (1 - sure) / 3)
        given[place] = sure
        yield np.array([place]), given


def of_columns(rng):
    places = np.stack(np.meshgrid([10, 26, 42], [12, 30, 46]), axis=-1).reshape(-1, 2).astype(np.float32)
    listed = np.column_stack([places, np.ones((len(places), 3)), np.full(len(places), 50)]).astype(np.float32)
    for kept in (9, 5, 7):
        yield listed, spot_map(places[:kept], 56, 1.2)


def of_disks(rng):
    for kept in (25, 12, 18):
        reflections = np.zeros((25, 9), np.float32)
        reflections[:, :2] = np.stack(np.meshgrid(*[np.arange(8, 65, 12)] * 2), axis=-1).reshape(-1, 2)
        reflections[:, 2] = np.arange(25) - 12  # 0 of the direct beam
        reflections[:, 5] = 5
        yield reflections, spot_map(reflections[:kept, :2], 64, 1.5)


def of_images(rng):
    for error in (1.0, 60.0, 20.0):
        truth = rng.uniform(0, 255, (48, 48)).astype(np.float32)
        yield truth, truth + error * rng.normal(size=truth.shape)


KINDS = {
    "autoencoder": (of_images, {"kind": "autoencoder", "latent": 8}, {"edge": 48}),
    "super_resolution": (of_images, {"kind": "super_resolution", "factor": 2}, {}),
    "segmentation": (of_masks, {"kind": "segmentation"}, {}),
    "regression": (of_thickness, {"kind": "regression", "target": {"map": "thickness"}, "scale": 20}, {"unit": "Å"}),
    "classification": (of_classes, {"kind": "classification", "target": {"column": "shape"}}, {"classes": list("abc")}),
    "atoms": (of_columns, {"kind": "atoms"}, {}),
    "disks": (of_disks, {"kind": "disks"}, {}),
}


@pytest.fixture
def written(tmp_path, rng, samples):
    """Write the predictions of networks of a kind, and the page."""

    def write(kind="segmentation", seeds=2, real=True, title="patches", **columns):
        made, model, facts = KINDS[kind]
        cases = list(made(rng))
        paths = []
        for seed in range(seeds):
            arrays = {}
            for place, (truth, prediction) in enumerate(cases):
                noise = 0.05 * seed if prediction.ndim > 1 else 0
                arrays[f"prediction/{place}"] = np.asarray(prediction, np.float32) * (1 - noise)
                shape = prediction.shape if prediction.ndim > 1 else (40, 40)
                arrays[f"image/{place}"] = rng.normal(100, 10, shape).astype(np.float32)
                arrays[f"truth/{place}"] = truth.astype(np.uint8) if truth.dtype == bool else truth
            names = [f"image {place}" for place in range(len(cases))]
            table = pd.DataFrame({"image": names, "pixel_size": PIXEL, **columns})
            paths.append(tmp_path / f"seed-{seed}.zarr.zip")
            samples.shard(paths[-1], arrays, table, {"task": {"model": model, "facts": facts}})
        browse_page(paths, tmp_path / "browse.html", 0.5, real, title, list(columns))
        return Page(tmp_path / "browse.html")

    return write


def layers(page):
    return [attributes["id"] for tag, attributes in page.elements if tag == "input"]


def in_order(page):
    return re.findall(r"<b>(image \d)</b><span>", page.source)


@pytest.mark.parametrize(
    ("kind", "order", "shown"),
    [
        ("segmentation", [0, 1, 2, 3], ["truth", "prediction", "errors", "uncertainty"]),
        ("regression", [1, 2, 0], ["truth", "prediction", "errors", "uncertainty"]),
        ("classification", [1, 2, 0], []),
        ("autoencoder", [1, 2, 0], ["truth", "prediction", "errors", "uncertainty"]),
        ("super_resolution", [1, 2, 0], ["truth", "prediction", "errors", "uncertainty"]),
        ("atoms", [1, 2, 0], ["truth", "prediction", "errors", "uncertainty"]),
        ("disks", [1, 2, 0], ["truth", "prediction"]),
    ],
)
def test_every_kind_has_its_layers_and_the_worst_image_first(written, kind, order, shown):
    page = written(kind)
    page.check()
    assert in_order(page) == [f"image {place}" for place in order]
    assert layers(page) == [f"show-{name}" for name in shown]
    for name in shown:
        assert page.values("class").count(f"layer {name}") == len(order)


def decoded(page, layer):
    """The picture of a layer of the first image that has one."""
    content = re.search(rf'layer {layer}"><img alt="" src="data:image/png;base64,([^"]*)"', page.source)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content.group(1)))).convert("RGBA"))


def test_what_is_missed_and_what_is_false_is_tinted_where_it_is(written, rng):
    page = written()
    truth, predicted = next(of_masks(rng))
    tinted = decoded(page, "errors")
    np.testing.assert_array_equal(tinted[..., 3] > 0, truth != predicted)
    assert len(np.unique(tinted[truth & ~predicted], axis=0)) == len(np.unique(tinted[predicted & ~truth], axis=0)) == 1
    assert (tinted[truth & ~predicted][0] != tinted[predicted & ~truth][0]).any()


def test_outlines_run_around_the_masks(written, rng):
    page = written()
    truth, predicted = next(of_masks(rng))
    for layer, mask in (("truth", truth), ("prediction", predicted)):
        path = re.search(rf'layer {layer}"><svg viewBox="0 0 80 60"><path d="M([^"]*)Z"', page.source).group(1)
        corners = np.array([[float(number) for number in corner.split(",")] for corner in path.split("L")])
        rows, columns = np.nonzero(mask)
        # The centre of the first pixel is at (0.5, 0.5), and an outline runs midway between pixels.
        np.testing.assert_allclose(corners.min(0), [columns.min() + 0.25, rows.min() + 0.25], atol=0.3)
        np.testing.assert_allclose(corners.max(0), [columns.max() + 0.75, rows.max() + 0.75], atol=0.3)


def test_an_image_without_particles_comes_last_and_says_how_much_is_false(written, rng):
    page = written()
    *_, (_, false) = of_masks(rng)
    assert f"no particle, {100 * false.mean():.2g} % false" in page.words
    assert "F1 0.000, 0 of 1 particles" in page.words


def test_one_network_has_no_uncertainty_and_diverged_ones_no_images(written, tmp_path, samples):
    assert "show-uncertainty" not in layers(written(seeds=1))
    samples.shard(tmp_path / "lost.zarr.zip", {}, pd.DataFrame(), {"diverged": "the loss is NaN"})
    browse_page([tmp_path / "lost.zarr.zip"], tmp_path / "lost.html", 0.5)
    page = Page(tmp_path / "lost.html")
    page.check()
    assert "All networks have diverged" in page.words


def test_conditions_and_the_length_of_the_scale_bar_are_told(written):
    page = written(dose=250.0, shape="sphere")
    assert "dose 250 e⁻/Å², shape sphere" in page.words
    # 80 pixels of 0.8 Å are 6.4 nm, of which 0.3 are 1.92: the largest round length below is 1 nm.
    assert 'style="width: 15.625%">1 nm</p>' in page.source


def test_names_are_escaped(written):
    page = written(title='<script>alert(1)</script> & "b"')
    page.check()
    assert "<script>alert" not in page.source
    assert '<script>alert(1)</script> & "b"' in page.words


def test_pages_stay_small_and_leave_out_the_best(written, monkeypatch):
    assert picture_edge(20) == 1000
    assert picture_edge(80) == 500
    assert picture_edge(10**6) == 256
    monkeypatch.setattr(browse, "LARGEST_PAGE", 22_000)
    page = written()
    page.check()
    assert in_order(page) == ["image 0", "image 1"]
    assert "The 2 images with the best scores are left out" in page.words


def test_a_browser_shows_one_image_at_a_time_and_switches_layers_by_keys(written, tmp_path):
    written(real=False)
    told = in_browser(
        tmp_path / "browse.html",
        """
        const cards = () => [...document.querySelectorAll(".card")].filter(c => c.offsetParent).map(c => c.id);
        const layers = () => [...document.querySelectorAll(".card .layer")].filter(l => l.offsetParent)
          .map(l => l.className.split(" ")[1]);
        const told = {start: [cards(), layers()]};
        await press("ArrowDown"); told.down = cards();
        await press("ArrowUp"); await press("ArrowUp"); told.around = cards();
        await press("t"); await press("U"); told.switched = layers();
        document.querySelector("[data-key=R]").click(); await wait(); told.clicked = layers();
        document.querySelectorAll("nav a")[2].click(); await wait(); told.listed = cards();
        told.current = document.querySelector("[aria-current] b").textContent;
        told.whole = [...document.images].every(image => image.complete && image.naturalWidth);
        const room = document.querySelector("#image-2 .stage").getBoundingClientRect();
        told.fits = room.bottom <= innerHeight && room.right <= innerWidth && room.height > 400;
        told.scrolls = document.documentElement.scrollHeight > innerHeight;
        return told;
        """,
    )
    assert told == {
        "start": [["image-0"], ["truth", "prediction"]],
        "down": ["image-1"],
        "around": ["image-3"],
        "switched": ["prediction", "uncertainty"],
        "clicked": ["prediction", "errors", "uncertainty"],
        "listed": ["image-2"],
        "current": "image 2",
        "whole": True,
        "fits": True,
        "scrolls": False,
    }
