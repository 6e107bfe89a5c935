import itertools

import numpy as np
import pytest

from exitwave.benchmark.tiling import LARGEST_AREA, predict_tiled, resample, resampled_shape, tile_starts
from exitwave.errors import MicrographError


@pytest.fixture
def image():
    return np.random.default_rng(2).random((150, 211)).astype(np.float32)


def identity(tiles):
    return tiles


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("symmetry_average", [False, True])
def test_tiles_of_the_identity_blend_to_the_image_itself(image, overlap, symmetry_average):
    result = predict_tiled(identity, image, 64, overlap, symmetry_average)
    np.testing.assert_allclose(result, image, atol=1e-6)


@pytest.mark.parametrize("shape", [(30, 40), (30, 200), (64, 64), (65, 64), (3, 5)])
def test_images_smaller_than_a_tile_keep_their_shape_and_values(shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    np.testing.assert_allclose(predict_tiled(identity, image, 64, 0.5), image, atol=1e-6)


@pytest.mark.parametrize("length", [64, 65, 100, 128, 517])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5])
def test_tiles_cover_the_line_with_at_least_the_overlap_asked_for(length, overlap):
    starts = tile_starts(length, 64, overlap)
    assert starts[0] == 0
    assert starts[-1] == length - 64
    assert all(b - a <= 64 * (1 - overlap) + 1 for a, b in itertools.pairwise(starts))


def test_no_batch_is_larger_than_asked_for(image):
    sizes = []

    def predict(tiles):
        sizes.append(len(tiles))
        assert tiles.dtype == np.float32
        assert tiles.shape[1:] == (64, 64)
        return tiles

    predict_tiled(predict, image, 64, 0.5, batch_size=7)
    assert max(sizes) <= 7
    assert sum(sizes) == len(tile_starts(150, 64, 0.5)) * len(tile_starts(211, 64, 0.5))


def test_prediction_depending_on_the_place_in_the_tile_is_blended_without_steps():
    """A ramp in every tile: neighbouring pixels may not differ by the jump at the border of a tile."""
    ramp = np.tile(np.linspace(0, 1, 64), (64, 1))
    result = predict_tiled(lambda tiles: np.broadcast_to(ramp, tiles.shape), np.zeros((64, 256)), 64, 0.5)
    assert np.abs(np.diff(result, axis=1)).max() < 0.05


def test_symmetry_average_of_a_lopsided_network_is_symmetric(image):
    def shifted(tiles):
        return np.roll(tiles, (3, 1), axis=(-2, -1))

    square = image[:64, :64]
    result = predict_tiled(shifted, square, 64, 0.0, symmetry_average=True)
    for turns in range(4):
        turned = predict_tiled(shifted, np.rot90(square, turns), 64, 0.0, symmetry_average=True)
        np.testing.assert_allclose(turned, np.rot90(result, turns), atol=1e-6)
        flipped = predict_tiled(shifted, np.rot90(square, turns)[:, ::-1], 64, 0.0, symmetry_average=True)
        np.testing.assert_allclose(flipped, np.rot90(result, turns)[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("target", [0.25, 0.59, 0.8, 1.6])
def test_a_disc_keeps_its_area_in_square_angstrom_and_its_centre(target):
    pixel_size, radius = 0.5, 25.0
    y, x = (np.indices((180, 240)) + 0.5) * pixel_size
    disc = np.hypot(y - 40, x - 70) < radius
    shape = resampled_shape(disc.shape, pixel_size, target)
    there = resample(disc, shape)
    edges = 180 * pixel_size / shape[0], 240 * pixel_size / shape[1]
    assert there.sum() * edges[0] * edges[1] == pytest.approx(np.pi * radius**2, rel=0.01)
    rows, columns = (np.indices(shape) + 0.5) * np.array(edges)[:, None, None]
    assert (rows * there).sum() / there.sum() == pytest.approx(40, abs=0.05)
    assert (columns * there).sum() / there.sum() == pytest.approx(70, abs=0.05)
    back = resample(there, disc.shape, order=1) >= 0.5
    assert back.sum() * pixel_size**2 == pytest.approx(np.pi * radius**2, rel=0.02)


def test_fringes_above_the_new_nyquist_frequency_do_not_alias():
    """Fringes of 1.2 Å, to pixels of 0.9 Å: less is left than a camera with pixels of 0.9 Å would leave."""
    x = np.arange(400) * 0.2
    fringes = np.tile(np.sin(2 * np.pi * x / 1.2), (400, 1))
    camera = np.sinc(0.9 / 1.2)
    assert resample(fringes, resampled_shape(fringes.shape, 0.2, 0.9)).std() < camera * fringes.std()


def test_fringes_below_the_nyquist_frequency_survive():
    """Au 111 fringes of 2.35 Å from pixels of 0.59 Å to pixels of 0.8 Å."""
    x = np.arange(400) * 0.59
    fringes = np.tile(np.sin(2 * np.pi * x / 2.35), (400, 1))
    assert resample(fringes, resampled_shape(fringes.shape, 0.59, 0.8)).std() > 0.8 * fringes.std()


def test_same_grid_is_left_alone(image):
    assert resample(image, image.shape) is image


def test_a_pixel_size_that_asks_for_more_memory_than_there_is_is_refused_before():
    assert resampled_shape((64, 64), 200, 0.8) == (16000, 16000)
    with pytest.raises(MicrographError, match=f"64 x 64 px of 500 Å .* 40000 x 40000 px of 0.8 Å.*{LARGEST_AREA}"):
        resampled_shape((64, 64), 500, 0.8)
