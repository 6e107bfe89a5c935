"""Planar defects and orientations of nanoparticles."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from exitwave.errors import StructureError
from exitwave.structures.materials import load_material
from exitwave.structures.nanoparticle import cut_sphere, cut_stack, make_nanoparticle
from exitwave.structures.transforms import random_quaternion, rotation_matrix


def close_packed_environment(positions, cutoff):
    """Common neighbour analysis (Honeycutt and Andersen 1987): 'fcc', 'hcp' or '' for each atom."""
    tree = cKDTree(positions)
    neighbours = [set(found) - {i} for i, found in enumerate(tree.query_ball_point(positions, cutoff))]
    kinds = []
    for mine in neighbours:
        bonds_between = []
        for other in mine:
            common = mine & neighbours[other]
            degrees = sorted(len(common & neighbours[c]) for c in common)
            bonds_between.append(tuple(degrees))
        # 421: two separate bonds; 422: two bonds that share an atom.
        n421, n422 = bonds_between.count((1, 1, 1, 1)), bonds_between.count((0, 1, 1, 2))
        kinds.append({(12, 0): "fcc", (6, 6): "hcp"}.get((n421, n422), "") if len(mine) == 12 else "")
    return np.array(kinds)


def layers_of(kind, kinds, heights):
    """Distinct heights of the interior atoms of an environment."""
    return np.unique(np.round(heights[kinds == kind], 3))


def particle_heights(particle):
    return particle.positions @ particle.defects[0].normal


@pytest.mark.parametrize("material", ["Au", "CdSe"])
def test_stack_without_faults_is_the_crystal(material):
    crystal = load_material(material)
    for seed in range(5):
        centre = (np.random.default_rng(seed).random(3) * 9 - 4) @ crystal.cell
        by_cell, cell_numbers = cut_sphere(crystal, centre, 13.0)
        by_layer, layer_numbers = cut_stack(crystal.stacking, {}, centre, 13.0)
        assert len(by_cell) == len(by_layer)
        distances, match = cKDTree(by_cell).query(by_layer)
        assert distances.max() < 1e-9
        assert np.array_equal(cell_numbers[match], layer_numbers)


@pytest.mark.parametrize(("kind", "hcp_layers"), [("twin", 1), ("stacking_fault", 2)])
def test_mistake_05_fcc_defect_has_the_layer_sequence_of_its_kind(kind, hcp_layers):
    crystal = load_material("Au")
    spacing = 4.07825 / np.sqrt(3)
    for seed in range(4):
        particle = make_nanoparticle(crystal, 16.0, [kind], np.random.default_rng(seed))
        kinds = close_packed_environment(particle.positions, 3.4)
        heights = particle_heights(particle)
        hcp = layers_of("hcp", kinds, heights)
        assert len(hcp) == hcp_layers
        assert len(layers_of("fcc", kinds, heights)) >= 4
        # Every atom with all its twelve neighbours inside the sphere is fcc or hcp: nothing is stacked AA.
        whole = np.linalg.norm(particle.positions, axis=1) < 16.0 - 2.9
        assert np.all(kinds[whole] != "")
        # The recorded plane is where the environment says: on the twin layer, or midway between two layers.
        assert np.mean(hcp) == pytest.approx(particle.defects[0].point @ particle.defects[0].normal, abs=2e-3)
        assert np.ptp(hcp) == pytest.approx((hcp_layers - 1) * spacing, abs=2e-3)


def test_twin_is_a_mirror_and_stacking_fault_is_a_shockley_partial():
    crystal = load_material("Au")
    rng = np.random.default_rng(11)
    twin = make_nanoparticle(crystal, 16.0, ["twin"], rng)
    normal, point = twin.defects[0].normal, twin.defects[0].point
    mirrored = twin.positions - 2 * ((twin.positions - point) @ normal)[:, None] * normal
    inside = np.linalg.norm(mirrored, axis=1) < 16.0 - 1e-6
    assert inside.sum() > 100
    assert cKDTree(twin.positions).query(mirrored[inside])[0].max() < 1e-9

    fault = make_nanoparticle(crystal, 16.0, ["stacking_fault"], rng)
    normal, point = fault.defects[0].normal, fault.defects[0].point
    matrix = rotation_matrix(fault.quaternion)
    back = fault.positions @ matrix
    above = (fault.positions - point) @ normal > 0
    below_lattice = (back - back[~above][0]) @ np.linalg.inv(crystal.cell) * 2
    np.testing.assert_allclose(below_lattice[~above], np.round(below_lattice[~above]), atol=1e-9)
    # Undoing a/6 [1 1 -2] brings the upper crystal onto the lower lattice: integers of even sum, in units of a/2.
    restored = below_lattice[above] - np.array([1, 1, -2]) / 3
    np.testing.assert_allclose(restored, np.round(restored), atol=1e-9)
    assert np.all(np.round(restored).sum(axis=1) % 2 == 0)


@pytest.mark.parametrize(("kind", "cubic_layers"), [("twin", 1), ("stacking_fault", 2)])
def test_wurtzite_defect_is_i1_or_i2_and_keeps_its_bonds(kind, cubic_layers):
    particle = make_nanoparticle(load_material("CdSe"), 20.0, [kind], np.random.default_rng(2))
    cadmium = particle.positions[particle.numbers == 48]
    # The Cd sublattice of wurtzite is hcp; each break of ABAB makes a layer of it fcc.
    kinds = close_packed_environment(cadmium, 5.1)
    heights = cadmium @ particle.defects[0].normal
    assert len(layers_of("fcc", kinds, heights)) == cubic_layers
    assert len(layers_of("hcp", kinds, heights)) >= 3
    inner = np.linalg.norm(particle.positions, axis=1) < 17.0
    distances, match = cKDTree(particle.positions).query(particle.positions[inner], k=5)
    np.testing.assert_allclose(distances[:, 1:], 2.63, atol=0.005)
    assert np.all(particle.numbers[match[:, 1:]] != particle.numbers[inner][:, None])


@pytest.mark.parametrize("material", ["Au", "Cu", "CdSe"])
@pytest.mark.parametrize("radius", [5.0, 7.5, 15.0, 30.0])
def test_several_defects_are_parallel_and_apart_and_keep_atoms_apart(material, radius):
    crystal = load_material(material)
    rng = np.random.default_rng(int(radius))
    for _ in range(5):
        particle = make_nanoparticle(crystal, radius, ["twin", "stacking_fault", "twin"], rng)
        nearest = cKDTree(particle.positions).query(particle.positions, k=2)[0][:, 1]
        assert nearest.min() > 0.999 * crystal.nearest_neighbour_distance()
        made = len(particle.defects)
        assert made == 3 if radius > 10 else made <= 2
        if made == 0:
            # Between the poles, 1.5 layers deep each, there is no room for the half layer of a fault.
            assert 2 * (radius / crystal.stacking.spacing - 1.5) < 1.5
            continue
        offsets = np.array([d.point @ particle.defects[0].normal for d in particle.defects])
        assert np.abs(offsets).max() <= 0.8 * radius
        assert made == 1 or np.diff(np.sort(offsets)).min() > 1.49 * crystal.stacking.spacing
        for defect in particle.defects:
            np.testing.assert_allclose(np.cross(defect.normal, particle.defects[0].normal), 0, atol=1e-12)
            np.testing.assert_allclose(np.cross(defect.normal, defect.point), 0, atol=1e-9)
            side = (particle.positions - defect.point) @ defect.normal
            assert (side > 0.1).any()
            assert (side < -0.1).any()


def test_particle_too_small_for_defects_is_made_without():
    particle = make_nanoparticle(load_material("Au"), 3.2, ["twin"] * 3, np.random.default_rng(0))
    assert len(particle.defects) == 0
    assert len(particle.positions) > 1


def test_mistake_05_orientations_are_uniform_on_so3():
    rng = np.random.default_rng(6)
    rotations = Rotation.from_quat([random_quaternion(rng) for _ in range(3000)])
    # Of uniform rotations the angle has the density (1 - cos) / pi, and the ZYZ Euler angles are uniform in alpha,
    # cos(beta) and gamma; gamma is the in-plane spin.
    assert kstest(rotations.magnitude(), lambda angle: (angle - np.sin(angle)) / np.pi).pvalue > 0.01
    alpha, beta, gamma = rotations.as_euler("ZYZ").T
    assert kstest(np.mod(alpha, 2 * np.pi) / (2 * np.pi), "uniform").pvalue > 0.01
    assert kstest((np.cos(beta) + 1) / 2, "uniform").pvalue > 0.01
    assert kstest(np.mod(gamma, 2 * np.pi) / (2 * np.pi), "uniform").pvalue > 0.01


def test_mistake_05_particle_is_turned_by_its_recorded_quaternion():
    crystal = load_material("CdSe")
    for seed in range(3):
        particle = make_nanoparticle(crystal, 9.0, [], np.random.default_rng(seed))
        back = Rotation.from_quat(particle.quaternion).inv().apply(particle.positions)
        first = back[particle.numbers == 48]
        lattice = (first - first[0]) @ np.linalg.inv(crystal.cell)
        # Either Cd of the cell: on lattice points, or on those displaced by the other Cd.
        other = crystal.fractional[1] - crystal.fractional[0]
        misfit = [np.abs(v - np.round(v)).max(axis=1) for v in (lattice, lattice - other, lattice + other)]
        assert np.min(misfit, axis=0).max() < 1e-9


def test_centre_of_the_sphere_is_anywhere_in_the_cell():
    crystal = load_material("Au")
    rng = np.random.default_rng(8)
    counts = {len(make_nanoparticle(crystal, 10.0, [], rng).positions) for _ in range(20)}
    assert len(counts) > 5


def test_sphere_without_atoms_is_an_error():
    with pytest.raises(StructureError, match=r"radius is 0\.2 Å.*holds no atom"):
        make_nanoparticle(load_material("Au"), 0.2, [], np.random.default_rng(0))
