import itertools
import time

import numpy as np
import pytest

from exitwave.benchmark.tiling import (
    check_pixel,
    interpolate,
    predict_tiled,
    resample,
    resample_cubic,
    resampled_shape,
    tile_starts,
)
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
    back = interpolate(there, disc.shape) >= 0.5
    assert back.sum() * pixel_size**2 == pytest.approx(np.pi * radius**2, rel=0.02)


def fringes_on(pixel_size, count, spacing):
    """Fringes as a camera records them: each pixel is the mean over its area."""
    centres = (np.arange(count) + 0.5) * pixel_size
    return np.sinc(pixel_size / spacing) * np.cos(2 * np.pi * centres / spacing)


@pytest.mark.parametrize("spacing", [1.2, 1.92, 2.35, 4.0])
@pytest.mark.parametrize("pixel_size", [0.2, 0.3, 0.5, 0.59])
def test_fringes_are_those_that_a_camera_with_the_new_pixels_records(pixel_size, spacing):
    """With their amplitude and phase; those beyond the new Nyquist frequency fold back as they do in a camera."""
    shape = (40, 2000)
    there = resample(np.tile(fringes_on(pixel_size, 2000, spacing), (40, 1)), resampled_shape(shape, pixel_size, 0.8))
    expected = fringes_on(2000 * pixel_size / there.shape[1], there.shape[1], spacing)
    # Near its ends the line is continued by its mirror image.
    np.testing.assert_allclose(there[len(there) // 2, 100:-100], expected[100:-100], atol=0.02)


@pytest.mark.parametrize("pixel_size", [0.2, 0.25, 0.4, 0.5, 0.59, 0.7])
def test_noise_has_the_variance_that_it_has_in_a_camera_with_the_new_pixels(pixel_size):
    """That of the mean over as many pixels as the new one covers; between 1 and 1.15 of it where that is no number."""
    noise = np.random.default_rng(0).normal(0, 1, (800, 800))
    there = resample(noise, resampled_shape(noise.shape, pixel_size, 0.8))
    covered = noise.size / there.size
    assert 0.95 < there.var() * covered < 1.15


@pytest.mark.parametrize("times", [2, 3, 4])
def test_pixels_that_cover_a_whole_number_of_pixels_are_their_mean(times):
    image = np.random.default_rng(0).random((60, 84)).astype(np.float32)
    mean = image.reshape(60 // times, times, 84 // times, times).mean(axis=(1, 3))
    np.testing.assert_allclose(resample(image, mean.shape), mean, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (200, 7), (61, 500)])
def test_the_mean_of_an_image_stays(shape):
    image = np.random.default_rng(0).random((60, 84)).astype(np.float32)
    assert resample(image, shape).mean() == pytest.approx(image.mean(), rel=1e-4)


def test_same_grid_is_left_alone(image):
    assert (resample(image, image.shape) == image).all()


def test_what_an_absurd_pixel_would_take_is_told_without_a_list_of_its_tiles():
    start = time.process_time()
    with pytest.raises(MicrographError, match="5 x 5 px become 6250000000000 x"):
        check_pixel((5, 5), 1e12, 0.8, 128, 0.5)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("pixel_size", "words"), [(0.8, ""), (0.54, ""), (1.2, ""), (0.5, "finer"), (3.0, "coarser")])
def test_a_pixel_far_from_that_of_the_network_is_warned_of(pixel_size, words):
    told = check_pixel((100, 200), pixel_size, 0.8, 128, 0.5)
    assert (words in told) if words else (told == "")


def test_a_pixel_too_far_is_refused_with_what_it_would_take_before_it_is_taken():
    words = r"2000 Å is 2,500.0 times coarser than the network's, 0.8 Å: 64 x 64 px become 160000 x 160000 px in "
    with pytest.raises(MicrographError, match=words + r"6,245,001 tiles, which take 286.1 GiB; allowed: up to 4"):
        check_pixel((64, 64), 2000, 0.8, 128, 0.5)
    with pytest.raises(MicrographError, match=r"8.0 times finer .* 4096 x 4096 px become 512 x 512 px in 49 tiles"):
        check_pixel((4096, 4096), 0.1, 0.8, 128, 0.5)
    assert "8.0 times finer" in check_pixel((4096, 4096), 0.1, 0.8, 128, 0.5, any_pixel_size=True)
    with pytest.raises(MicrographError, match=r"^64 x 64 px become 160000 x .* GiB; allowed: 268,435,456 px"):
        check_pixel((64, 64), 2000, 0.8, 128, 0.5, any_pixel_size=True)


def test_cubic_interpolation_follows_a_polynomial_and_keeps_less_of_fine_fringes():
    y, x = np.mgrid[:60, :48].astype(np.float32)
    new_y, new_x = ((np.arange(2 * n) + 0.5) / 2 - 0.5 for n in (60, 48))

    def cubic(y, x):
        return (y / 30 - 1) ** 3 - 0.5 * (x / 24 - 1) ** 3 + (y / 30 - 1) * (x / 24 - 1)

    expected = cubic(new_y[:, None], new_x)
    found = resample_cubic(cubic(y, x), (120, 96))
    assert np.abs(found - expected)[24:-24, 24:-24].max() < 1e-4
    fringes = np.cos(2 * np.pi * x / 2.6)
    inner = (slice(20, -20), slice(20, -20))
    assert resample_cubic(fringes, (120, 96))[inner].std() < 0.9 * resample(fringes, (120, 96))[inner].std()
