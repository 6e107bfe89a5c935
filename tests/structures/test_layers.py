"""Layers of two-dimensional materials: stacking, twist, ripples and islands."""

from itertools import product

import numpy as np
import pytest
from ase.build import graphene, mx2
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from exitwave.config.structures import LayeredSubstrate
from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal
from exitwave.structures.layers import island, layered_slab, stacked_layers
from exitwave.structures.materials import load_material
from exitwave.structures.volumes import Cylinder, Polyhedron

EDGE = 102.4
OUTLINES = ["circle", "hexagon", "triangle"]


def pairs(positions, reach, edge=EDGE):
    """Pairs of atoms [m], both ways, of a slab that is periodic in the plane, and the vectors [m, 3] between them."""
    found = cKDTree(positions, boxsize=[edge, edge, 0]).query_pairs(reach)
    first, second = np.array([*found, *[pair[::-1] for pair in found]]).T
    vectors = positions[second] - positions[first]
    vectors[:, :2] -= edge * np.round(vectors[:, :2] / edge)
    return first, second, vectors


def bond_angle(body, grain):
    """Angle [°] of a graphene layer modulo 60°, from its bonds alone."""
    bonds = pairs(body.positions[body.grain == grain], 1.6)[2]
    # The bonds are at 30° to the shortest lattice vectors.
    return (np.degrees(np.angle(np.mean(np.exp(6j * np.arctan2(bonds[:, 1], bonds[:, 0]))))) / 6 + 30) % 60


def between(first, second, period):
    return abs((first - second + period / 2) % period - period / 2)


def test_graphene_sheet_has_three_bonds_everywhere():
    body = stacked_layers(load_material("graphene"), 1, EDGE, np.random.default_rng(0))
    first, _, vectors = pairs(body.positions, 1.7)
    lengths = np.linalg.norm(vectors, axis=1)
    assert (np.bincount(first, minlength=len(body)) == 3).all()
    reference = neighbor_list("d", graphene(a=2.464), 1.6)
    assert np.abs(lengths / reference[0] - 1).max() <= body.details["strain"] + 1e-3
    assert lengths.mean() == pytest.approx(reference[0], rel=body.details["strain"])
    assert np.ptp(body.positions[:, 2]) == 0
    assert body.details["thickness"] == 0
    # Two atoms in each cell of the lattice.
    assert len(body) == pytest.approx(2 * EDGE**2 / (2.464**2 * np.sqrt(3) / 2), rel=0.03)


@pytest.mark.parametrize("material", ["MoS2", "WS2"])
def test_mx2_layer_is_the_prismatic_one(material):
    body = stacked_layers(load_material(material), 1, EDGE, np.random.default_rng(1))
    reference = mx2(material, "2H", a=3.16, thickness=3.14, vacuum=10)
    expected = neighbor_list("ijd", reference, 2.65)
    first, second, vectors = pairs(body.positions, 2.65)
    found = first, second, np.linalg.norm(vectors, axis=1)
    for numbers, (first, second, lengths) in ((body.numbers, found), (reference.numbers, expected)):
        metal = numbers != 16
        counts = np.bincount(first, minlength=len(numbers))
        assert set(counts[metal]) == {6}
        assert set(counts[~metal]) == {3}
        assert (metal[first] != metal[second]).all()
        assert lengths.mean() == pytest.approx(2.41, rel=0.02)
    # Prismatic: sulphur atoms above each other.
    lateral = np.unique(body.positions[body.numbers == 16][:, :2].round(6), axis=0)
    assert len(lateral) == (body.numbers == 16).sum() / 2


def test_untwisted_layers_keep_the_stacking_of_the_crystal():
    body = stacked_layers(load_material("graphene"), 4, EDGE, np.random.default_rng(2))
    assert np.ptp(body.details["angles"]) == 0
    assert set(np.bincount(body.grain)) == {len(body) // 4}
    heights = [np.unique(body.positions[body.grain == grain, 2]) for grain in range(4)]
    np.testing.assert_allclose(np.diff(np.concatenate(heights)), 3.355, atol=0.01)
    # Bernal: half of the atoms are straight above one of the next layer, all above one of the layer after that.
    for step, share in ((1, 0.5), (2, 1.0)):
        pair = [body.positions[body.grain == grain] for grain in (0, step)]
        above = pairs(np.concatenate(pair) * [1, 1, 0], 0.01)[0]
        assert len(above) == 2 * share * len(pair[0])


def test_bn_layers_have_unlike_atoms_above_each_other():
    body = stacked_layers(load_material("hBN"), 2, EDGE, np.random.default_rng(3))
    first, second, vectors = pairs(body.positions, 3.4)
    above = np.hypot(vectors[:, 0], vectors[:, 1]) < 0.01
    assert above.sum() == len(body)
    assert (body.numbers[first[above]] != body.numbers[second[above]]).all()


@pytest.mark.parametrize("twist", [2.0, -5.0, 13.2])
def test_layers_are_twisted_as_the_details_say(twist):
    body = stacked_layers(load_material("graphene"), 3, EDGE, np.random.default_rng(4), twist=twist, in_plane=10.0)
    angles, strain = body.details["angles"], body.details["strain"]
    for grain, angle in enumerate(angles):
        assert set(np.bincount(pairs(body.positions[body.grain == grain], 1.7)[0])) == {3}
        assert between(bond_angle(body, grain), angle, 60) < np.degrees(strain)
    assert between(angles[0], 10, 360) <= 3
    np.testing.assert_allclose(np.diff(angles), twist, atol=1.0)
    assert body.details["twist"] == pytest.approx((angles[2] - angles[0]) / 2)
    assert body.details["in_plane"] == angles[0]
    assert strain <= 0.02
    assert np.linalg.norm(pairs(body.positions, 1.7)[2], axis=1).min() > 1.42 * 0.98 - 0.01


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(["graphene", "hBN", "MoS2", "WSe2"]),
    st.integers(1, 4),
    st.floats(60, 130),
    st.integers(0, 2**32),
)
def test_layers_are_periodic_in_any_cell(material, layers, edge, seed):
    crystal = load_material(material)
    body = stacked_layers(crystal, layers, edge, np.random.default_rng(seed), largest_strain=0.03)
    nearest = crystal.nearest_neighbour_distance()
    first, _, vectors = pairs(body.positions, 1.1 * nearest, edge)
    lengths = np.linalg.norm(vectors, axis=1)
    counts = np.bincount(first, minlength=len(body))
    for number in set(body.numbers):
        assert len(set(counts[body.numbers == number])) == 1
    assert np.abs(lengths / nearest - 1).max() <= 0.03 + 0.01
    assert body.positions[:, :2].min() >= 0
    assert body.positions[:, :2].max() < edge
    assert body.positions[:, 2].min() == 0


def test_ripples_have_their_height_and_bend_all_layers_alike():
    crystal = load_material("graphene")
    body = stacked_layers(crystal, 2, EDGE, np.random.default_rng(5), ripple=0.8, ripple_length=40.0)
    lower = body.positions[body.grain == 0, 2]
    assert np.std(lower) == pytest.approx(0.8, rel=0.02)
    first, _, vectors = pairs(body.positions, 3.6)
    above = np.hypot(vectors[:, 0], vectors[:, 1]) < 0.01
    np.testing.assert_allclose(np.abs(vectors[above, 2]), 3.355, atol=0.01)
    assert (np.bincount(first[np.linalg.norm(vectors, axis=1) < 1.7]) == 3).all()


def test_block_of_the_config_is_obeyed_and_reproducible():
    block = LayeredSubstrate(kind="layers", material={"choice": ["MoS2"]}, layers={"uniform": [2, 3]}, ripple=0.2)
    first, again, other = (layered_slab(block, EDGE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.positions.tobytes() == again.positions.tobytes()
    assert first.positions.tobytes() != other.positions.tobytes()
    assert first.details["material"] == "MoS2"
    assert first.details["layers"] in (2, 3)
    assert first.details["twist"] == 0
    assert first.grain.max() + 1 == first.details["layers"]


@pytest.mark.parametrize("outline", OUTLINES)
@pytest.mark.parametrize("material", ["graphene", "hBN", "MoS2"])
def test_island_has_the_area_of_its_radius_and_no_loose_atom(material, outline):
    crystal = load_material(material)
    body = island(crystal, 2, outline, 25.0)
    area = np.linalg.norm(np.cross(crystal.cell[0], crystal.cell[1]))
    assert len(body) == pytest.approx(np.pi * 25**2 / area * len(crystal.numbers), rel=0.1)
    assert body.solid.contains(body.positions).all()
    if isinstance(body.solid, Polyhedron):
        assert body.solid.volume() == pytest.approx(np.pi * 25**2 * crystal.cell[2, 2], rel=1e-6)
    else:
        assert isinstance(body.solid, Cylinder)
        assert (body.solid.radius, body.solid.length) == pytest.approx((25, crystal.cell[2, 2]))
    longest = 2.65 if material == "MoS2" else 1.7
    bonds = np.bincount(pairs(body.positions + 50, longest)[0], minlength=len(body))
    assert bonds[body.numbers != 42].min() == 2
    assert set(body.grain) == {0, 1}
    assert np.ptp(body.positions[:, 2]) < crystal.cell[2, 2]
    assert abs(body.positions[:, 2].min() + body.positions[:, 2].max()) < 1e-9
    assert body.details == {"material": material, "layers": 2, "outline": outline, "radius": 25.0}


@pytest.mark.parametrize("radius", [8.0, 13.0, 21.0, 30.0])
def test_triangular_graphene_island_is_a_zigzag_triangulene(radius):
    # A triangulene of n hexagons along its edge has n² + 4 n + 1 carbon atoms.
    count = len(island(load_material("graphene"), 1, "triangle", radius))
    n = round(np.sqrt(count + 3) - 2)
    assert count == n**2 + 4 * n + 1


@pytest.mark.parametrize("outline", OUTLINES)
def test_island_of_one_layer_has_a_threefold_axis(outline):
    body = island(load_material("MoS2"), 1, outline, 18.0)
    cosine, sine = np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)
    turned = body.positions @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]).T
    offsets = np.linalg.norm(turned[:, None] - body.positions, axis=-1)
    assert offsets.min(axis=1).max() < 1e-6
    assert (body.numbers[offsets.argmin(axis=1)] == body.numbers).all()


def test_edges_of_an_island_are_along_the_shortest_lattice_vectors():
    crystal = load_material("hBN")
    body = island(crystal, 1, "triangle", 20.0)
    vectors = np.array([i * crystal.cell[0] + j * crystal.cell[1] for i, j in product((-1, 0, 1), repeat=2)])
    lengths = np.linalg.norm(vectors, axis=1)
    shortest = vectors[np.abs(lengths - lengths[lengths > 0].min()) < 1e-6]
    sides = body.solid.normals[np.abs(body.solid.normals[:, 2]) < 0.5]
    assert len(sides) == 3
    for side in sides:
        assert np.abs(shortest @ side).min() < 1e-9


def test_crystal_without_layers_is_refused():
    for make in (lambda c: stacked_layers(c, 1, EDGE, np.random.default_rng(0)), lambda c: island(c, 1, "circle", 20)):
        with pytest.raises(StructureError, match=r"'Au' does not consist of layers; allowed: .*graphene"):
            make(load_material("Au"))


@pytest.mark.parametrize("layers", [0, 256])
def test_number_of_layers_has_limits(layers):
    with pytest.raises(StructureError, match=f"layers is {layers}; allowed: 1 to 255"):
        stacked_layers(load_material("graphene"), layers, EDGE, np.random.default_rng(0))


def test_island_without_an_atom_is_refused():
    with pytest.raises(StructureError, match=r"radius is 0\.4 Å"):
        island(load_material("graphene"), 1, "circle", 0.4)


def test_cell_too_small_for_a_layer_is_refused():
    with pytest.raises(StructureError, match=r"largest_strain is 0\.001"):
        stacked_layers(load_material("MoS2"), 1, 20.0, np.random.default_rng(0), largest_strain=0.001)


def test_layers_are_found_wherever_the_cell_cuts_them():
    whole = load_material("MoS2")
    shifted = Crystal("MoS2", whole.cell, (whole.fractional + np.array([0, 0, 0.3])) % 1, whole.numbers, layers=2)
    first, second = (stacked_layers(crystal, 1, EDGE, np.random.default_rng(7)) for crystal in (whole, shifted))
    assert first.details["thickness"] == pytest.approx(second.details["thickness"])
    assert len(first) == len(second)
