"""Distances of outlines: discs whose distance is known, and every pair of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from exitwave.benchmark.surfaces import (
    HAUSDORFF,
    SURFACE_COUNTS,
    count_surfaces,
    near,
    nearest,
    outline,
    scores_from_counts,
)


def disc(radius: float, size: int = 200, centre: tuple[float, float] | None = None) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    down, across = centre or (size / 2, size / 2)
    return np.hypot(y - down, x - across) <= radius


def told(found: np.ndarray, true: np.ndarray, pixel_size: float = 1.0) -> dict[str, float]:
    counts = count_surfaces(found, true, pixel_size)
    scores = scores_from_counts(np.array([counts[name] for name in SURFACE_COUNTS]))
    return counts | {name: float(value) for name, value in scores.items()}


def by_pairs(found: np.ndarray, true: np.ndarray, pixel_size: float) -> dict[str, float]:
    """The same from the distances of all pixels of one outline to all of the other."""

    def rim(mask: np.ndarray) -> np.ndarray:
        inner = mask.copy()
        for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            padded = np.pad(mask, 1, constant_values=True)
            inner &= padded[1 + down : padded.shape[0] - 1 + down, 1 + across : padded.shape[1] - 1 + across]
        return np.argwhere(mask & ~inner)

    distances = cdist(rim(found), rim(true)) * pixel_size
    there, back = distances.min(axis=1), distances.min(axis=0)
    every = np.concatenate([there, back])
    return {
        HAUSDORFF: max(np.percentile(there, 95), np.percentile(back, 95)),
        "surface_dice_2": float((every <= 2).mean()),
        "surface_dice_4": float((every <= 4).mean()),
    }


@pytest.mark.parametrize("pixel_size", [0.5, 0.8, 1.3])
@pytest.mark.parametrize("grown", [1.0, 3.0, 6.0])
def test_concentric_discs_are_as_far_apart_as_their_radii(grown: float, pixel_size: float) -> None:
    scores = told(disc((30 + grown) / pixel_size), disc(30 / pixel_size), pixel_size)
    # Outlines are pixels: each is up to a diagonal of one inside of its circle.
    assert scores[HAUSDORFF] == pytest.approx(grown, abs=np.sqrt(2) * pixel_size)
    for tolerance in (2, 4):
        if grown + np.sqrt(2) * pixel_size < tolerance:
            assert scores[f"surface_dice_{tolerance}"] == 1
        if grown - np.sqrt(2) * pixel_size > tolerance:
            assert scores[f"surface_dice_{tolerance}"] == 0


def test_a_displaced_disc_is_nowhere_farther_than_its_displacement() -> None:
    scores = told(disc(40, centre=(100, 105)), disc(40), 1.0)
    # Along the displacement it is all of it, across it nothing: |cos| is below 0.4 on 2 arcsin(0.4) / π of a circle.
    assert 4.5 < scores[HAUSDORFF] <= 5
    assert scores["surface_dice_2"] == pytest.approx(2 * np.arcsin(2 / 5) / np.pi, abs=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        places = rng.uniform(0, 60, (4, 2))
        masks.append(np.any([disc(rng.uniform(3, 12), 60, tuple(place)) for place in places], axis=0))
    masks[0] &= rng.random((60, 60)) < 0.97  # specks and holes
    pixel_size = float(rng.uniform(0.4, 1.5))
    scores, expected = told(*masks, pixel_size), by_pairs(*masks, pixel_size)
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def test_the_edge_of_the_image_is_no_outline() -> None:
    mask = np.zeros((20, 30), bool)
    mask[:, :10] = True
    assert np.array_equal(np.argwhere(outline(mask)), [(row, 9) for row in range(20)])
    assert not outline(np.ones((5, 6), bool)).any()


def test_masks_without_outline() -> None:
    nothing, everything, some = np.zeros((30, 40), bool), np.ones((30, 40), bool), disc(5, 40)[:30]
    for one in (nothing, everything):
        for other in (nothing, everything):
            scores = told(one, other, 0.5)
            assert (scores[HAUSDORFF], scores["surface_dice_2"], scores["surface_dice_4"]) == (0, 1, 1)
        for pair in ((one, some), (some, one)):
            scores = told(*pair, 0.5)
            assert (scores[HAUSDORFF], scores["surface_dice_2"], scores["surface_dice_4"]) == (25, 0, 0)


def test_counts_of_images_add_up_to_the_dice_of_all() -> None:
    pairs = [(disc(20), disc(23)), (disc(20), disc(20)), (np.zeros((200, 200), bool), disc(9))]
    counts = [[count_surfaces(*pair, 1.0)[name] for name in SURFACE_COUNTS] for pair in pairs]
    sizes = [sum(outline(one).sum() for one in pair) for pair in pairs]
    pooled = scores_from_counts(np.sum(counts, axis=0))["surface_dice_2"]
    alone = [told(*pair)["surface_dice_2"] for pair in pairs]
    assert float(pooled) == pytest.approx(np.average(alone, weights=sizes))


def test_pixels_near_others_are_those_within_the_distance() -> None:
    places = np.zeros((40, 50), bool)
    places[[3, 20, 39], [4, 49, 0]] = True
    y, x = np.mgrid[:40, :50]
    distance = np.min([np.hypot(y - a, x - b) for a, b in np.argwhere(places)], axis=0)
    assert np.array_equal(near(places, 4.0, 0.7), distance * 0.7 <= 4)
    rows, columns = nearest(places)
    assert np.allclose(np.hypot(rows - y, columns - x), distance)
    assert not near(np.zeros((4, 4), bool), 4.0, 1.0).any()
