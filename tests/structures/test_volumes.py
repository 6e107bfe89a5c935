"""Volumes: what is inside, spheres around them, moves and combinations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, Delaunay

from exitwave.errors import StructureError
from exitwave.structures.transforms import random_quaternion, reflection_matrix, rotation_matrix
from exitwave.structures.volumes import (
    Ellipsoid,
    Everywhere,
    Polyhedron,
    box,
    convex_hull,
    cylinder,
    half_space,
    miller_half_space,
    sphere,
)

CORNERS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij"), -1).reshape(-1, 3)
OCTAHEDRON = Polyhedron(CORNERS / np.sqrt(3), np.full(8, 10 / np.sqrt(3)))
VOLUMES = {
    "sphere": (sphere(7.0, (1, -2, 3)), 4 / 3 * np.pi * 7**3),
    "ellipsoid": (Ellipsoid(np.array([2.0, 0, 1]), np.diag([4.0, 6, 9])), 4 / 3 * np.pi * 4 * 6 * 9),
    "cylinder": (cylinder(5.0, 12.0, (1, 2, 2), (0, 3, 0)), np.pi * 25 * 12),
    "box": (box((4, 6, 9), (2, 2, -1)), 216.0),
    # Corners at ±10 along the axes: two pyramids of base 2 · 10² and height 10.
    "octahedron": (OCTAHEDRON, 4000 / 3),
    "half sphere": (sphere(8.0) & half_space((0, 0, 1)), 2 / 3 * np.pi * 8**3),
    # A ball of radius 6 of which a concentric one of radius 4 is missing.
    "hollow ball": (sphere(6.0) - sphere(4.0), 4 / 3 * np.pi * (6**3 - 4**3)),
    "two balls": (sphere(4.0, (-5, 0, 0)) | sphere(3.0, (5, 0, 0)), 4 / 3 * np.pi * (4**3 + 3**3)),
}
seeds = st.integers(0, 2**32 - 1)


def random_motion(rng):
    rotation = rotation_matrix(random_quaternion(rng))
    if rng.random() < 0.5:
        rotation = rotation @ reflection_matrix(rng.standard_normal(3))
    return rotation, rng.uniform(-30, 30, 3)


@pytest.mark.parametrize("name", VOLUMES)
def test_the_fraction_of_random_points_inside_gives_the_analytic_volume(name):
    volume, expected = VOLUMES[name]
    centre, radius = volume.bounding_sphere()
    points = centre + np.random.default_rng(1).uniform(-radius, radius, (400_000, 3))
    fraction = expected / (2 * radius) ** 3
    # Four standard deviations of a binomial distribution.
    assert abs(volume.contains(points).mean() - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / len(points))


@pytest.mark.parametrize("name", VOLUMES)
@given(seed=seeds)
def test_a_moved_volume_holds_the_moved_points_and_its_sphere_holds_it(name, seed):
    volume, _ = VOLUMES[name]
    rng = np.random.default_rng(seed)
    rotation, translation = random_motion(rng)
    moved = volume.moved(rotation, translation)
    points = rng.uniform(-15, 15, (300, 3))
    inside = volume.contains(points)
    image = points @ rotation.T + translation
    assert np.array_equal(moved.contains(image), inside)
    centre, radius = moved.bounding_sphere()
    assert np.linalg.norm(image[inside] - centre, axis=1).max(initial=0) <= radius


@given(seed=seeds)
def test_combinations_are_those_of_sets(seed):
    rng = np.random.default_rng(seed)
    a = sphere(6.0).moved(*random_motion(rng)) | Everywhere() & box((20, 20, 20))
    b, c = OCTAHEDRON, half_space(rng.standard_normal(3), rng.uniform(-5, 5))
    points = rng.uniform(-12, 12, (300, 3))
    in_a, in_b, in_c = (volume.contains(points) for volume in (a, b, c))
    assert np.array_equal((a & b & c).contains(points), in_a & in_b & in_c)
    assert np.array_equal((a | b | c).contains(points), in_a | in_b | in_c)
    assert np.array_equal((a - b - c).contains(points), in_a & ~in_b & ~in_c)
    assert np.array_equal((c & (b - a)).contains(points), in_c & in_b & ~in_a)
    assert np.array_equal((~(a & c)).contains(points), ~in_a | ~in_c)


def test_points_on_the_surface_are_inside_in_spite_of_rounding():
    rng = np.random.default_rng(3)
    directions = rng.standard_normal((200, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    for _ in range(20):
        rotation, translation = random_motion(rng)
        assert sphere(20.0).moved(rotation, translation).contains(20 * directions @ rotation.T + translation).all()
        assert OCTAHEDRON.moved(rotation, translation).contains(10 * np.eye(3) @ rotation.T + translation).all()


def test_leading_axes_of_the_points_are_kept():
    points = np.random.default_rng(0).uniform(-10, 10, (4, 5, 3))
    for volume, _ in VOLUMES.values():
        assert volume.contains(points).shape == (4, 5)
        assert volume.contains(points)[2, 3] == volume.contains(points[2, 3])


@given(seed=seeds, number=st.integers(5, 40))
def test_a_convex_hull_holds_what_delaunay_finds_inside_and_has_its_volume(seed, number):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-20, 20, (number, 3))
    hull = convex_hull(corners)
    points = rng.uniform(-20, 20, (500, 3))
    assert np.array_equal(hull.contains(points), Delaunay(corners).find_simplex(points) >= 0)
    assert hull.contains(corners).all()
    assert hull.volume() == pytest.approx(ConvexHull(corners).volume, rel=1e-6)
    assert hull.scaled(2.0).volume() == pytest.approx(8 * hull.volume())


def test_vertices_of_an_octahedron_are_its_six_corners_wherever_it_lies():
    expected = 10 * np.concatenate([np.eye(3), -np.eye(3)])
    rng = np.random.default_rng(5)
    for _ in range(10):
        rotation, translation = random_motion(rng)
        corners = (OCTAHEDRON.moved(rotation, translation).vertices() - translation) @ rotation
        distances = np.linalg.norm(corners[:, None] - expected, axis=-1)
        assert len(corners) == 6
        assert distances.min(axis=0).max() < 1e-6
        assert distances.min(axis=1).max() < 1e-6


@given(seed=seeds, indices=st.tuples(*[st.integers(-4, 4)] * 3).filter(any))
def test_a_miller_half_space_is_bounded_by_the_lattice_plane_of_a_triclinic_cell(seed, indices):
    rng = np.random.default_rng(seed)
    cell = np.array([[4.0, 0.3, -0.5], [1.1, 5.2, 0.4], [-0.9, 1.4, 6.1]])
    # Lattice points lie on planes h u + k v + l w = n; those up to n = 0 are inside, in Cartesian space too.
    lattice = rng.integers(-6, 7, (200, 3))
    inside = miller_half_space(cell, indices).contains(lattice @ cell)
    assert np.array_equal(inside, lattice @ np.array(indices) <= 0)


def test_half_spaces_are_bounded_only_together():
    faces = np.concatenate([np.eye(3), -np.eye(3)])
    spaces = [half_space(normal, 5.0) for normal in faces]
    together = spaces[0]
    for space in spaces[1:]:
        assert together.bounding_sphere()[1] == np.inf
        together = together & space
    assert together.bounding_sphere()[1] == pytest.approx(5 * np.sqrt(3), rel=1e-5)
    assert together.volume() == pytest.approx(1000)


@given(seed=seeds)
def test_a_wedge_that_does_not_close_has_no_corners_and_no_sphere(seed):
    rotation, translation = random_motion(np.random.default_rng(seed))
    # Two parallel faces, two that diverge upwards and a floor: a finite ball fits, but there is no lid.
    normals = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, -0.3], [0, -1, -0.3], [0, 0, -1]])
    wedge = Polyhedron(normals / np.linalg.norm(normals, axis=1)[:, None], np.full(5, 5.0))
    for trough in (wedge, wedge.moved(rotation, translation)):
        assert trough.bounding_sphere()[1] == np.inf
        with pytest.raises(StructureError, match="do not close"):
            trough.vertices()


def test_an_empty_polyhedron_has_no_volume_and_is_no_unbounded_one():
    nothing = box((4, 4, 4)) & box((4, 4, 4), (10, 0, 0))
    assert not nothing.contains(np.random.default_rng(0).uniform(-5, 15, (1000, 3))).any()
    assert nothing.bounding_sphere()[1] == 0
    with pytest.raises(StructureError, match="enclose no volume"):
        nothing.vertices()


def test_complements_and_everywhere_are_unbounded():
    assert (~sphere(3.0)).bounding_sphere()[1] == np.inf
    assert Everywhere().bounding_sphere()[1] == np.inf
    assert (sphere(3.0) | half_space((1, 0, 0))).bounding_sphere()[1] == np.inf
    assert (Everywhere() & sphere(3.0)).bounding_sphere()[1] == pytest.approx(3, rel=1e-5)


def test_directions_of_length_zero_and_flat_hulls_are_refused():
    with pytest.raises(StructureError, match="normal of a half-space"):
        half_space((0, 0, 0))
    with pytest.raises(StructureError, match="axis of a cylinder"):
        cylinder(3.0, 5.0, (0, 0, 0))
    with pytest.raises(StructureError, match="no convex hull"):
        convex_hull(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]))
    with pytest.raises(StructureError, match="3 points"):
        convex_hull(np.eye(3))
