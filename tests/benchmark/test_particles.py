"""What is measured of particles agrees with shapes whose sizes are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exitwave.benchmark.outlines import feature_collection, find_outlines, signed_area
from exitwave.benchmark.particles import COLUMNS, particle_table
from exitwave.benchmark.sizes import percentiles

ROW, COLUMN = np.indices((220, 260))


def turned(angle):
    """Coordinates along axes turned by an angle [degree], from the point (130.3, 110.2)."""
    x, y = COLUMN + 0.5 - 130.3, ROW + 0.5 - 110.2
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return x * cosine + y * sine, y * cosine - x * sine


def measure(region, pixel_size=1.0):
    return particle_table(region.astype(np.int32), pixel_size).iloc[0]


@pytest.mark.parametrize("radius", [10, 20.7, 60])
def test_a_disc_has_its_diameter_every_way_and_is_round(radius):
    u, v = turned(0)
    row = measure(np.hypot(u, v) < radius, 0.5)
    assert row["equivalent_diameter"] == pytest.approx(radius, rel=0.01)
    assert row["area"] == pytest.approx(np.pi * radius**2 / 4, rel=0.02)
    assert row["major_axis"] == pytest.approx(radius, rel=0.02)
    assert row["minor_axis"] == pytest.approx(radius, rel=0.02)
    # Half a pixel on either side is within what the grid can tell.
    assert row["feret_max"] == pytest.approx(radius, abs=0.6)
    assert row["feret_min"] == pytest.approx(radius, abs=0.6)
    assert 0.98 < row["circularity"] <= 1
    assert (row["x"], row["y"]) == pytest.approx((130.3 / 2, 110.2 / 2), abs=0.05)


@pytest.mark.parametrize("angle", [0, 25, 70])
def test_an_ellipse_has_its_axes_however_it_lies(angle):
    u, v = turned(angle)
    row = measure(np.hypot(u / 70, v / 30) < 1)
    assert row["major_axis"] == pytest.approx(140, rel=0.01)
    assert row["minor_axis"] == pytest.approx(60, rel=0.01)
    assert row["feret_max"] == pytest.approx(140, abs=1)
    assert row["feret_min"] == pytest.approx(60, abs=1.2)
    # Ramanujan's perimeter of an ellipse.
    perimeter = np.pi * (3 * 100 - np.sqrt((3 * 70 + 30) * (70 + 3 * 30)))
    assert row["circularity"] == pytest.approx(4 * np.pi * np.pi * 70 * 30 / perimeter**2, rel=0.03)


@pytest.mark.parametrize("angle", [0, 17, 45])
def test_a_rectangle_has_its_diagonal_and_its_shorter_edge_for_feret_diameters(angle):
    u, v = turned(angle)
    row = measure((np.abs(u) < 60) & (np.abs(v) < 25))
    assert row["feret_max"] == pytest.approx(np.hypot(120, 50), abs=1)
    assert row["feret_min"] == pytest.approx(50, abs=1.2)


def test_a_single_pixel_is_measured():
    row = measure((ROW == 7) & (COLUMN == 9), 3.0)
    assert (row["x"], row["y"], row["area"]) == (28.5, 22.5, 9)
    assert row["feret_max"] == pytest.approx(3)


def test_particles_cut_by_the_image_or_by_what_is_left_out_are_marked():
    labels = np.zeros((40, 50), np.int32)
    labels[0:4, 10:14], labels[20:24, 46:50] = 1, 2
    labels[10:14, 10:14], labels[26:30, 20:24], labels[10:14, 30:34] = 3, 4, 5
    left_out = np.zeros(labels.shape, bool)
    left_out[30:] = True
    # A few pixels within a particle were filled: it is whole.
    left_out[11, 31] = True
    table = particle_table(labels, 1.0, left_out=left_out)
    assert table.set_index("number")["touches_edge"].to_dict() == {1: True, 2: True, 3: False, 4: True, 5: False}


def test_probability_and_spread_are_averaged_over_each_particle():
    labels = np.zeros((40, 50), np.int32)
    labels[5:10, 5:10], labels[20:30, 20:30] = 1, 2
    probability = np.where(labels == 1, 0.8, 0.6).astype(np.float32)
    probability[20:25, 20:30] = 0.9
    table = particle_table(labels, 1.0, probability, probability / 10)
    assert table["mean_probability"].tolist() == pytest.approx([0.8, 0.75])
    assert table["uncertainty"].tolist() == pytest.approx([0.08, 0.075])
    assert particle_table(labels, 1.0, probability)["uncertainty"].isna().all()


def test_a_table_without_particles_has_its_columns():
    table = particle_table(np.zeros((40, 40), np.int32), 0.5)
    assert table.empty
    assert list(table.columns) == list(COLUMNS)


def rasterised(polygons, shape):
    """Pixels whose centres lie within polygons, by an independent rule: even crossings are outside."""
    from matplotlib.path import Path

    centres = np.stack(np.indices(shape)[::-1], axis=-1).reshape(-1, 2) + 0.5
    inside = np.zeros(len(centres), bool)
    for polygon in polygons:
        for ring in polygon:
            inside ^= Path(ring).contains_points(centres)
    return inside.reshape(shape)


def test_outlines_hold_the_pixels_of_their_particle_with_holes_and_at_the_edge():
    labels = np.zeros((60, 70), np.int32)
    labels[:20, 50:] = 1
    y, x = np.indices(labels.shape)
    labels[np.hypot(y - 35, x - 25) < 18] = 2
    labels[np.hypot(y - 35, x - 25) < 7] = 0
    labels[np.hypot(y - 35, x - 25) < 3] = 3
    labels[50, 60] = labels[51, 61] = labels[55:58, 55:58] = 4
    outlines = find_outlines(labels)
    assert {number: len(polygons) for number, polygons in outlines.items()} == {1: 1, 2: 1, 3: 1, 4: 2}
    assert [len(polygon) for polygon in outlines[2]] == [2]
    for number, polygons in outlines.items():
        np.testing.assert_array_equal(rasterised(polygons, labels.shape), labels == number)
        for ring, *holes in polygons:
            assert signed_area(ring) > 0
            assert all(signed_area(hole) < 0 for hole in holes)
            for line in (ring, *holes):
                np.testing.assert_array_equal(line[0], line[-1])
                assert len(line) >= 4


def test_outlines_become_annotations_of_qupath():
    labels = np.zeros((30, 30), np.int32)
    labels[4:8, 10:20], labels[20, 20] = 1, 2
    labels[22:24, 20] = 2
    measured = {1: {"area [nm^2]": 0.4}, 2: {"area [nm^2]": 0.03}}
    content = json.loads(feature_collection(find_outlines(labels), measured))
    assert content["type"] == "FeatureCollection"
    first, second = content["features"]
    assert first["properties"]["objectType"] == "annotation"
    assert (first["properties"]["name"], first["properties"]["measurements"]) == ("1", measured[1])
    assert (first["geometry"]["type"], second["geometry"]["type"]) == ("Polygon", "MultiPolygon")
    (ring,) = first["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    corners = np.array(ring)
    # Pixels 10 to 19 and 4 to 7 reach from 10 to 20 and from 4 to 8 in coordinates of the corners of pixels.
    assert corners.min(axis=0).tolist() == [10, 4]
    assert corners.max(axis=0).tolist() == [20, 8]


def test_percentiles_and_their_intervals_are_those_of_the_normal_distribution():
    found = percentiles([np.random.default_rng(1).normal(50, 10, 2000)], np.random.default_rng(0))
    assert found.number == 2000
    assert found.values == pytest.approx((50 - 12.8155, 50, 50 + 12.8155), abs=1)
    # Standard error of a quantile: sqrt(p (1 - p) / n) / density.
    p, density = np.array([0.1, 0.5, 0.9]), np.array([0.01755, 0.03989, 0.01755])
    errors = np.sqrt(p * (1 - p) / 2000) / density
    widths = np.subtract(found.high, found.low)
    assert widths == pytest.approx(2 * 1.96 * errors, rel=0.25)


def test_images_that_differ_make_intervals_of_all_together_wide():
    rng = np.random.default_rng(1)
    alike = [rng.normal(50, 5, 100) for _ in range(8)]
    shifted = [diameters + 10 * place for place, diameters in enumerate(alike)]
    narrow, wide = (percentiles(images, np.random.default_rng(0)) for images in (alike, shifted))
    assert wide.high[1] - wide.low[1] > 10 * (narrow.high[1] - narrow.low[1])


def test_few_particles_give_what_they_can():
    assert percentiles([np.zeros(0)], np.random.default_rng(0)).number == 0
    one = percentiles([np.array([7.0])], np.random.default_rng(0))
    assert one.values == (7, 7, 7)
    assert np.isnan(one.low).all()
