"""Measures of structures, against ASE, analytic lattices and an ideal gas."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.cluster import Icosahedron
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from scipy.stats.sampling import NumericalInversePolynomial

from exitwave.errors import StructureError
from exitwave.structures import analysis
from exitwave.structures.neighbours import neighbours
from exitwave.structures.structure import Structure
from exitwave.structures.transforms import random_quaternion, rotation_matrix
from exitwave.structures.volumes import box, half_space, sphere

PERIODIC = (True, True, True)


def structure_of(positions, numbers, cell):
    none = np.zeros(len(positions), dtype=np.uint8)
    return Structure(
        positions=np.asarray(positions),
        numbers=np.asarray(numbers, dtype=np.uint8),
        object_id=none,
        role=none,
        grain=none,
        cell=np.asarray(cell, dtype=float),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    periodic=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cutoff=st.floats(0.5, 9),
)
def test_neighbours_in_any_triclinic_cell_are_those_of_ase(seed, periodic, cutoff):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(3, 8, 3)) + rng.uniform(-2, 2, (3, 3))
    if abs(np.linalg.det(cell)) < 20:
        return
    # Some atoms lie outside the cell.
    positions = rng.uniform(-0.5, 1.5, (12, 3)) @ cell
    first, second, vectors = neighbours(positions, cutoff, cell, periodic)
    i, j, distances = neighbor_list("ijd", Atoms("C12", positions=positions, cell=cell, pbc=periodic), cutoff)
    assert len(first) == len(i)
    ours = np.sort(np.rec.fromarrays([first, second, np.linalg.norm(vectors, axis=1).round(6)]))
    theirs = np.sort(np.rec.fromarrays([i, j, distances.round(6)]))
    np.testing.assert_array_equal(ours.f0, theirs.f0)
    np.testing.assert_array_equal(ours.f1, theirs.f1)
    np.testing.assert_allclose(ours.f2, theirs.f2, atol=1e-5)
    assert np.all(np.diff(first) >= 0)


@pytest.mark.parametrize(
    ("name", "lattice", "cutoff", "expected"),
    [("Au", "fcc", 3.4, 12), ("Fe", "bcc", 2.7, 8), ("Co", "hcp", 3.0, 12), ("Si", "diamond", 2.8, 4)],
)
def test_coordination_numbers_of_perfect_crystals(name, lattice, cutoff, expected):
    atoms = bulk(name, lattice)
    found = analysis.coordination_numbers(atoms.positions, cutoff, atoms.cell.array, PERIODIC)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), periodic=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_minimum_distances_are_those_over_all_images(seed, periodic):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(4, 9, 3)) + np.tril(rng.uniform(-2, 2, (3, 3)), -1)
    numbers = rng.choice([6, 14, 79], 7).astype(np.uint8)
    positions = rng.random((7, 3)) @ cell
    atoms = Atoms(numbers=numbers, positions=positions, cell=cell, pbc=periodic)
    i, j, distances = neighbor_list("ijd", atoms, 20.0)
    expected = {}
    for a, b, distance in zip(i, j, distances, strict=True):
        key = "-".join(sorted((atoms.symbols[a], atoms.symbols[b])))
        expected[key] = min(expected.get(key, np.inf), distance)
    assert analysis.minimum_distances(positions, numbers, cell, periodic) == pytest.approx(expected)


def test_minimum_distance_of_an_atom_to_its_own_image_and_of_a_single_one():
    positions, numbers = np.array([[1.0, 1.0, 1.0]]), np.array([79], dtype=np.uint8)
    assert analysis.minimum_distances(positions, numbers, [5, 4, 9], (True, True, False)) == {"Au-Au": 4.0}
    assert analysis.minimum_distances(positions, numbers) == {}


@pytest.mark.parametrize("region", ["periodic", "slab", "sphere", "box"])
def test_radial_distribution_of_an_ideal_gas_is_1_in_every_region(region):
    rng = np.random.default_rng(7)
    edge = 30.0
    points = rng.random((4000, 3)) * edge
    options = {"periodic": {"cell": [edge] * 3, "periodic": PERIODIC}}
    slab = half_space([0, 0, 1], 8.0) & half_space([0, 0, -1], 0.0)
    options["slab"] = {"cell": [edge] * 3, "periodic": (True, True, False), "region": slab}
    options["box"] = {"region": box([edge] * 3, [edge / 2] * 3)}
    options["sphere"] = {"region": sphere(edge / 2, [edge / 2] * 3)}
    if region == "sphere":
        points = points[sphere(edge / 2, [edge / 2] * 3).contains(points)]
    if region == "slab":
        points = points[points[:, 2] < 8]
    r, g = analysis.rdf(points, 12.0, bins=12, **options[region])
    # Poisson noise of the pairs, and of how many atoms happen to be near the surface and lack neighbours.
    pairs = len(points) ** 2 / edge**3 * 4 * np.pi * r**2
    assert np.all(np.abs(g - 1) < 4 / np.sqrt(pairs) + 1 / np.sqrt(len(points)))


@pytest.mark.parametrize("periodic", [PERIODIC, (False, False, False)])
def test_radial_distribution_of_a_crystal_holds_the_shells_of_the_lattice(periodic):
    a, repeats = 4.078, 6 if all(periodic) else 14
    positions = make_supercell(bulk("Au", "fcc", a=a, cubic=True), repeats * np.eye(3)).positions
    region = None if all(periodic) else sphere(24.0, [6.9 * a, 7.2 * a, 7.1 * a])
    if region is not None:
        positions = positions[region.contains(positions)]
    r, g = analysis.rdf(positions, 1.35 * a, 400, [repeats * a] * 3, periodic, region=region)
    shells = 4 * np.pi * r**2 * (r[1] - r[0]) * 4 / a**3 * g
    for distance, number in ((a / np.sqrt(2), 12), (a, 6), (a * np.sqrt(1.5), 24)):
        found = shells[np.abs(r - distance) < 0.1].sum()
        assert found == pytest.approx(number, rel=0.002 if all(periodic) else 0.02)
    assert shells[r < 2.8].sum() == 0


def test_radial_distribution_of_a_pair_of_elements():
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    cell, numbers = atoms.cell.array, atoms.numbers
    r, g = analysis.rdf(atoms.positions, 4.5, 450, cell, PERIODIC, numbers, (11, 17))
    counts = 4 * np.pi * r**2 * 0.01 * g / abs(np.linalg.det(cell))
    assert counts[np.abs(r - 2.82) < 0.05].sum() == pytest.approx(6, rel=0.01)
    assert counts[np.abs(r - 3.988) < 0.05].sum() == 0
    with pytest.raises(StructureError, match=r"pair is \(11, 79\)"):
        analysis.rdf(atoms.positions, 4.5, 450, cell, PERIODIC, numbers, (11, 79))


def test_density_profile_gives_the_density_of_gold_where_it_is():
    gold = make_supercell(bulk("Au", "fcc", a=4.0782, cubic=True), np.diag([3, 3, 4]))
    cell = [3 * 4.0782, 3 * 4.0782, 8 * 4.0782]
    z, atoms, mass = analysis.density_profile(structure_of(gold.positions + 0.01, gold.numbers, cell), bins=8)
    # CRC Handbook of Chemistry and Physics: 19.3 g/cm³.
    np.testing.assert_allclose(mass[:4], 19.3, rtol=0.003)
    np.testing.assert_allclose(atoms[:4], 4 / 4.0782**3)
    assert np.all(mass[4:] == 0)
    np.testing.assert_allclose(z, (np.arange(8) + 0.5) * 4.0782)


@pytest.mark.parametrize(("name", "kind", "cutoff"), [("Au", "fcc", 3.48), ("Co", "hcp", 3.0), ("Fe", "bcc", 3.46)])
def test_local_structure_of_perfect_crystals_turned_at_random(name, kind, cutoff):
    atoms = bulk(name)
    assert set(analysis.local_structure(atoms.positions, cutoff, atoms.cell.array, PERIODIC)) == {kind}
    cluster = make_supercell(atoms, 7 * np.eye(3))
    turned = cluster.positions @ rotation_matrix(random_quaternion(np.random.default_rng(2))).T
    found = analysis.local_structure(turned + np.random.default_rng(3).normal(0, 0.03, turned.shape), cutoff)
    inside = analysis.coordination_numbers(turned, cutoff) == {"bcc": 14}.get(kind, 12)
    assert inside.sum() > 60
    assert set(found[inside]) == {kind}
    assert set(found[~inside]) == {"other"}


def test_local_structure_of_an_icosahedron_shows_twenty_fcc_grains_between_hcp_twins():
    atoms = Icosahedron("Au", 5, 4.078)
    kinds = analysis.local_structure(atoms.positions, 3.5)
    # Within the surface there is a Mackay icosahedron of four shells (147 atoms): atoms of the 20 grains that touch
    # no twin plane are one in each; on the 30 planes, but not on an axis, lie 3; the 12 axes and the centre are 37.
    assert {kind: int((kinds == kind).sum()) for kind in ("fcc", "hcp")} == {"fcc": 20, "hcp": 90}
    assert (kinds == "other").sum() == 309 - 110


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.sampled_from([1, -1]), min_size=3, max_size=12), seed=st.integers(0, 2**32 - 1))
def test_layer_sequence_reads_any_stacking_in_any_orientation(steps, seed):
    rng = np.random.default_rng(seed)
    net = np.array([[1.0, 0, 0], [0.5, np.sqrt(3) / 2, 0]]) * 2.9
    cells = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 2), -1).reshape(-1, 2)
    sites = np.concatenate([[0], np.cumsum(steps)])
    layers = [cells @ net + site * net.sum(axis=0) / 3 + [0, 0, 2.37 * k] for k, site in enumerate(sites)]
    kept = [layer[rng.random(len(layer)) < 0.7] for layer in layers]
    rotation = rotation_matrix(random_quaternion(rng))
    positions = np.concatenate(kept) + rng.normal(0, 0.03, (sum(map(len, kept)), 3)) + rng.normal(0, 5, 3)
    found = analysis.layer_sequence(positions @ rotation.T, 3 * rotation[:, 2], net @ rotation.T)
    names = {}
    assert found == "".join(names.setdefault(site % 3, "ABCD"[len(names)]) for site in sites)


def test_layer_sequence_of_the_wrong_net_is_an_error():
    rng = np.random.default_rng(0)
    positions = np.column_stack([rng.random((200, 2)) * 50, np.arange(200) * 2.0])
    with pytest.raises(StructureError, match=r"in_plane gives \d+ different layers"):
        analysis.layer_sequence(positions, [0, 0, 1], np.array([[50.0, 0, 0], [0, 50, 0]]))


def test_random_rotations_have_the_misorientations_of_haar():
    rng = np.random.default_rng(5)
    quaternions = np.array([random_quaternion(rng) for _ in range(4000)])
    angles = analysis.misorientation_angles(quaternions[::2], quaternions[1::2])
    assert kstest(angles, analysis.haar_angle_distribution).pvalue > 0.01
    # Not those of uniform angles about random axes, a mistake easily made.
    wrong = rng.uniform(0, np.pi, 2000)
    assert kstest(wrong, analysis.haar_angle_distribution).pvalue < 1e-6


def test_misorientation_is_the_angle_of_the_matrix_between():
    rng = np.random.default_rng(6)
    for _ in range(20):
        first, second = random_quaternion(rng), random_quaternion(rng)
        between = rotation_matrix(first).T @ rotation_matrix(second)
        expected = np.arccos((np.trace(between) - 1) / 2)
        assert analysis.misorientation_angles(first, second) == pytest.approx(expected, abs=1e-6)
        assert analysis.misorientation_angles(first, -second) == pytest.approx(expected, abs=1e-6)


def test_haar_distribution_is_the_integral_of_its_density():
    class Density:
        def pdf(self, angle):
            # (1 - cos w) / pi: R. E. Miles, Biometrika 52 (1965) 636.
            return float((1 - np.cos(angle)) / np.pi)

    numerical = NumericalInversePolynomial(Density(), domain=(0, np.pi), random_state=1)
    angles = np.linspace(0.3, 3.0, 10)
    np.testing.assert_allclose(numerical.cdf(angles), analysis.haar_angle_distribution(angles), atol=1e-6)
    assert analysis.haar_angle_distribution(np.pi) == pytest.approx(1)


def test_periodic_without_a_cell_is_an_error():
    with pytest.raises(StructureError, match="there is no cell"):
        neighbours(np.zeros((2, 3)), 1.0, None, PERIODIC)


def test_radial_distribution_of_a_cluster_needs_its_region():
    positions = np.random.default_rng(0).random((50, 3)) * 10
    with pytest.raises(StructureError, match="there is no region; allowed: the volume that the atoms fill"):
        analysis.rdf(positions, 5.0)
    with pytest.raises(StructureError, match="encloses nothing"):
        analysis.rdf(positions, 5.0, region=sphere(1.0) & sphere(1.0, [3, 0, 0]))
