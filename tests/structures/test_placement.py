"""Lowering bodies: exact contact, sinking, and what has no place beside a body."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exitwave.errors import StructureError
from exitwave.structures.body import make_body
from exitwave.structures.contacts import distances_to, first_contact, in_the_way
from exitwave.structures.placement import place_pile, settle
from exitwave.structures.transforms import lateral_distances
from exitwave.structures.volumes import sphere

EDGE = 30.0


def pair_distances(first, second):
    difference = first[:, None] - second
    difference[..., :2] -= EDGE * np.round(difference[..., :2] / EDGE)
    return np.linalg.norm(difference, axis=-1)


def cloud(rng, count, low, high):
    return rng.random((count, 3)) * [EDGE, EDGE, high - low] + [0, 0, low]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), contact=st.floats(1, 4), atoms=st.integers(1, 30), obstacles=st.integers(1, 80))
def test_first_contact_leaves_the_nearest_pair_at_the_contact_distance(seed, contact, atoms, obstacles):
    rng = np.random.default_rng(seed)
    body, below = cloud(rng, atoms, 40, 50), cloud(rng, obstacles, 0, 15)
    drop = first_contact(body, below, contact, EDGE)
    if np.isinf(drop):  # passes by everything
        lateral = pair_distances(body * [1, 1, 0], below * [1, 1, 0])
        assert lateral.min() >= contact - 1e-9
        return
    assert pair_distances(body - [0, 0, drop], below).min() == pytest.approx(contact)
    for share in (0.3, 0.9, 0.99):
        assert pair_distances(body - [0, 0, share * drop], below).min() > contact


def test_nothing_below_is_infinitely_far():
    assert first_contact(np.zeros((1, 3)), np.empty((0, 3)), 2.5, EDGE) == np.inf


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), within=st.floats(0.5, 6))
def test_distances_are_those_of_all_pairs(seed, within):
    rng = np.random.default_rng(seed)
    atoms = rng.normal(rng.random(3) * EDGE, 3, (40, 3))
    body = make_body(atoms, np.full(40, 79), sphere(5), "Au")
    others = cloud(rng, 200, 0, EDGE)
    expected = pair_distances(others, atoms).min(axis=1)
    found = distances_to(body, others, within, EDGE)
    near = expected < within
    np.testing.assert_allclose(found[near], expected[near])
    assert np.isinf(found[~near]).all()


def test_atoms_in_the_solid_are_in_the_way_even_where_it_holds_no_atom():
    hollow = make_body(np.array([[1.0, 1.0, 10.0]]), np.array([79]), sphere(4, [1.0, 1.0, 14.0]), "Au")
    others = np.array([[29.0, 1.0, 14.0], [1.0, 1.0, 17.9], [1.0, 1.0, 18.1], [1.0, 3.5, 9.0]])
    assert in_the_way(others, hollow, 2.0, EDGE).tolist() == [True, True, False, False]
    assert in_the_way(others, hollow, 3.0, EDGE).tolist() == [True, True, False, True]
    assert in_the_way(others, hollow, 2.0, None).tolist() == [False, True, False, False]


def particle(height, radius=4.0):
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(200, 3))
    atoms = radius * directions / np.linalg.norm(directions, axis=1)[:, None]
    return make_body(atoms, np.full(200, 79), sphere(radius), "Au").moved(translation=np.array([15.0, 15.0, height]))


def plane(height, spacing=1.5):
    grid = np.arange(0, EDGE, spacing)
    return np.stack([*(axis.ravel() for axis in np.meshgrid(grid, grid)), np.full(grid.size**2, height)], axis=1)


def test_a_body_does_not_sink_below_the_lowest_atom_of_its_substrate():
    substrate = np.concatenate([plane(0.0), plane(1.5), plane(3.0)])
    drop, keep = settle(
        particle(30.0), substrate, np.empty((0, 3)), sink=100.0, contact=2.5, gap=2.0, field_of_view=EDGE
    )
    assert particle(30.0 - drop).positions[:, 2].min() == pytest.approx(0.0)
    assert not keep.all()


def test_sinking_stops_at_another_body():
    other = np.array([[15.0, 15.0, 5.0]])
    drop, _ = settle(particle(30.0), plane(0.0), other, sink=100.0, contact=2.5, gap=3.0, field_of_view=EDGE)
    assert pair_distances(particle(30.0 - drop).positions, other).min() == pytest.approx(3.0)


def test_a_body_over_a_hole_is_an_error():
    with pytest.raises(StructureError, match="no atom within 3 Å to rest on"):
        settle(
            particle(30.0),
            np.array([[0.0, 0.0, 0.0]]),
            np.empty((0, 3)),
            sink=0,
            contact=2.5,
            gap=2.0,
            field_of_view=EDGE,
        )


def test_every_ball_of_a_pile_meets_an_earlier_one_in_projection():
    radii, gap = [6.0, 5.0, 5.0, 4.0, 3.0], 2.0
    overlaps = 0
    for seed in range(40):
        places = place_pile(radii, 60.0, gap, np.random.default_rng(seed))
        for number in range(1, len(radii)):
            apart = [
                lateral_distances(places[number], places[other], 60.0) - radii[number] - radii[other]
                for other in range(number)
            ]
            assert min(apart) <= gap + 1e-9
            overlaps += min(apart) < 0
        assert np.min(places) >= 0
        assert np.max(places) < 60
    assert overlaps > 30


def test_a_pile_is_wider_than_high():
    """Balls that stayed where they first hit would pile up higher than wide."""
    radius, heights, widths = 5.0, [], []
    for seed in range(40):
        places = np.array(place_pile([radius] * 6, 200.0, 0.0, np.random.default_rng(seed)))
        z = []
        for number, place in enumerate(places):
            rise = 4 * radius**2 - lateral_distances(place, places[:number], 200.0) ** 2
            z.append(max([radius, *(np.array(z)[rise > 0] + np.sqrt(rise[rise > 0]))]))
        heights.append(max(z) + radius)
        offsets = places - places[0]
        widths.append(np.ptp(offsets - 200 * np.round(offsets / 200), axis=0).max() + 2 * radius)
    assert np.median(heights) < np.median(widths)


def test_a_ball_that_does_not_fit_beside_its_image_is_an_error():
    with pytest.raises(StructureError, match="does not fit into field_of_view 20 Å"):
        place_pile([9.5], 20.0, 2.0, np.random.default_rng(0))
