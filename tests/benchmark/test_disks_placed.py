"""Disks of the maps of a network, with what it says of how surely they are placed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from exitwave.benchmark.disk_maps import SURE, disk_maps, placed_disks, weighted
from exitwave.benchmark.lattice import Lattice, fit_lattice
from exitwave.config.disks import Disks
from exitwave.training.disks import DisksTask
from exitwave.training.networks import LoadedNetwork

VECTORS = np.array([[11.0, -3.0], [2.0, 12.0]])
ORIGIN = np.array([32.0, 32.0])


def spots(places: np.ndarray, size: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.max([np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2) for x, y in places], axis=0)


def test_disks_have_the_deviation_of_their_pixel() -> None:
    places = np.array([[20.3, 31.8], [44.0, 12.4]])
    deviation = np.full((64, 64), 2.0)
    deviation[32, 20], deviation[12, 44] = 0.1, 0.5
    found = placed_disks(np.stack([spots(places), deviation]), 0.5)
    np.testing.assert_allclose(found[np.argsort(found[:, 0]), :2], places, atol=0.02)
    np.testing.assert_allclose(found[np.argsort(found[:, 0]), 3], [0.1, 0.5])
    weights = weighted(found)[np.argsort(found[:, 0]), 2]
    np.testing.assert_allclose(weights, [1 / (0.01 + SURE**2), 1 / (0.25 + SURE**2)])


def test_where_nothing_says_how_sure_places_are_heights_are_weights() -> None:
    found = placed_disks(spots(np.array([[20.3, 31.8]])), 0.5)
    assert np.isnan(found[:, 3]).all()
    np.testing.assert_array_equal(weighted(found), found[:, :3])
    assert placed_disks(np.zeros((2, 64, 64)), 0.5).shape == (0, 4)


def test_sure_disks_decide_where_the_lattice_is() -> None:
    """Half of the disks are off by a pixel, and known to be unsure."""
    rng = np.random.default_rng(0)
    index = np.array([(h, k) for h in range(-2, 3) for k in range(-2, 3)])
    places = ORIGIN + index @ VECTORS.T
    unsure = rng.permutation(len(places)) < len(places) // 2
    off = np.where(unsure[:, None], rng.normal(0, 1.0, places.shape), rng.normal(0, 0.02, places.shape))
    disks = np.column_stack([places + off, np.ones(len(places)), np.where(unsure, 1.0, 0.02)])
    start = Lattice(ORIGIN, VECTORS, 0.0, 0)
    errors = [np.abs(fit_lattice(peaks, start).vectors - VECTORS).max() for peaks in (weighted(disks), disks[:, :3])]
    assert errors[0] < 0.02
    assert errors[0] < 0.3 * errors[1]


@pytest.mark.parametrize("shape", [(48, 64), (50, 61)])
@pytest.mark.parametrize("places", [True, False])
def test_a_network_sees_patterns_of_any_size(shape: tuple[int, int], places: bool) -> None:
    """A rim is added to what cannot be halved often enough, and cut off again."""
    torch.manual_seed(0)
    task = DisksTask(Disks(kind="disks", width=2, depth=2, places=places))
    seen: list[tuple[int, ...]] = []

    class Seen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = task.build()

        def forward(self, inputs: torch.Tensor) -> Any:
            seen.append(tuple(inputs.shape))
            return self.network(inputs)

    network = LoadedNetwork(Seen().eval(), task, 0.02, {})
    patterns = np.random.default_rng(0).poisson(5, (3, *shape))
    found = disk_maps(network, patterns, patterns[:1])
    assert found.shape == (3, 2 if places else 1, *shape)
    assert seen[0][2] % 4 == seen[0][3] % 4 == 0
    assert (found >= 0).all()
