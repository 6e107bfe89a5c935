"""Bonded amorphous carbon."""

import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from exitwave.config.structures import AmorphousSubstrate
from exitwave.errors import StructureError
from exitwave.structures.amorphous import amorphous_slab
from exitwave.structures.network import CLOSEST, NETWORK_DENSITY, carbon_network, network_block

BOND = 1.85


def grams_per_cm3(atoms, volume):
    return atoms * 12.011 / 6.02214076e23 / (volume * 1e-24)


@pytest.fixture(scope="module")
def block():
    return network_block()


def test_the_block_has_its_density(block):
    positions, edge = block
    assert grams_per_cm3(len(positions), edge**3) == pytest.approx(NETWORK_DENSITY, rel=1e-3)


def test_first_and_second_neighbours_are_where_carbon_has_them(block):
    # Sputtered carbon: 1.46 and 2.49 Å (F. Li and J. S. Lannin, Phys. Rev. Lett. 65 (1990) 1905, at second hand)
    positions, edge = block
    tree = cKDTree(positions, boxsize=edge)
    edges = np.arange(1.0, 3.2, 0.02)
    r = (edges[1:] + edges[:-1]) / 2
    pairs = np.diff(tree.count_neighbors(tree, edges))
    rdf = pairs / (len(positions) ** 2 / edge**3 * 4 * np.pi * r**2 * 0.02)
    first = r < BOND
    assert 1.40 < r[first][rdf[first].argmax()] < 1.55
    second = r > 2.2
    assert 2.4 < r[second][np.convolve(rdf[second], np.ones(5) / 5, "same").argmax()] < 2.65
    # Two separate shells: hardly a pair in between.
    assert rdf[(r > 1.8) & (r < 2.2)].max() < 0.2


def test_most_atoms_have_three_bonds_and_none_more_than_four(block):
    positions, edge = block
    tree = cKDTree(positions, boxsize=edge)
    bonds = tree.query_ball_point(positions, BOND, return_length=True) - 1
    shares = np.bincount(bonds, minlength=6) / len(bonds)
    assert shares[3] > 0.75
    assert 0.02 < shares[4] < 0.2
    assert shares[:2].sum() + shares[5:].sum() < 0.01


def test_bonds_point_in_all_directions_alike(block):
    positions, edge = block
    pairs = cKDTree(positions, boxsize=edge).query_pairs(BOND, output_type="ndarray")
    bonds = positions[pairs[:, 0]] - positions[pairs[:, 1]]
    bonds -= edge * np.round(bonds / edge)
    bonds /= np.linalg.norm(bonds, axis=1, keepdims=True)
    np.testing.assert_allclose(np.mean(bonds**2, axis=0), 1 / 3, atol=0.01)


def test_the_file_says_how_it_was_made(block):
    with (files("exitwave.structures") / "carbon_network.npz").open("rb") as file:
        provenance = json.loads(str(np.load(file)["provenance"]))
    assert provenance["engine"].startswith("LAMMPS")
    assert provenance["found"]["atoms"] == len(block[0])


@settings(max_examples=15)
@given(edge=st.floats(12, 60), thickness=st.floats(2, 50), seed=st.integers(0, 999))
def test_no_two_atoms_of_a_piece_are_too_close_across_the_seam(edge, thickness, seed):
    positions = carbon_network(edge, thickness, np.random.default_rng(seed))
    assert (positions >= 0).all()
    assert (positions < [edge, edge, thickness]).all()
    distances = cKDTree(positions, boxsize=[edge, edge, 0]).query(positions, k=2)[0][:, 1]
    assert distances.min() >= CLOSEST - 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_density_is_within_two_percent_inside_and_at_the_seam(seed):
    edge, thickness = 60.0, 40.0
    positions = carbon_network(edge, thickness, np.random.default_rng(seed))
    assert grams_per_cm3(len(positions), edge**2 * thickness) == pytest.approx(NETWORK_DENSITY, rel=0.02)
    at_seam = np.minimum(positions[:, :2], edge - positions[:, :2]).min(axis=1) < 3
    rim = (edge**2 - (edge - 6) ** 2) * thickness
    assert grams_per_cm3(at_seam.sum(), rim) == pytest.approx(NETWORK_DENSITY, rel=0.05)


def test_away_from_the_seam_and_faces_the_network_is_as_it_was_made(block):
    positions, edge = block
    tree = cKDTree(positions, boxsize=edge)
    expected = np.bincount(tree.query_ball_point(positions, BOND, return_length=True) - 1, minlength=6) / len(positions)
    piece = carbon_network(60.0, 40.0, np.random.default_rng(1))
    inner = ((piece > 3.5) & (piece < [56.5, 56.5, 36.5])).all(axis=1)
    bonds = cKDTree(piece).query_ball_point(piece[inner], BOND, return_length=True) - 1
    np.testing.assert_allclose(np.bincount(bonds, minlength=6) / inner.sum(), expected, atol=0.02)


def test_atoms_at_the_seam_are_bonded_across_it():
    edge = 60.0
    positions = carbon_network(edge, 40.0, np.random.default_rng(2))
    at_seam = np.minimum(positions[:, :2], edge - positions[:, :2]).min(axis=1) < 1
    middle = np.abs(positions[:, 2] - 20) < 17

    def mean_bonds(tree):
        return np.mean(tree.query_ball_point(positions[at_seam & middle], BOND, return_length=True) - 1)

    assert mean_bonds(cKDTree(positions, boxsize=[edge, edge, 0])) == pytest.approx(3.0, abs=0.4)
    assert mean_bonds(cKDTree(positions)) < 2.3


def test_pieces_differ_by_seed_and_repeat_with_it():
    first, second, again = (carbon_network(30.0, 20.0, np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert first.tobytes() == again.tobytes()
    assert np.median(cKDTree(first).query(second)[0]) > 0.4


def highest_repeat(positions, edge, pixel=0.4, blur=1.0, beyond=10.0):
    """Highest autocorrelation of the periodic projected density at shifts of more than ``beyond`` [Å]."""
    size = round(edge / pixel)
    density = np.histogram2d(*positions[:, :2].T, bins=size, range=[[0, edge]] * 2)[0]
    density = gaussian_filter(density, blur / pixel, mode="wrap")
    correlation = irfft2(np.abs(rfft2(density - density.mean())) ** 2, s=density.shape)
    shift = np.fft.fftfreq(size, 1 / edge)
    return correlation[np.hypot(shift[:, None], shift) > beyond].max() / correlation[0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_a_field_of_ten_nanometres_hardly_repeats_itself(seed):
    # Atoms at random reach 0.09 by chance; a block of half the edge gave 0.26 and more.
    positions = carbon_network(102.4, 40.0, np.random.default_rng(seed))
    assert highest_repeat(positions, 102.4) < 0.18


def test_a_slab_of_network_is_rough_like_any_other():
    block = AmorphousSubstrate(structure="network", thickness=30.0, roughness=2.0)
    body = amorphous_slab(block, 60.0, np.random.default_rng(0))
    assert (body.numbers == 6).all()
    assert body.positions[:, 2].min() < -1
    assert body.positions[:, 2].max() > 31
    assert grams_per_cm3(len(body), 60.0**2 * 30.0) == pytest.approx(NETWORK_DENSITY, rel=0.02)
    assert body.details["density"] == NETWORK_DENSITY
    assert body.details["structure"] == "network"


def test_a_field_below_some_bonds_is_an_error():
    with pytest.raises(StructureError, match=r"field_of_view is 6 Å.*allowed: 10 Å or more"):
        carbon_network(6.0, 20.0, np.random.default_rng(0))
