"""Scenes: precedence, smallest distances, the periodic cell and clipping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from exitwave.errors import StructureError
from exitwave.structures.body import make_body
from exitwave.structures.crystal import cut
from exitwave.structures.materials import load_material
from exitwave.structures.scene import Scene
from exitwave.structures.volumes import Everywhere, box, sphere

GOLD = load_material("Au")


def ball(radius, centre, seed=0):
    return cut(GOLD, sphere(radius), np.random.default_rng(seed)).moved(translation=np.asarray(centre, dtype=float))


def slab(edge, thickness, seed=0):
    rng = np.random.default_rng(seed)
    positions = rng.random((int(0.05 * edge**2 * thickness), 3)) * [edge, edge, thickness]
    return make_body(positions, np.full(len(positions), 6), box([1e3, 1e3, thickness], [0, 0, thickness / 2]), "a-C")


def minimum_image_distances(first, second, edge):
    difference = first[:, None] - second
    difference[..., :2] -= edge * np.round(difference[..., :2] / edge)
    return np.linalg.norm(difference, axis=-1)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    centre=st.tuples(*[st.floats(0, 40)] * 2), height=st.floats(8, 20), distance=st.floats(1, 3), seed=st.integers(0, 9)
)
def test_the_lower_gives_way_to_the_higher_precedence_across_the_seam(centre, height, distance, seed):
    scene = Scene([40, 40, 30])
    film, particle = slab(40, 15, seed), ball(7, [*centre, height], seed)
    scene.add(film)
    scene.add(particle, precedence=1, minimum_distance=distance)
    structure = scene.structure()
    carbon, gold = (structure.positions[structure.object_id == number] for number in (0, 1))
    assert len(gold) == len(particle)
    assert minimum_image_distances(carbon, gold, 40).min() >= distance
    from_centre = minimum_image_distances(carbon, np.array([[*centre, height]]), 40)
    assert from_centre.min() > 7
    # Nothing else was taken out: every atom that is gone was in the way.
    gone = minimum_image_distances(film.positions, carbon, 40).min(axis=1) > 1e-6
    near = minimum_image_distances(film.positions, gold, 40).min(axis=1) < distance
    inside = minimum_image_distances(film.positions, np.array([[*centre, height]]), 40)[:, 0] <= 7 + 1e-5
    assert not (gone & ~(near | inside)).any()


def test_the_order_of_adding_does_not_matter_to_precedence():
    atoms = []
    for swapped in (False, True):
        scene = Scene([40, 40, 30])
        bodies = [(slab(40, 15), 0, 0), (ball(7, [20, 20, 12]), 1, 1)]
        for body, precedence, number in reversed(bodies) if swapped else bodies:
            scene.add(body, precedence=precedence, object_id=number)
        structure = scene.structure()
        atoms.append({tuple(row) for row in structure.positions.round(9)})
    assert atoms[0] == atoms[1]


def test_overlap_without_precedence_is_an_error_that_names_the_objects():
    scene = Scene([40, 40, 30])
    scene.add(ball(6, [1, 20, 15]), object_id=3)
    scene.add(ball(6, [38, 20, 15], seed=1), object_id=5)
    with pytest.raises(StructureError, match=r"objects 3 and 5 have the same precedence, 0, .* allowed: 2 Å or more"):
        scene.structure()
    apart = Scene([40, 40, 30], periodic=False)
    apart.add(ball(6, [10, 20, 15]))
    apart.add(ball(6, [38, 20, 15]))
    assert len(apart.structure().positions)


def test_without_periodicity_atoms_outside_the_cell_are_cut_off():
    particle = ball(8, [0, 20, 15])
    scene = Scene([40, 50, 30], periodic=False)
    scene.add(particle)
    structure = scene.structure()
    inside = particle.positions[:, 0] >= 0
    np.testing.assert_array_equal(structure.positions, particle.positions[inside])
    assert not structure.to_ase().pbc.any()


def test_atoms_above_the_cell_are_an_error():
    scene = Scene([40, 40, 20])
    scene.add(ball(8, [20, 20, 15]))
    with pytest.raises(StructureError, match=r"atoms of 'Au' lie between .* allowed: 0 to the height of the cell, 20"):
        scene.structure()


def test_a_body_that_fills_everything_leaves_nothing_of_lower_precedence():
    scene = Scene([40, 40, 30])
    scene.add(slab(40, 15))
    alone = make_body(np.array([[1.0, 2, 3]]), np.array([79]), Everywhere(), "Au")
    scene.add(alone, precedence=1)
    assert scene.structure().numbers.tolist() == [79]


@pytest.mark.parametrize(
    ("cell", "words"), [([40, 50, 30], "square"), ([40, 40, 0], "above 0"), ([40, 40], "three edges")]
)
def test_impossible_cells_are_refused(cell, words):
    with pytest.raises(StructureError, match=words):
        Scene(cell)


def test_object_numbers_beyond_a_byte_are_refused():
    with pytest.raises(StructureError, match="object_id is 256; allowed: 0 to 255"):
        Scene([40, 40, 30]).add(ball(5, [20, 20, 15]), object_id=256)


def test_an_empty_scene_is_a_structure_without_atoms():
    structure = Scene([40, 40, 30]).structure(note="vacuum")
    assert structure.positions.shape == (0, 3)
    assert structure.metadata == {"note": "vacuum"}


def test_roles_grains_and_objects_stay_with_their_atoms():
    first, second = ball(6, [10, 20, 15]), ball(6, [30, 20, 15])
    marked = [
        type(first)(**{**vars(b), "role": np.arange(len(b)) % 7, "grain": np.arange(len(b)) % 5})
        for b in (first, second)
    ]
    scene = Scene([40, 40, 30])
    scene.add(marked[0], object_id=1)
    scene.add(marked[1], object_id=2)
    structure = scene.structure()
    for number, body in enumerate(marked, start=1):
        atoms = structure.object_id == number
        order = cdist(body.positions, structure.positions[atoms]).argmin(axis=1)
        np.testing.assert_array_equal(structure.role[atoms][order], body.role)
        np.testing.assert_array_equal(structure.grain[atoms][order], body.grain)


def test_a_body_wider_than_a_periodic_cell_is_an_error():
    scene = Scene([30, 30, 80])
    scene.add(ball(16, [15, 15, 40]))
    with pytest.raises(StructureError, match=r"object 0 is 3.* Å wide and would meet .* allowed: .* 30 Å, or less"):
        scene.structure()
    alone = Scene([30, 30, 80], periodic=False)
    alone.add(ball(16, [15, 15, 40]))
    assert len(alone.structure().positions)
