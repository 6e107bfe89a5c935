"""Pictures and the page of segmented micrographs."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from exitwave.report import segmented_page
from exitwave.report.segmented_overlay import (
    COLOURS,
    distinct_colours,
    draw_overlay,
    grey_levels,
    number_places,
    number_size,
)
from exitwave.report.segmented_page import Entry, Panel, Summary, make_panel, picture_edge, write_page
from exitwave.report.segmented_sizes import size_histogram


@pytest.fixture
def chessboard():
    """Squares that touch each other on all sides."""
    rows, columns = np.indices((120, 160)) // 20
    return (rows * 8 + columns + 1).astype(np.int32)


def centres_of(labels):
    from scipy.ndimage import center_of_mass

    return np.array(center_of_mass(labels > 0, labels, np.arange(1, labels.max() + 1)))[:, ::-1] + 0.5


def test_particles_that_touch_have_different_colours(chessboard):
    colours = distinct_colours(chessboard, centres_of(chessboard))
    shown = colours[chessboard]
    for one, other in ((chessboard[1:], chessboard[:-1]), (chessboard.T[1:], chessboard.T[:-1])):
        pairs = np.stack([one[one != other], other[one != other]])
        assert (colours[pairs[0]] != colours[pairs[1]]).all()
    assert len(np.unique(shown)) > 3


def test_the_overlay_has_every_pixel_of_the_image_and_shows_fill_outline_and_scale_bar():
    image = np.random.default_rng(0).normal(100, 10, (300, 400)).astype(np.float32)
    labels = np.zeros(image.shape, np.int32)
    image[280:290] = 100
    labels[100:140, 200:260] = 1
    colours, nothing = np.array([0, 1], np.uint8), np.zeros(image.shape, bool)
    grey = grey_levels(image, nothing)
    picture = np.asarray(draw_overlay(grey, labels, colours, {}, 2.0, 300, []))
    assert picture.shape == (300, 400, 3)
    colour = np.array([int(COLOURS[1][place : place + 2], 16) for place in (1, 3, 5)])
    for corner in ((100, 200), (139, 259), (120, 200)):
        np.testing.assert_array_equal(picture[corner], colour)
    np.testing.assert_allclose(picture[120, 230], 0.7 * grey[120, 230] + 0.3 * colour, atol=2)
    np.testing.assert_array_equal(picture[50, 300], [grey[50, 300]] * 3)
    # 0.25 x 400 px x 2 Å hold 20 nm, which are 100 px.
    assert np.count_nonzero((picture[286] == 255).all(axis=1)) == 100


def test_numbers_and_warnings_are_written_and_what_is_left_out_is_hatched():
    image = np.random.default_rng(0).normal(100, 10, (300, 400)).astype(np.float32)
    labels = np.zeros(image.shape, np.int32)
    left_out = np.zeros(image.shape, bool)
    left_out[200:] = True
    grey = grey_levels(image, left_out)

    # Stripes lie on diagonals: what is left out looks the same a pixel down and a pixel to the left.
    def likeness(one, other):
        return np.corrcoef(one.ravel(), other.ravel())[0, 1]

    assert likeness(grey[201:, :-1], grey[200:-1, 1:]) > 0.6 > likeness(grey[201:], grey[200:-1]) + 0.2
    assert abs(likeness(grey[1:200, :-1], grey[:199, 1:])) < 0.05
    colours = np.zeros(2, np.uint8)
    without = np.asarray(draw_overlay(grey, labels, colours, {}, 2.0, 200, []))
    numbered = np.asarray(draw_overlay(grey, labels, colours, {1: (100.0, 120.0, 40.0)}, 2.0, 200, []))
    changed = np.argwhere((numbered != without).any(axis=2))
    assert abs(changed.mean(axis=0) - (120, 100)).max() < 3
    warned = np.asarray(draw_overlay(grey, labels, colours, {}, 2.0, 200, ["it is unlike " * 12]))
    rows = np.flatnonzero((warned != without).any(axis=(1, 2)))
    # Several lines, and only along the upper edge.
    assert rows[0] == 0
    assert 30 < rows[-1] < 100


def test_a_number_stands_in_its_particle_even_where_its_centre_does_not():
    labels = np.zeros((80, 80), np.int32)
    y, x = np.indices(labels.shape)
    labels[(np.hypot(y - 40, x - 40) < 30) & (np.hypot(y - 40, x - 40) > 20) & (x < 50)] = 1
    labels[38:42, 38:42] = 2
    ((column, row), second) = number_places(labels, [1, 2], np.array([[30.0, 40.0], [40.0, 40.0]]))
    assert labels[int(row), int(column)] == 1
    assert second.tolist() == [40, 40]


def test_numbers_grow_with_their_particles_but_can_always_be_read():
    assert number_size(5, 4, 512) == number_size(1234, 10, 8192) == 9
    assert number_size(5, 60, 512) < number_size(5, 200, 8192)
    assert number_size(1234, 60, 8192) < number_size(5, 60, 8192)


def test_histogram_has_round_bins_that_hold_every_particle():
    for diameters in (np.random.default_rng(0).lognormal(1, 0.5, 500), np.array([3.0, 3.0]), np.array([1.0, 500.0])):
        edges, numbers = size_histogram(diameters)
        assert numbers.sum() == diameters.size
        assert f"{edges[1] - edges[0]:.6e}"[0] in "125"
        assert len(numbers) <= 61
    assert size_histogram(np.zeros(0))[1].size == 0


class Tags(HTMLParser):
    """Sources and targets of a page, and whether its tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_of(path, entries):
    summary = Summary(
        {"images": str(len(entries))}, b"PNG", ["a < b"], {"model": "<m>"}, {"particles": "particles.csv"}
    )
    write_page(path, summary, entries)
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    assert tags.open == []
    return tags


def entry(title="one.png", panel=None, warnings=""):
    return Entry(title, "3 particles", {"particles": "3"}, warnings, {"overlay": f"{title}_overlay.png"}, panel)


def picture(size=(60, 40)):
    held = io.BytesIO()
    Image.effect_noise(size, 80).save(held, "JPEG")
    return Panel(*size, base64.b64encode(held.getvalue()).decode(), "", "")


def test_the_page_stands_alone_and_escapes_names(tmp_path):
    names = ["<script>alert(1)</script>.png", 'a"b & c#1.png']
    tags = page_of(tmp_path / "page.html", [entry(name, picture(), 'odd "w" <b>') for name in names])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert all(name in tags.text for name in names)
    for source in tags.sources:
        assert re.match(r"data:image/|#image-\d|[^:]+$", source), source
    assert "a%22b%20%26%20c%231.png_overlay.png" in tags.sources
    assert not re.search(r"https?://(?!www\.w3\.org)|url\(|@import|fetch\(", text)


def test_the_page_shows_uncertainty_only_where_there_is_one(tmp_path):
    for panel, disabled in ((picture(), True), (replace(picture(), uncertainty="AAAA"), False)):
        page_of(tmp_path / "page.html", [entry(panel=panel)])
        (button,) = re.findall(r'<button data-layer="show-heat"[^>]*>', (tmp_path / "page.html").read_text("utf-8"))
        assert ("disabled" in button) is disabled


def test_pictures_of_many_images_shrink_and_the_page_stays_small(tmp_path, monkeypatch):
    assert picture_edge(40) == 1200
    assert picture_edge(160) == 600
    assert picture_edge(10**6) == 240
    monkeypatch.setattr(segmented_page, "LARGEST_PAGE", 60_000)
    monkeypatch.setattr(segmented_page, "FULL_SIZE", 1)
    entries = [entry(f"{number}.png", picture((400, 100))) for number in range(40)]
    tags = page_of(tmp_path / "page.html", entries)
    widths = [
        Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).width
        for source in tags.sources
        if source.startswith("data:image/jpeg")
    ]
    assert set(widths) == {240}
    assert 0 < len(widths) < 40
    assert f"{40 - len(widths)} images have no picture here" in tags.text
    assert "at most 240 pixels wide" in tags.text
    # Every image is in the table.
    assert all(f"#image-{number}" in tags.sources for number in range(40))


def test_the_picture_of_a_large_image_is_small_and_its_outlines_fit():
    from exitwave.benchmark.outlines import find_outlines

    labels = np.zeros((1500, 3000), np.int32)
    labels[300:600, 1500:2100] = 1
    grey = np.full(labels.shape, 100, np.uint8)
    spread = np.where(labels == 1, 0.5, 0).astype(np.float32)
    places = {1: (1800.0, 450.0, 480.0)}
    panel = make_panel(grey, spread, find_outlines(labels), np.array([0, 3], np.uint8), places, 0.2)
    assert (panel.width, panel.height) == (1200, 600)
    assert Image.open(io.BytesIO(base64.b64decode(panel.image))).size == (1200, 600)
    heat = np.asarray(Image.open(io.BytesIO(base64.b64decode(panel.uncertainty))).convert("RGBA"))
    assert heat[90, 360, 3] > 200
    assert heat[10, 10, 3] == 0
    corners = np.array([float(text) for text in re.findall(r"[\d.]+", re.search(r' d="([^"]+)"', panel.particles)[1])])
    assert corners.reshape(-1, 2).min(axis=0) == pytest.approx((600, 120), abs=0.5)
    assert corners.reshape(-1, 2).max(axis=0) == pytest.approx((840, 240), abs=0.5)
    assert "<title>1: 9.6 nm</title>" in panel.particles
