"""Bravais classes of plane lattices, and lattices of columns: invariant, right by strain, and as spglib has them."""

from __future__ import annotations

import numpy as np
import pytest

from exitwave.structures.lattice2d import (
    bravais_class,
    columns_of,
    deviation,
    lattice_of_atoms,
    lattice_of_columns,
    nearest_distance,
    project,
    published_class,
    reduced,
)
from exitwave.structures.layer_groups import class_of_motif, layer_group
from exitwave.structures.monolayer_library import library, prototypes

RANK = {"oblique": 0, "rectangular": 1, "rhombus": 1, "square": 2, "hexagonal": 2}


def cell(a, b, gamma):
    angle = np.radians(gamma)
    return np.array([[a, 0.0], [b * np.cos(angle), b * np.sin(angle)]])


def turned(vectors, angle):
    cosine, sine = np.cos(angle), np.sin(angle)
    return vectors @ np.array([[cosine, sine], [-sine, cosine]])


EXAMPLES = {
    "hexagonal": cell(3.2, 3.2, 120),
    "square": cell(4.0, 4.0, 90),
    "rectangular": cell(3.3, 4.6, 90),
    "rhombus": cell(3.9, 3.9, 103),
    "oblique": cell(3.5, 5.1, 101),
}


def unimodular(rng):
    """A random change of basis with determinant 1 or -1."""
    change = np.eye(2, dtype=int)
    for _ in range(rng.integers(1, 7)):
        step = np.eye(2, dtype=int)
        step[tuple(rng.permutation(2))] = rng.integers(-3, 4)
        change = step @ change
    return change[rng.permutation(2)] * rng.choice([-1, 1], size=(2, 1))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_class_is_that_of_the_lattice_and_not_of_its_cell(name):
    rng = np.random.default_rng(0)
    reference = bravais_class(EXAMPLES[name])
    assert reference.name == name
    for _ in range(2000):
        changed = turned(unimodular(rng) @ EXAMPLES[name], rng.uniform(0, 2 * np.pi))
        if rng.random() < 0.5:
            changed = changed * [-1, 1]
        found = bravais_class(changed)
        assert found.name == name
        assert found.margin == pytest.approx(reference.margin, rel=1e-6)


def test_strains_are_those_that_make_the_lattice_of_the_class():
    stretched = bravais_class(cell(4.0, 4.0 * 1.03, 90))
    # About half is taken from one axis, and half from the other.
    assert stretched.strains["square"] == pytest.approx(np.log(1.03) / 2, rel=0.02)
    assert stretched.strains["rectangular"] == pytest.approx(0, abs=1e-12)
    assert stretched.name == "rectangular"
    assert stretched.margin == pytest.approx(stretched.strains["square"])
    # A shear of a square by an angle g has the principal strains ±g/2, and is a rhombus.
    sheared = bravais_class(cell(4.0, 4.0, 91))
    assert sheared.name == "rhombus"
    assert sheared.strains["square"] == pytest.approx(np.radians(1) / 2, rel=0.02)
    assert sheared.strains["rectangular"] == pytest.approx(np.radians(1) / 2, rel=0.02)


@pytest.mark.parametrize(
    ("a", "b", "gamma", "name"),
    [
        (3.2, 3.2, 120, "hexagonal"),
        (3.2, 3.204, 60.004, "hexagonal"),
        (3.2, 3.2, 119.99, "rhombus"),
        (4, 4, 90, "square"),
        (4, 4.01, 90, "rectangular"),
        (4, 4, 90.01, "rhombus"),
        (4, 4.01, 90.01, "oblique"),
    ],
)
def test_published_labels_follow_the_rounded_cell(a, b, gamma, name):
    assert published_class(cell(a, b, gamma)) == name


def test_published_labels_depend_on_the_cell():
    # Centred rectangle, and the cell of one corner and the centre; hexagonal, with another second vector.
    wide = cell(4, 7, 90)
    assert published_class(wide) == "rectangular"
    assert published_class(np.array([wide[0], (wide[0] + wide[1]) / 2])) == "oblique"
    hexagonal = EXAMPLES["hexagonal"]
    assert published_class(hexagonal) == "hexagonal"
    assert published_class(np.array([hexagonal[0], hexagonal[1] + 2 * hexagonal[0]])) == "oblique"


def test_a_strain_below_the_tolerance_is_forgiven_and_one_above_is_not():
    for strain, name in ((0.004, "hexagonal"), (0.02, "rhombus")):
        lattice = EXAMPLES["hexagonal"] @ np.diag([1 + strain, 1 - strain])
        assert bravais_class(lattice).name == name
        assert bravais_class(lattice).strains["hexagonal"] == pytest.approx(strain, rel=0.03)


@pytest.mark.parametrize("name", EXAMPLES)
def test_strain_and_scale_between_lattices_do_not_depend_on_their_cells(name):
    rng = np.random.default_rng(5)
    for _ in range(100):
        scale, strain, axis = rng.uniform(-0.2, 0.2), rng.uniform(0, 0.03), turned(np.eye(2), rng.uniform(0, np.pi))
        stretch = (1 + scale) * axis.T @ np.diag(np.exp([strain, -strain])) @ axis
        found = deviation(turned(unimodular(rng) @ EXAMPLES[name] @ stretch, rng.uniform(0, 6)), EXAMPLES[name])
        assert found.strain == pytest.approx(strain, abs=1e-9)
        assert found.scale == pytest.approx(scale, abs=1e-9)


@pytest.mark.parametrize("vectors", [[[1, 0], [2, 0]], [[0, 0], [1, 0]], [[np.nan, 0], [0, 1]]])
def test_what_spans_no_lattice_is_refused(vectors):
    with pytest.raises(ValueError, match="two that are not parallel"):
        bravais_class(np.array(vectors, float))


def test_the_shortest_vectors_are_found():
    rng = np.random.default_rng(1)
    for _ in range(200):
        vectors = rng.normal(size=(2, 2))
        first, second = reduced(unimodular(rng) @ vectors)
        around = np.array([(i, j) for i in range(-9, 10) for j in range(-9, 10) if (i, j) != (0, 0)])
        points = around @ np.stack([first, second])
        points = points[np.argsort(np.linalg.norm(points, axis=1))]
        # The shortest of all, and the shortest that is not along it.
        across = np.abs(points[0, 0] * points[:, 1] - points[0, 1] * points[:, 0]) > 1e-9
        shortest = np.linalg.norm([points[0], points[across][0]], axis=1)
        assert sorted(np.linalg.norm([first, second], axis=1)) == pytest.approx(shortest.tolist())
        assert first @ second >= -1e-9
        assert abs(np.linalg.det([first, second])) == pytest.approx(abs(np.linalg.det(vectors)))


SAMPLE = [layers[0] for prototype in prototypes() if (layers := prototype.compounds())]


def lattice_of(layer):
    return lattice_of_columns(columns_of(layer.cell, layer.places, layer.numbers))


@pytest.mark.parametrize("layer", SAMPLE, ids=lambda layer: layer.prototype)
def test_the_lattice_of_columns_is_that_of_the_layer_whatever_cell_describes_it(layer):
    rng = np.random.default_rng(2)
    before = np.sort(np.linalg.norm(lattice_of(layer), axis=1))
    for _ in range(4):
        # A supercell, another origin, other images of the atoms in another order, turned.
        wide = unimodular(rng) @ np.array([[rng.integers(1, 3), 0], [rng.integers(0, 2), rng.integers(1, 3)]])
        index = np.array([(i, j) for i in range(-15, 16) for j in range(-15, 16)])
        inside = (index @ np.linalg.inv(wide) + 1e-6) % 1.0
        corners = index[np.unique(inside.round(5), axis=0, return_index=True)[1]]
        assert len(corners) == abs(round(np.linalg.det(wide)))
        places = ((corners @ layer.cell)[:, None] + layer.places).reshape(-1, 2) + rng.uniform(-5, 5, 2)
        order, angle = rng.permutation(len(places)), rng.uniform(0, 2 * np.pi)
        numbers = np.tile(layer.numbers, len(corners))[order]
        columns = columns_of(turned(wide @ layer.cell, angle), turned(places[order], angle), numbers)
        found = lattice_of_columns(columns)
        assert np.sort(np.linalg.norm(found, axis=1)) == pytest.approx(before, rel=1e-6)
        assert bravais_class(found).name == bravais_class(lattice_of(layer)).name


@pytest.mark.parametrize("layer", SAMPLE, ids=lambda layer: layer.prototype)
def test_the_lattice_of_a_layer_is_that_of_its_layer_group(layer):
    found = layer_group(layer.cell, layer.places, layer.heights, layer.numbers, 0.03)
    own = bravais_class(lattice_of_atoms(layer.cell, layer.places, layer.heights, layer.numbers))
    assert own.name == found.bravais
    assert found.number == next(one.layer_group for one in prototypes() if one.name == layer.prototype)


def test_glide_planes_show_finer_lattices_from_above():
    by_name = {layer.prototype: layer for layer in SAMPLE}
    for name, inside, above in (("black phosphorus", "rectangular", "rhombus"), ("MoS2, 2H", "hexagonal", "hexagonal")):
        layer = by_name[name]
        own = bravais_class(lattice_of_atoms(layer.cell, layer.places, layer.heights, layer.numbers))
        assert (own.name, bravais_class(lattice_of(layer)).name) == (inside, above)
    # The two kinds of columns of FeSe are not alike, but the cell from above holds two of each.
    layer = by_name["FeSe"]
    assert abs(np.linalg.det(lattice_of(layer))) == pytest.approx(abs(np.linalg.det(layer.cell)) / 2)


def test_a_motif_may_have_less_symmetry_than_its_lattice():
    square = cell(4.0, 4.0, 90)
    columns = columns_of(square, np.array([[0, 0], [1.3, 0.6], [0.5, 2.2]]), np.array([42, 16, 34]))
    assert bravais_class(lattice_of_columns(columns)).name == "square"
    assert class_of_motif(columns) == "oblique"


def test_columns_are_merged_across_the_edge_of_the_cell():
    columns = columns_of(cell(4.0, 4.0, 90), np.array([[0.02, 2.0], [3.97, 2.0], [2.0, 2.0]]), np.array([42, 42, 16]))
    assert len(columns.places) == 2
    assert columns.of_atom[0] == columns.of_atom[1] != columns.of_atom[2]
    assert columns.places[columns.of_atom[0]] % 4 == pytest.approx([3.995, 2.0])
    assert columns.weights[columns.of_atom[0]] == pytest.approx(2 * 42**1.7)
    assert nearest_distance(columns.cell, columns.places) == pytest.approx(1.995)


@pytest.mark.parametrize("height", [0.7, 1.1, 5.0])
def test_columns_are_those_that_all_images_give_in_thin_cells_too(height):
    rng = np.random.default_rng(4)
    for _ in range(15):
        narrow = np.array([[6.0, 0.0], [rng.uniform(-5, 5), height]])
        places = rng.uniform(-9, 9, (7, 2))
        columns = columns_of(narrow, places, np.full(7, 6), 0.5)
        images = np.array([(i, j) for i in range(-50, 51) for j in range(-30, 31)]) @ narrow
        offsets = places[:, None, None] - places[None, :, None] + images
        near = (np.linalg.norm(offsets, axis=3) < 0.5).any(axis=2)
        for _ in range(3):
            near = near @ near
        assert (near == (columns.of_atom[:, None] == columns.of_atom)).all()


def test_a_layer_is_seen_along_its_normal_however_it_lies():
    layer = library()[0]
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    flat = np.column_stack([layer.cell, np.zeros(2)]) @ axes.T
    seen, places, heights = project(flat, np.column_stack([layer.places, layer.heights]) @ axes.T)
    assert seen @ seen.T == pytest.approx(layer.cell @ layer.cell.T)
    assert np.abs(np.diff(heights)) == pytest.approx(np.abs(np.diff(layer.heights)), abs=1e-9)
    found = bravais_class(lattice_of_columns(columns_of(seen, places, layer.numbers)))
    assert found.name == bravais_class(lattice_of(layer)).name


def test_a_tolerance_that_forgives_all_leaves_no_strain_to_another_class():
    assert bravais_class(np.array([[4.0, 0.0], [1.2, 4.1]]), 0.5).margin == np.inf
