"""Grains, boundaries, cores and shells: orientations, epitaxy, distances, and what the core keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.interface import GrainBoundaryGenerator
from scipy.optimize import linprog
from scipy.spatial import Delaunay
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from exitwave.errors import StructureError
from exitwave.structures.body import SiteRole
from exitwave.structures.composites import core_shell, grain_boundary, polycrystal, without_clashes
from exitwave.structures.crystal import cut, fill
from exitwave.structures.materials import load_material
from exitwave.structures.stacking import cut_with_defects
from exitwave.structures.transforms import axis_rotation
from exitwave.structures.volumes import Everywhere, box, sphere

GOLD, SILVER, SELENIDE, SULFIDE = (load_material(name) for name in ("Au", "Ag", "CdSe", "CdS"))
seeds = st.integers(0, 2**32 - 1)


def rng(seed=0):
    return np.random.default_rng(seed)


def has(body, role):
    return (body.role & role) > 0


def pairs_of(body):
    """Distances [n, n] of all atoms, and whether the two are of different grains."""
    distances = cdist(body.positions, body.positions)
    np.fill_diagonal(distances, np.inf)
    return distances, body.grain[:, None] != body.grain


def off_lattice(positions, numbers, crystal, rotation):
    """Largest distance [Å] of an atom to a site of its element, of the turned lattice that best fits the atoms."""
    fractional = positions @ rotation @ np.linalg.inv(crystal.cell)
    worst = []
    for site in crystal.fractional[crystal.numbers == numbers[0]]:
        vectors = (fractional - fractional[0] + site)[:, None] - crystal.fractional
        distances = np.linalg.norm((vectors - np.round(vectors)) @ crystal.cell, axis=2)
        distances[numbers[:, None] != crystal.numbers] = np.inf
        worst.append(distances.min(axis=1).max())
    return min(worst)


def matrices(quaternions):
    return Rotation.from_quat(quaternions).as_matrix()


# Polycrystals


@settings(max_examples=25, deadline=None)
@given(seed=seeds, grains=st.integers(1, 20), material=st.sampled_from(["Au", "CdSe", "Fe"]))
def test_atoms_of_two_grains_keep_their_distance_and_those_near_another_grain_have_the_role(seed, grains, material):
    crystal = load_material(material)
    spacing = crystal.nearest_neighbour_distance()
    body = polycrystal(crystal, sphere(11.0), grains, rng(seed))
    distances, foreign = pairs_of(body)
    assert distances[~foreign].min() > spacing - 1e-6
    assert distances[foreign].min(initial=np.inf) >= 0.85 * spacing
    np.testing.assert_array_equal(has(body, SiteRole.GRAIN_BOUNDARY), (foreign & (distances < 1.2 * spacing)).any(1))
    assert body.solid.contains(body.positions).all()


@pytest.mark.parametrize("material", ["Au", "CdSe", "TiO2"])
@pytest.mark.parametrize("seed", range(3))
def test_the_atoms_of_every_grain_are_a_lattice_turned_as_recorded(material, seed):
    crystal = load_material(material)
    turn = Rotation.random(random_state=seed).as_matrix()
    body = polycrystal(crystal, sphere(16.0), 5, rng(seed)).moved(turn, np.array([3.0, -2.0, 40.0]))
    recorded = matrices(body.details["grain_rotations"])
    assert body.details["grains"] == len(recorded) == len(np.unique(body.grain)) == body.grain.max() + 1
    np.testing.assert_allclose(recorded[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(matrices(body.quaternion), turn, atol=1e-12)
    for number, rotation in enumerate(recorded):
        own = body.grain == number
        assert off_lattice(body.positions[own], body.numbers[own], crystal, turn @ rotation) < 1e-6


def test_nearest_neighbours_of_a_gold_grain_lie_along_its_110_directions():
    body = polycrystal(GOLD, sphere(18.0), 4, rng(2))
    permuted = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    expected = {
        tuple(np.array(p) * s) for p in permuted for s in np.array(np.meshgrid(*[[1, -1]] * 3)).reshape(3, -1).T
    }
    for number, rotation in enumerate(matrices(body.details["grain_rotations"])):
        own = body.positions[body.grain == number]
        vectors = (own[:, None] - own).reshape(-1, 3)
        vectors = vectors[np.abs(np.linalg.norm(vectors, axis=1) - 4.07825 / np.sqrt(2)) < 0.01]
        indices = vectors @ rotation / (4.07825 / 2)
        np.testing.assert_allclose(indices, indices.round(), atol=1e-6)
        assert {tuple(row) for row in indices.round().astype(int)} == expected


def test_grains_turn_uniformly_over_all_rotations():
    # The rotation angle w of uniform rotations has the distribution (w - sin w) / pi (Haar measure).
    quaternions = np.concatenate(
        [polycrystal(GOLD, sphere(9.0), 12, rng(seed)).details["grain_rotations"][1:] for seed in range(40)]
    )
    angle = np.sort(Rotation.from_quat(quaternions).magnitude())
    expected = (angle - np.sin(angle)) / np.pi
    assert np.abs(expected - np.arange(len(angle)) / len(angle)).max() < 1.95 / np.sqrt(len(angle))  # p = 0.001


@pytest.mark.parametrize("seed", range(4))
def test_a_plane_parts_any_two_grains_as_it_does_voronoi_cells(seed):
    body = polycrystal(GOLD, sphere(15.0), 6, rng(seed))
    for first in range(body.details["grains"]):
        for second in range(first):
            one, other = body.positions[body.grain == first], body.positions[body.grain == second]
            rows = np.concatenate(
                [np.column_stack([one, np.ones(len(one))]), -np.column_stack([other, np.ones(len(other))])]
            )
            assert linprog(np.zeros(4), A_ub=rows, b_ub=-np.ones(len(rows)), bounds=[(None, None)] * 4).success


def test_grains_fill_the_solid_but_for_their_boundaries():
    body = polycrystal(GOLD, sphere(30.0), 4, rng(1))
    perfect = len(cut(GOLD, sphere(30.0)))
    assert 0.94 * perfect < len(body) < perfect
    assert len(polycrystal(GOLD, sphere(30.0), 1, rng(1))) == pytest.approx(perfect, rel=0.01)
    # Deep inside a grain nothing is missing: all twelve neighbours are there.
    distances, foreign = pairs_of(body)
    inside = (np.linalg.norm(body.positions, axis=1) < 26) & ~(foreign & (distances < 7)).any(axis=1)
    assert inside.sum() > 500
    assert ((distances[inside] < 3.2).sum(axis=1) == 12).all()


def test_more_grains_than_atoms_leave_some_out_and_the_record_says_how_many_are_left():
    body = polycrystal(GOLD, sphere(3.5), 100, rng(0))
    made = len(np.unique(body.grain))
    assert 1 < made <= len(body) < 100
    assert body.details["grains"] == len(body.details["grain_rotations"]) == made == body.grain.max() + 1


@pytest.mark.parametrize("grains", [0, -1, 257])
def test_an_impossible_number_of_grains_is_named(grains):
    with pytest.raises(StructureError, match=rf"^grains is {grains}; allowed: 1 to 256$"):
        polycrystal(GOLD, sphere(10.0), grains, rng())


def test_a_solid_without_atoms_or_bounds_is_named():
    with pytest.raises(StructureError, match=r"without bounds"):
        polycrystal(GOLD, Everywhere(), 3, rng())
    with pytest.raises(StructureError, match=r"'Au' holds no atom"):
        polycrystal(GOLD, sphere(0.01), 3, rng())


# Bicrystals


def sigma5():
    """The symmetric tilt boundary (310)[001] of gold: both grains have a {310} along x."""
    tilt = np.degrees(np.arctan2(1, 3))
    turns = axis_rotation([0, 0, 1], -tilt), axis_rotation([0, 0, 1], tilt)
    return grain_boundary(GOLD, box((60.0, 60.0, 20.0)), [1, 0, 0], turns), turns


def test_a_sigma_5_boundary_has_the_misorientation_that_pymatgen_lists():
    body, _ = sigma5()
    angle = np.degrees(Rotation.from_quat(body.details["grain_rotations"][1]).magnitude())
    listed = GrainBoundaryGenerator.enum_sigma_cubic(cutoff=5, r_axis=[0, 0, 1])[5]
    assert np.abs(np.array(listed) - angle).min() < 0.01


def test_a_fifth_of_the_sites_of_a_sigma_5_boundary_coincide():
    body, turns = sigma5()
    first = body.positions[body.grain == 0]
    # Sites of the first grain in the primitive cell of the second.
    primitive = 4.07825 / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    sites = first @ turns[1] @ np.linalg.inv(primitive)
    coincident = (np.abs(sites - sites.round()) < 1e-6).all(axis=1)
    assert coincident.mean() == pytest.approx(1 / 5, abs=0.01)


def test_a_sigma_5_boundary_is_a_mirror_plane_along_310_of_both_grains():
    body, turns = sigma5()
    for turn, plane in zip(turns, ([3, 1, 0], [3, -1, 0]), strict=True):
        np.testing.assert_allclose(turn @ plane / np.sqrt(10), [1, 0, 0], atol=1e-12)
    for number, turn in enumerate(turns):
        own = body.grain == number
        assert off_lattice(body.positions[own], body.numbers[own], GOLD, turn) < 1e-6
    # Away from where atoms that are too close have given way, one grain is the image of the other.
    left = body.positions[(body.grain == 0) & (body.positions[:, 0] < -3)]
    right = body.positions[(body.grain == 1) & (body.positions[:, 0] > 3)]
    assert len(left) == len(right)
    assert cdist(left * [-1, 1, 1], right).min(axis=1).max() < 1e-6
    (defect,) = body.defects
    assert defect.kind == "grain_boundary"
    np.testing.assert_allclose([defect.normal, defect.point], [[1, 0, 0], [0, 0, 0]])


def test_the_boundary_is_where_and_as_it_was_asked_for():
    turns = axis_rotation([1, 2, 3], 40), axis_rotation([0, 1, 1], 170)
    normal, point, shift = np.array([1.0, 2.0, -2.0]) / 3, np.array([2.0, 1.0, -3.0]), np.array([0.5, 0.2, 0.9])
    body = grain_boundary(SELENIDE, sphere(20.0), 7 * normal, turns, point, shift)
    along = (body.positions - point) @ normal
    assert along[body.grain == 0].max() < 1e-5 < 1e-4 < along[body.grain == 1].min() + 1e-4
    for number, origin in enumerate((point, point + shift)):
        own = body.grain == number
        sites = (body.positions[own] - origin) @ turns[number] @ np.linalg.inv(SELENIDE.cell)
        vectors = sites[:, None] - SELENIDE.fractional
        assert np.linalg.norm((vectors - vectors.round()) @ SELENIDE.cell, axis=2).min(axis=1).max() < 1e-6
    np.testing.assert_allclose(matrices(body.quaternion), turns[0], atol=1e-12)
    np.testing.assert_allclose(matrices(body.details["grain_rotations"][1]), turns[0].T @ turns[1], atol=1e-12)


def test_two_grains_of_one_orientation_are_one_crystal():
    body = grain_boundary(GOLD, sphere(14.0), [0, 0, 1], (np.eye(3), np.eye(3)))
    perfect, _ = fill(GOLD, sphere(14.0))
    assert len(body) == len(perfect)
    assert cdist(perfect, body.positions).min(axis=1).max() < 1e-9


def test_a_boundary_beside_the_solid_is_named():
    with pytest.raises(StructureError, match=r"^grain 2 of a boundary through \[30.0, 0.0, 0.0\] holds no atom"):
        grain_boundary(GOLD, sphere(14.0), [1, 0, 0], (np.eye(3), np.eye(3)), point=(30, 0, 0))


# Cores and shells


@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    pair=st.sampled_from([("Au", "Ag"), ("CdSe", "CdS"), ("Au", "Fe3O4"), ("PbS", "Au"), ("Si", "Cu")]),
    aligned=st.booleans(),
    grains=st.integers(1, 5),
)
def test_a_shell_keeps_its_distance_and_stays_out_of_the_core(seed, pair, aligned, grains):
    inner, outer = (load_material(name) for name in pair)
    random = rng(seed)
    core = cut(inner, sphere(9.0), random)
    body = core_shell(core, outer, sphere(14.0), aligned, grains, random)
    spacing, core_spacing = outer.nearest_neighbour_distance(), inner.nearest_neighbour_distance()
    atoms, shell = body.positions[: len(core)], body.positions[len(core) :]
    np.testing.assert_array_equal(atoms, core.positions)
    assert set(body.grain[: len(core)]) == {0}
    assert body.grain[len(core) :].min() == 1
    assert cdist(shell, atoms).min() >= 0.85 * (spacing + core_spacing) / 2 - 0.02  # CdSe has bonds of 2.63 and 2.64 Å
    distances, foreign = pairs_of(body)
    among = distances[len(core) :, len(core) :][foreign[len(core) :, len(core) :]]
    assert among.min(initial=np.inf) >= 0.85 * spacing
    assert (Delaunay(atoms).find_simplex(shell) < 0).all()
    assert body.solid.contains(body.positions).all()


def test_a_shell_of_the_same_crystal_continues_the_core_to_a_perfect_one():
    # A wurtzite cell has two sites of each element, and only one of the two continues the stacking.
    for crystal in (GOLD, SELENIDE, load_material("TiO2"), load_material("PbS"), load_material("CdSe-zb")):
        for seed in range(4):
            random = rng(seed)
            origin = rng(seed).random(3) @ crystal.cell
            core = cut(crystal, sphere(10.0), random)
            body = core_shell(core, crystal, sphere(15.0), True, 1, random)
            perfect, numbers = fill(crystal, sphere(15.0), origin)
            nearest = cdist(perfect, body.positions)
            assert len(body) == len(perfect)
            assert nearest.min(axis=1).max() < 1e-6
            np.testing.assert_array_equal(body.numbers[nearest.argmin(axis=1)], numbers)


def test_silver_on_gold_is_cube_on_cube():
    random = rng(3)
    core = cut(GOLD, sphere(14.0), random)
    body = core_shell(core, SILVER, sphere(20.0), True, 1, random)
    shell = body.numbers == 47
    assert set(body.numbers[~shell]) == {79}
    # A misfit of 0.2 % has added up to 0.04 Å at 20 Å from the middle, and no site is missing for it.
    assert off_lattice(body.positions, np.full(len(body), 79), GOLD, np.eye(3)) < 0.06
    assert len(body) == pytest.approx(4 / 3 * np.pi * 20**3 * 4 / 4.0786**3, rel=0.02)
    assert off_lattice(body.positions[shell], body.numbers[shell], SILVER, np.eye(3)) < 1e-6
    assert body.details["shell_grain_rotations"] == [[0, 0, 0, 1]]
    assert body.details["shell_atoms"] == shell.sum()


@pytest.mark.parametrize(("inner", "outer"), [("CdSe", "CdS"), ("CdSe-zb", "ZnS-zb"), ("GaAs", "Ge"), ("CdS", "CdSe")])
def test_a_shell_of_a_compound_puts_cations_on_cations(inner, outer):
    first, second = load_material(inner), load_material(outer)
    for seed in range(5):
        random = rng(seed)
        origin = rng(seed).random(3) @ first.cell
        core = cut(first, sphere(8.0), random)
        body = core_shell(core, second, sphere(11.0), True, 1, random)
        wide, kind = fill(first, sphere(16.0), origin)  # the core's lattice, continued
        shell = body.numbers[len(core) :]
        distance = cdist(body.positions[len(core) :], wide)
        on_cation = kind[distance.argmin(axis=1)] == first.numbers[0]
        misfit = abs(second.cell[0, 0] / first.cell[0, 0] - 1)
        assert distance.min(axis=1).max() < 1.8 * 13 * misfit + 0.1
        if len(set(second.numbers)) == 2:
            np.testing.assert_array_equal(on_cation, shell == second.numbers[0])


def test_a_core_keeps_its_atoms_grains_roles_and_defects():
    for seed in range(4):
        random = rng(seed)
        twinned = cut_with_defects(GOLD, sphere(12.0), ["twin", "stacking_fault"], random)
        several = polycrystal(GOLD, sphere(12.0), 4, random)
        for core in (twinned, several, twinned.moved(axis_rotation([1, 1, 0], 33.0))):
            body = core_shell(core, SILVER, sphere(17.0), True, 3, random)
            kept = slice(len(core))
            np.testing.assert_array_equal(body.positions[kept], core.positions)
            np.testing.assert_array_equal(body.numbers[kept], core.numbers)
            np.testing.assert_array_equal(body.grain[kept], core.grain)
            np.testing.assert_array_equal(body.role[kept] & core.role, core.role)
            np.testing.assert_array_equal(body.quaternion, core.quaternion)
            assert body.defects == core.defects
            assert body.details.items() >= core.details.items()
            assert body.grain[len(core) :].min() == core.grain.max() + 1
            shell = body.numbers == 47
            number, made = core.grain.max() + 1, matrices(body.details["shell_grain_rotations"])
            assert len(made) == body.details["shell_grains"] == len(np.unique(body.grain[shell]))
            for grain, rotation in enumerate(made):
                own = body.grain == number + grain
                turn = matrices(core.quaternion) @ rotation
                assert off_lattice(body.positions[own], body.numbers[own], SILVER, turn) < 1e-6


def test_an_unaligned_shell_is_turned_at_random_from_its_first_grain_on():
    angles = []
    for seed in range(30):
        random = rng(seed)
        body = core_shell(cut(GOLD, sphere(6.0), random), SILVER, sphere(10.0), False, 1, random)
        (rotation,) = matrices(body.details["shell_grain_rotations"])
        shell = body.numbers == 47
        assert off_lattice(body.positions[shell], body.numbers[shell], SILVER, rotation) < 1e-6
        angles.append(Rotation.from_matrix(rotation).magnitude())
    # The mean of the angle under the Haar measure is pi/2 + 2/pi; its standard deviation is 0.65.
    assert np.mean(angles) == pytest.approx(np.pi / 2 + 2 / np.pi, abs=3.3 * 0.65 / np.sqrt(30))


def test_the_interface_has_the_role_of_a_boundary_on_both_sides():
    random = rng(5)
    core = cut(GOLD, sphere(11.0), random)
    body = core_shell(core, load_material("Pt"), sphere(16.0), False, 2, random)
    mean = (GOLD.nearest_neighbour_distance() + load_material("Pt").nearest_neighbour_distance()) / 2
    distances, foreign = pairs_of(body)
    at_core = (foreign & (distances < 1.2 * mean)).any(axis=1)
    np.testing.assert_array_equal(has(body, SiteRole.GRAIN_BOUNDARY)[: len(core)], at_core[: len(core)])
    assert has(body, SiteRole.GRAIN_BOUNDARY)[at_core[: len(body)]].mean() > 0.98  # within the shell: spacing of Pt


def test_a_shell_without_room_is_named():
    core = cut(GOLD, sphere(10.0))
    with pytest.raises(StructureError, match=r"^the shell of 'Au' holds no atom; allowed: a shell.thickness of"):
        core_shell(core, GOLD, sphere(10.0), True, 1, rng())
    with pytest.raises(StructureError, match=r"too thin"):
        core_shell(core, GOLD, sphere(10.0), True, 3, rng())


def test_more_grains_than_a_byte_counts_are_named():
    core = polycrystal(GOLD, sphere(14.0), 120, rng())
    left = 255 - core.grain.max()
    with pytest.raises(StructureError, match=rf"^shell.grains is 200; allowed: 1 to {left}$"):
        core_shell(core, SILVER, sphere(18.0), True, 200, rng())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    def made(seed):
        random = rng(seed)
        core = polycrystal(GOLD, sphere(9.0), 3, random)
        return core_shell(core, SILVER, sphere(13.0), True, 3, random).positions.tobytes()

    assert made(4) == made(4) != made(5)


@given(data=st.data(), count=st.integers(1, 12))
def test_what_clashes_is_left_out_as_by_a_loop_over_the_ranks(data, count):
    index = st.integers(0, count - 1)
    found = data.draw(st.sets(st.tuples(index, index).filter(lambda pair: pair[0] < pair[1])))
    rank = np.array(data.draw(st.permutations(range(count))))
    taken = []
    for thing in np.argsort(rank):
        if not any((min(thing, other), max(thing, other)) in found for other in taken):
            taken.append(thing)
    pairs = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    np.testing.assert_array_equal(np.flatnonzero(without_clashes(count, pairs, rank)), sorted(taken))
