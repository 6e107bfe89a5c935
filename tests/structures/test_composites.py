"""Bodies of several crystals, against perfect lattices, coincidence site lattices and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.interface import GrainBoundaryGenerator
from scipy.spatial import Delaunay, cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from exitwave.errors import StructureError
from exitwave.structures.analysis import haar_angle_distribution
from exitwave.structures.body import SiteRole
from exitwave.structures.composites import (
    CLOSEST_AT_BOUNDARY,
    CONTACT,
    core_shell,
    grain_boundary,
    polycrystal,
    without_clashes,
)
from exitwave.structures.crystal import cut, fill
from exitwave.structures.materials import load_material
from exitwave.structures.stacking import cut_with_defects
from exitwave.structures.transforms import axis_rotation, random_quaternion, rotation_matrix
from exitwave.structures.volumes import box, half_space, sphere

GOLD = load_material("Au")
BOND = GOLD.nearest_neighbour_distance()


def off_lattice(positions, crystal, rotation):
    """How far atoms are from the lattice of a crystal of one atom a primitive cell, laid through the first of them."""
    primitive = bulk("Au", "fcc", a=crystal.cell[0, 0]).cell.array
    places = (positions - positions[0]) @ rotation @ np.linalg.inv(primitive)
    return np.abs((places - np.round(places)) @ primitive).max()


def smallest_distance(positions):
    return cKDTree(positions).query(positions, k=2)[0][:, 1].min()


def across(body):
    """Distance of every atom to the nearest one of another grain."""
    distance = np.full(len(body), np.inf)
    for grain in np.unique(body.grain):
        own = body.grain == grain
        distance[own] = cKDTree(body.positions[~own]).query(body.positions[own])[0]
    return distance


# Core and shell


@pytest.mark.parametrize("material", ["Au", "Fe", "Co", "Si", "CdSe", "CdSe-zb", "PbS", "Fe3O4", "TiO2"])
def test_an_aligned_shell_of_the_core_s_own_crystal_continues_it_without_a_seam(material):
    crystal, rng = load_material(material), np.random.default_rng(4)
    core = cut(crystal, sphere(9.0), rng).moved(rotation_matrix(random_quaternion(rng)))
    body = core_shell(core, crystal, sphere(13.0), aligned=True, grains=1, rng=rng)
    # One perfect crystal cut at once, its lattice laid through the core's.
    turn = rotation_matrix(core.quaternion)
    matched = False
    for site in np.flatnonzero(crystal.numbers == core.numbers[0]):
        origin = core.positions[0] @ turn - crystal.fractional[site] @ crystal.cell
        positions, numbers = fill(crystal, sphere(13.0), origin)
        distance, index = cKDTree(positions @ turn.T).query(body.positions)
        matched |= bool(
            len(positions) == len(body) and distance.max() < 1e-6 and (numbers[index] == body.numbers).all()
        )
    assert matched


@pytest.mark.parametrize(("core", "shell"), [("CdSe", "CdS"), ("PbS", "Au"), ("Au", "Fe3O4"), ("Si", "Ge")])
@pytest.mark.parametrize("aligned", [True, False])
def test_no_atom_of_the_shell_is_close_to_the_core_or_between_its_atoms(core, shell, aligned):
    inner, outer, rng = load_material(core), load_material(shell), np.random.default_rng(2)
    heart = cut(inner, sphere(12.0), rng)
    body = core_shell(heart, outer, sphere(16.0), aligned, 1, rng)
    mean = (inner.nearest_neighbour_distance() + outer.nearest_neighbour_distance()) / 2
    np.testing.assert_array_equal(body.positions[: len(heart)], heart.positions)
    assert across(body).min() >= CLOSEST_AT_BOUNDARY * mean - 1e-9
    assert np.linalg.norm(body.positions[len(heart) :], axis=1).min() > 12 - inner.nearest_neighbour_distance()
    # No gap either: the layer of the shell on the core is within one bond and one plane of it.
    assert np.median(np.sort(across(body)[: len(heart)])[: len(heart) // 5]) < 1.5 * mean


def test_an_aligned_shell_has_the_same_elements_on_the_same_sublattice():
    # The two sublattices of rock salt look alike but for the elements.
    for seed in range(6):
        rng = np.random.default_rng(seed)
        lead_sulphide = load_material("PbS")
        body = core_shell(cut(lead_sulphide, sphere(8.0), rng), lead_sulphide, sphere(12.0), True, 1, rng)
        distance, index = cKDTree(body.positions).query(body.positions, k=2)
        assert (body.numbers[index[:, 0]] != body.numbers[index[:, 1]]).all()
        assert distance[:, 1].max() < 1.001 * lead_sulphide.nearest_neighbour_distance()


def test_what_the_core_was_is_kept_under_the_shell():
    rng = np.random.default_rng(1)
    core = cut_with_defects(GOLD, sphere(14.0), ["twin", "stacking_fault"], rng)
    body = core_shell(core, load_material("Ag"), sphere(18.0), True, 4, rng)
    inner = slice(0, len(core))
    np.testing.assert_array_equal(body.numbers[inner], core.numbers)
    np.testing.assert_array_equal(body.grain[inner], core.grain)
    np.testing.assert_array_equal(body.role[inner] & ~np.uint8(SiteRole.GRAIN_BOUNDARY), core.role)
    np.testing.assert_array_equal(body.quaternion, core.quaternion)
    assert body.defects == core.defects
    assert (body.numbers[len(core) :] == 47).all()
    assert body.details["shell_atoms"] == len(body) - len(core)
    assert body.solid.contains(body.positions).all()
    assert sorted(set(body.grain[len(core) :].tolist())) == list(range(1, 1 + body.details["shell_grains"]))


def test_a_core_outside_the_outer_solid_stays_part_of_the_body():
    rng = np.random.default_rng(0)
    core = cut(GOLD, sphere(10.0, (0, 0, -6)), rng)
    janus = core_shell(core, load_material("Ag"), sphere(9.0, (0, 0, 9)), True, 1, rng)
    assert janus.solid.contains(janus.positions).all()


def test_an_atom_alone_can_be_a_core():
    rng = np.random.default_rng(0)
    body = core_shell(cut(GOLD, sphere(1.0)), GOLD, sphere(5.0), True, 1, rng)
    assert len(body) == len(fill(GOLD, sphere(5.0))[0])


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    core=st.floats(3, 10),
    thickness=st.floats(3, 6),
    grains=st.integers(1, 12),
    aligned=st.booleans(),
    material=st.sampled_from(["Ag", "Fe", "CdS", "MgO"]),
)
def test_grains_of_a_shell_keep_their_distances_and_are_lattices(seed, core, thickness, grains, aligned, material):
    rng, crystal = np.random.default_rng(seed), load_material(material)
    body = core_shell(cut(GOLD, sphere(core), rng), crystal, sphere(core + thickness), aligned, grains, rng)
    closest = min(BOND, crystal.nearest_neighbour_distance())
    assert smallest_distance(body.positions) >= CLOSEST_AT_BOUNDARY * closest - 1e-9
    assert np.linalg.norm(body.positions, axis=1).max() <= core + thickness + 1e-5
    assert 1 <= body.details["shell_grains"] == len(body.details["shell_grain_rotations"]) <= grains
    if material == "Ag":
        for grain, relative in enumerate(body.details["shell_grain_rotations"], start=1):
            own = body.positions[body.grain == grain]
            assert off_lattice(own, crystal, Rotation.from_quat(relative).as_matrix()) < 1e-6


# Polycrystals


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), radius=st.floats(3, 14), grains=st.integers(1, 40))
def test_grains_of_a_polycrystal_keep_their_distances_and_are_lattices(seed, radius, grains):
    body = polycrystal(GOLD, sphere(radius), grains, np.random.default_rng(seed))
    assert smallest_distance(body.positions) >= CLOSEST_AT_BOUNDARY * BOND - 1e-9
    rotations = body.details["grain_rotations"]
    assert body.details["grains"] == len(rotations) == body.grain.max() + 1 <= grains
    np.testing.assert_allclose(rotations[0], [0, 0, 0, 1], atol=1e-9)
    for grain, relative in enumerate(rotations):
        turn = rotation_matrix(body.quaternion) @ Rotation.from_quat(relative).as_matrix()
        assert off_lattice(body.positions[body.grain == grain], GOLD, turn) < 1e-6


def test_a_polycrystal_of_one_grain_is_the_crystal():
    body = polycrystal(GOLD, sphere(12.0), 1, np.random.default_rng(3))
    assert off_lattice(body.positions, GOLD, np.eye(3)) < 1e-9
    assert len(body) == pytest.approx(4 / 3 * np.pi * 12**3 * 4 / GOLD.cell[0, 0] ** 3, rel=0.05)
    assert not body.role.any()


def test_grains_together_fill_the_solid():
    # Boundaries cost atoms, holes would cost more: the loss is a share of the atoms that are at a boundary.
    body = polycrystal(GOLD, sphere(25.0), 8, np.random.default_rng(3))
    perfect = 4 / 3 * np.pi * 25**3 * 4 / GOLD.cell[0, 0] ** 3
    boundary = np.count_nonzero(body.role & SiteRole.GRAIN_BOUNDARY)
    assert 0 < perfect - len(body) < 0.5 * boundary
    probes = np.random.default_rng(0).uniform(-14, 14, (4000, 3))
    assert cKDTree(body.positions).query(probes)[0].max() < 1.2 * BOND


@pytest.mark.parametrize("material", ["Au", "TiO2"])
def test_atoms_at_a_boundary_are_those_near_another_grain(material):
    crystal = load_material(material)
    body = polycrystal(crystal, box([30, 24, 18]), 5, np.random.default_rng(8))
    near = across(body) <= CONTACT * crystal.nearest_neighbour_distance()
    np.testing.assert_array_equal((body.role & SiteRole.GRAIN_BOUNDARY) > 0, near)
    assert near.any()
    assert not near.all()


def test_grains_are_convex_cells():
    from scipy.optimize import linprog

    body = polycrystal(GOLD, sphere(14.0), 4, np.random.default_rng(5))
    for first in range(4):
        for second in range(first):
            sides = np.concatenate([body.positions[body.grain == first], -body.positions[body.grain == second]])
            signs = np.where(np.arange(len(sides)) < (body.grain == first).sum(), -1.0, 1.0)
            plane = linprog(
                np.zeros(4),
                A_ub=np.column_stack([sides, -signs]) * 1.0,
                b_ub=-np.ones(len(sides)),
                bounds=[(None,) * 2] * 4,
            )
            assert plane.success


def test_orientations_of_grains_are_uniform():
    angles = []
    for seed in range(12):
        body = polycrystal(GOLD, sphere(16.0), 60, np.random.default_rng(seed))
        angles += [2 * np.arccos(min(1.0, abs(turn[3]))) for turn in body.details["grain_rotations"][1:]]
    assert kstest(angles, haar_angle_distribution).pvalue > 0.01


def test_a_seed_gives_one_polycrystal():
    first, second, other = (polycrystal(GOLD, sphere(10.0), 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.positions, second.positions)
    assert first.details == second.details
    assert len(first) != len(other) or not np.allclose(first.positions, other.positions)


def test_grains_without_atoms_are_left_out():
    body = polycrystal(GOLD, sphere(4.0), 200, np.random.default_rng(0))
    assert body.details["grains"] == body.grain.max() + 1 == len(np.unique(body.grain)) <= len(body)


# Boundaries


def test_a_turn_of_60_degrees_about_111_is_the_coherent_twin():
    normal = np.ones(3)
    body = grain_boundary(GOLD, sphere(16.0), normal, (np.eye(3), axis_rotation(normal, 60)))
    tree = cKDTree(body.positions)
    counts = np.array([len(found) for found in tree.query_ball_point(body.positions, 1.01 * BOND)]) - 1
    # Nearest neighbours, 12 at their distance, are right all over; no atom is lost at the plane.
    inner = np.linalg.norm(body.positions, axis=1) < 12
    assert (counts[inner] == 12).all()
    assert smallest_distance(body.positions) == pytest.approx(BOND)
    assert (body.grain == 1).any()
    # It is a mirror twin.
    unit = normal / np.sqrt(3)
    mirrored = body.positions - 2 * np.outer(body.positions @ unit, unit)
    assert tree.query(mirrored[inner])[0].max() < 1e-6


def test_a_symmetric_tilt_boundary_has_the_period_of_its_coincidence_site_lattice():
    # Sigma 5 (310)[001]: each lattice is turned by half of 36.87 degrees, and (310) lies along the boundary.
    angle = np.degrees(np.arctan(1 / 3))
    turns = axis_rotation([0, 0, 1], -angle), axis_rotation([0, 0, 1], angle)
    body = grain_boundary(GOLD, box([60, 60, 24]), [1, 0, 0], turns)
    for side, turn in enumerate(turns):
        assert off_lattice(body.positions[body.grain == side], GOLD, turn) < 1e-6
        assert ((body.positions[body.grain == side][:, 0] > 1e-6) == bool(side)).all()
    period = np.sqrt(10) / 2 * GOLD.cell[0, 0]  # a/2 [1 -3 0]
    inner = (
        (np.abs(body.positions[:, 0]) < 10) & (np.abs(body.positions[:, 1]) < 15) & (np.abs(body.positions[:, 2]) < 9)
    )
    tree = cKDTree(body.positions)
    assert tree.query(body.positions[inner] + [0, period, 0])[0].max() < 1e-6
    assert tree.query(body.positions[inner] + [0, period / 2, 0])[0].max() > 0.5
    assert smallest_distance(body.positions) >= CLOSEST_AT_BOUNDARY * BOND - 1e-9
    # One site in five of either lattice is a site of both.
    grains = [fill(GOLD, sphere(20.0))[0] @ turn.T for turn in turns]
    assert np.mean(cKDTree(grains[0]).query(grains[1])[0] < 1e-6) == pytest.approx(1 / 5, abs=0.02)
    assert body.defects[0].kind == "grain_boundary"


def test_the_second_grain_is_shifted_as_asked_for():
    shift = np.array([0.3, -0.4, 0.2])
    body = grain_boundary(GOLD, sphere(12.0), [0, 0, 2], (np.eye(3), np.eye(3)), point=[0, 0, 1.5], shift=shift)
    places = (body.positions[body.grain == 1] - [0, 0, 1.5] - shift) / (GOLD.cell[0, 0] / 2)
    np.testing.assert_allclose(places, np.round(places), atol=1e-9)
    assert body.positions[body.grain == 0][:, 2].max() <= 1.5 + 1e-5
    moved = body.moved(axis_rotation([1, 0, 0], 90), np.array([1.0, 2, 3]))
    np.testing.assert_allclose(moved.defects[0].normal, [0, -1, 0], atol=1e-12)


# What both rest on


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40), st.permutations(range(12)))
def test_clashes_are_settled_as_a_plain_loop_does(pairs, rank):
    pairs = [pair for pair in pairs if pair[0] != pair[1]]
    taken = []
    for thing in np.argsort(rank):
        if not any((thing, other) in pairs or (other, thing) in pairs for other in taken):
            taken.append(thing)
    keep = without_clashes(12, np.array(pairs, dtype=np.int64).reshape(-1, 2), np.array(rank))
    assert sorted(taken) == np.flatnonzero(keep).tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rng: core_shell(cut(GOLD, sphere(8.0)), GOLD, sphere(8.1), True, 1, rng), "shell.thickness"),
        (lambda rng: core_shell(cut(GOLD, sphere(8.0)), GOLD, sphere(12.0), True, 256, rng), "1 to 255"),
        (lambda rng: core_shell(cut(GOLD, sphere(8.0)), GOLD, half_space([0, 0, 1]), True, 3, rng), "without bounds"),
        (lambda rng: polycrystal(GOLD, sphere(8.0), 0, rng), "grains is 0; allowed: 1 to 256"),
        (lambda rng: polycrystal(GOLD, half_space([0, 0, 1]), 2, rng), "without bounds"),
        (lambda rng: polycrystal(GOLD, sphere(10.0) - sphere(11.0), 2, rng), "too thin"),
        (lambda rng: grain_boundary(GOLD, sphere(8.0), [0, 0, 1], (np.eye(3),) * 2, point=[0, 0, 9]), "grain 2"),
        (lambda rng: grain_boundary(GOLD, sphere(8.0), [0, 0, 0], (np.eye(3),) * 2), "normal of a grain boundary"),
    ],
)
def test_what_cannot_be_made_is_one_clear_error(make, message):
    with pytest.raises(StructureError, match=message):
        make(np.random.default_rng(0))


# Compounds, turned cores and open crystals


def off_sites(positions, numbers, crystal, rotation):
    """As `off_lattice`, of a crystal with any number of atoms in its cell: to the nearest site of the same element."""
    places = (positions - positions[0]) @ rotation @ np.linalg.inv(crystal.cell)
    worst = []
    for site in crystal.fractional[crystal.numbers == numbers[0]]:
        vectors = (places + site)[:, None] - crystal.fractional
        distances = np.linalg.norm((vectors - np.round(vectors)) @ crystal.cell, axis=2)
        distances[numbers[:, None] != crystal.numbers] = np.inf
        worst.append(distances.min(axis=1).max())
    return min(worst)


@pytest.mark.parametrize("material", ["CdSe", "TiO2"])
def test_every_grain_of_a_moved_compound_is_a_lattice_turned_as_recorded(material):
    crystal, turn = load_material(material), axis_rotation([1, 2, 3], 77.0)
    body = polycrystal(crystal, sphere(16.0), 5, np.random.default_rng(2)).moved(turn, np.array([3.0, -2.0, 40.0]))
    for grain, relative in enumerate(body.details["grain_rotations"]):
        own = body.grain == grain
        rotation = rotation_matrix(body.quaternion) @ Rotation.from_quat(relative).as_matrix()
        assert off_sites(body.positions[own], body.numbers[own], crystal, rotation) < 1e-6
    np.testing.assert_allclose(rotation_matrix(body.quaternion), turn, atol=1e-12)


def test_silver_on_gold_is_cube_on_cube():
    rng, silver = np.random.default_rng(3), load_material("Ag")
    body = core_shell(cut(GOLD, sphere(14.0), rng), silver, sphere(20.0), True, 1, rng)
    shell = body.numbers == 47
    # The misfit of 0.2 % adds up to 0.04 A at 20 A from the middle, and no site is missing for it.
    from_gold = (body.positions - body.positions[0]) / (GOLD.cell[0, 0] / 2)
    assert np.abs(from_gold - from_gold.round()).max() * GOLD.cell[0, 0] / 2 < 0.08
    assert (from_gold.round().sum(axis=1) % 2 == 0).all()  # the sites of fcc
    assert len(body) == pytest.approx(4 / 3 * np.pi * 20**3 * 4 / 4.08**3, rel=0.02)
    assert off_lattice(body.positions[shell], silver, np.eye(3)) < 1e-6


@pytest.mark.parametrize(
    ("inner", "outer"), [("CdSe", "CdS"), ("CdS", "CdSe"), ("CdSe-zb", "ZnS-zb"), ("GaAs", "CdSe-zb")]
)
def test_a_shell_of_a_compound_puts_cations_on_cations(inner, outer):
    first, second = load_material(inner), load_material(outer)
    for seed in range(6):
        # Each time the middle of the core is another site: cation or anion, of either layer of wurtzite.
        rng = np.random.default_rng(seed)
        core = cut(first, sphere(5.0), rng)
        body = core_shell(core, second, sphere(8.0), True, 1, rng)
        continued, kind = fill(first, sphere(12.0), np.random.default_rng(seed).random(3) @ first.cell)
        _, nearest = cKDTree(continued).query(body.positions[len(core) :])
        np.testing.assert_array_equal(kind[nearest] == first.numbers[0], body.numbers[len(core) :] == second.numbers[0])


@pytest.mark.parametrize(("inner", "outer"), [("Si", "Fe3O4"), ("CdSe", "Cu")])
def test_a_shell_does_not_enter_the_holes_or_vacancies_of_a_core(inner, outer):
    rng = np.random.default_rng(0)
    core = cut(load_material(inner), sphere(10.0), rng)
    core = core.kept(np.linalg.norm(core.positions, axis=1) > 3.5)
    body = core_shell(core, load_material(outer), sphere(14.0), False, 1, rng)
    assert (Delaunay(core.positions).find_simplex(body.positions[len(core) :]) < 0).all()


def test_a_shell_follows_a_turned_core_and_one_of_grains():
    rng, silver = np.random.default_rng(6), load_material("Ag")
    for core in (
        cut(GOLD, sphere(11.0), rng).moved(axis_rotation([1, 1, 0], 33.0)),
        polycrystal(GOLD, sphere(11.0), 4, rng),
    ):
        body = core_shell(core, silver, sphere(16.0), True, 3, rng)
        assert body.details.items() >= core.details.items()
        np.testing.assert_array_equal(body.grain[: len(core)], core.grain)
        np.testing.assert_array_equal(body.role[: len(core)] & core.role, core.role)
        for grain, relative in enumerate(body.details["shell_grain_rotations"], start=core.grain.max() + 1):
            turn = rotation_matrix(core.quaternion) @ Rotation.from_quat(relative).as_matrix()
            assert off_lattice(body.positions[body.grain == grain], silver, turn) < 1e-6


def test_an_unaligned_shell_is_turned_uniformly_from_its_first_grain_on():
    angles = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        body = core_shell(cut(GOLD, sphere(5.0), rng), load_material("Ag"), sphere(8.5), False, 1, rng)
        (relative,) = body.details["shell_grain_rotations"]
        turn = Rotation.from_quat(relative)
        assert off_lattice(body.positions[body.numbers == 47], load_material("Ag"), turn.as_matrix()) < 1e-6
        angles.append(turn.magnitude())
    assert kstest(angles, haar_angle_distribution).pvalue > 0.01


def test_nothing_is_missing_inside_a_grain():
    body = polycrystal(GOLD, sphere(25.0), 4, np.random.default_rng(1))
    inside = (np.linalg.norm(body.positions, axis=1) < 21) & (across(body) > 7)
    found = cKDTree(body.positions).query_ball_point(body.positions[inside], 1.01 * BOND, return_length=True)
    assert inside.sum() > 300
    assert (found == 13).all()


def test_the_misorientation_of_a_sigma_5_boundary_is_one_that_pymatgen_lists():
    tilt = np.degrees(np.arctan2(1, 3))
    turns = axis_rotation([0, 0, 1], -tilt), axis_rotation([0, 0, 1], tilt)
    body = grain_boundary(GOLD, sphere(12.0), [1, 0, 0], turns)
    angle = np.degrees(Rotation.from_quat(body.details["grain_rotations"][1]).magnitude())
    listed = GrainBoundaryGenerator.enum_sigma_cubic(cutoff=5, r_axis=[0, 0, 1])[5]
    assert np.abs(np.array(listed) - angle).min() < 0.01


def test_grains_of_core_and_shell_together_fit_into_a_byte():
    core = polycrystal(GOLD, sphere(14.0), 120, np.random.default_rng(0))
    left = 255 - int(core.grain.max())
    with pytest.raises(StructureError, match=rf"^shell.grains is 200; allowed: 1 to {left}$"):
        core_shell(core, load_material("Ag"), sphere(18.0), True, 200, np.random.default_rng(0))
