import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, gaussian_filter

from exitwave.benchmark.areas import continued, not_specimen


@pytest.fixture
def noisy():
    return np.random.default_rng(0).normal(100, 8, (300, 400)).astype(np.float32)


@pytest.mark.parametrize("value", [0.0, 255.0, 65535.0])
@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
def test_a_data_bar_is_left_out_with_its_letters(noisy, value, edge):
    strip = Image.new("F", (400 if edge in ("top", "bottom") else 300, 40), value)
    draw = ImageDraw.Draw(strip)
    draw.text((20, 10), "50 nm   300 kV   mag 500 kx   2026-11-29", fill=128.0)
    draw.rectangle((220, 14, 280, 22), fill=128.0)
    place = {"top": np.s_[:40], "bottom": np.s_[-40:], "left": np.s_[:, :40], "right": np.s_[:, -40:]}[edge]
    bar = np.asarray(strip)
    noisy[place] = bar if edge in ("top", "bottom") else bar.T
    expected = np.zeros(noisy.shape, bool)
    expected[place] = True
    np.testing.assert_array_equal(not_specimen(noisy), expected)


@pytest.mark.parametrize("width", [8, 12, 40])
def test_a_frame_is_flat_and_what_it_holds_is_not(noisy, width):
    framed = np.pad(noisy, width, constant_values=255)
    expected = np.pad(np.zeros(noisy.shape, bool), width, constant_values=True)
    np.testing.assert_array_equal(not_specimen(framed), expected)


def test_a_round_field_of_view_is_kept(noisy):
    y, x = np.indices((300, 300)) - 149.5
    outside = np.hypot(y, x) > 150
    found = not_specimen(np.where(outside, 0, noisy[:, :300]))
    assert found[outside].mean() > 0.95
    assert found[~outside].mean() < 0.02


def test_what_is_saturated_is_flat_and_a_few_equal_pixels_are_not(noisy):
    y, x = np.indices(noisy.shape)
    disc = np.hypot(y - 150, x - 200) < 50
    noisy[disc] = 4095
    noisy[20:30, 20:30] = 100
    flat = not_specimen(noisy)
    assert (flat != disc).mean() < 0.002
    assert not flat[:60, :60].any()


@pytest.mark.parametrize("value", ["brightest", 0.0, 255.0])
def test_letters_and_a_scale_bar_are_found_with_the_pixels_beside_them(noisy, value):
    drawn = Image.new("L", (400, 300), 0)
    draw = ImageDraw.Draw(drawn)
    draw.text((20, 250), "5 nm", fill=255)
    draw.rectangle((20, 270, 120, 275), fill=255)
    letters = np.asarray(drawn) == 255
    noisy[letters] = noisy.max() if value == "brightest" else value
    found = not_specimen(noisy)
    assert found[letters].all()
    # The bar, flat by itself, grows by the pixels that its letters are apart.
    assert (found & ~letters).sum() < 20


def discs(shape, number, radius, seed=0):
    """Discs at random places that do not touch."""
    rng, mask = np.random.default_rng(seed), np.zeros(shape, bool)
    y, x = np.indices(shape)
    while number:
        disc = np.hypot(y - rng.uniform(0, shape[0]), x - rng.uniform(0, shape[1])) < radius
        if disc.any() and not (mask & binary_dilation(disc, iterations=4)).any():
            mask |= disc
            number -= 1
    return mask


@pytest.mark.parametrize("electrons", [0.0, 0.01, 0.02])
def test_particles_on_an_empty_background_are_kept(electrons):
    """Dark field or counting: what is flat is most of the image, and the background of what there is to see."""
    particles = discs((512, 512), 16, 40)
    image = np.random.default_rng(0).poisson(np.where(particles, 30, electrons)).astype(np.float32)
    assert not not_specimen(image)[particles].any()


@pytest.mark.parametrize("side", ["all around", "beside the film", "in a hole of the film"])
def test_particles_before_a_saturated_vacuum_are_kept(noisy, side):
    particles = discs(noisy.shape, 6, 20)
    vacuum = {
        "all around": np.s_[:, :],
        "beside the film": np.s_[:, 150:],
        "in a hole of the film": np.s_[60:200, 100:300],
    }
    place = np.zeros(noisy.shape, bool)
    place[vacuum[side]] = True
    image = np.where(place & ~particles, 4095, noisy)
    assert not not_specimen(image)[particles].any()


@pytest.mark.parametrize("blur", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("radius", [5, 7])
def test_small_particles_cut_off_at_black_are_kept(radius, blur):
    particles = discs((300, 400), 40, radius)
    image = gaussian_filter(np.where(particles, -40.0, 100.0), blur) + np.random.default_rng(0).normal(0, 9, (300, 400))
    assert not_specimen(np.maximum(image, 0).astype(np.float32))[particles].mean() < 0.02


@pytest.mark.parametrize("times", [2, 4])
def test_saturated_columns_are_kept(times):
    y, x = np.indices((256, 256))
    columns = sum(
        np.exp(-((y - 100 - 9 * i) ** 2 + (x - 100 - 9 * j) ** 2) / (2 * 1.5**2)) for i in range(7) for j in range(7)
    )
    image = np.random.default_rng(0).poisson(20 + 400 * columns).astype(np.float32)
    assert not not_specimen(np.minimum(image, 400 / times)).any()


def test_a_smoothed_picture_of_few_grey_levels_is_kept():
    levels = gaussian_filter(np.random.default_rng(0).normal(0, 1, (512, 512)), 10)
    image = np.round(128 + 3.5 * levels / levels.std()).astype(np.float32)
    assert not_specimen(image).mean() < 0.01


def test_an_enlarged_picture_is_kept_and_takes_no_time_for_each_of_its_squares():
    image = np.kron(np.random.default_rng(0).integers(0, 60000, (64, 64)), np.ones((16, 16))).astype(np.float32)
    assert not_specimen(image).mean() < 0.01


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("blur", [0.0, 1.0, 2.0])
def test_noise_that_is_cut_off_is_neither_lettering_nor_flat(noisy, share, blur):
    noise = gaussian_filter(noisy - 100, blur) + 100
    bright, dark = np.quantile(noise, (1 - share, share))
    assert not_specimen(np.minimum(noise, bright)).mean() < 0.005
    assert not_specimen(np.maximum(noise, dark)).mean() < 0.005


@pytest.mark.parametrize("mean", [0.002, 0.01, 0.05, 0.1, 0.3, 1.0, 30.0])
def test_an_image_of_few_electrons_is_not_flat(mean):
    image = np.random.default_rng(0).poisson(mean, (512, 512)).astype(np.float32)
    assert not not_specimen(image).any()


def test_a_constant_image_is_flat_and_a_picture_without_noise_is_not():
    assert not_specimen(np.full((64, 64), 7, np.float32)).all()
    y, x = np.indices((200, 200))
    assert not not_specimen(np.where(np.hypot(y - 90, x - 110) < 40, 40, 90).astype(np.float32)).any()


def test_an_area_that_is_left_out_continues_what_is_beside_it(noisy):
    left_out = np.zeros(noisy.shape, bool)
    left_out[-40:] = True
    left_out[100:120, 100:130] = True
    filled = continued(noisy, left_out)
    np.testing.assert_array_equal(filled[~left_out], noisy[~left_out])
    np.testing.assert_array_equal(filled[-40:], noisy[-42:-82:-1])
    assert filled[left_out].std() == pytest.approx(8, rel=0.2)
    assert continued(noisy, np.zeros(noisy.shape, bool)) is noisy
