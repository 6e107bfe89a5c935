"""Homogeneous strain, displacement fields, relaxed surfaces, bending and thermal displacements."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.elasticity import Strain
from scipy.spatial import cKDTree
from scipy.stats import kstest

from exitwave.errors import StructureError
from exitwave.structures.body import PlanarDefect, make_body
from exitwave.structures.crystal import Crystal
from exitwave.structures.strain import (
    RELAXATION_LENGTH,
    bent,
    displaced,
    strain_tensor,
    strained,
    strained_crystal,
    surface_relaxation,
    thermal_snapshot,
)
from exitwave.structures.transforms import orient, random_quaternion, reflection_matrix, rotation_matrix
from exitwave.structures.volumes import Ellipsoid, Everywhere, Polyhedron, box, convex_hull, cylinder, sphere

seeds = st.integers(0, 2**32 - 1)
components = st.tuples(*[st.floats(-0.1, 0.1)] * 6)
OCTAHEDRON = convex_hull(14 * np.concatenate([np.eye(3), -np.eye(3)]))
SOLIDS = {
    "sphere": sphere(12.0, (1, 0, -2)),
    "ellipsoid": Ellipsoid(np.zeros(3), np.diag([8.0, 10, 14])),
    "octahedron": OCTAHEDRON,
    "cylinder": cylinder(7.0, 22.0, (1, 1, 0)),
    "combined": (sphere(13.0) & OCTAHEDRON) - cylinder(3.0, 40.0) | box((4, 4, 4), (12, 0, 0)),
}


def gold(solid, repeats=10):
    """Gold atoms inside a solid, with a twin plane, made by ASE."""
    atoms = bulk("Au", a=4.08, cubic=True) * (repeats, repeats, repeats)
    positions = atoms.positions - repeats // 2 * 4.08
    positions = positions[solid.contains(positions)]
    body = make_body(positions, np.full(len(positions), 79), solid, "Au")
    return replace(body, defects=(PlanarDefect("twin", np.ones(3) / np.sqrt(3), np.array([1.0, 2.0, -1.0])),))


def turned(body, seed, mirrored=False):
    rotation = rotation_matrix(random_quaternion(np.random.default_rng(seed)))
    return body.moved(rotation @ reflection_matrix((1, 2, 3)) if mirrored else rotation)


@given(values=components)
def test_the_tensor_of_voigt_components_is_that_of_pymatgen(values):
    assert np.allclose(strain_tensor(*values), Strain.from_voigt(values), atol=1e-15)


@given(values=components, seed=seeds)
def test_small_strains_change_lengths_as_the_tensor_says(values, seed):
    tensor = 1e-4 * strain_tensor(*values)
    body = gold(sphere(8.0), repeats=6)
    made = strained(body, tensor)
    lengths = np.linalg.norm(body.positions[1:], axis=1)
    directions = body.positions[1:] / np.maximum(lengths, 1e-9)[:, None]
    expected = np.einsum("ni,ij,nj->n", directions, tensor, directions) * lengths
    assert np.allclose(np.linalg.norm(made.positions[1:], axis=1) - lengths, expected, atol=1e-7)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_frame_says_whose_axes_the_tensor_has(mirrored):
    body = gold(sphere(8.0), repeats=6)
    tensor = strain_tensor(0.03, -0.01, 0.02, 0.04, -0.02, 0.01)
    # Strain in the frame of the crystal and a motion of the body commute, a mirrored one too.
    before, after = turned(strained(body, tensor), 4, mirrored), strained(turned(body, 4, mirrored), tensor)
    assert np.allclose(after.positions, before.positions)
    moved = turned(body, 4, mirrored)
    in_lab = strained(moved, tensor, frame="lab")
    assert np.allclose(in_lab.positions, moved.positions @ (np.eye(3) + tensor))


def test_lattice_spacings_of_a_strained_particle_are_strained_along_the_beam():
    body = gold(sphere(10.0), repeats=8).moved(orient(np.eye(3), zone_axis=(1, 1, 1)))
    heights = strained(body, strain_tensor(zz=0.05), frame="lab").positions[:, 2]
    spacing = np.diff(np.unique(heights.round(6)))
    assert np.allclose(spacing, 1.05 * 4.08 / np.sqrt(3), atol=1e-5)


@pytest.mark.parametrize("name", SOLIDS)
@given(values=components, seed=seeds)
def test_the_solid_is_strained_with_the_atoms(name, values, seed):
    rng = np.random.default_rng(seed)
    body = turned(make_body(np.zeros((1, 3)), np.array([79]), SOLIDS[name], "Au"), seed)
    made = strained(body, strain_tensor(*values), frame="lab")
    points = rng.uniform(-20, 20, (300, 3))
    image = points @ (np.eye(3) + strain_tensor(*values))
    assert np.array_equal(made.solid.contains(image), body.solid.contains(points))
    centre, radius = made.solid.bounding_sphere()
    assert np.linalg.norm(image[body.solid.contains(points)] - centre, axis=1).max(initial=0) <= radius
    again = made.moved(rotation_matrix(random_quaternion(rng)), rng.uniform(-9, 9, 3))
    assert again.solid.contains(again.positions).all() == made.solid.contains(made.positions).all()


def test_polyhedra_and_ellipsoids_stay_what_they_are():
    tensor = strain_tensor(0.05, -0.02, 0.01, 0.03, 0.0, -0.04)
    growth = np.linalg.det(np.eye(3) + tensor)
    made = strained(gold(OCTAHEDRON), tensor).solid
    assert isinstance(made, Polyhedron)
    assert made.volume() == pytest.approx(growth * OCTAHEDRON.volume())
    assert np.allclose(np.linalg.norm(made.normals, axis=1), 1)
    made = strained(gold(sphere(9.0)), tensor).solid
    assert isinstance(made, Ellipsoid)
    assert np.prod(np.linalg.norm(made.axes, axis=1)) == pytest.approx(growth * 9.0**3)
    assert isinstance(strained(replace(gold(OCTAHEDRON), solid=Everywhere()), tensor).solid, Everywhere)


@given(values=components)
def test_a_planar_defect_stays_on_its_atoms(values):
    body = gold(sphere(9.0))
    on_plane = np.abs((body.positions - body.positions[5]) @ body.defects[0].normal) < 1e-6
    body = replace(body, defects=(replace(body.defects[0], point=body.positions[5]),))
    made = strained(body, strain_tensor(*values))
    (defect,) = made.defects
    assert np.allclose((made.positions[on_plane] - defect.point) @ defect.normal, 0, atol=1e-6)
    assert np.linalg.norm(defect.normal) == pytest.approx(1)
    shifted = strained(body.moved(translation=np.array([7.0, 0, 1])), strain_tensor(*values), frame="lab")
    assert np.allclose(shifted.positions - shifted.origin, made.positions)


@given(values=components)
def test_a_strained_crystal_is_that_of_pymatgen(values):
    atoms = bulk("CdSe", "wurtzite", 4.3, c=7.0)
    crystal = Crystal("CdSe", atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers.astype(np.uint8))
    made = strained_crystal(crystal, strain_tensor(*values))
    assert np.allclose(made.cell, atoms.cell.array @ (np.eye(3) + Strain.from_voigt(values)))
    assert np.array_equal(made.fractional, crystal.fractional)


def test_displacements_are_those_of_the_users_function():
    body = gold(OCTAHEDRON)
    wave = displaced(body, lambda r: 0.1 * np.sin(r[:, [1, 2, 0]]))
    assert np.allclose(wave.positions - body.positions, 0.1 * np.sin(body.positions[:, [1, 2, 0]]))
    assert np.array_equal(wave.numbers, body.numbers)
    # A simple shear tilts a plane by the cofactor of its gradient: x' = x + 0.2 z.
    sheared = displaced(body, lambda r: np.stack([0.2 * r[:, 2], 0 * r[:, 0], 0 * r[:, 0]], -1)).defects[0]
    expected = np.array([1, 1, 0.8]) / np.linalg.norm([1, 1, 0.8])
    assert np.allclose(sheared.normal, expected, atol=1e-8)
    assert np.allclose(sheared.point, [0.8, 2.0, -1.0])


@pytest.mark.parametrize("solid", [sphere(15.0), OCTAHEDRON, cylinder(8.0, 30.0)], ids=["sphere", "octahedron", "rod"])
@pytest.mark.parametrize("amount", [-0.08, 0.05])
def test_a_relaxed_surface_has_the_strain_asked_for_and_it_decays_inwards(solid, amount):
    body = gold(solid)
    centre = body.positions.mean(axis=0)
    # Two probes a short way apart on a radius measure the radial strain at their depth below the surface.
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    reach = np.linspace(0, 30, 30001)
    surface = np.array([reach[solid.contains(centre + reach[:, None] * d)].max() for d in directions])
    for depth in (0.05, 1.0, 3.0, 6.0):
        near = centre + (surface - depth)[:, None] * directions
        probes = np.concatenate([body.positions, near, near + 0.01 * directions])
        # The atoms themselves keep the centre where it is.
        weight = len(body)
        balanced = np.concatenate([probes, 2 * centre - probes[weight:]])
        made = surface_relaxation(replace(body, positions=balanced), amount)
        moved = made.positions[weight : weight + 50], made.positions[weight + 50 : weight + 100]
        strain = np.einsum("ni,ni->n", moved[1] - moved[0], directions) / 0.01 - 1
        # Bisection is good to 1e-4 Å of depth, and the pair is 0.01 Å apart.
        assert np.allclose(strain, amount * np.exp(-depth / RELAXATION_LENGTH), atol=0.02 * abs(amount) + 1e-3)


def test_a_relaxed_sphere_follows_the_analytic_displacement_and_keeps_its_centre():
    body = gold(sphere(15.0))
    made = surface_relaxation(body, -0.06)
    radii = np.linalg.norm(body.positions, axis=1)
    expected = -0.06 * 3.0 * (np.exp((radii - 15) / 3.0) - np.exp(-15 / 3.0))
    assert np.allclose(np.linalg.norm(made.positions, axis=1) - radii, expected, atol=1e-4)
    assert np.linalg.norm(made.positions.mean(axis=0)) < 1e-6
    nearest = cKDTree(made.positions).query(made.positions, k=2)[0][:, 1]
    assert nearest.min() > 2.885 * (1 - 0.06)
    assert nearest[radii < 3].min() == pytest.approx(2.885, rel=2e-3)


def test_relaxation_moves_with_the_particle_and_none_is_none():
    body = gold(OCTAHEDRON)
    rotation, shift = rotation_matrix(random_quaternion(np.random.default_rng(1))), np.array([40.0, 50, 9])
    first = surface_relaxation(body, -0.05).moved(rotation, shift)
    second = surface_relaxation(body.moved(rotation, shift), -0.05)
    assert np.allclose(first.positions, second.positions, atol=1e-4)
    assert np.array_equal(surface_relaxation(body, 0.0).positions, body.positions)


def test_a_bent_rod_lies_on_circles_about_the_centre_of_curvature():
    length, radius = 60.0, 80.0
    rod = gold(cylinder(6.0, length, (0, 0, 1)), repeats=16)
    made = bent(rod, radius, along=(0, 0, 1), towards=(1, 0, 0))
    centre = np.array([radius, 0, 0])
    offsets = (made.positions - centre)[:, [0, 2]]
    # A fibre at x is a circle of radius R - x, a section at z is at the angle z / R, and y is left alone.
    assert np.allclose(np.linalg.norm(offsets, axis=1), radius - rod.positions[:, 0])
    assert np.allclose(np.arctan2(offsets[:, 1], -offsets[:, 0]), rod.positions[:, 2] / radius)
    assert np.allclose(made.positions[:, 1], rod.positions[:, 1])
    # A fibre is strained by -x / R: pure bending.
    axis = np.isclose(rod.positions[:, 0], rod.positions[:, 0].max()) & np.isclose(rod.positions[:, 1], 0)
    fibre = made.positions[axis][np.argsort(rod.positions[axis, 2])]
    chord = np.linalg.norm(np.diff(fibre, axis=0), axis=1)
    assert np.allclose(chord / 4.08 - 1, -rod.positions[:, 0].max() / radius, atol=5e-4)


@given(seed=seeds, radius=st.floats(25, 500))
def test_the_solid_of_a_bent_body_holds_what_it_held(seed, radius):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-16, 16, (400, 3))
    solid = box((30, 12, 20), rng.uniform(-1, 1, 3))
    along, towards = rng.standard_normal((2, 3))
    body = make_body(points, np.full(400, 79), solid, "Au")
    made = bent(body, radius + 10, along, towards)
    assert np.array_equal(made.solid.contains(made.positions), solid.contains(points))
    inside = solid.contains(points)
    rotation, translation = rotation_matrix(random_quaternion(rng)), rng.uniform(-9, 9, 3)
    moved = pickle.loads(pickle.dumps(made.moved(rotation, translation)))
    assert np.array_equal(moved.solid.contains(moved.positions), inside)
    centre, reach = moved.solid.bounding_sphere()
    assert np.linalg.norm(moved.positions[inside] - centre, axis=1).max(initial=0) <= reach


def test_thermal_displacements_are_gaussian_with_the_width_of_their_element():
    numbers = np.repeat(np.array([48, 34], dtype=np.uint8), 20_000)
    positions = np.random.default_rng(0).uniform(0, 50, (len(numbers), 3))
    rms = {48: 0.12, 34: 0.07, 79: 1.0}
    moved = thermal_snapshot(positions, numbers, rms, np.random.default_rng(1)) - positions
    for number in (48, 34):
        for axis in range(3):
            assert kstest(moved[numbers == number, axis] / rms[number], "norm").pvalue > 1e-3
    correlation = np.corrcoef(moved.T)
    assert np.allclose(correlation, np.eye(3), atol=0.03)


def test_mistake_01_snapshots_differ_and_their_mean_approaches_the_lattice():
    positions, numbers = np.zeros((2000, 3)), np.full(2000, 79, dtype=np.uint8)
    rng = np.random.default_rng(2)
    snapshots = np.array([thermal_snapshot(positions, numbers, {79: 0.1}, rng) for _ in range(64)])
    assert not np.array_equal(snapshots[0], snapshots[1])
    # The variance of a mean of n falls as 1/n.
    for n in (4, 16, 64):
        assert snapshots[:n].mean(axis=0).var() == pytest.approx(0.01 / n, rel=0.06)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda body: strained(body, np.array([[0, 0.1, 0], [0, 0, 0], [0, 0, 0]])), "symmetric"),
        (lambda body: strained(body, strain_tensor(xx=-1.2)), "lowest principal strain is -1.2"),
        (lambda body: strained(body, strain_tensor(xx=np.nan)), "finite"),
        (lambda body: displaced(body, lambda r: r[:, :2]), "displacement for every position"),
        (lambda body: displaced(body, lambda r: r / 0.0 * np.inf), "displacement for every position"),
        (lambda body: surface_relaxation(body, -1.0), "surface_relaxation is -1"),
        (lambda body: surface_relaxation(replace(body, solid=Everywhere()), 0.1), "unbounded"),
        (lambda body: bent(body, 5.0, (0, 0, 1), (1, 0, 0)), "radius of curvature is 5"),
        (lambda body: bent(body, 100.0, (0, 0, 1), (0, 0, 2)), "parallel"),
        (lambda body: bent(body, 100.0, (0, 0, 0), (1, 0, 0)), "along is"),
        (lambda body: thermal_snapshot(body.positions, body.numbers, {47: 0.1}, np.random.default_rng(0)), "79"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_impossible_deformations_are_refused(make, message):
    with pytest.raises(StructureError, match=message):
        make(gold(sphere(10.0), repeats=6))
