"""Label maps of scenes where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from exitwave.errors import ConfigError, StructureError
from exitwave.imaging.hrtem import crop_periodic
from exitwave.labels.maps import BACKGROUND, BOUNDARY_WIDTH, DEFECT, MAPS, PARTICLE, SHELL, crop, label_maps
from exitwave.structures.body import SiteRole
from exitwave.structures.composites import core_shell
from exitwave.structures.crystal import cut
from exitwave.structures.materials import load_material, material_names
from exitwave.structures.stacking import cut_with_defects
from exitwave.structures.surface import with_ligands
from exitwave.structures.transforms import axis_rotation, nearest_zone_axis, orient, random_quaternion, rotation_matrix
from exitwave.structures.volumes import box, sphere

GOLD = load_material("Au")
MIDDLE = np.array([38.0, 37.0, 100.0])


def ball(radius, centre=MIDDLE, material="Au", seed=0):
    """A sphere of a crystal at a random angle."""
    rng = np.random.default_rng(seed)
    body = cut(load_material(material), sphere(radius), rng)
    return body.moved(rotation_matrix(random_quaternion(rng)), centre)


def maps(scenes, structure, *names):
    found = label_maps(structure, scenes.waves, scenes.sampling, names)
    return found[names[0]] if len(names) == 1 else [found[name] for name in names]


# --- atoms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("material", ["Au", "CdSe", "CeO2"])
def test_mask_of_a_sphere_is_its_disc_to_the_radius_of_an_atom(scenes, material):
    mask = maps(scenes, scenes.of(ball(20, material=material)), "atoms")
    distance = scenes.distance(*MIDDLE[:2])
    assert mask[distance < 19].all()
    assert not mask[distance > 22.5].any()


@pytest.mark.parametrize("material", material_names())
def test_mask_of_a_crystal_is_closed_and_has_no_holes_whatever_it_is_seen_along(scenes, material):
    crystal, rng = load_material(material), np.random.default_rng(0)
    body = cut(crystal, sphere(12), rng)
    for axis in ([0, 0, 1], [1, 1, 0], [1, 1, 1], [2, 1, 0]):
        mask = maps(scenes, scenes.of(body.moved(orient(crystal.cell, zone_axis=axis), MIDDLE)), "atoms")
        assert ndimage.label(mask)[1] == ndimage.label(~mask)[1] == 1


def test_mask_of_one_atom_is_its_disc(scenes):
    # Covalent radius of gold (Cordero et al. 2008): 1.36 Å.
    mask = maps(scenes, scenes.of(cut(GOLD, sphere(1.0)).moved(translation=MIDDLE)), "atoms")
    assert mask.sum() * scenes.sampling**2 == pytest.approx(np.pi * 1.36**2, rel=0.1)


def test_gap_between_two_particles_is_background(scenes):
    left, right = ball(10, np.array([25.0, 37, 100])), ball(10, np.array([50.0, 37, 100]))
    mask = maps(scenes, scenes.of(left, right), "atoms")
    assert ndimage.label(mask)[1] == 2


def test_molecules_are_no_part_of_a_particle(scenes):
    bare = ball(12)
    dressed = with_ligands(bare, "CH3S", "S", 3.0, np.random.default_rng(0))
    names = [name for name in MAPS if name != "orientation"]
    for one, other in zip(maps(scenes, scenes.of(bare), *names), maps(scenes, scenes.of(dressed), *names), strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("name", MAPS)
def test_particle_across_the_corner_of_the_cell_has_the_maps_of_one_in_the_middle(scenes, name):
    turn = orient(GOLD.cell, zone_axis=[1, 1, 0])
    # Cut from the lattice, so that a shift by whole pixels is one of the maps.
    body = cut_with_defects(GOLD, sphere(14), ["twin"], np.random.default_rng(2)).moved(turn)
    at = [scenes.of(body.moved(translation=[shift, shift, 100.0])) for shift in (0.0, scenes.sampling * 96)]
    corner, middle = (maps(scenes, structure, name) for structure in at)
    np.testing.assert_allclose(np.roll(corner, (96, 96), (0, 1)), middle, atol=1e-4)
    assert np.isfinite(middle).any()
    assert (np.nan_to_num(middle) != 0).any() or name == "orientation"


# --- thickness --------------------------------------------------------------------------------


@pytest.mark.parametrize(("material", "radius"), [("Au", 10), ("Au", 25), ("CdSe", 25), ("CeO2", 25)])
def test_thickness_of_a_sphere_is_its_chord(scenes, material, radius):
    thickness = maps(scenes, scenes.of(ball(radius, material=material)), "thickness")
    distance = scenes.distance(*MIDDLE[:2])
    chord = 2 * np.sqrt(np.clip(radius**2 - distance**2, 0, None))
    inner = distance < radius - 3
    error = thickness - chord
    assert abs(error[inner].mean()) < 1.2
    assert np.sqrt((error[distance < radius] ** 2).mean()) < 2.5
    assert (thickness[distance > radius + 3] == 0).all()
    assert thickness.sum() * scenes.sampling**2 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.05)


@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_thickness_of_a_cube_is_that_of_its_layers_up_to_its_faces(scenes, angle):
    # 14 layers of (002), 2.039 Å each, in 28.6 Å.
    body = cut(GOLD, box([40, 40, 28.6])).moved(axis_rotation([0, 0, 1], angle), MIDDLE)
    layers = len(np.unique(body.positions[:, 2].round(3)))
    thickness, mask = maps(scenes, scenes.of(body), "thickness", "atoms")
    along = (np.stack([scenes.x, scenes.y], axis=-1) - MIDDLE[:2]) @ axis_rotation([0, 0, 1], angle)[:2, :2]
    inner = np.abs(along).max(axis=-1) < 16
    np.testing.assert_allclose(thickness[inner], layers * GOLD.cell[2, 2] / 2, rtol=0.01)
    # At the edges the outermost columns stand for a strip that the mask need not cover in whole.
    assert thickness[mask].min() > 0.7 * thickness[inner].mean()


def test_thickness_of_a_layer_that_fills_the_cell_is_that_of_the_layer(scenes):
    # 18 cells of 4.078 Å, stretched to the cell: a slab without edges.
    stretch = scenes.edge / (18 * GOLD.cell[0, 0])
    crystal = replace(GOLD, cell=GOLD.cell * stretch)
    body = cut(crystal, box([scenes.edge - 0.1, scenes.edge - 0.1, 20.0]).moved(np.eye(3), np.full(3, 1.0)))
    structure = scenes.of(body.moved(translation=[scenes.edge / 2, scenes.edge / 2, 100]))
    layers = len(np.unique(structure.positions[:, 2].round(3)))
    thickness = maps(scenes, structure, "thickness")
    inner = thickness[20:-20, 20:-20]
    np.testing.assert_allclose(inner, layers * crystal.cell[2, 2] / 2 / stretch**3, rtol=0.01)


def test_thicknesses_of_particles_above_each_other_add_up(scenes):
    low, high = ball(14), ball(10, MIDDLE + np.array([6, 0, 26]), seed=1)
    both, one, other = (maps(scenes, scenes.of(*some), "thickness") for some in ([low, high], [low], [high]))
    np.testing.assert_allclose(both, one + other, atol=1e-4)


def test_the_outline_of_overlapping_particles_of_unknown_crystals_is_known(scenes):
    """Only which of them is the thicker is not."""
    structure = scenes.of(ball(14), ball(10, MIDDLE + np.array([6, 0, 26]), seed=1))
    unknown = replace(structure, metadata={})
    assert_array_equal(maps(scenes, unknown, "atoms"), maps(scenes, structure, "atoms"))
    with pytest.raises(StructureError):
        maps(scenes, unknown, "instances")


# --- instances --------------------------------------------------------------------------------


def test_overlap_of_two_spheres_belongs_to_the_thicker(scenes):
    low, high = MIDDLE, MIDDLE + np.array([16, 0, 32])
    instances, mask = maps(scenes, scenes.of(ball(18, low), ball(12, high, seed=1)), "instances", "atoms")
    assert instances.dtype == np.uint8
    assert_array_equal(instances > 0, mask)
    chords = [
        np.sqrt(np.clip(radius**2 - scenes.distance(*centre[:2]) ** 2, 0, None))
        for radius, centre in ((18, low), (12, high))
    ]
    clear = mask & (np.abs(chords[0] - chords[1]) > 2)
    # But for atoms of one that stick out of its sphere.
    assert (instances[clear & (chords[0] > chords[1])] == 1).mean() > 0.99
    assert (instances[clear & (chords[1] > chords[0])] == 2).mean() > 0.99


def test_ids_are_those_of_the_structure(scenes):
    structure = scenes.recipe(material="Au", radius=9, number=3, seed=4)
    instances = maps(scenes, structure, "instances")
    assert sorted(np.unique(instances)) == [0, *np.unique(structure.object_id)]
    for number in np.unique(structure.object_id):
        x, y = (structure.positions[structure.object_id == number, :2] / scenes.sampling).round().astype(int).T % 192
        assert_array_equal(instances[y, x], number)


# --- boundary ---------------------------------------------------------------------------------


def test_boundary_is_a_band_about_the_edge_of_the_mask(scenes):
    mask, boundary = maps(scenes, scenes.of(ball(15)), "atoms", "boundary")
    radius = np.sqrt(mask.sum() * scenes.sampling**2 / np.pi)
    distance = np.abs(scenes.distance(*MIDDLE[:2]) - radius)
    assert set(np.unique(boundary)) == {0, 1}
    assert (boundary[distance > BOUNDARY_WIDTH / 2 + 1.5] == 0).all()
    area = 2 * np.pi * radius * BOUNDARY_WIDTH
    assert (boundary > 0).sum() * scenes.sampling**2 == pytest.approx(area, rel=0.2)
    edges = mask ^ ndimage.binary_erosion(mask)
    assert boundary[edges].all()


def test_boundary_between_two_particles_has_a_class_of_its_own(scenes):
    # Two cubes side by side, their atoms 2.5 Å apart: x = 38 is the edge between them.
    cubes = [cut(GOLD, box([20, 20, 20])).moved(translation=[x, 38.0, 100.0]) for x in (28.6, 47.4)]
    instances, boundary = maps(scenes, scenes.of(*cubes), "instances", "boundary")
    assert set(np.unique(instances)) == {0, 1, 2}
    rows = np.abs(scenes.y[:, 0] - 38) < 6
    between = boundary[rows][:, np.abs(scenes.x[0] - 38) < 2.5]
    assert (between == 2).mean(axis=1).min() > 0.3
    assert_array_equal(boundary[rows][:, np.abs(scenes.x[0] - 28.6) < 5], 0)
    assert (boundary == 1).any()


def test_boundary_goes_around_a_particle_at_the_edge_of_the_cell(scenes):
    corner, middle = (
        maps(scenes, scenes.of(ball(12, np.array([place, place, 100.0]))), "boundary") for place in (0.0, 38.4)
    )
    assert abs(int(corner.sum()) - int(middle.sum())) < 8


# --- orientation ------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [0.0, 2.0, 5.0])
def test_orientation_is_the_angle_of_the_zone_axis_to_the_beam(scenes, tilt):
    turn = orient(GOLD.cell, zone_axis=[1, 1, 0], tilt=tilt, tilt_towards=70.0)
    orientation, mask = maps(scenes, scenes.of(cut(GOLD, sphere(12)).moved(turn, MIDDLE)), "orientation", "atoms")
    np.testing.assert_allclose(orientation[mask], tilt, atol=1e-4)
    assert np.isnan(orientation[~mask]).all()


@pytest.mark.parametrize("material", ["Au", "CdSe", "TiO2"])
def test_orientation_is_what_the_recipe_recorded(scenes, material):
    structure = scenes.recipe(material=material, radius=10, seed=3)
    orientation = maps(scenes, structure, "orientation")
    np.testing.assert_allclose(
        orientation[np.isfinite(orientation)], structure.metadata["zone_axis_tilt"], rtol=1e-5, atol=1e-5
    )


def test_orientation_changes_at_a_twin_plane(scenes):
    # The normal is 30° off the plane of the image; beyond the plane the crystal is turned by 180° about it.
    body = cut_with_defects(GOLD, sphere(18), ["twin"], np.random.default_rng(1))
    turn = axis_rotation([0, 1, 0], 60.0) @ axis_rotation([0, 0, 1], 7.0) @ orient(GOLD.cell, facet=[1, 1, 1])
    body = body.moved(turn, MIDDLE)
    orientation, mask = maps(scenes, scenes.of(body), "orientation", "atoms")
    (twin,) = body.defects
    beyond = (scenes.x - twin.point[0]) * twin.normal[0]
    expected = [nearest_zone_axis(GOLD.cell, r)[1] for r in (turn, axis_rotation(twin.normal, 180.0) @ turn)]
    assert abs(expected[0] - expected[1]) > 1
    assert (mask & (beyond > 9)).sum() > 100
    np.testing.assert_allclose(orientation[mask & (beyond < -9)], expected[0], atol=1e-3)
    np.testing.assert_allclose(orientation[mask & (beyond > 9)], expected[1], atol=1e-3)


# --- domains ----------------------------------------------------------------------------------


def twin_seen(tilt, seed=1):
    """A twin whose plane is upright, its normal along x, or tilted by some degrees about y."""
    body = cut_with_defects(GOLD, sphere(18), ["twin"], np.random.default_rng(seed))
    turn = axis_rotation([0, 1, 0], 90 + tilt) @ orient(GOLD.cell, facet=[1, 1, 1])
    return body.moved(turn, MIDDLE)


def test_twin_plane_seen_edge_on_is_a_line_of_its_own_class(scenes):
    body = twin_seen(0)
    domains, mask = maps(scenes, scenes.of(body), "domains", "atoms")
    assert_array_equal(domains > BACKGROUND, mask)
    away = np.abs(scenes.x - body.defects[0].point[0])
    inner = scenes.distance(*MIDDLE[:2]) < 15
    assert (domains[inner & (away < 0.8)] == DEFECT).all()
    assert (domains[inner & (away > 2.0)] == PARTICLE).all()


def test_twin_plane_seen_from_above_is_no_class_of_its_own(scenes):
    for tilt in (35, 60, 90):
        domains = maps(scenes, scenes.of(twin_seen(tilt)), "domains")
        inner = scenes.distance(*MIDDLE[:2]) < 12
        assert (domains[inner] == PARTICLE).all()


def test_shell_is_a_class_of_its_own_where_it_is_most_of_the_atoms(scenes):
    rng = np.random.default_rng(0)
    body = core_shell(cut(GOLD, sphere(12)), load_material("Ag"), sphere(20), aligned=True, grains=1, rng=rng)
    # Interfaces are classes of their own too, and seen edge-on at the rim of the core.
    plain = replace(body, role=body.role & ~np.uint8(SiteRole.GRAIN_BOUNDARY.value))
    domains = maps(scenes, scenes.of(plain.with_details(material="Au@Ag").moved(translation=MIDDLE)), "domains")
    distance = scenes.distance(*MIDDLE[:2])
    # Chords of core and shell are equal where 2 sqrt(12² - d²) = sqrt(20² - d²).
    equal = np.sqrt((4 * 12**2 - 20**2) / 3)
    assert (domains[distance < equal - 2] == PARTICLE).all()
    assert (domains[(distance > equal + 2) & (distance < 19)] == SHELL).all()


# --- all --------------------------------------------------------------------------------------


def test_structure_without_particles_is_background(scenes):
    structure = scenes.recipe(material="Au", radius=9)
    empty = replace(structure, object_id=np.zeros_like(structure.object_id))
    found = dict(zip(MAPS, maps(scenes, empty, *MAPS), strict=True))
    assert np.isnan(found.pop("orientation")).all()
    assert not any(field.any() for field in found.values())


def test_unknown_label_is_refused(scenes):
    with pytest.raises(ConfigError, match=r"'strain'.*allowed: instances"):
        maps(scenes, scenes.recipe(material="Au", radius=9), "strain")


def test_wave_of_another_structure_is_refused(scenes):
    with pytest.raises(StructureError, match=r"76\.8"):
        maps(scenes, scenes.recipe(edge=64.0, material="Au", radius=9), "atoms")


def test_structure_without_metadata_is_refused_where_they_are_needed(scenes):
    bare = replace(scenes.recipe(material="Au", radius=9), metadata={})
    assert maps(scenes, bare, "atoms").any()
    with pytest.raises(StructureError, match="particles"):
        maps(scenes, bare, "thickness")


# --- crop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("binning", [1, 2, 3])
@pytest.mark.parametrize("name", MAPS)
def test_crop_of_a_map_is_where_the_image_is(scenes, name, binning):
    structure = scenes.recipe(material="Au", radius=14, planar_defects={"number": 1})
    field = maps(scenes, structure, name)
    offset, size = (100, 150), 192 // 3 - 4
    cut_out = crop(name, field, offset, binning, size)
    assert cut_out.shape == (size, size)
    assert cut_out.dtype == (np.float16 if name in ("thickness", "orientation") else np.uint8)
    numbers = np.nan_to_num(field).astype(np.float32)
    share = crop_periodic((numbers != 0).astype(np.float32), offset, binning, size)
    clear = (share == 0) | (share == 1)
    assert_array_equal((np.nan_to_num(cut_out) != 0)[clear], share[clear] == 1)
    mean = crop_periodic(numbers, offset, binning, size)
    if binning == 1 or name == "thickness":
        np.testing.assert_allclose(np.nan_to_num(cut_out), mean, rtol=1e-3)


def test_instances_orientation_and_domains_end_where_the_mask_of_the_image_does(scenes):
    structure = scenes.recipe(material="Au", radius=9, number=3, seed=4)
    found = label_maps(structure, scenes.waves, scenes.sampling, MAPS)
    cut_out = {name: crop(name, field, (7, 11), 3, 60) for name, field in found.items()}
    mask = cut_out["atoms"] > 0
    for other in (cut_out["instances"] > 0, cut_out["domains"] > 0, np.isfinite(cut_out["orientation"])):
        assert_array_equal(other, mask)
    assert set(np.unique(cut_out["instances"])) <= set(np.unique(found["instances"]))


def test_ids_of_touching_particles_are_never_averaged():
    field = np.zeros((8, 8), dtype=np.uint8)
    field[:, 1:4], field[:, 4:] = 3, 9
    assert_array_equal(crop("instances", field, (0, 0), 2, 4)[0], [3, 3, 9, 9])
    assert_array_equal(crop("instances", field, (0, 1), 2, 3)[0], [3, 3, 9])


def test_crop_larger_than_the_field_is_refused():
    with pytest.raises(ConfigError, match="allowed: 4 px or less"):
        crop("atoms", np.ones((8, 8), dtype=bool), (0, 0), 2, 5)
