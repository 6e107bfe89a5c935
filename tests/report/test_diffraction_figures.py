"""Figures of crystals, scattering matrices, probes, multilayers and diffraction patterns, from what the jobs make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.spacegroup import crystal
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from exitwave.data.shards import open_shard, shard_writer
from exitwave.data.tables import read_table, table_path, write_table
from exitwave.items import Array, Axis, Item
from exitwave.jobs.preview import make_preview
from exitwave.jobs.simulate import make_shard
from exitwave.labels.reflections import weights
from exitwave.report import diffraction, library, matrices, multilayers, patterns, probes, unit_cells
from exitwave.report.figures import draw_figure, figures, figures_of_kind
from exitwave.structures.unit_cell import UnitCell
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.member import Study
from exitwave.study.plan import sources_of

SMALL = {
    "structures": {
        "cells": {
            "kind": "crystals",
            "count": 4,
            "prototypes": ["NaCl", "Fluorite"],
            "substitutions": 0,
            "orientations": {"zone_axes": 1, "random": 1, "mistilt": {"uniform": [1, 5]}},
        }
    },
    "exit_waves": {
        "beams": {
            "structures": "cells",
            "kind": "scattering_matrix",
            "semiangle": 3,
            "tilt_step": 0.04,
            "thickness": 100,
            "g_max": 1.2,
            "max_beams": 60,
            "rms_displacement_of_others": 0.08,
        }
    },
    "images": {
        "disks": {
            "exit_waves": "beams",
            "kind": "diffraction",
            "per_structure": 2,
            "size": 64,
            "reciprocal_sampling": 0.04,
            "semiangle": {"choice": [2, 3]},
            "shift": {"uniform": [-3, 3]},
            "dose": {"loguniform": [1e4, 1e6]},
            "detector": {"kind": "ideal", "hot_pixels": 1e-3},
        }
    },
}


@dataclass(frozen=True)
class Made:
    """A small study and its shards by stage."""

    study: Study
    shards: dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    study, shards = study_from(SMALL, "small.yaml"), {}
    for stage in ("structures", "exit_waves", "images"):
        (member,) = study.stage(stage)
        shards[stage] = tmp_path_factory.mktemp(stage) / "shard.zarr.zip"
        sources = {of: shards[of] for of in sources_of(member)}
        make_shard(Description.parse(describe(member)), range(4), sources, shards[stage], "cpu")
    return Made(study, shards)


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of panels and figures that are drawn."""
    found: list[str] = []
    of_axes, of_figure = Axes.set_title, Figure.suptitle

    def panel(axes, text, *more, **how):
        found.append(text)
        return of_axes(axes, text, *more, **how)

    def whole(drawing, text, **how):
        found.append(text)
        return of_figure(drawing, text, **how)

    monkeypatch.setattr(Axes, "set_title", panel)
    monkeypatch.setattr(Figure, "suptitle", whole)
    return found


def ink(path: Path) -> float:
    """Part of a picture that is not white."""
    picture = imread(path)[..., :3]
    assert picture.shape[0] > 250
    assert picture.shape[1] > 500
    return float((picture.min(axis=2) < 0.9).mean())


def test_every_figure_of_diffraction_is_drawn_by_its_job(made, tmp_path):
    drawn = {}
    for of in figures(made.study).values():
        files = [made.shards[of.member.stage]]
        if of.figure.reads == "tables":
            files = [table_path(files[0])]
        path = tmp_path / of.path
        draw_figure(of.about(), files, path)
        drawn[f"{of.member.stage}/{of.figure.file}"] = ink(path)
    assert set(drawn) == {
        "structures/atoms.png",
        "structures/library.png",
        "exit_waves/thickness_series.png",
        "exit_waves/beams.png",
        "images/contact_sheet.png",
        "images/labels.png",
        "images/parameters.png",
    }
    assert all(part > 0.01 for part in drawn.values()), drawn


@pytest.mark.parametrize("name", ["cells", "beams", "disks"])
def test_a_preview_of_diffraction_is_drawn_of_every_stage(made, tmp_path, name):
    make_preview(made.study, name, tmp_path / "sheet.png", 3)
    assert ink(tmp_path / "sheet.png") > 0.02


def test_a_preview_shows_patterns_with_their_reflections(made, tmp_path, monkeypatch):
    circles = []
    monkeypatch.setattr(patterns, "draw_reflections", lambda axes, listed, size: circles.append(len(listed)))
    make_preview(made.study, "disks", tmp_path / "sheet.png", 3)
    assert len(circles) == 3
    assert min(circles) > 5


def test_patterns_have_no_figure_of_images_of_the_specimen():
    assert [figure.file for figure in figures_of_kind("images", "diffraction")] == [
        "contact_sheet.png",
        "labels.png",
        "parameters.png",
    ]
    assert [figure.file for figure in figures_of_kind("exit_waves", "probe")] == ["waves.png", "parameters.png"]


# --- words ------------------------------------------------------------------------------------


def test_crystals_are_told_by_formula_symmetry_prototype_and_orientation(made):
    row = read_table(table_path(made.shards["structures"])).iloc[0].to_dict() | {"zone_axis": "1 -1 0", "mistilt": 3.21}
    lines = diffraction.describe_crystal(row).split("\n")
    assert lines == ["item 0: NaCl", r"$Fm\bar{3}m$ (225), cubic", row["prototype"], r"$[1\bar{1}0]$, 3.2 mrad off"]
    assert diffraction.orientation_told(row | {"mistilt": 0.0}) == r"$[1\bar{1}0]$"
    random = row | {"orientation_kind": "random", "mistilt": 84.4}
    assert diffraction.orientation_told(random) == r"random, 84 mrad off $[1\bar{1}0]$"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"item": 3}, "item 3"),
        ({"item": 3, "formula": "Fe2O3", "zone_axis": "0 0 1"}, "Fe₂O₃"),
        ({"item": 3, "layer": 2, "zone_axis": "0 1 1", "mistilt": 7.0}, "layer 2 $[011]$, 7.0 mrad off"),
    ],
)
def test_patterns_are_named_by_what_is_known_of_their_crystal(row, told):
    assert diffraction.named(row) == told


@pytest.mark.parametrize(
    ("number", "told"),
    [(2, r"$P\bar{1}$"), (180, "$P6_222$"), (194, "$P6_3/mmc$"), (141, "$I4_1/amd$"), (225, r"$Fm\bar{3}m$")],
)
def test_space_groups_are_told_by_their_symbol(number, told):
    assert diffraction.space_group_told(number) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (850.0, "850"), (4.68e4, "4.7·10⁴"), (1e5, "1·10⁵"), (8.4e-5, "8.4·10⁻⁵"), (0.02, "0.02")],
)
def test_large_and_small_numbers_are_told_with_powers(value, told):
    assert diffraction.power_told(value) == told


def test_patterns_are_told_by_crystal_semiangle_thickness_and_electrons(made):
    row = read_table(table_path(made.shards["images"])).iloc[0].to_dict()
    row |= {"semiangle": 2.0, "specimen_thickness": 60.0, "electrons": 2.5e5, "shift_x": -1.0, "shift_y": 2.0}
    assert diffraction.conditions_told(row) == ["2 mrad", "6 nm", "2.5·10⁵ e⁻"]
    told = diffraction.numbers_told(row)
    assert told[0].startswith("NaCl $[")
    assert "shift −1.0, +2.0 px" in told
    assert "0.1 % hot pixels" in told
    assert not any("ellipticity" in text or "gain" in text for text in told)


def test_indices_are_those_of_the_conventional_cell():
    hkl = diffraction.conventional_indices(np.array([[1, 0, 0], [1, 1, 1], [2, 0, 0]]), 225)
    assert hkl.tolist() == [[-1, 1, 1], [1, 1, 1], [-2, 2, 2]]
    assert diffraction.conventional_indices(np.array([[1, 2, 3]]), 221).tolist() == [[1, 2, 3]]
    assert diffraction.indices_told("1 -12 3", "") == r"$1\,\bar{12}\,3$"


def test_zone_axes_of_both_cells_are_the_same_direction(made):
    """Beams of the zeroth Laue zone are perpendicular to the zone axis by either indices."""
    row = read_table(table_path(made.shards["structures"])).iloc[0].to_dict()
    primitive, conventional = (
        np.array([int(index) for index in row[name].split()]) for name in ("zone_axis_primitive", "zone_axis")
    )
    hkl = np.array([[h, k, m] for h in range(-2, 3) for k in range(-2, 3) for m in range(-2, 3)])
    in_zone = hkl @ primitive == 0
    assert in_zone.sum() > 5
    np.testing.assert_array_equal(
        diffraction.conventional_indices(hkl, int(row["space_group"])) @ conventional == 0, in_zone
    )


# --- crystals ---------------------------------------------------------------------------------


def test_atoms_around_a_cell_are_those_of_a_supercell():
    rock_salt = crystal(["Na", "Cl"], [(0, 0, 0), (0.5, 0, 0)], spacegroup=225, cellpar=[5.6] * 3 + [90] * 3)
    cell = UnitCell(
        rock_salt.cell.array, rock_salt.get_scaled_positions(), rock_salt.numbers.astype(np.uint8), np.eye(3)
    )
    positions, numbers = unit_cells.atoms_around(cell, np.array([1.0, 1.0, 1.0]), (11.2, 11.2, 5.0))
    many = rock_salt.repeat((9, 9, 9))
    many.translate(-4 * rock_salt.cell.sum(axis=0))
    inside = (np.abs(many.positions - 1.0) <= [7.6, 7.6, 2.501]).all(axis=1)
    assert len(positions) == inside.sum() > 50
    assert (numbers == 11).sum() == (many.numbers[inside] == 11).sum()


def test_crystals_are_drawn_as_the_beam_sees_them(monkeypatch):
    """Sodium to the right of and below chlorine in the frame of the beam, and the one that is nearer in front."""
    seen = {}
    monkeypatch.setattr(
        unit_cells, "render", lambda view, *more: seen.update(view=view) or np.ones((unit_cells.PIXELS,) * 2 + (3,))
    )
    cell = UnitCell(
        np.eye(3) * 30.0, np.array([[0.4, 0.4, 0.4], [0.6, 0.7, 0.5]]), np.array([17, 11], np.uint8), np.eye(3)
    )
    axes = Figure().subplots()
    unit_cells.draw_cell(axes, cell)
    order = np.argsort(np.abs(seen["view"][:, :2] - 22.5).sum(axis=1))[:2]
    chlorine, sodium = sorted(seen["view"][order].tolist())
    np.testing.assert_allclose(np.subtract(sodium, chlorine), [6.0, -9.0, -3.0])


def test_a_library_counts_each_crystal_once(made, tmp_path, titles):
    table = read_table(table_path(made.shards["structures"]))
    write_table(tmp_path / "all.parquet", table)
    library.draw_library([tmp_path / "all.parquet"], tmp_path / "figure.png", "cells")
    assert titles[-1] == "Library of crystals: cells   (2 crystals of 2 prototypes, 4 orientations)"
    assert "crystals that hold an element (4 elements)" in titles


@pytest.mark.parametrize(
    ("number", "place"),
    [
        (1, (1, 1)),
        (2, (18, 1)),
        (5, (13, 2)),
        (12, (2, 3)),
        (26, (8, 4)),
        (57, (3, 8.4)),
        (71, (17, 8.4)),
        (72, (4, 6)),
        (86, (18, 6)),
        (88, (2, 7)),
        (92, (6, 9.4)),
        (103, (17, 9.4)),
    ],
)
def test_elements_stand_at_their_place(number, place):
    assert library.place_of_element(number) == place


# --- scattering matrices ----------------------------------------------------------------------


def test_beams_of_the_same_intensity_and_distance_are_one_group():
    one, two = np.array([0.1, 0.3]), np.array([0.2, 0.05])
    intensities = np.stack([1 - 2 * one - 2 * two, one, two, one * 1.01, two], axis=1)
    groups = matrices.equivalent_beams(intensities, np.array([0.0, 0.5, 0.7, 0.5, 0.8]))
    assert groups == [[3, 1], [2], [4]]


def test_a_thickness_series_begins_with_all_electrons_in_the_direct_beam(made, tmp_path, monkeypatch, titles):
    curves, plot = {}, Axes.plot

    def kept(axes, *values, **how):
        if "label" in how:
            curves.setdefault(id(axes), []).append((how["label"], np.asarray(values[1])))
        return plot(axes, *values, **how)

    monkeypatch.setattr(Axes, "plot", kept)
    matrices.draw_thickness_series(made.shards["exit_waves"], tmp_path / "figure.png", 2, "beams")
    assert len(curves) == 2
    for of_crystal in curves.values():
        assert of_crystal[0][0] == "direct beam"
        assert len(of_crystal[0][1]) == 6
        assert [values[0] for _, values in of_crystal] == [1, *[0] * (len(of_crystal) - 1)]
        total = sum(values for _, values in of_crystal)
        np.testing.assert_allclose(total, 1, atol=5e-3)
    assert titles.count("10 nm") == 2


# --- patterns ---------------------------------------------------------------------------------


def test_a_hot_pixel_does_not_darken_a_pattern():
    y, x = np.mgrid[:40, :40]
    counts = 100 * (np.hypot(y - 20, x - 20) < 3) + 1
    hot = counts.copy()
    hot[5, 5] = 60_000
    shown, with_hot = patterns.brightness(counts), patterns.brightness(hot)
    assert shown[20, 20] == 1
    assert shown[0, 0] == pytest.approx((1 / 101) ** 0.25)
    np.testing.assert_array_equal(np.delete(shown, 5, 0), np.delete(with_hot, 5, 0))
    assert np.all(patterns.brightness(np.zeros((8, 8))) == 0)


def test_areas_of_circles_go_with_the_weights_of_reflections(made, monkeypatch):
    listed = open_shard(made.shards["images"]).read("reflections", 0)
    drawn = {}
    monkeypatch.setattr(Axes, "scatter", lambda axes, x, y, s, **how: drawn.update(x=x, y=y, s=s))
    patterns.draw_reflections(Figure().subplots(), listed, 64)
    heights = weights(listed, "ewald")
    heights[(listed[:, 2:5] == 0).all(axis=1)] = 0
    shown = heights >= patterns.LEAST_CIRCLE * heights.max()
    assert 3 < shown.sum() < len(listed)
    np.testing.assert_array_equal(drawn["x"], listed[shown, 0])
    np.testing.assert_allclose(drawn["s"] / drawn["s"].max(), heights[shown] / heights.max(), rtol=1e-6)


def test_a_scale_bar_of_a_pattern_is_in_reciprocal_angstrom():
    axes = Figure().subplots()
    patterns.draw_pattern(axes, np.ones((64, 64)), 0.04)
    assert [text.get_text() for text in axes.texts] == ["0.5 Å⁻¹"]
    (bar,) = axes.patches
    assert bar.get_width() * 0.04 == pytest.approx(0.5)


def test_an_inset_holds_the_largest_probe():
    probes_of = [np.zeros((32, 32)), np.zeros((32, 32))]
    probes_of[0][16, 16] = probes_of[1][16, 12] = 1.0
    probes_of[0][0, 0] = 1e-3  # a tail
    assert patterns.reach_of(probes_of) == 6


# --- probes and multilayers -------------------------------------------------------------------


def test_patterns_of_probes_are_drawn_for_every_semiangle_and_some_depths(tmp_path, rng, titles):
    depths, axes = [40.0, 80.0, 120.0, 160.0, 200.0], [Axis(f"axis{number}") for number in range(6)]
    path = tmp_path / "shard.zarr.zip"
    with shard_writer(path, 2, {}) as writer:
        for item in range(2):
            amplitudes = rng.normal(size=(2, 1, 5, 1, 16, 16)).astype(np.complex64)
            arrays = {
                "amplitudes": Array(amplitudes, tuple(axes), ragged=True),
                "planes": Array(np.array(depths), (Axis("plane"),), "Å", ragged=True),
                "semiangles": Array(np.array([2.0, 4.0]), (Axis("semiangle"),), "mrad"),
            }
            writer.add(Item(arrays, {"item": item, "energy": 200e3, "spectrum_sampling": 0.05}))
    probes.draw_probes(path, tmp_path / "figure.png", title="probes")
    assert titles.count("4 nm") == titles.count("20 nm") == 4
    assert titles[-1].startswith("Simulated probes at 200 kV: probes")
    assert ink(tmp_path / "figure.png") > 0.1


def scanned(wide: int, high: int) -> pd.DataFrame:
    """Probe positions on a multilayer."""
    place = np.arange(wide * high)
    x = 10.0 * (place % wide)
    strain = 0.01 * np.sign(np.sin(2 * np.pi * (x + 1) / 40))
    columns = {"scan_x": x, "scan_y": 10.0 * (place // wide), "layer": (x // 20).astype(int), "strain_xx": strain}
    return pd.DataFrame({"item": place, **columns, "strain_yy": -0.3 * strain, "mistilt_x": 7.0, "mistilt_y": 0.1 * x})


def test_strain_of_a_multilayer_is_a_map_of_an_area_and_a_profile_of_a_line(tmp_path, monkeypatch):
    images, curves = [], []
    monkeypatch.setattr(multilayers, "_draw_map", lambda axes, table, name, names, shape: images.append((name, shape)))
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, *v, **how: curves.append(how.get("label")) or plot(axes, *v, **how))
    for name, table in (("area", scanned(8, 3)), ("line", scanned(8, 1))):
        write_table(tmp_path / f"{name}.parquet", table)
        multilayers.draw_strain([tmp_path / f"{name}.parquet"], tmp_path / f"{name}.png", "SiGe")
    assert images == [(name, (3, 8)) for name in ("strain_xx", "strain_yy", "mistilt_x", "mistilt_y")]
    assert curves == ["ε$_{xx}$", "ε$_{yy}$", "mistilt x", "mistilt y"]
    curves.clear()
    aligned = scanned(8, 1).assign(strain_yy=0.0, mistilt_x=0.0, mistilt_y=0.0)
    write_table(tmp_path / "line.parquet", aligned.assign(projected_xx=aligned["strain_xx"] - 0.003, projected_yy=0.0))
    multilayers.draw_strain([tmp_path / "line.parquet"], tmp_path / "line.png")
    assert curves == ["ε$_{xx}$", "ε$_{xx}$, projected"]
    assert ink(tmp_path / "line.png") > 0.01


def test_a_map_of_strain_has_its_values_at_their_places(tmp_path, monkeypatch):
    shown, imshow = {}, Axes.imshow

    def kept(axes, values, **how):
        shown[len(shown)] = (np.asarray(values), how["extent"], how["vmax"])
        return imshow(axes, values, **how)

    monkeypatch.setattr(Axes, "imshow", kept)
    table = scanned(8, 3).sample(frac=1, random_state=0)
    write_table(tmp_path / "area.parquet", table)
    multilayers.draw_strain([tmp_path / "area.parquet"], tmp_path / "area.png")
    values, extent, largest = shown[1]
    np.testing.assert_allclose(values[0], [-0.3, -0.3, 0.3, 0.3] * 2)
    assert extent == (-0.5, 7.5, 2.5, -0.5)
    assert largest == pytest.approx(1.0)  # that of all strains, in percent
    assert ink(tmp_path / "area.png") > 0.02


def test_atoms_of_a_multilayer_are_drawn_with_what_is_known_of_the_place(tmp_path, rng, titles):
    path, table = tmp_path / "shard.zarr.zip", scanned(3, 1)
    with shard_writer(path, 3, {}) as writer:
        for row in table.to_dict("records"):
            arrays = {
                "positions": Array((rng.random((200, 3)) * 20).astype(np.float32), (Axis("atom"), Axis("xyz")), "Å"),
                "numbers": Array(np.full(200, 14, np.uint8), (Axis("atom"),)),
                "cell": Array(np.array([20.0, 20.0, 30.0]), (Axis("xyz"),), "Å"),
            }
            writer.add(Item(arrays, {str(key): value for key, value in row.items()}))
    multilayers.draw_boxes(path, tmp_path / "figure.png", title="SiGe")
    assert titles[1] == "item 1: layer 0, at 1, 0 nm\nε$_{xx}$ +1.00 %, ε$_{yy}$ −0.30 %\nmistilt 7.1 mrad"
    assert ink(tmp_path / "figure.png") > 0.1
