"""Images as points: angles between columns, pixels, maps of both, and what neighbours of other groups know."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from tests.shared.lattice_images import CELLS

from exitwave.benchmark.angles import BINS, NEIGHBOURS, REACH, angle_histogram
from exitwave.benchmark.embedding import EDGE, LEAST, embedded, principal_components, small
from exitwave.benchmark.neighbours import class_scores, variance_explained

SIZE = 100


def lattice(name: str = "oblique", turn: float = 0.3, scale: float = 2.5, size: float = SIZE) -> np.ndarray:
    """Places of a lattice on a square, as found in an image."""
    a, b, gamma = CELLS[name]
    cell = scale * np.array([[a, 0], [b * np.cos(np.radians(gamma)), b * np.sin(np.radians(gamma))]])
    cell = cell @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    index = np.array([(i, j) for i in range(-99, 100) for j in range(-99, 100)])
    places = index @ cell + 0.37 * size
    return places[((places > -0.5) & (places < size - 0.5)).all(axis=1)]


def by_hand(places: np.ndarray, size: int = SIZE) -> np.ndarray:
    """The same, triplet by triplet."""
    middles = -1 + (np.arange(BINS) + 0.5) * 2 / BINS
    cosines = []
    for centre in places:
        others = [p for p in places if (p != centre).any()]
        others.sort(key=lambda p: float(np.hypot(*(p - centre))))
        reach = REACH * np.hypot(*(others[0] - centre))
        if min(*(centre + 0.5), *(size - 0.5 - centre)) < reach:
            continue
        near = [p - centre for p in others[:NEIGHBOURS] if np.hypot(*(p - centre)) <= reach]
        cosines += [a @ b / np.hypot(*a) / np.hypot(*b) for a, b in combinations(near, 2)]
    told = np.zeros(BINS)
    for cosine in cosines:
        told += np.maximum(0, 1 - np.abs(np.clip(cosine, middles[0], middles[-1]) - middles) * BINS / 2)
    return told / len(cosines)


@pytest.mark.parametrize("seed", range(3))
def test_angles_are_those_of_all_triplets(seed):
    places = np.random.default_rng(seed).uniform(-0.5, SIZE - 0.5, (40, 2))
    found = angle_histogram(places, (SIZE, SIZE))
    assert found == pytest.approx(by_hand(places), abs=1e-12)
    assert found.sum() == pytest.approx(1)


def test_angles_of_known_lattices_are_where_they_belong():
    cosines = -1 + (np.arange(BINS) + 0.5) * 2 / BINS
    peaks = {"hexagonal": (-1, -0.5, 0.5), "square": (-1, -np.sqrt(0.5), 0, np.sqrt(0.5))}
    for name, expected in peaks.items():
        found = angle_histogram(lattice(name), (SIZE, SIZE))
        assert np.abs(cosines[found > 0][:, None] - expected).min(axis=1).max() <= 2 / BINS
        # Of 15 pairs of six neighbours three are opposite; of 28 pairs of eight four.
        assert found[0] == pytest.approx({"hexagonal": 3 / 15, "square": 4 / 28}[name])


@given(turn=st.floats(0, 6.3), scale=st.floats(0.5, 3), name=st.sampled_from(list(CELLS)), mirror=st.booleans())
def test_angles_do_not_depend_on_how_a_lattice_lies_nor_on_its_scale(turn, scale, name, mirror):
    # All centres of a lattice see the same.
    reference = angle_histogram(lattice(name, 0.0), (SIZE, SIZE))
    turned = lattice(name, turn, 2.5 * scale, SIZE * 3)
    if mirror:
        turned = turned[:, ::-1]
    assert angle_histogram(turned, (SIZE * 3, SIZE * 3)) == pytest.approx(reference, abs=1e-6)


def test_angles_do_not_depend_on_where_the_image_ends():
    wide = lattice(size=200)
    cut = wide[(wide[:, 0] < 119.5) & (wide[:, 1] < 79.5)]
    assert angle_histogram(cut, (80, 120)) == pytest.approx(angle_histogram(wide, (200, 200)), abs=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_few_columns_or_columns_at_the_edge_have_no_angles(count):
    assert angle_histogram(np.zeros((count, 2)) + np.arange(count)[:, None], (SIZE, SIZE)) is None
    middle = np.array([[50, 50], [55, 50], [50, 55], [50, 55]], np.float32)
    # A column that is named twice is one.
    assert angle_histogram(middle, (SIZE, SIZE))[[99, 100]].sum() == pytest.approx(1 / 3, abs=0.01)


# --- neighbours -------------------------------------------------------------------------------


def clumps(apart: float, count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, classes and groups: two classes, every image its own group."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(["one", "two"], count // 2)
    features = rng.normal(size=(count, 3)) + apart * (classes == "two")[:, None]
    return features, classes, np.arange(count).astype(str)


def test_classes_that_are_alike_by_construction_are_all_named():
    features = np.repeat(np.eye(3), 8, axis=0)
    scores = class_scores(features, np.repeat(["a", "b", "c"], 8), np.arange(24).astype(str))
    assert (scores.accuracy, scores.silhouette, scores.images) == (1.0, 1.0, 24)
    assert scores.majority == pytest.approx(1 / 3)


def test_without_groups_scores_are_those_of_scikit_learn():
    features, classes, groups = clumps(1.0)
    scores = class_scores(features, classes, groups)
    told = cross_val_predict(KNeighborsClassifier(5), features, classes, cv=LeaveOneOut())
    assert scores.accuracy == pytest.approx((told == classes).mean())
    assert scores.silhouette == pytest.approx(silhouette_score(features, classes))
    assert scores.majority == 0.5


def test_what_only_the_own_group_knows_is_not_known():
    rng = np.random.default_rng(0)
    # Images of a group are nearly the same; classes have nothing to do with where groups lie.
    groups = np.repeat(np.arange(60), 6)
    classes = rng.permutation(np.repeat(["a", "b"], 30))[groups]
    features = rng.normal(size=(60, 4))[groups] + 1e-3 * rng.normal(size=(360, 4))
    leaking = class_scores(features, classes, np.arange(360).astype(str))
    honest = class_scores(features, classes, groups.astype(str))
    assert leaking.accuracy == 1.0
    assert honest.accuracy < 0.7
    assert honest.silhouette < leaking.silhouette
    values = rng.normal(size=60)[groups]
    assert variance_explained(features, values, np.arange(360).astype(str)) > 0.99
    assert variance_explained(features, values, groups.astype(str)) < 0.2


def test_classes_of_one_group_cannot_be_named_and_are_not_asked():
    features, classes, groups = clumps(20.0)
    alone = np.concatenate([np.array(["three"] * 4), classes[4:]])
    scores = class_scores(features, alone, np.concatenate([["same"] * 4, groups[4:]]))
    assert scores.images == 36
    assert scores.accuracy == 1.0
    assert scores.majority == pytest.approx(20 / 36)
    assert class_scores(features, groups, groups) is None
    assert class_scores(features, np.full(40, "one"), groups) is None


def test_a_tie_goes_to_the_class_that_is_nearest():
    features = np.array([0.0, 1, 2, 3, 4, 5, 1000, 1001])[:, None]
    # Neighbours of the first are b, a, a, b, c. Those of the next four are it and the last two, which say a.
    scores = class_scores(features, list("bbaabcaa"), list("01111123"))
    assert scores.images == 7
    assert scores.accuracy == pytest.approx(5 / 7)


def test_numbers_are_told_as_scikit_learn_tells_them():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(50, 2))
    values = features[:, 0] + 0.1 * rng.normal(size=50)
    told = cross_val_predict(KNeighborsRegressor(5), features, values, cv=LeaveOneOut())
    expected = 1 - ((values - told) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    assert variance_explained(features, values, np.arange(50)) == pytest.approx(expected)
    assert variance_explained(features, np.ones(50), np.arange(50)) is None
    assert variance_explained(features, values, np.zeros(50)) is None


# --- maps -------------------------------------------------------------------------------------


def test_small_images_are_means_over_areas():
    image = np.random.default_rng(0).random((4 * EDGE, 2 * EDGE))
    assert small(image) == pytest.approx(image.reshape(EDGE, 4, EDGE, 2).mean(axis=(1, 3)), abs=1e-5)
    assert small(np.full((50, 50), 3.0)) == pytest.approx(np.full((EDGE, EDGE), 3.0), abs=1e-4)


def test_components_keep_distances_as_far_as_they_go():
    images = np.random.default_rng(0).random((20, 6, 7))
    found = principal_components(images)
    assert found.shape == (20, 19)
    for i, j in combinations(range(20), 2):
        assert np.linalg.norm(found[i] - found[j]) == pytest.approx(np.linalg.norm(images[i] - images[j]))


def test_a_map_is_the_same_twice_and_keeps_neighbours():
    features, classes, groups = clumps(8.0)
    found = embedded(features)
    assert np.array_equal(found, embedded(features))
    assert class_scores(found, classes, groups).accuracy == 1.0


@pytest.mark.parametrize("features", [np.random.default_rng(0).random((LEAST - 1, 3)), np.ones((30, 3))])
def test_there_is_no_map_of_few_points_or_of_one(features):
    assert embedded(features) is None


def test_points_on_a_line_have_a_map():
    assert np.isfinite(embedded(np.arange(12.0)[:, None] * [1, 2, 0])).all()
