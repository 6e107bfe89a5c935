"""Whole structures: particles on their substrate in the periodic cell."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.data.columns import columns_of
from exitwave.errors import StructureError
from exitwave.structures.amorphous import AMORPHOUS_MATERIALS
from exitwave.structures.body import SiteRole
from exitwave.structures.materials import load_material
from exitwave.structures.network import CLOSEST as CLOSEST_IN_NETWORK
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
    assert structure.cell[2] == pytest.approx(np.ptp(structure.positions[:, 2]) + 2 * 4)
    assert structure.cell[2] == pytest.approx(10 + 2 * 4, abs=0.3)


def test_particle_touching_its_own_image_is_an_error():
    with pytest.raises(StructureError, match=r"does not fit into field_of_view 40 Å; allowed:.* 41 Å or more"):
        place_discs([19.5], 40.0, 2.0, np.random.default_rng(0))


def test_substrate_too_sparse_to_rest_on_is_an_error():
    with pytest.raises(StructureError, match="no atom within 3 Å to rest on"):
        build(particles={"radius": 3.0}, substrate={"thickness": 1, "density": 0.02})


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
    assert set(structure.metadata) <= set(columns_of("structures"))
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
    assert digest(first) == digest(again)
    assert first.positions.tobytes() != other.positions.tobytes()


def digest(structure):
    """All bytes of a structure, and all that is said of it."""
    found = hashlib.sha256()
    for name in ("positions", "numbers", "object_id", "role", "grain", "cell"):
        found.update(getattr(structure, name).tobytes())
    found.update(json.dumps(structure.metadata, sort_keys=True).encode())
    return found.hexdigest()


SUBSTRATES = {
    "carbon": {"thickness": 12},
    "rough silica": {"thickness": 12, "material": "a-SiO2", "roughness": 1.5},
    "nitride": {"thickness": 10, "material": "a-SiNx"},
    "network": {"thickness": 10, "structure": "network"},
    "ceria": {"kind": "crystal", "material": "CeO2", "thickness": 8, "largest_strain": 0.05},
    "rough silicon": {
        "kind": "crystal",
        "material": "Si",
        "surface": [1, 0, 0],
        "thickness": 9,
        "roughness": 1,
        "largest_strain": 0.05,
    },
    "graphene": {"kind": "layers", "material": "graphene", "layers": 2, "twist": 5, "largest_strain": 0.05},
    "MoS2": {"kind": "layers", "material": "MoS2", "largest_strain": 0.05, "ripple": 0.3},
}
PARTICLES = {
    "spheres": {"planar_defects": {"number": 1}},
    "wulff": {"material": "Pt", "shape": {"kind": "wulff", "energies": {"111": 1, "100": 1.15}}},
    "winterbottom": {"shape": {"kind": "winterbottom", "energies": {"111": 1, "100": 1.15}}},
    "twinned": {"shape": {"choice": ["decahedron", "icosahedron"]}},
    "rods": {"material": "CdSe", "shape": {"kind": "rod", "aspect": 1.5}},
    "core-shell": {"shell": {"material": "Pd", "thickness": 2.5, "grains": 2}},
    "grains": {"material": "CeO2", "grains": 3, "shape": "octahedron"},
    "islands": {"material": "WS2", "shape": {"kind": "island", "layers": 2}},
    "defective": {
        "material": "CdSe",
        "vacancies": 0.03,
        "antisites": 0.05,
        "dopants": [{"element": "Te", "host": "Se", "fraction": 0.2}],
        "strain": {"zz": -0.02},
    },
    "ligands": {"radius": 5, "ligands": {"molecule": "CH3SH", "anchor": "S", "density": 1.5}},
}


def closest_in_particle(name):
    """Smallest distance of the atoms of a particle that its kind allows [Å]."""
    keys = PARTICLES[name]
    materials = [keys.get("material", "Au"), keys.get("shell", {}).get("material", "Au")]
    bond = min(load_material(material).nearest_neighbour_distance() for material in materials)
    # Strains of at most a few %; where grains meet 0.85 of a bond is kept.
    return bond * (0.85 if {"grains", "shell"} & set(keys) else 0.95) - 1e-6


def closest_in_substrate(name):
    keys = SUBSTRATES[name]
    if keys.get("structure") == "network":
        return CLOSEST_IN_NETWORK
    if "kind" not in keys:
        return min(AMORPHOUS_MATERIALS[keys.get("material", "a-C")].minimum_distances.values())
    # Stretched by at most 0.05; the layers of a twisted stack are further apart than that.
    return load_material(keys["material"]).nearest_neighbour_distance() * 0.94


def touching(structure, contact, gap):
    """Whether every particle has the substrate, or else another particle, as near as at contact."""
    found = []
    atoms = particle_atoms(structure)
    substrate = structure.positions[structure.object_id == 0]
    for number, own in enumerate(atoms):
        others = np.concatenate([np.empty((0, 3)), *[a for other, a in enumerate(atoms) if other != number]])
        near = [(substrate, contact + CONTACT_TOLERANCE), (others, gap + CONTACT_TOLERANCE)]
        found.append(any(len(o) and periodic_tree(o, structure.cell).query(own)[0].min() <= d + 1e-9 for o, d in near))
    return found


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    field=st.floats(40, 50),
    number=st.integers(1, 4),
    radius=st.floats(5, 7),
    particles=st.sampled_from(sorted(PARTICLES)),
    substrate=st.sampled_from([None, *sorted(SUBSTRATES)]),
    arrangement=st.sampled_from(["dispersed", "agglomerate"]),
    embedding=st.one_of(st.none(), st.floats(0, 1)),
    contact=st.floats(2.2, 3.5),
    minimum_gap=st.floats(1.5, 4),
    vacuum=st.floats(0, 6),
)
def test_every_valid_config_keeps_its_atoms_in_the_cell_and_apart(
    seed, field, number, radius, particles, substrate, arrangement, embedding, contact, minimum_gap, vacuum
):
    if substrate in ("graphene", "MoS2"):
        embedding = 0.0  # what sinks through a layer or two has nothing left to rest on
    structure = build(
        seed,
        field_of_view=field,
        vacuum=vacuum,
        particles={
            "radius": {"uniform": [radius - 0.5, radius]},
            **PARTICLES[particles],
            "number": number,
            "arrangement": arrangement,
            "embedding": None if substrate is None else embedding,
            "contact": contact,
            "minimum_gap": minimum_gap,
        },
        substrate=None if substrate is None else SUBSTRATES[substrate],
    )
    assert_in_cell(structure, vacuum)
    gap = minimum_gap
    atoms = particle_atoms(structure)
    assert len(atoms) >= 1
    for i in range(1, len(atoms) + 1):
        own = (structure.object_id == i) & (structure.role & SiteRole.ADSORBATE == 0)
        # Nearer neither to each other nor, as the particle fits into the cell with its gap, to a periodic image.
        assert nearest_pair(structure.positions[own], structure.cell) >= min(closest_in_particle(particles), gap - 1e-6)
    for first, second in combinations(atoms, 2):
        assert periodic_tree(first, structure.cell).query(second)[0].min() >= gap - 1e-6
    if substrate is not None:
        slab = structure.positions[structure.object_id == 0]
        assert nearest_pair(slab, structure.cell) >= closest_in_substrate(substrate) - 1e-6
        for distance in contact_gaps(structure):
            assert distance >= contact - CONTACT_TOLERANCE - 1e-6
            assert arrangement == "agglomerate" or distance <= contact + CONTACT_TOLERANCE + 1e-6
    if substrate is not None or (arrangement == "agglomerate" and len(atoms) > 1):
        assert all(touching(structure, contact, gap))


@pytest.mark.parametrize("name", sorted(SUBSTRATES))
def test_every_substrate_fills_the_whole_periodic_plane(name):
    structure = build(1, substrate=SUBSTRATES[name], particles={"number": 0}, field_of_view=44.0)
    assert set(structure.object_id) == {0}
    keys, metadata = SUBSTRATES[name], structure.metadata
    material = keys.get("material", "a-C")
    assert metadata["substrate"] == material
    lateral = structure.positions[:, :2]
    # No gap at the seam that is wider than any gap inside.
    probes = np.random.default_rng(0).random((4000, 2)) * 44
    empty = cKDTree(lateral, boxsize=44).query(probes)[0]
    seam = np.minimum(probes, 44 - probes).min(axis=1) < 2
    assert empty[seam].max() <= 1.3 * empty[~seam].max()
    elements = set(structure.numbers.tolist())
    if "kind" in keys:
        assert elements == set(load_material(material).numbers.tolist())
        assert abs(metadata["substrate_strain"]) <= 0.05
        assert 0 <= metadata["substrate_in_plane"] < 360
    else:
        density = keys.get("density", AMORPHOUS_MATERIALS[material].density)
        assert metadata["substrate_density"] == density
        from ase.data import atomic_masses

        grams = atomic_masses[structure.numbers].sum() * 1.66053907e-24
        # Rough faces keep the mean thickness.
        made = grams / (44**2 * keys["thickness"] * 1e-24)
        assert made == pytest.approx(density, rel=0.06 if "roughness" in keys else 0.02)
        assert (structure.role == SiteRole.AMORPHOUS).all()
    if keys.get("kind") == "layers":
        assert metadata["substrate_layers"] == keys.get("layers", 1) == len(np.unique(structure.grain))


def test_roughness_moves_the_faces_and_is_recorded():
    smooth, rough = (
        build(2, substrate={"thickness": 30, "roughness": roughness}, particles={"number": 0}, field_of_view=80.0)
        for roughness in (0.0, 3.0)
    )

    def relief(structure):
        """Standard deviation of the highest atom over squares of the face."""
        squares = (structure.positions[:, :2] // 8).astype(int) @ [10, 1]
        return np.std([structure.positions[squares == square, 2].max() for square in np.unique(squares)])

    assert relief(smooth) < 1
    assert 1.5 < relief(rough) < 6
    assert (smooth.metadata["substrate_roughness"], rough.metadata["substrate_roughness"]) == (0, 3)


@pytest.mark.parametrize("substrate", [None, "carbon", "ceria"])
def test_agglomerates_touch_and_overlap_in_projection(substrate):
    overlaps = 0
    for seed in range(12):
        structure = build(
            seed,
            particles={
                "number": 5,
                "radius": {"uniform": [4, 7]},
                "arrangement": "agglomerate",
                "embedding": None if substrate is None else 0.1,
            },
            substrate=None if substrate is None else SUBSTRATES[substrate],
            field_of_view=50.0,
        )
        assert structure.metadata["particles_placed"] == 5
        assert all(touching(structure, CONTACT, CONTACT))
        for first, second in combinations(particle_atoms(structure), 2):
            assert periodic_tree(first, structure.cell).query(second)[0].min() >= CONTACT - 1e-6
            flat = cKDTree(first[:, :2], boxsize=50).query(second[:, :2])[0]
            overlaps += (flat < 1.5).sum() > 5
        # Each is bound to the rest: the gaps between surfaces make one cluster.
        described = json.loads(structure.metadata["particles"])
        centres, radii = np.array([p["center"] for p in described]), np.array([p["radius"] for p in described])
        difference = centres[:, None] - centres
        difference[..., :2] -= 50 * np.round(difference[..., :2] / 50)
        near = np.hypot(difference[..., 0], difference[..., 1]) < radii[:, None] + radii + CONTACT + 1
        reached = {0}
        for _ in range(5):
            reached |= {int(j) for i in reached for j in np.flatnonzero(near[i])}
        assert len(reached) == 5
    assert overlaps > 0


def test_dispersed_particles_never_overlap_in_projection():
    for seed in range(8):
        structure = build(seed, particles={"number": 4, "radius": 5.0, "shape": "cube"}, substrate={"thickness": 5})
        for first, second in combinations(particle_atoms(structure), 2):
            assert cKDTree(first[:, :2], boxsize=40).query(second[:, :2])[0].min() >= CONTACT - 1e-6


def test_core_and_shell_keep_their_places_in_the_scene():
    structure = build(
        3,
        particles={"radius": 9, "shell": {"material": "Ag", "thickness": 3, "grains": 2}},
        substrate={"thickness": 8},
    )
    (particle,) = json.loads(structure.metadata["particles"])
    own = structure.object_id == 1
    relative = structure.positions[own] - particle["center"]
    relative[:, :2] -= 40 * np.round(relative[:, :2] / 40)
    distance = np.linalg.norm(relative, axis=1)
    assert distance[structure.grain[own] == 0].max() <= 6 + 1e-6
    assert distance.max() <= 9 + 1e-6
    assert set(structure.numbers[own]) == {79, 47}
    np.testing.assert_array_equal(structure.numbers[own] == 79, structure.grain[own] == 0)
    assert structure.metadata["shell_thickness"] == 3
    assert (particle["shell_material"], particle["domains"]) == ("Ag", 3)


def test_ligands_are_no_particles_and_are_counted():
    structure = build(3, particles={"radius": 6, **PARTICLES["ligands"]}, substrate={"thickness": 5})
    adsorbed = structure.role & SiteRole.ADSORBATE > 0
    assert structure.metadata["ligands"] == adsorbed.sum() / 6 > 0
    assert set(structure.only_particles().numbers) == {79}
    assert structure.metadata["n_atoms_particles"] == (structure.object_id == 1).sum() - adsorbed.sum()


def test_a_winterbottom_particle_lies_on_its_substrate_with_its_interface():
    structure = build(5, particles={"radius": 9, **PARTICLES["winterbottom"]}, substrate=SUBSTRATES["ceria"])
    (atoms,) = particle_atoms(structure)
    lowest = atoms[atoms[:, 2] < atoms[:, 2].min() + 1e-3]
    top = structure.positions[structure.object_id == 0, 2].max()
    assert len(lowest) > 15
    assert 1.5 < lowest[0, 2] - top < CONTACT


def test_embedding_left_out_is_shallow_in_amorphous_and_none_on_crystals():
    def height(substrate, embedding):
        structure = build(2, particles={"radius": 10, "embedding": embedding}, substrate=substrate)
        return particle_atoms(structure)[0][:, 2].min()

    carbon, ceria = {"thickness": 20}, SUBSTRATES["ceria"]
    assert height(carbon, None) == pytest.approx(height(carbon, 0.0) - 0.2 * 10)
    assert height(ceria, None) == pytest.approx(height(ceria, 0.0))


# What is said of a structure


def test_the_projected_area_is_that_of_a_disc_and_of_the_atoms_seen():
    shape = {"kind": "platelet", "aspect": 4, "outline": "circle", "normal": [0, 0, 1]}
    for seed in range(5):
        structure = build(
            seed,
            particles={"radius": 12, "shape": shape, "orientation": {"facet": [0, 0, 1]}},
            substrate={"thickness": 5},
            field_of_view=60.0,
        )
        disc = np.pi * (12 * np.cbrt(2 / 3 * 4)) ** 2
        # Atoms are counted by their centres, up to a spacing of columns inside the disc, with a reach of 1.5 Å.
        assert structure.metadata["projected_area"] == pytest.approx(disc, rel=0.12)
        points = np.random.default_rng(1).random((40000, 2)) * 60
        shadow = cKDTree(structure.only_particles().positions[:, :2], boxsize=60).query(points)[0] <= 1.5
        assert structure.metadata["projected_area"] == pytest.approx(shadow.mean() * 60**2, rel=0.04)


def test_what_overlaps_is_counted_once_in_the_projected_area():
    structure = build(1, particles={"number": 6, "radius": 7, "arrangement": "agglomerate"}, field_of_view=60.0)
    points = np.random.default_rng(1).random((40000, 2)) * 60
    shadow = cKDTree(structure.positions[:, :2], boxsize=60).query(points)[0] <= 1.5
    assert structure.metadata["projected_area"] == pytest.approx(shadow.mean() * 60**2, rel=0.04)


def test_the_content_hash_changes_with_every_atom_and_only_with_what_is_stored():
    structure = build(substrate={"thickness": 5})
    known = structure.metadata["content_hash"]
    assert structure.content_hash() == known
    for index in (0, len(structure.numbers) // 2, -1):
        moved, other = structure.positions.copy(), structure.numbers.copy()
        moved[index, 1] += 1e-3
        other[index] += 1
        for changed in (replace(structure, positions=moved), replace(structure, numbers=other)):
            assert changed.content_hash() != known
    for name in ("object_id", "role", "grain"):
        array = getattr(structure, name).copy()
        array[3] += 1
        assert replace(structure, **{name: array}).content_hash() != known
    assert replace(structure, cell=structure.cell + np.array([0, 0, 1])).content_hash() != known
    assert replace(structure, metadata={}).content_hash() == known


def test_every_particle_is_described_with_its_place_and_orientation():
    structure = build(
        4,
        particles={"number": 3, "radius": 6, "material": "Cu", "orientation": {"zone_axis": [1, 1, 0], "tilt": 4}},
        substrate={"thickness": 8},
        field_of_view=50.0,
    )
    described = json.loads(structure.metadata["particles"])
    assert len(described) == structure.metadata["particles_placed"] == 3
    for atoms, particle in zip(particle_atoms(structure), described, strict=True):
        relative = atoms - particle["center"]
        relative[:, :2] -= 50 * np.round(relative[:, :2] / 50)
        assert particle["n_atoms"] == len(atoms)
        assert np.linalg.norm(relative, axis=1).max() <= 6 + 1e-6
        crystal = relative @ Rotation.from_quat(particle["quaternion"]).as_matrix() / 3.6150 * 2
        # Sites of a face-centred lattice differ by whole halves of its edge, even in their sum.
        steps = crystal - crystal[0]
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
        assert (np.round(steps).sum(axis=1) % 2 == 0).all()
        assert (particle["zone_axis"], particle["zone_axis_tilt"]) == ([1, 1, 0], pytest.approx(4))
    assert structure.metadata["zone_axis"] == "1 1 0"
    assert structure.metadata["zone_axis_tilt"] == pytest.approx(4)


# Reproducibility

SCENES = [
    ("spheres", "carbon", "dispersed"),
    ("wulff", "rough silica", "agglomerate"),
    ("twinned", "network", "dispersed"),
    ("rods", "ceria", "agglomerate"),
    ("core-shell", "nitride", "dispersed"),
    ("grains", "rough silicon", "dispersed"),
    ("islands", "MoS2", "dispersed"),
    ("defective", "graphene", "agglomerate"),
    ("ligands", None, "agglomerate"),
]
ELSEWHERE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("scenes", sys.argv[1])
scenes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scenes)
print("\\n".join(scenes.digests()))
"""


def digests():
    return [
        digest(
            build(
                number,
                particles={"number": 3, **PARTICLES[particles], "arrangement": arrangement},
                substrate=None if substrate is None else SUBSTRATES[substrate],
            )
        )
        for number, (particles, substrate, arrangement) in enumerate(SCENES)
    ]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_same_seed_gives_the_same_bytes_in_a_fresh_process_on_any_number_of_threads(threads):
    limits = {f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    command = [sys.executable, "-c", ELSEWHERE, __file__]
    environment = {**os.environ, **limits, "PYTHONHASHSEED": threads}
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert elsewhere.stdout.split() == digests()


def test_no_particle_and_no_substrate_are_vacuum():
    structure = build(particles={"number": 0, "embedding": None}, substrate=None)
    assert structure.positions.shape == (0, 3)
    assert (structure.cell > 0).all()
