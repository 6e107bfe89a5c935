"""Graphs of the atoms of images: whether they show the lattice, wherever, however and at whatever scale it lies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import zoom
from scipy.spatial import cKDTree
from tests.shared.lattice_images import CELLS, PIXEL, image_of

from exitwave.config.graphs import ATOMS, CENTRES
from exitwave.data.atom_graphs import atom_graph, find_atoms
from exitwave.structures.lattice2d import reduced

BONDS = 12


def bonds(table):
    """Bonds of each centre: end, x, y and how alike both are."""
    return [rows[rows[:, 0] >= 0] for rows in table[ATOMS:].reshape(CENTRES, BONDS, 4)]


def angles(table):
    """Cosines of the angles between the bonds of each atom, sorted."""
    told = []
    for rows in bonds(table):
        unit = rows[:, 1:3] / np.linalg.norm(rows[:, 1:3], axis=1, keepdims=True)
        told.append((unit @ unit.T)[np.triu_indices(len(unit), 1)])
    return np.sort(np.concatenate(told))


@pytest.mark.parametrize("name", CELLS)
def test_columns_are_found_where_they_are(name):
    image, cell = image_of(name, counts=1e5)
    found = find_atoms(image)

    inverse = np.linalg.inv(cell)
    # The first columns of the cells lie at whole numbers, the second at (0.31, 0.64).
    there = ((found.places + 0.5) * PIXEL - [20.0, 19.0]) @ inverse
    off = np.minimum(*(np.abs(there - shift - np.rint(there - shift)) @ np.abs(cell) for shift in (0, [0.31, 0.64])))
    assert np.median(np.linalg.norm(off, axis=1)) < 0.1
    inside = (192 - 2 * found.margin) ** 2 * PIXEL**2
    assert len(found.places) == pytest.approx(2 * inside / abs(np.linalg.det(cell)), rel=0.06)


@pytest.mark.parametrize("name", CELLS)
def test_alike_atoms_are_neighbours_on_the_lattice_whatever_is_between(name):
    image, cell = image_of(name, counts=1e5)
    found = find_atoms(image)
    table = atom_graph(image, BONDS)
    usual = np.median(cKDTree(found.places).query(found.places[:ATOMS], k=2)[0][:, 1]) * PIXEL
    rows = np.concatenate(bonds(table))
    alike = rows[rows[:, 3] > 0.95, 1:3] * usual @ np.linalg.inv(cell)
    index = np.rint(alike)
    assert np.linalg.norm((alike - index) @ cell, axis=1).max() < 0.3
    shortest = reduced(cell) @ np.linalg.inv(cell)
    for vector in np.rint(shortest):
        share = (index == vector).all(axis=1).sum() / CENTRES
        assert share > 0.9, f"{vector} is a bond of {share:.0%} of the atoms"
    assert np.abs(index @ np.linalg.inv(np.rint(shortest))).max() <= 2.001


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("name", ["rhombus", "oblique"])
def test_a_transposed_or_turned_image_has_the_same_graph(name, alike):
    image = image_of(name, counts=1e4, size=150)[0]
    first = atom_graph(image, BONDS, alike)
    np.testing.assert_allclose(angles(atom_graph(image.T, BONDS, alike)), angles(first), atol=2e-3)
    np.testing.assert_allclose(angles(atom_graph(np.rot90(image), BONDS, alike)), angles(first), atol=2e-3)
    exchanged = atom_graph(image.T, BONDS, alike)
    np.testing.assert_allclose(np.sort(exchanged[:ATOMS], axis=0), np.sort(first[:ATOMS], axis=0), atol=1e-3)


def test_a_larger_and_brighter_image_has_the_same_graph():
    image = image_of("oblique", counts=1e6, size=128)[0]
    first, larger = atom_graph(image, BONDS), atom_graph(300 + 7 * zoom(image, 1.6, order=3), BONDS)
    vectors = [np.sort(np.linalg.norm(np.concatenate(bonds(table))[:, 1:3], axis=1)) for table in (first, larger)]
    shares = np.linspace(0.02, 0.98, 25)
    np.testing.assert_allclose(np.quantile(vectors[1], shares), np.quantile(vectors[0], shares), rtol=0.03)
    middle = [np.median(table[:ATOMS][table[:ATOMS].any(axis=1)], axis=0) for table in (first, larger)]
    np.testing.assert_allclose(middle[1], middle[0], atol=0.05)


def test_nearest_atoms_are_those_of_a_search_among_all():
    image = image_of("square", counts=1e5)[0]
    places = find_atoms(image).places[:ATOMS]
    rows = atom_graph(image, BONDS, alike=False)[ATOMS:].reshape(CENTRES, BONDS, 4)
    distances = np.linalg.norm(places[:CENTRES, None] - places, axis=-1)
    np.testing.assert_array_equal(np.sort(rows[..., 0]), np.sort(np.argsort(distances, axis=1)[:, 1 : BONDS + 1]))


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.random.default_rng(0).poisson(3.0, (64, 64))])
def test_without_atoms_there_is_no_graph(image):
    table = atom_graph(image.astype(np.float32), BONDS)
    assert not table[:ATOMS].any()
    assert (table[ATOMS:, 0] == -1).all()
