"""Disks by correlation and by networks, however patterns lie in what networks see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from correlators import ONE_MAP, Correlator
from exitwave.benchmark.disk_finders import (
    CORRELATION,
    CorrelationFinder,
    Found,
    NetworkFinder,
    binned,
    bins_for,
    frame_of,
)
from exitwave.benchmark.lattice import Lattice
from exitwave.benchmark.probes import centred_probe
from strained_scan import RADIUS, SIZE, VECTORS, strained_scan

MIDDLE = (SIZE // 2, SIZE // 2)


@dataclass
class Network:
    """In place of a loaded network."""

    module: torch.nn.Module
    task: Any


def patterns_of(origins, shape=(SIZE, SIZE), stretch=1.0):
    """Patterns of the lattice with their direct beam at these places, and these places of disks."""
    rows, columns = np.indices(shape)
    patterns, places = [], []
    for origin in origins:
        pattern, there = np.full(shape, 0.001), []
        for h in range(-4, 5):
            for k in range(-4, 5):
                x, y = np.array(origin) + stretch * VECTORS @ [h, k]
                height = 1.0 if h == k == 0 else 0.3
                pattern += height * np.clip(stretch * RADIUS + 0.5 - np.hypot(columns - x, rows - y), 0, 1)
                there.append((x, y))
        patterns.append(1000 * pattern)
        places.append(np.array(there))
    return np.array(patterns, np.float32), places


def check(found, places, shape, within, margin):
    """Every disk that is whole and far from the edge is found, where it is."""
    for one, truth in zip(found, places, strict=True):
        inner = ((truth > margin) & (truth < np.array(shape[::-1]) - 1 - margin)).all(axis=1)
        distance, _ = cKDTree(one.peaks[:, :2]).query(truth[inner])
        assert distance.max() < within
        assert (one.peaks[:, :2] >= 0).all()
        # Where the map is high is the disk, in pixels of the pattern.
        y, x = np.unravel_index(one.image.argmax(), one.image.shape)
        assert np.linalg.norm(one.corner + one.scale * np.array([x, y]) - truth, axis=1).min() < one.scale


def network_finder(probe, shape, centre, largest=9.5, multiple=16, networks=1):
    modules = [Network(Correlator(), ONE_MAP) for _ in range(networks)]
    frame = frame_of(shape, centre, bins_for(probe.radius, largest), multiple)
    return NetworkFinder(modules, probe, frame, 0.1), modules


def probe_of(shape, radius=RADIUS):
    rows, columns = np.indices(shape)
    distance = np.hypot(rows - shape[0] // 2, columns - shape[1] // 2)
    return centred_probe(100 * np.clip(radius + 0.5 - distance, 0, 1), "probe")


def test_correlation_finds_disks_where_they_are():
    patterns, places = patterns_of([(32.4, 31.7), (30.2, 33.3)])
    finder = CorrelationFinder(probe_of((SIZE, SIZE)), CORRELATION)
    found = [finder.sharpened(*both, None) for both in zip(patterns, finder.find(patterns), strict=True)]
    # The rims of these disks are ramps, not the shares of pixels that a camera sees.
    check(found, places, (SIZE, SIZE), 0.12, RADIUS + 2)


@pytest.mark.parametrize("origin", [(32.4, 31.7), (22.0, 40.5)])
def test_a_network_sees_the_direct_beam_in_the_middle_and_places_are_those_of_the_pattern(origin):
    shape = (58, 70)
    patterns, places = patterns_of([origin], shape)
    finder, (network,) = network_finder(probe_of(shape), shape, origin)
    # What the square does not hold, at the right here, is not seen.
    seen = (shape[0], min(shape[1], 80 - finder.frame.corner[0]))
    check(finder.find(patterns), places, seen, 0.35, RADIUS + 3)
    assert network.module.seen == [(1, 2, 80, 80)]
    framed = finder.frame.fit(patterns)[0]
    y, x = np.unravel_index(framed.argmax(), framed.shape)
    assert abs(x - 40) <= 2 + RADIUS
    assert abs(y - 40) <= 2 + RADIUS


@pytest.mark.parametrize(("stretch", "bins"), [(2.0, 2), (3.0, 3)])
def test_disks_larger_than_a_network_knows_are_binned(stretch, bins):
    shape = (int(64 * stretch), int(64 * stretch) + 3)
    origin = (shape[1] // 2 + 1.3, shape[0] // 2 - 0.8)
    patterns, places = patterns_of([origin], shape, stretch)
    finder, (network,) = network_finder(probe_of(shape, stretch * RADIUS), shape, origin, largest=RADIUS)
    assert finder.frame.binned == bins
    check(finder.find(patterns), places, shape, 0.3 * stretch, stretch * RADIUS + 4)
    assert network.module.seen[0][2] in (64, 80)


@pytest.mark.parametrize(("stretch", "largest"), [(1.0, 9.5), (2.0, RADIUS)])
def test_rims_place_disks_of_networks_in_pixels_of_the_pattern(stretch, largest):
    shape = (int(64 * stretch), int(64 * stretch) + 4)
    origin = np.array([shape[1] / 2 + 3.3, shape[0] / 2 - 2.8])
    (pattern,), (places,) = patterns_of([origin], shape, stretch)
    finder, _ = network_finder(probe_of(shape, stretch * RADIUS), shape, tuple(origin), largest)
    inner = ((places > 5 * stretch) & (places < np.array(shape[::-1]) - 1 - 5 * stretch)).all(axis=1)
    roughly = places[inner] + 0.4 * stretch * np.array([1, -1])
    # What is off the lattice stays where it is, and hides no rim.
    stray = roughly + 0.5 * stretch * VECTORS.sum(axis=1)
    found = np.concatenate([roughly, stray])
    peaks = np.column_stack([found, np.ones(len(found)), np.full(len(found), 0.3 * stretch)])
    scale, corner = float(finder.frame.binned), finder.frame.origin
    lattice = Lattice(origin, stretch * VECTORS, 0.0, len(places))
    sharp = finder.sharpened(pattern, Found(peaks, np.zeros((4, 4), np.float32), scale, corner), lattice).peaks
    near, far = sharp[: len(roughly)], sharp[len(roughly) :]
    assert np.median(np.linalg.norm(near[:, :2] - places[inner], axis=1)) < 0.1 * stretch
    assert np.median(near[:, 3]) < 0.15 * stretch
    np.testing.assert_allclose(far[:, :2], stray, atol=1e-9)
    assert (far[:, 3] >= 0.3 * stretch).all()


def test_binned_pixels_are_added_up():
    patterns = np.random.default_rng(0).normal(size=(2, 7, 9)).astype(np.float32)
    small = binned(patterns, 2)
    assert small.shape == (2, 3, 4)
    np.testing.assert_allclose(small[1, 2, 3], patterns[1, 4:6, 6:8].sum(), rtol=1e-6)


def test_the_mean_of_the_maps_of_networks_is_taken_in_batches(monkeypatch):
    from exitwave.benchmark import disk_finders

    monkeypatch.setattr(disk_finders, "AT_ONCE", 3 * SIZE * SIZE)
    patterns = np.asarray(strained_scan().patterns[0], np.float32)
    finder, networks = network_finder(probe_of((SIZE, SIZE)), (SIZE, SIZE), MIDDLE, networks=2)
    found = finder.find(patterns)
    assert [shape[0] for shape in networks[1].module.seen] == [3, 3, 2]
    single, _ = network_finder(probe_of((SIZE, SIZE)), (SIZE, SIZE), MIDDLE)
    for one, other in zip(found, single.find(patterns), strict=True):
        np.testing.assert_allclose(one.image, other.image, atol=1e-5)
