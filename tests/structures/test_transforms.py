"""Rotations, orientations of crystals to the beam, and the nearest zone axis."""

import itertools
import math
import time

import numpy as np
import pytest
from ase.cell import Cell
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from exitwave.errors import StructureError
from exitwave.structures.transforms import (
    axis_rotation,
    euler_matrix,
    matrix_quaternion,
    nearest_zone_axis,
    orient,
    random_quaternion,
    reflection_matrix,
    rotation_matrix,
)

CELLS = {
    "cubic": 4.08 * np.eye(3),
    "hexagonal": np.array([[4.3, 0, 0], [-2.15, 4.3 * np.sqrt(3) / 2, 0], [0, 0, 7.0]]),
    "triclinic": np.array([[4.0, 0.3, -0.5], [1.1, 5.2, 0.4], [-0.9, 1.4, 6.1]]),
    "left-handed": np.array([[0, 5.2, 0.4], [4.0, 0.3, -0.5], [-0.9, 1.4, 6.1]]),
}
seeds = st.integers(0, 2**32 - 1)
indices = st.tuples(*[st.integers(-5, 5)] * 3).filter(any)
cells = st.sampled_from(sorted(CELLS)).map(CELLS.get)


def is_rotation(matrix):
    return np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-12) and np.linalg.det(matrix) > 0


def angle_between(first, second):
    """Kahan's angle [°], exact for small ones too."""
    first, second = first / np.linalg.norm(first), second / np.linalg.norm(second)
    return np.degrees(2 * np.arctan2(np.linalg.norm(first - second), np.linalg.norm(first + second)))


@given(seed=seeds)
def test_a_quaternion_and_its_matrix_are_one_rotation(seed):
    quaternion = random_quaternion(np.random.default_rng(seed))
    matrix = rotation_matrix(quaternion)
    assert np.allclose(matrix, Rotation.from_quat(quaternion).as_matrix(), atol=1e-12)
    found = matrix_quaternion(matrix)
    assert np.allclose(found, quaternion * np.copysign(1, quaternion[3]), atol=1e-12)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -2, 3)])
def test_half_turns_have_a_quaternion_too(axis):
    matrix = axis_rotation(axis, 180)
    assert np.allclose(rotation_matrix(matrix_quaternion(matrix)), matrix, atol=1e-12)


@given(seed=seeds)
def test_the_quaternion_of_an_improper_matrix_is_that_left_when_an_inversion_is_taken_out(seed):
    rng = np.random.default_rng(seed)
    improper = rotation_matrix(random_quaternion(rng)) @ reflection_matrix(rng.standard_normal(3))
    assert np.allclose(rotation_matrix(matrix_quaternion(improper)), -improper, atol=1e-12)
    assert np.allclose(matrix_quaternion(-np.eye(3)), [0, 0, 0, 1])


def test_mistake_05_random_rotations_are_uniform_on_so3():
    rng = np.random.default_rng(11)
    matrices = np.array([rotation_matrix(random_quaternion(rng)) for _ in range(4000)])
    # Haar measure: the angle has density (1 - cos w) / pi, the image of any vector is uniform on the sphere.
    angles = Rotation.from_matrix(matrices).magnitude()
    assert kstest(angles, lambda w: (w - np.sin(w)) / np.pi).pvalue > 1e-3
    for image in (matrices[:, :, 0], matrices @ np.array([1, 2, 2]) / 3):
        assert kstest(image[:, 2], lambda z: (z + 1) / 2).pvalue > 1e-3
        azimuth = np.arctan2(image[:, 1], image[:, 0])
        assert kstest(azimuth, lambda a: (a + np.pi) / (2 * np.pi)).pvalue > 1e-3


@given(seed=seeds, angle=st.floats(-360, 360))
def test_an_axis_rotation_follows_rodrigues(seed, angle):
    rng = np.random.default_rng(seed)
    axis, vector = rng.standard_normal(3), rng.standard_normal(3)
    k, w = axis / np.linalg.norm(axis), math.radians(angle)
    expected = vector * np.cos(w) + np.cross(k, vector) * np.sin(w) + k * (k @ vector) * (1 - np.cos(w))
    assert np.allclose(axis_rotation(axis, angle) @ vector, expected, atol=1e-12)


def test_euler_angles_are_products_of_axis_rotations():
    a, b, c = 25.0, -70.0, 110.0
    z, x = (0, 0, 1), (1, 0, 0)
    about_turning_axes = axis_rotation(z, a) @ axis_rotation(x, b) @ axis_rotation(z, c)
    assert np.allclose(euler_matrix("ZXZ", [a, b, c]), about_turning_axes)
    assert np.allclose(euler_matrix("zxz", [c, b, a]), about_turning_axes)
    assert np.allclose(euler_matrix("x", 90) @ (0, 1, 0), z)


@given(seed=seeds)
def test_a_reflection_turns_its_normal_around_and_leaves_its_plane(seed):
    rng = np.random.default_rng(seed)
    normal, vector = rng.standard_normal((2, 3))
    mirror = reflection_matrix(normal)
    assert np.allclose(mirror @ normal, -normal)
    in_plane = np.cross(normal, vector)
    assert np.allclose(mirror @ in_plane, in_plane)
    assert np.linalg.det(mirror) == pytest.approx(-1)


@given(cell=cells, uvw=indices, angle=st.floats(-180, 180))
def test_a_zone_axis_is_brought_along_the_beam(cell, uvw, angle):
    rotation = orient(cell, zone_axis=uvw, in_plane=angle)
    assert is_rotation(rotation)
    assert angle_between(rotation @ (np.array(uvw) @ cell), [0, 0, 1]) < 1e-6
    assert np.allclose(axis_rotation([0, 0, 1], angle) @ orient(cell, zone_axis=uvw), rotation)


@given(cell=cells, hkl=indices)
def test_a_facet_is_brought_across_the_beam(cell, hkl):
    rotation = orient(cell, facet=hkl)
    assert is_rotation(rotation)
    # The reciprocal vector by ASE, and lattice vectors of the plane, h u + k v + l w = 0.
    assert angle_between(rotation @ (np.array(hkl) @ Cell(cell).reciprocal()), [0, 0, 1]) < 1e-6
    in_plane = np.cross(np.eye(3, dtype=int), hkl) @ cell
    assert np.allclose((in_plane @ rotation.T)[:, 2], 0, atol=1e-9)


@given(cell=cells, uvw=indices, tilt=st.floats(0, 60), azimuth=st.floats(-180, 180))
def test_a_tilt_leans_the_zone_axis_towards_its_azimuth(cell, uvw, tilt, azimuth):
    axis = orient(cell, zone_axis=uvw, tilt=tilt, tilt_towards=azimuth) @ (np.array(uvw) @ cell)
    polar, phi = np.radians(tilt), np.radians(azimuth)
    expected = [np.sin(polar) * np.cos(phi), np.sin(polar) * np.sin(phi), np.cos(polar)]
    assert angle_between(axis, expected) < 1e-6


@given(cell=cells, uvw=indices, other=indices, angle=st.floats(-180, 180))
def test_the_in_plane_direction_is_projected_onto_x_and_turned(cell, uvw, other, angle):
    if np.any(np.cross(uvw, other)):
        rotation = orient(cell, zone_axis=uvw, in_plane_direction=other, in_plane=angle)
        x, y, _ = rotation @ (np.array(other) @ cell)
        assert abs((math.degrees(math.atan2(y, x)) - angle + 180) % 360 - 180) < 1e-6
    else:
        with pytest.raises(StructureError, match="in_plane_direction"):
            orient(cell, zone_axis=uvw, in_plane_direction=other)


def test_the_default_in_plane_direction_is_the_first_cell_vector_furthest_from_the_beam():
    # Down [001] it is a; down [111] all three are equal, and a is seen along [2-1-1]; down [100] it is b.
    cell = CELLS["cubic"]
    assert np.allclose(orient(cell, zone_axis=(0, 0, 1)), np.eye(3))
    assert np.allclose(orient(cell, zone_axis=(1, 1, 1)) @ [2, -1, -1], [np.sqrt(6), 0, 0])
    assert np.allclose(orient(cell, zone_axis=(1, 0, 0)) @ [0, 1, 0], [1, 0, 0])


@given(cell=cells, uvw=st.tuples(*[st.integers(-3, 3)] * 3).filter(any), angle=st.floats(-180, 180))
def test_a_low_index_zone_axis_is_found_again(cell, uvw, angle):
    found, off = nearest_zone_axis(cell, orient(cell, zone_axis=uvw, in_plane=angle))
    assert found == tuple(np.array(uvw) // np.gcd.reduce(uvw))
    assert off < 1e-6


@given(cell=cells, seed=seeds)
def test_the_nearest_zone_axis_is_that_of_a_search_one_by_one(cell, seed):
    rotation = rotation_matrix(random_quaternion(np.random.default_rng(seed)))
    (u, v, w), off = nearest_zone_axis(cell, rotation, highest=2)
    lab = [rotation @ (np.array(each) @ cell) for each in itertools.product(range(-2, 3), repeat=3) if any(each)]
    assert off == pytest.approx(min(angle_between(direction, [0, 0, 1]) for direction in lab), abs=1e-7)
    assert off == pytest.approx(angle_between(rotation @ (np.array([u, v, w]) @ cell), [0, 0, 1]), abs=1e-7)
    assert math.gcd(u, v, w) == 1


def test_the_tilt_off_a_zone_axis_is_the_angle_reported():
    rotation = orient(CELLS["hexagonal"], zone_axis=(2, 1, 0), tilt=1.5, tilt_towards=70)
    found, off = nearest_zone_axis(CELLS["hexagonal"], rotation)
    assert found == (2, 1, 0)
    assert off == pytest.approx(1.5)


def test_of_equally_near_zone_axes_the_lowest_is_taken():
    # Half way from [001] to [111] both are 27.4° away; no other direction up to 1 is nearer.
    bisector = np.array([0, 0, 1]) + np.ones(3) / np.sqrt(3)
    upwards = bisector / np.linalg.norm(bisector)
    x = np.array([1, -1, 0]) / np.sqrt(2)
    found, off = nearest_zone_axis(np.eye(3), np.stack([x, np.cross(upwards, x), upwards]), highest=1)
    assert found == (0, 0, 1)
    assert off == pytest.approx(27.368, abs=1e-3)


def test_the_nearest_zone_axis_takes_less_than_a_millisecond():
    rotation = rotation_matrix(random_quaternion(np.random.default_rng(0)))
    times = []
    for _ in range(20):
        start = time.perf_counter()
        nearest_zone_axis(CELLS["triclinic"], rotation)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


def test_wrong_directions_and_angles_are_refused():
    cell = CELLS["cubic"]
    for wrong in ({}, {"zone_axis": (0, 0, 1), "facet": (0, 0, 1)}):
        with pytest.raises(StructureError, match="both given or both left out"):
            orient(cell, **wrong)
    with pytest.raises(StructureError, match="zone_axis is"):
        orient(cell, zone_axis=(0, 0, 0))
    with pytest.raises(StructureError, match="axis of a rotation"):
        axis_rotation((0, 0, 0), 10)
    with pytest.raises(StructureError, match="mirror plane"):
        reflection_matrix((0, np.nan, 0))
    for sequence, angles in (("ZXQ", [1, 2, 3]), ("ZX", [1, 2, 3]), ("xX", [1, 2])):
        with pytest.raises(StructureError, match="Euler angles"):
            euler_matrix(sequence, angles)
