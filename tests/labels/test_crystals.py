"""The crystals of particles: how each grain is turned, against where its atoms are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.labels.crystals import atomic_volumes, crystal_domains


def particles_of(structure):
    atoms = structure.only_particles()
    for object_id in np.unique(atoms.object_id):
        chosen = atoms.object_id == object_id
        yield int(object_id), atoms.positions[chosen], atoms.grain[chosen]


def misfit(positions, domain, reach):
    """Root mean square distance [Å] of the bonds of a domain's inner atoms from lattice vectors of its rotation."""
    cell = domain.crystal.cell
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    offsets = domain.crystal.fractional[:, None] - domain.crystal.fractional
    vectors = ((grid + offsets.reshape(1, -1, 3)) @ cell).reshape(-1, 3) @ domain.rotation.T
    own = positions[domain.atoms]
    pairs = cKDTree(own).query_pairs(reach, output_type="ndarray")
    bonds = own[pairs[:, 1]] - own[pairs[:, 0]]
    return np.sqrt((cKDTree(vectors).query(bonds)[0] ** 2).mean())


@pytest.mark.parametrize(
    ("particles", "domains", "largest"),
    [
        ({"material": "Au"}, 1, 1e-3),
        ({"material": "CdSe"}, 1, 1e-3),
        ({"material": "Au", "planar_defects": {"number": 1, "kinds": ["twin"]}}, 2, 1e-3),
        ({"material": "Au", "planar_defects": {"number": 2, "kinds": ["twin"]}}, 2, 1e-3),
        ({"material": "Au", "grains": 3}, 3, 1e-3),
        ({"material": "Au", "shell": {"material": "Ag", "thickness": 6, "grains": 2}}, 3, 1e-3),
        (
            {"material": "Au", "grains": 2, "shell": {"material": "Pd", "thickness": 6, "orientation": "random"}},
            3,
            1e-3,
        ),
        # Strained by 1.4 % and 5 % to close their gaps.
        ({"material": "Au", "shape": "decahedron"}, 5, 0.06),
        ({"material": "Au", "shape": "icosahedron"}, 20, 0.16),
    ],
    ids=["gold", "wurtzite", "twin", "two twins", "grains", "shell", "grains and shell", "decahedron", "icosahedron"],
)
def test_bonds_of_every_domain_are_vectors_of_its_turned_lattice(scenes, particles, domains, largest):
    # Somewhere a particle lies across the edge of the cell.
    structure = scenes.recipe(radius=16, seed=6, **particles)
    for object_id, positions, grain in particles_of(structure):
        unwrapped = positions.copy()
        centre = np.array(json.loads(structure.metadata["particles"])[object_id - 1]["center"])
        unwrapped[:, :2] -= structure.cell[:2] * np.round((positions - centre)[:, :2] / structure.cell[:2])
        found = crystal_domains(structure, object_id, unwrapped, grain)
        assert len(found) == domains
        assert sorted(np.concatenate([domain.atoms for domain in found])) == list(range(len(positions)))
        for domain in found:
            reach = 1.2 * domain.crystal.nearest_neighbour_distance()
            assert misfit(unwrapped, domain, reach) < largest


def test_atoms_beyond_a_twin_are_found_a_period_away(scenes):
    structure = scenes.recipe(material="Au", radius=16, seed=6, planar_defects={"number": 1, "kinds": ["twin"]})
    ((object_id, positions, grain),) = particles_of(structure)
    centre = np.array(json.loads(structure.metadata["particles"])[0]["center"])
    positions[:, :2] -= structure.cell[:2] * np.round((positions - centre)[:, :2] / structure.cell[:2])
    moved = positions + structure.cell * [1, -1, 0]
    here, there = (crystal_domains(structure, object_id, places, grain) for places in (positions, moved))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.atoms, other.atoms)


def test_volume_of_an_atom_is_that_of_its_crystal_and_strain(scenes):
    structure = scenes.recipe(
        material="Au", radius=14, shell={"material": "Ag", "thickness": 5}, strain={"xx": 0.02, "yy": 0.01}
    )
    ((object_id, positions, grain),) = particles_of(structure)
    domains = crystal_domains(structure, object_id, positions, grain)
    volumes = atomic_volumes(domains, len(positions))
    numbers = structure.only_particles().numbers
    # a³ / 4 of face-centred cubic gold and silver.
    np.testing.assert_allclose(volumes[numbers == 79], 4.07825**3 / 4 * 1.02 * 1.01)
    np.testing.assert_allclose(volumes[numbers == 47], 4.0862**3 / 4 * 1.02 * 1.01)


def test_particle_that_the_metadata_do_not_describe_is_refused(scenes):
    structure = scenes.recipe(material="Au", radius=9)
    ((_, positions, grain),) = particles_of(structure)
    with pytest.raises(StructureError, match=r"describes 1 particles.*object id 2"):
        crystal_domains(structure, 2, positions, grain)
    structure.metadata["particles"] = '[{"material": "Au"}]'
    with pytest.raises(StructureError, match="lack center, quaternion"):
        crystal_domains(structure, 1, positions, grain)
