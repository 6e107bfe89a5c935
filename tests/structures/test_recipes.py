"""Whole structures: particles on their substrate in the periodic cell."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import kstest

from exitwave.config.blocks import NanoparticlesOnSubstrate
from exitwave.data.columns import STRUCTURES
from exitwave.errors import StructureError
from exitwave.structures.materials import load_material
from exitwave.structures.placement import CONTACT_TOLERANCE, place_discs
from exitwave.structures.recipes import build_structure

CONTACT = 2.5
CLOSEST_CONTACT, WIDEST_CONTACT = CONTACT - CONTACT_TOLERANCE, CONTACT + CONTACT_TOLERANCE


def block(particles=None, substrate=None, **keys):
    particles = {"radius": 7.0, **(particles or {})}
    keys = {"field_of_view": 40.0, **keys}
    return NanoparticlesOnSubstrate(
        kind="nanoparticles_on_substrate", count=1, particles=particles, substrate=substrate, **keys
    )


def build(seed=0, **keys):
    return build_structure(block(**keys), np.random.default_rng(seed))


def periodic_tree(positions, cell):
    return cKDTree(positions, boxsize=[cell[0], cell[1], 0])


def nearest_pair(positions, cell):
    """Smallest distance of two atoms, by laying out the periodic images."""
    images = [positions + np.array([i * cell[0], j * cell[1], 0]) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return cKDTree(np.concatenate(images)).query(positions, k=2)[0][:, 1].min() if len(positions) > 1 else np.inf


def particle_atoms(structure):
    return [structure.positions[structure.object_id == i + 1] for i in range(structure.metadata["particles_placed"])]


def contact_gaps(structure):
    tree = periodic_tree(structure.positions[structure.object_id == 0], structure.cell)
    return [tree.query(atoms)[0].min() for atoms in particle_atoms(structure)]


def assert_in_cell(structure, vacuum):
    assert np.all(structure.positions[:, :2] >= 0)
    assert np.all(structure.positions[:, :2] < structure.cell[:2])
    assert structure.positions[:, 2].min() >= vacuum - 1e-9
    assert structure.positions[:, 2].max() <= structure.cell[2] - vacuum + 1e-9


@pytest.mark.parametrize("embedding", [0.0, 0.2, 1.0])
def test_mistake_04_contact_gap_is_bounded(embedding):
    for seed in range(6):
        structure = build(
            seed,
            particles={"number": 3, "radius": {"uniform": [4, 8]}, "embedding": embedding, "material": "CdSe"},
            substrate={"thickness": 12},
        )
        gaps = contact_gaps(structure)
        assert len(gaps) >= 2
        assert min(gaps) >= CLOSEST_CONTACT
        assert max(gaps) <= WIDEST_CONTACT


@pytest.mark.parametrize("thickness", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("embedding", [0.0, 1.0])
def test_mistake_04_all_atoms_in_the_cell_with_a_thin_substrate(thickness, embedding):
    for seed in range(3):
        structure = build(
            seed, particles={"radius": 14, "embedding": embedding}, substrate={"thickness": thickness}, vacuum=3.0
        )
        assert_in_cell(structure, 3.0)
        assert max(contact_gaps(structure)) <= WIDEST_CONTACT


def test_embedding_is_the_depth_below_first_contact():
    def lowest(embedding):
        structure = build(3, particles={"radius": 10, "embedding": embedding}, substrate={"thickness": 20}, vacuum=5.0)
        return structure, particle_atoms(structure)[0][:, 2].min()

    resting, height = lowest(0.0)
    assert 5 + 20 < height < 5 + 20 + WIDEST_CONTACT
    structure, sunk = lowest(0.4)
    assert height - sunk == pytest.approx(0.4 * 10)
    # The substrate is open where the particle is, and nowhere else.
    assert structure.metadata["n_atoms_substrate"] < resting.metadata["n_atoms_substrate"]
    (particle,) = json.loads(structure.metadata["particles"])
    carbon = structure.positions[structure.object_id == 0]
    beside = carbon - particle["center"]
    beside[:, :2] -= 40 * np.round(beside[:, :2] / 40)
    assert np.linalg.norm(beside, axis=1).min() > 10
    assert np.any((np.linalg.norm(beside, axis=1) < 13) & (carbon[:, 2] > 20))


def test_mistake_05_defects_lie_inside_the_particle_wherever_it_sits():
    places = []
    for seed in range(20):
        structure = build(
            seed, particles={"number": 2, "radius": 8, "planar_defects": {"number": 2}}, substrate={"thickness": 5}
        )
        for atoms, particle in zip(particle_atoms(structure), json.loads(structure.metadata["particles"]), strict=True):
            relative = atoms - particle["center"]
            relative[:, :2] -= 40 * np.round(relative[:, :2] / 40)
            assert np.linalg.norm(relative, axis=1).max() <= 8 + 1e-9
            assert len(particle["defects"]) == 2
            for defect in particle["defects"]:
                point = np.array(defect["point"]) - particle["center"]
                assert np.linalg.norm(point) < 0.8 * 8
                heights = (relative - point) @ defect["normal"]
                assert (heights > 1).sum() > 3
                assert (heights < -1).sum() > 3
            places.append(np.mod(particle["center"][:2], 40))
    assert np.all(np.ptp(places, axis=0) > 25)


def test_mistake_10_positions_are_uniform_over_the_field():
    places, seams = [], 0
    for seed in range(150):
        structure = build(seed, particles={"number": 3, "radius": 4})
        places += [np.mod(p["center"][:2], 40) for p in json.loads(structure.metadata["particles"])]
        lateral = structure.positions[:, :2]
        seams += bool((lateral.min() < 1) and (lateral.max() > 39))
    x, y = np.array(places).T / 40
    assert len(x) > 400
    assert kstest(x, "uniform").pvalue > 0.01
    assert kstest(y, "uniform").pvalue > 0.01
    quadrants = np.bincount((x > 0.5) * 2 + (y > 0.5), minlength=4)
    assert quadrants.min() > 0.75 * len(x) / 4
    assert seams > 20


def test_discs_keep_their_gap_also_across_the_seam():
    radii = [9.0, 6.0, 5.0, 4.0, 3.0]
    placed_pairs = 0
    for seed in range(50):
        places = place_discs(radii, 40.0, 2.0, np.random.default_rng(seed))
        found = [(r, p) for r, p in zip(radii, places, strict=True) if p is not None]
        for (r1, p1), (r2, p2) in combinations(found, 2):
            difference = np.abs(p1 - p2)
            assert np.linalg.norm(np.minimum(difference, 40 - difference)) >= r1 + r2 + 2
            placed_pairs += 1
    assert placed_pairs > 300


def test_particles_without_a_free_place_are_left_out_and_counted():
    structure = build(particles={"number": 20, "radius": 8})
    metadata = structure.metadata
    assert metadata["particles_drawn"] == 20
    assert 1 <= metadata["particles_placed"] < 10
    assert metadata["particles_placed"] == structure.object_id.max() == len(json.loads(metadata["particles"]))


def test_no_particles_is_a_bare_substrate():
    structure = build(particles={"number": 0}, substrate={"thickness": 10})
    assert len(structure.numbers) == structure.metadata["n_atoms_substrate"] > 0
    assert structure.metadata["material"] == ""
    assert np.isnan(structure.metadata["radius_mean"])
    assert len(structure.only_particles().numbers) == 0
    assert structure.cell[2] == pytest.approx(10 + 2 * 4)


def test_particle_touching_its_own_image_is_an_error():
    with pytest.raises(StructureError, match=r"does not fit into field_of_view 40 Å; allowed:.* 41 Å or more"):
        place_discs([19.5], 40.0, 2.0, np.random.default_rng(0))


def test_substrate_too_sparse_to_rest_on_is_an_error():
    with pytest.raises(StructureError, match="no atom within 3 Å to rest on"):
        build(particles={"radius": 3.0}, substrate={"thickness": 1, "density": 0.001})


def test_given_cell_height_is_kept():
    assert build(particles={"radius": 7}, substrate={"thickness": 10}, cell_height=50).cell[2] == 50


def test_materials_are_drawn_for_each_particle():
    structure = build(
        3, particles={"number": 8, "radius": 5, "material": {"choice": ["Au", "CdSe"]}}, field_of_view=80.0
    )
    assert structure.metadata["material"] == "Au,CdSe"
    assert set(structure.numbers) == {79, 48, 34}


def test_metadata_are_flat_and_count_the_atoms():
    structure = build(particles={"number": 2, "planar_defects": {"number": 1}}, substrate={"thickness": 10})
    assert all(isinstance(value, int | float | str) for value in structure.metadata.values())
    assert set(structure.metadata) <= set(STRUCTURES)
    counts = np.bincount(structure.object_id)
    assert structure.metadata["n_atoms_substrate"] == counts[0]
    assert structure.metadata["n_atoms_particles"] == counts[1:].sum() == len(structure.only_particles().numbers)
    assert structure.metadata["planar_defects"] == 2


def test_to_ase_keeps_cell_atoms_and_objects():
    structure = build(substrate={"thickness": 5})
    atoms = structure.to_ase()
    np.testing.assert_array_equal(atoms.positions, structure.positions)
    np.testing.assert_array_equal(atoms.arrays["object_id"], structure.object_id)
    assert atoms.pbc.tolist() == [True, True, False]
    np.testing.assert_allclose(atoms.cell.lengths(), structure.cell)


def test_same_seed_gives_the_same_bytes_and_another_seed_others():
    keys = {
        "particles": {"number": {"uniform": [1, 4]}, "radius": {"normal": [6, 1], "clip": [4, 8]}},
        "substrate": {"thickness": {"uniform": [3, 9]}},
    }
    first, again, other = build(1, **keys), build(1, **keys), build(2, **keys)
    for name in ("positions", "numbers", "object_id", "role", "grain", "cell"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.metadata == again.metadata
    assert first.positions.tobytes() != other.positions.tobytes()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    field=st.floats(24, 45),
    number=st.integers(1, 4),
    radius=st.floats(3.5, 10),
    material=st.sampled_from(["Au", "Cu", "CdSe"]),
    defects=st.integers(0, 3),
    embedding=st.floats(0, 1),
    thickness=st.one_of(st.none(), st.floats(3, 15)),
    minimum_gap=st.floats(1, 4),
    minimum_distance=st.floats(1.2, 1.6),
    vacuum=st.floats(0, 6),
)
def test_every_valid_config_keeps_its_atoms_in_the_cell_and_apart(
    seed, field, number, radius, material, defects, embedding, thickness, minimum_gap, minimum_distance, vacuum
):
    structure = build(
        seed,
        field_of_view=field,
        vacuum=vacuum,
        particles={
            "number": number,
            "radius": {"uniform": [radius - 0.5, radius]},
            "material": material,
            "planar_defects": {"number": defects},
            "embedding": embedding,
            "minimum_gap": minimum_gap,
        },
        substrate=None if thickness is None else {"thickness": thickness, "minimum_distance": minimum_distance},
    )
    assert_in_cell(structure, vacuum)
    particles = particle_atoms(structure)
    assert len(particles) >= 1
    bond = load_material(material).nearest_neighbour_distance()
    for atoms in particles:
        assert nearest_pair(atoms, structure.cell) > min(0.9 * bond, minimum_gap)
    for first, second in combinations(particles, 2):
        assert periodic_tree(first, structure.cell).query(second)[0].min() >= minimum_gap - 1e-9
    if thickness is not None:
        carbon = structure.positions[structure.object_id == 0]
        assert nearest_pair(carbon, structure.cell) >= minimum_distance - 1e-9
        for gap in contact_gaps(structure):
            assert CLOSEST_CONTACT - 1e-9 <= gap <= WIDEST_CONTACT + 1e-9
