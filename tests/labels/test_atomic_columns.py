"""Atomic columns of crystals whose projections are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from exitwave.imaging.hrtem import crop_periodic
from exitwave.labels.atomic_columns import atomic_columns, columns_in_image
from exitwave.structures.crystal import cut
from exitwave.structures.materials import load_material
from exitwave.structures.stacking import cut_with_defects
from exitwave.structures.surface import with_ligands
from exitwave.structures.transforms import axis_rotation, orient, rotation_matrix
from exitwave.structures.volumes import sphere

GOLD, CDSE = load_material("Au"), load_material("CdSe")
CENTRE = np.array([38.0, 37.0, 100.0])


def on_axis(crystal, axis, radius=14.0, tilt=0.0, **more):
    body = cut(crystal, sphere(radius), np.random.default_rng(0))
    return body.moved(orient(crystal.cell, zone_axis=axis, tilt=tilt, **more), CENTRE)


def spacing(columns):
    """Distance of every column from its nearest neighbour [Å]."""
    return cKDTree(columns[["x", "y"]]).query(columns[["x", "y"]], k=2)[0][:, 1]


@pytest.mark.parametrize(
    ("axis", "nearest"),
    # Of fcc: a/2 along [001]; √3/(2√2) a along [110]; a/√6 along [111], whose three layers fill each other's gaps.
    [([0, 0, 1], 1 / 2), ([1, 1, 0], np.sqrt(3 / 8)), ([1, 1, 1], 1 / np.sqrt(6))],
)
def test_columns_of_gold_are_as_far_apart_as_its_projection_is(scenes, axis, nearest):
    body = on_axis(GOLD, axis)
    columns = atomic_columns(scenes.of(body))
    np.testing.assert_allclose(spacing(columns), nearest * 4.07825, atol=1e-3)
    assert len(columns) == len(np.unique(body.positions[:, :2].round(2), axis=0))
    assert columns["atoms"].sum() == len(body)
    assert (columns["number"] == 79).all()
    assert columns["spread"].max() == pytest.approx(0, abs=1e-6)
    assert columns["tilt"].max() == pytest.approx(0, abs=1e-4)


def test_column_in_the_middle_of_a_sphere_has_as_many_atoms_as_fit(scenes):
    # Atoms of [110] rows are a/√2 = 2.884 Å apart.
    columns = atomic_columns(scenes.of(on_axis(GOLD, [1, 1, 0], radius=20)))
    assert columns["atoms"].max() in (int(40 / 2.884), int(40 / 2.884) + 1)


def test_columns_of_wurtzite_across_its_axis_are_dumbbells(scenes):
    # Along [110] of the hexagonal cell, <11-20>: of the four bonds of an atom two are seen at 60° to the plane of the
    # image, a / (2 √3) long across c and (1/2 - u) c along it.
    columns = atomic_columns(scenes.of(on_axis(CDSE, [1, 1, 0])))
    assert set(columns["number"]) == {34, 48}
    a, c, u = CDSE.cell[0, 0], CDSE.cell[2, 2], 0.375
    inner = np.hypot(columns["x"] - CENTRE[0], columns["y"] - CENTRE[1]) < 10
    np.testing.assert_allclose(spacing(columns)[inner], np.hypot(a / np.sqrt(12), (0.5 - u) * c), atol=1e-3)
    nearest = cKDTree(columns[["x", "y"]]).query(columns[["x", "y"]], k=2)[1][:, 1]
    assert (columns["number"].to_numpy()[nearest] != columns["number"].to_numpy())[inner].all()


def test_columns_along_the_axis_of_wurtzite_hold_both_elements(scenes):
    columns = atomic_columns(scenes.of(on_axis(CDSE, [0, 0, 1])))
    # A honeycomb of a/√3.
    inner = np.hypot(columns["x"] - CENTRE[0], columns["y"] - CENTRE[1]) < 10
    np.testing.assert_allclose(spacing(columns)[inner], CDSE.cell[0, 0] / np.sqrt(3), atol=1e-3)


@pytest.mark.parametrize("tilt", [1.0, 2.5])
def test_columns_off_axis_are_the_rows_of_the_crystal(scenes, tilt):
    straight, tilted = (
        atomic_columns(scenes.of(on_axis(GOLD, [1, 1, 0], tilt=angle, in_plane=10.0, tilt_towards=30.0)))
        for angle in (0.0, tilt)
    )
    assert len(tilted) == len(straight)
    assert sorted(tilted["atoms"]) == sorted(straight["atoms"])
    np.testing.assert_allclose(tilted["tilt"], tilt, atol=1e-4)
    # A row of n atoms 2.884 Å apart: standard deviation of a uniform row, seen at the angle.
    length = 4.07825 / np.sqrt(2) * np.sqrt((tilted["atoms"] ** 2 - 1) / 12)
    np.testing.assert_allclose(tilted["spread"], length * np.sin(np.radians(tilt)), atol=1e-3)


def test_far_off_any_axis_every_row_is_counted_once(scenes):
    structure = scenes.recipe(edge=51.2, material="Au", radius=12, seed=9)
    columns = atomic_columns(structure)
    np.testing.assert_allclose(columns["tilt"], structure.metadata["zone_axis_tilt"], rtol=1e-6)
    # Lattice points, in units of a/2, are in one row along [uvw] if their differences are along it.
    axis = np.array([int(index) for index in structure.metadata["zone_axis"].split()])
    particle = json.loads(structure.metadata["particles"])[0]
    relative = structure.positions - structure.positions[0]
    relative[:, :2] -= structure.cell[:2] * np.round(
        (structure.positions - particle["center"])[:, :2] / structure.cell[:2]
    ) - structure.cell[:2] * np.round((structure.positions[0] - particle["center"])[:2] / structure.cell[:2])
    points = np.rint(relative @ rotation_matrix(np.array(particle["quaternion"])) / 2.039125).astype(int)
    rows, atoms = np.unique(np.cross(points, axis), axis=0, return_counts=True)
    assert len(columns) == len(rows)
    assert sorted(columns["atoms"]) == sorted(atoms)


def test_columns_on_a_twin_plane_are_shared_by_its_two_crystals(scenes):
    # Along <1-10>, in the plane of the twin, both crystals are on axis.
    body = cut_with_defects(GOLD, sphere(14), ["twin"], np.random.default_rng(3))
    body = body.moved(orient(GOLD.cell, zone_axis=[1, -1, 0]), CENTRE)
    columns = atomic_columns(scenes.of(body))
    assert len(columns) == len(np.unique(body.positions[:, :2].round(2), axis=0))
    assert columns["spread"].max() < 1e-3


def test_columns_of_a_particle_across_the_corner_are_those_of_one_in_the_middle(scenes):
    body = on_axis(GOLD, [1, 1, 0])
    middle = atomic_columns(scenes.of(body))
    corner = atomic_columns(scenes.of(body.moved(translation=[-38.0, -37.0, 0.0])))
    assert ((corner[["x", "y"]] >= 0) & (corner[["x", "y"]] < scenes.edge)).all().all()
    moved = (corner[["x", "y"]] + [38.0, 37.0]) % scenes.edge
    distance, _ = cKDTree(middle[["x", "y"]]).query(moved)
    assert len(corner) == len(middle)
    assert distance.max() < 1e-3


def test_particles_above_each_other_keep_their_own_columns(scenes):
    low = on_axis(GOLD, [0, 0, 1], radius=10)
    high = low.moved(axis_rotation([0, 0, 1], 0), [0.0, 0, 24.0])
    columns = atomic_columns(scenes.of(low, high))
    assert (columns.groupby("object_id").size() == len(columns) / 2).all()


def test_molecules_are_no_columns(scenes):
    bare = on_axis(GOLD, [0, 0, 1])
    dressed = with_ligands(bare, "CH3S", "S", 3.0, np.random.default_rng(0))
    pd.testing.assert_frame_equal(atomic_columns(scenes.of(bare)), atomic_columns(scenes.of(dressed)))


def test_no_particle_has_no_columns(scenes):
    structure = scenes.recipe(material="Au", radius=9)
    structure.object_id[:] = 0
    empty = atomic_columns(structure)
    assert len(empty) == 0
    assert list(empty) == ["x", "y", "number", "atoms", "spread", "tilt", "object_id"]


@pytest.mark.parametrize("binning", [1, 2])
def test_columns_in_an_image_lie_on_its_atoms(scenes, binning):
    # An image of one column: a bump where it is, cut out as images are.
    columns = atomic_columns(scenes.of(cut(GOLD, sphere(1.0)).moved(translation=CENTRE)))
    assert len(columns) == 1
    bump = np.exp(-(scenes.distance(*columns.loc[0, ["x", "y"]]) ** 2) / 2)
    offset, size = (70, 80), 30
    image = crop_periodic(bump, offset, binning, size)
    shown = columns_in_image(columns, np.array([scenes.edge] * 3), scenes.sampling, offset, binning, size)
    row, column = ((image * index).sum() / image.sum() for index in np.mgrid[:size, :size])
    assert shown.loc[0, "x"] == pytest.approx(column, abs=0.05)
    assert shown.loc[0, "y"] == pytest.approx(row, abs=0.05)


def test_columns_outside_of_an_image_are_left_out(scenes):
    columns = pd.DataFrame({"x": [0.1, 10.0, 76.7], "y": [5.0, 5.0, 5.0]})
    # Begins two pixels before the edge of the cell and runs over it.
    shown = columns_in_image(columns, np.array([76.8] * 3), 0.4, (0, 190), 1, 20)
    np.testing.assert_allclose(shown["x"], [2.25, 1.75])
