"""The masks by phase and by atoms against each other."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from exitwave.config.exit_waves import PlaneWave
from exitwave.config.models import MaskTarget
from exitwave.errors import ShardError
from exitwave.labels.comparison import dice, threshold_curve
from exitwave.labels.maps import label_maps
from exitwave.labels.mask import mask_of
from exitwave.labels.phase import phase_map
from exitwave.report.labels import draw_labels
from exitwave.waves.exit_waves import simulate_exit_waves


def test_score_is_that_of_dice_at_each_threshold():
    phase = np.array([[0.1, 0.2, 0.3, 0.4]])
    atoms = np.array([[0, 0, 1, 1]], dtype=np.uint8)
    # 4, 2, 1 and 0 pixels above, of which 2, 2, 1 and 0 are right.
    masks = partial(mask_of, phase)
    np.testing.assert_allclose(threshold_curve(masks, atoms > 0, [0.0, 0.25, 0.35, 0.5]), [4 / 6, 1, 2 / 3, 0])


def test_curves_of_a_stack_are_those_of_its_images(rng):
    phase, atoms = rng.random((3, 8, 8)), rng.random((3, 8, 8)) > 0.5
    each = [threshold_curve(partial(mask_of, one), other, [0.2, 0.6]) for one, other in zip(phase, atoms, strict=True)]
    np.testing.assert_allclose(threshold_curve(partial(mask_of, phase), atoms, [0.2, 0.6]), each)


def test_two_empty_masks_agree():
    assert dice(np.zeros((4, 4), bool), np.zeros((4, 4), bool)) == 1.0


@pytest.fixture(scope="module")
def gold(scenes):
    """Phase and label maps of a simulated gold particle across the edge of the cell."""
    structure = scenes.recipe(edge=51.2, material="Au", radius=12, seed=1)
    block = PlaneWave(kind="plane_wave", structures="gold", sampling=0.4)
    waves = simulate_exit_waves(structure, block, np.random.default_rng(0)).particles
    return phase_map(waves, 0.4, 1.0), label_maps(structure, waves, 0.4, ["atoms", "thickness"])


def test_masks_by_phase_and_by_atoms_of_a_simulated_particle_agree(gold):
    phase, maps = gold
    curve = threshold_curve(partial(mask_of, phase), maps["atoms"], [0.05, 0.1, 0.8])
    assert curve[:2].min() > 0.95
    assert curve[2] < 0.8


def test_map_lies_on_the_wave_to_a_fraction_of_a_pixel(gold):
    # The shift at which the two are most alike, from the slope of the phase of their cross-correlation's spectrum.
    phase, maps = gold
    product = np.fft.fft2(phase) * np.conj(np.fft.fft2(maps["thickness"]))
    for axis in (0, 1):
        first = product[(1, 0) if axis == 0 else (0, 1)]
        assert abs(np.angle(first)) / (2 * np.pi) * len(phase) < 0.1


@pytest.fixture
def shard_with_labels(tmp_path, gold, write_images):
    """Write a shard of two images, of which the second shows no particle."""

    def write(**arrays):
        phase, _ = gold
        stack = {
            "counts": np.random.default_rng(0).poisson(50, (2, *phase.shape)).astype(np.uint32),
            "phase": np.stack([phase, 0 * phase]).astype(np.float16),
            **arrays,
        }
        table = pd.DataFrame({"structure_id": ["a", "b"], "image_id": ["a-0", "b-0"], "pixel_size": 0.4})
        write_images(tmp_path / "shard.zarr.zip", stack, table)
        return tmp_path / "shard.zarr.zip"

    return write


@pytest.mark.parametrize("target", [{}, {"minimum": 0.02}], ids=["by default", "low"])
@pytest.mark.parametrize("empty", [False, True], ids=["one particle", "no particle"])
def test_figure_of_the_masks_is_drawn(tmp_path, gold, shard_with_labels, empty, target):
    atoms = np.stack([gold[1]["atoms"] & (not empty), np.zeros_like(gold[1]["atoms"])]).astype(np.uint8)
    shard = shard_with_labels(atoms=atoms)
    draw_labels(shard, tmp_path / "labels.png", MaskTarget(**target), title="gold")
    assert (imread(tmp_path / "labels.png")[..., :3].min(axis=2) < 0.9).mean() > 0.05


def test_figure_needs_the_label_by_atoms(tmp_path, shard_with_labels):
    with pytest.raises(ShardError, match="has no label 'atoms'"):
        draw_labels(shard_with_labels(), tmp_path / "labels.png", MaskTarget())
