"""Pictures, words and page of a scan."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from exitwave.benchmark.scan_strain import GOOD, LOOSE, TRUST, Reference, StrainMaps
from exitwave.report.strain_figures import CODES, UNTRUSTED, draw_quality, draw_strain, shown
from exitwave.report.strain_page import write_strain_page
from exitwave.report.strain_words import axis_told, components_told, number_told, pace_told, reference_told, trust_told

SHAPE = (20, 30)


@pytest.fixture
def maps():
    trust = np.full(SHAPE, GOOD, np.uint8)
    # Every code has two columns, but the first, which has the rest.
    for code in TRUST:
        trust[:, 30 - 2 * code : 32 - 2 * code] = code
    strain = np.broadcast_to(np.linspace(-0.01, 0.01, 20)[:, None], SHAPE).copy()
    errors = dict.fromkeys(("xx", "yy", "xy", "rotation"), np.full(SHAPE, 1e-3))
    mask = np.zeros(SHAPE, bool)
    mask[8:12, 2:9] = True
    reference = Reference(np.array([[10.0, 0.0], [0.0, 20.0]]), mask, "the part 2:9,8:12")
    return StrainMaps(strain, -strain, 0 * strain, strain + math.radians(1), errors, trust, reference, 0.0)


def colours(path):
    return {tuple(colour) for colour in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)}


def test_what_is_not_trusted_is_grey_in_the_maps_and_named_by_its_colour(tmp_path, maps):
    draw_strain(maps, 5.0, tmp_path / "strain.png")
    assert tuple(round(255 * share) for share in to_rgb(UNTRUSTED)) in colours(tmp_path / "strain.png")
    draw_quality(maps, np.ones(SHAPE), np.ones(SHAPE), None, tmp_path / "quality.png")
    seen = colours(tmp_path / "quality.png")
    for code in TRUST:
        assert tuple(round(255 * share) for share in to_rgb(CODES[code])) in seen, TRUST[code]
    assert np.isnan(shown(maps, "xx")[maps.trust != GOOD]).all()
    assert np.nanmax(shown(maps, "xx")) == pytest.approx(1.0)


def test_a_scan_without_a_position_that_is_trusted_can_be_drawn(tmp_path, maps):
    maps.trust[:] = LOOSE
    draw_strain(maps, None, tmp_path / "strain.png")
    draw_quality(maps, np.full(SHAPE, np.nan), np.full(SHAPE, np.nan), None, tmp_path / "quality.png")
    assert list(components_told(maps)) == []
    assert trust_told(maps) == (
        "Strain is trusted at 0 of 600 positions (0 %); the others: uncertain by more than allowed: 600."
    )


def test_words_say_relative_to_what_along_what_and_how_much(maps):
    assert reference_told(maps, 0.02) == (
        "Strain is relative to the median of 28 positions of the part 2:9,8:12: g1 0.2000 1/Å (spacing 5.000 Å), g2 "
        "0.4000 1/Å (spacing 2.500 Å), 90.00° between them."
    )
    assert "g1 10.000 px, g2 20.000 px" in reference_told(maps, None)
    assert axis_told(maps, "").startswith("e_xx is along x of the patterns, to the right, and e_yy along y, down;")
    xx, _, xy, rotation = components_told(maps)
    assert xx.startswith("e_xx: median 0.000 %, 90 % of the positions within -0.9")
    assert "in the reference it scatters by 0.1" in xx
    assert xy.startswith("e_xy: median 0.000 %, 90 % of the positions within 0.000 and 0.000 %")
    assert rotation.startswith("The rotation: median 1.000°")
    assert number_told(-1e-9) == "0.000"
    assert pace_told(100, 130.0, 400) == (
        "100 patterns were measured in 2 min 10 s, 0.769 a second (300 were there already)."
    )


def test_the_page_stands_alone_and_escapes_names(tmp_path):
    class Tags(HTMLParser):
        open: list[str] = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    write_strain_page(
        tmp_path / "page.html",
        "<b>.hspy",
        {"of <all>": "3 %"},
        ["a < b"],
        ["bad & old"],
        {"Strain": (tmp_path / "a.png", "told")},
        {"scan": "/x/<b>.hspy"},
        {"maps": "a b#1.npz"},
    )
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert "<b>.hspy" not in text
    assert 'href="a%20b%231.npz"' in text
    assert "bad &amp; old" in text
