"""Particles of a mask: what is one, what is two, and what is none."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from exitwave.benchmark import instances
from exitwave.benchmark.instances import ParticleRules, find_instances
from exitwave.benchmark.micrographs import read_benchmark
from exitwave.errors import MicrographError

MICROGRAPHS = Path(__file__).parents[2] / "resources" / "micrographs"
Y, X = np.mgrid[:200, :200]


def disc(y: float, x: float, radius: float) -> np.ndarray:
    return np.asarray(np.hypot(Y - y, X - x) <= radius)


def pair(distance: float, radius: float, other: float) -> np.ndarray:
    """Two discs whose centres are so far from each other."""
    return disc(100, 100 - distance / 2, radius) | disc(100, 100 + distance / 2, other)


def number(mask: np.ndarray, pixel_size: float = 1.0, **rules: object) -> int:
    return int(find_instances(mask, pixel_size, ParticleRules(**rules)).max())  # type: ignore[arg-type]


@pytest.mark.parametrize("radius", [8, 20, 45])
@pytest.mark.parametrize(("distance", "expected"), [(1.2, 1), (1.35, 1), (1.6, 2), (1.8, 2), (1.95, 2)])
def test_equal_discs_are_split_by_the_neck_between_them_whatever_their_size(radius, distance, expected):
    """The neck over the radius is √(1 - (s / 2 R)²), which is 0.7 at a distance of 1.43 radii."""
    assert number(pair(distance * radius, radius, radius)) == expected
    assert number(pair(distance * radius, radius, radius), split=False) == 1


@pytest.mark.parametrize("small", [12, 20, 30])
def test_a_small_disc_that_touches_a_large_one_is_a_particle(small):
    labels = find_instances(pair(40 + small - 1, 40, small), 1.0)
    areas = sorted(np.bincount(labels.ravel())[1:])
    assert areas == pytest.approx([np.pi * small**2, np.pi * 40**2], rel=0.03)


def test_a_bridge_of_one_pixel_does_not_join_two_particles():
    mask = disc(60, 50, 25) | disc(60, 150, 25)
    mask[60, 50:150] = True
    assert number(mask) == 2
    assert number(mask, split=False) == 1


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("axes", [(80, 40), (80, 20), (80, 8)])
def test_ellipses_are_one_particle(axes, angle):
    along, across = (X - 100) * np.cos(angle) + (Y - 100) * np.sin(angle), (Y - 100) * np.cos(angle)
    across = across - (X - 100) * np.sin(angle)
    assert number((along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1) == 1


def test_shapes_of_even_width_are_one_particle():
    corner = np.zeros((200, 200), bool)
    corner[20:180, 20:60] = corner[140:180, 20:180] = True
    ring = disc(100, 100, 80) & ~disc(100, 100, 60)
    assert number(corner) == number(ring) == 1


@pytest.mark.parametrize("particles", [4, 5, 6, 8])
def test_a_ring_of_touching_particles_stays_a_ring(particles):
    """What it encloses is background, and no particle is joined with the next through it."""
    angles = 2 * np.pi * np.arange(particles) / particles
    radius = 70 * np.sin(np.pi / particles) * 1.03
    mask = np.any([disc(100 + 70 * np.sin(a), 100 + 70 * np.cos(a), radius) for a in angles], axis=0)
    labels = find_instances(mask, 1.0)
    assert labels.max() == particles
    assert labels[100, 100] == 0


def test_small_holes_are_filled_and_large_ones_stay():
    mask = disc(100, 100, 80)
    mask[95:99, 60:64] = False  # 16 px: no room for half of the smallest particle
    small, large = disc(100, 120, 9), disc(140, 100, 20)  # 1.3 % and 6 % of the particle
    labels = find_instances(mask & ~small & ~large, 1.0)
    assert labels.max() == 1
    assert labels[96, 61] == labels[100, 120] == 1
    assert labels[140, 100] == 0


def test_a_particle_in_a_hole_is_not_swallowed():
    ring = disc(100, 100, 95) & ~disc(100, 100, 12)
    labels = find_instances(ring | disc(100, 100, 6), 1.0)
    assert labels.max() == 2
    assert labels[100, 100] == 2
    assert labels[100, 109] == 0
    # A speck that is no particle goes with the hole.
    assert (find_instances(ring | disc(100, 100, 3), 1.0) == disc(100, 100, 95)).all()


def test_holes_do_not_cut_a_particle():
    holes = [(y, x) for y in (60, 100, 140) for x in (60, 100, 140)]
    mask = disc(100, 100, 85) & ~np.any([disc(y, x, 9) for y, x in holes], axis=0)
    labels = find_instances(mask, 0.5)
    assert labels.max() == 1
    assert (labels > 0).sum() == disc(100, 100, 85).sum()


def test_the_smallest_particle_is_a_length_not_a_number_of_pixels():
    mask = disc(100, 50, 6) | disc(100, 150, 12)  # 12 and 24 px in diameter
    assert [number(mask, pixel_size) for pixel_size in (1.0, 0.6, 0.3)] == [2, 1, 0]
    assert number(mask, 0.3, smallest=0.0) == 2


def test_particles_are_numbered_row_by_row():
    labels = find_instances(disc(40, 150, 20) | disc(60, 40, 30) | disc(150, 100, 20) | disc(60, 79, 10), 1.0)
    assert [labels[40, 150], labels[60, 40], labels[60, 80], labels[150, 100]] == [1, 2, 3, 4]
    assert labels.max() == 4


def test_a_particle_cut_by_the_image_is_split_as_with_its_mirror_image():
    """Half discs whose centres lie on the edge are two as whole ones are."""
    whole = pair(60, 32, 32)
    assert number(whole) == number(whole[100:]) == 2
    assert number(disc(100, 100, 40)[110:]) == 1


@pytest.mark.parametrize("shape", [(1, 90), (90, 1), (1, 1), (60, 60)])
def test_empty_full_and_narrow_masks_have_none_or_one(shape):
    assert number(np.zeros(shape, bool), smallest=0.0) == 0
    labels = find_instances(np.ones(shape, bool), 1.0, ParticleRules(smallest=0.0))
    assert (labels == 1).all()
    assert labels.dtype == np.int32


def test_noise_gives_regions_without_a_gap_in_their_numbers():
    labels = find_instances(np.random.default_rng(0).random((300, 300)) < 0.3, 2.0)
    found = np.unique(labels)
    assert found.tolist() == list(range(len(found)))
    assert len(found) > 10


def test_a_region_larger_than_is_looked_at_at_once_is_split_all_the_same(monkeypatch):
    mask = disc(60, 50, 40) | disc(60, 128, 40) | disc(138, 128, 40)
    mask &= ~disc(60, 50, 4)
    exact = find_instances(mask, 1.0)
    monkeypatch.setattr(instances, "LARGEST", 60)
    coarse = find_instances(mask, 1.0)
    assert exact.max() == coarse.max() == 3
    assert ((exact > 0) == (coarse > 0)).all()
    assert (exact == coarse).mean() > 0.99


def test_the_mask_is_left_as_it_was():
    mask = disc(100, 100, 50) & ~disc(100, 100, 2)
    before = mask.copy()
    find_instances(mask, 1.0)
    assert (mask == before).all()


def test_what_is_no_mask_or_no_pixel_is_refused():
    with pytest.raises(MicrographError, match=r"\(2, 3, 4\)"):
        find_instances(np.ones((2, 3, 4), bool), 1.0)
    for pixel_size in (0.0, float("nan")):
        with pytest.raises(MicrographError, match="pixel"):
            find_instances(np.ones((3, 4), bool), pixel_size)
    with pytest.raises(MicrographError, match="smallest"):
        ParticleRules(smallest=-1.0)


@pytest.mark.parametrize(
    ("folder", "regions", "particles"), [("scottlab_hrtem_patches", 31, 24), ("seg_track_tem", 322, 299)]
)
def test_what_experts_drew_apart_stays_whole(folder, regions, particles):
    """One pair of 322 regions is split, which is two particles to the eye; specks are left out."""
    micrographs, _ = read_benchmark(MICROGRAPHS / folder)
    connected, unsplit, split = 0, 0, 0
    for m in micrographs:
        connected += label(m.mask, np.ones((3, 3)))[1]
        unsplit += number(m.mask, m.pixel_size, split=False)
        split += number(m.mask, m.pixel_size)
    assert (connected, split) == (regions, particles)
    assert split - unsplit == (1 if folder == "seg_track_tem" else 0)


def test_memory_is_that_of_two_label_arrays_whatever_is_on_the_image(monkeypatch):
    """Nothing of 8 bytes a pixel is made: 4 for the result, as many for the holes, 1 for a copy of the mask."""
    monkeypatch.setattr(instances, "LARGEST", 128)
    monkeypatch.setattr(instances, "ROWS", 32)
    tiled = np.tile(disc(100, 100, 104), (6, 6))  # discs that touch all over the image, with holes between
    for given in (tiled, np.ones_like(tiled)):
        tracemalloc.start()
        find_instances(given, 1.0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10.5 * given.size
