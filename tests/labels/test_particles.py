"""Masks by the thickness of each particle, and where labels lie when the beam is tilted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from exitwave.config.exit_waves import PlaneWave
from exitwave.config.models import MaskTarget
from exitwave.labels.maps import instance_map, label_maps
from exitwave.labels.mask import target_mask
from exitwave.labels.particles import largest_values, particles_in_image
from exitwave.labels.phase import phase_map
from exitwave.labels.projection import project_particles, seen_along
from exitwave.structures.crystal import cut
from exitwave.structures.materials import load_material
from exitwave.structures.transforms import random_quaternion, rotation_matrix
from exitwave.structures.volumes import sphere
from exitwave.waves.exit_waves import simulate_exit_waves

MIDDLE = np.array([38.0, 37.0, 100.0])


def ball(radius, centre=MIDDLE, material="Au", seed=0):
    """A sphere of a crystal at a random angle."""
    rng = np.random.default_rng(seed)
    body = cut(load_material(material), sphere(radius), rng)
    return body.moved(rotation_matrix(random_quaternion(rng)), centre)


def stored(scenes, structure, phase=None, offset=(0, 0), binning=1, size=None):
    """What is stored with an image: of the whole field, or of what is cut out of it."""
    grid = scenes.waves.shape[-2:]
    particles = project_particles(structure, grid, scenes.sampling)
    phase = np.zeros(grid, np.float32) if phase is None else phase
    largest = largest_values(particles, phase, instance_map(particles, grid))
    places, thickness = particles_in_image(particles, offset, binning, size or grid[0])
    return {"phase": phase, "particles": largest[places], "particle_thickness": thickness}


def test_each_particle_keeps_its_own_thickness_where_they_overlap(scenes):
    low, high = ball(18), ball(12, MIDDLE + np.array([16, 0, 32]), seed=1)
    both, one, other = (stored(scenes, scenes.of(*some)) for some in ([low, high], [low], [high]))
    expected = np.concatenate([one["particle_thickness"], other["particle_thickness"]])
    np.testing.assert_array_equal(both["particle_thickness"], expected)
    assert both["particles"][:, 0].tolist() == [1, 2]
    np.testing.assert_allclose(both["particles"][:, 1], [36, 24], atol=2.5)


@pytest.mark.parametrize(("fraction", "area"), [(0.5, 0.75), (0.8, 0.36), (0.25, 1 - 0.25**2)])
def test_a_fraction_of_the_thickness_of_a_sphere_is_a_disc(scenes, fraction, area):
    """Of a sphere of radius r, the chord is longer than a share f of 2 r within r √(1 - f²)."""
    mask = target_mask(MaskTarget(by="thickness", fraction=fraction), stored(scenes, scenes.of(ball(25))))
    assert mask.sum() * scenes.sampling**2 == pytest.approx(area * np.pi * 25**2, rel=0.08)


def test_of_overlapping_particles_each_is_labelled_by_its_own_thickness(scenes):
    """The small one is where it is alone, although the large one beside it is four times as thick."""
    large, small = ball(28), ball(7, MIDDLE + np.array([30, 0, 40]), seed=1)
    target = MaskTarget(by="thickness", fraction=0.5)
    both, one, other = (
        target_mask(target, stored(scenes, scenes.of(*some))) for some in ([large, small], [large], [small])
    )
    np.testing.assert_array_equal(both, one | other)
    assert (other & ~one).sum() > 0.3 * other.sum() > 0


@pytest.mark.parametrize("material", ["Au", "CdSe", "CeO2"])
@pytest.mark.parametrize("radius", [7.5, 20.0])
def test_by_thickness_nearly_all_of_a_particle_is_labelled_whatever_it_is_of(scenes, material, radius):
    structure = scenes.of(ball(radius, material=material))
    outline = label_maps(structure, scenes.waves, scenes.sampling, ["atoms"])["atoms"]
    mask = target_mask(MaskTarget(by="thickness"), stored(scenes, structure))
    assert not (mask & ~outline).any()
    assert mask.sum() > 0.95 * outline.sum()


def test_a_particle_that_the_image_cuts_is_measured_by_all_of_it(scenes):
    """Of a sphere whose middle is outside, half of the largest thickness is that of the sphere and not of the cap."""
    structure = scenes.of(ball(25, np.array([scenes.edge / 2 + 16, 38.4, 100.0])))
    half = scenes.waves.shape[-1] // 2
    target = MaskTarget(by="thickness", fraction=0.5)
    whole = target_mask(target, stored(scenes, structure))
    part = target_mask(target, stored(scenes, structure, offset=(48, 0), size=half))
    np.testing.assert_array_equal(part, whole[48 : 48 + half, :half])


def test_an_image_pixel_has_the_mean_thickness_of_what_it_covers(scenes):
    structure = scenes.of(ball(15), ball(8, MIDDLE + np.array([0, 30, 0]), seed=2))
    fine, coarse = (
        stored(scenes, structure, offset=(40, 60), binning=binning, size=96 // binning) for binning in (1, 2)
    )
    for one, other in zip(fine["particle_thickness"], coarse["particle_thickness"], strict=True):
        mean = one.astype(float).reshape(48, 2, 48, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(other, mean, atol=0.03)


def test_particles_outside_of_the_image_are_not_stored(scenes):
    structure = scenes.of(ball(8, np.array([10.0, 10.0, 100.0])), ball(8, np.array([60.0, 60.0, 100.0]), seed=1))
    found = stored(scenes, structure, offset=(96, 96), size=96)
    assert found["particles"][:, 0].tolist() == [2]
    assert found["particle_thickness"].shape == (1, 96, 96)
    empty = stored(scenes, scenes.of(ball(8, np.array([10.0, 10.0, 100.0]))), offset=(96, 96), size=96)
    assert empty["particle_thickness"].shape == (0, 96, 96)
    assert not target_mask(MaskTarget(by="thickness"), empty).any()


def test_a_fraction_of_the_phase_is_of_each_particle_and_within_it(scenes):
    """Of two discs of phase 1 and 0.2 rad a half of each is particle, and noise beside them is not."""
    strong, weak = MIDDLE, MIDDLE + np.array([-20, 28, 0])
    structure = scenes.of(ball(12, strong), ball(8, weak, seed=1))
    phase = 1.0 * (scenes.distance(*strong[:2]) < 8) + 0.2 * (scenes.distance(*weak[:2]) < 5)
    phase[:20, :20] = 0.8
    target = MaskTarget(by="phase", fraction=0.5, minimum=0.05)
    mask = target_mask(target, stored(scenes, structure, phase.astype(np.float32)))
    np.testing.assert_array_equal(mask, (phase > 0) & (phase != 0.8))


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (20.0, 0.0), (-10.0, 50.0)])
def test_labels_by_atoms_lie_on_those_by_phase_when_the_beam_is_tilted(scenes, tilt):
    """Of a particle on top of a thick support, in the frame in which the image is formed too."""
    low = ball(5, np.array([15.0, 15.0, 70.0]), "Si", seed=3)
    structure = scenes.of(ball(10, MIDDLE + np.array([0, 0, 40.0])), low)
    # The lower one stands for a support: it is no particle, but mid-height is between the two.
    support = structure.object_id == 2
    structure = replace(structure, object_id=np.where(support, 0, structure.object_id).astype(np.uint8))
    block = PlaneWave(kind="plane_wave", structures="x", sampling=0.4, specimen_tilt_x=tilt[0], specimen_tilt_y=tilt[1])
    waves = simulate_exit_waves(structure, block, np.random.default_rng(0)).particles
    phase = phase_map(waves, 0.4, 1.0)
    thickness = label_maps(seen_along(structure, tilt), waves, 0.4, ["thickness"])["thickness"]
    product = np.fft.fft2(phase) * np.conj(np.fft.fft2(thickness))
    for first in (product[1, 0], product[0, 1]):
        assert abs(np.angle(first)) / (2 * np.pi) * scenes.edge < 0.1
    if tilt != (0.0, 0.0):
        upright = label_maps(structure, waves, 0.4, ["thickness"])["thickness"]
        assert not np.allclose(upright, thickness, atol=1)
