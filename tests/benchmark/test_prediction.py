import tracemalloc

import numpy as np
import pytest
import torch

from exitwave.benchmark.prediction import Prediction, network_predictor, predict_ensemble, predict_image, tile_edge
from exitwave.benchmark.remedies import ON_COMMAND_LINE
from exitwave.benchmark.tiling import resample_cubic, tile_starts
from exitwave.config.models import Preprocessing, Segmentation
from exitwave.data.preprocess import preprocess
from exitwave.errors import MicrographError, TrainingError
from exitwave.training.kinds import task_of
from exitwave.training.networks import LoadedNetwork


class Darkness(torch.nn.Module):
    """Logit that is high where the normalised image is dark."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(-20.0))
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        return self.weight * (images - 0.5)


def seen_by(network, image, pixel_size):
    predict_image(network, image, pixel_size)
    return network.module.seen


def make_network(outliers=6.0, median=3, resampling="camera", **info):
    preprocessing = {"median": median, "outliers": outliers, "resampling": resampling}
    model = Segmentation.model_validate({"kind": "segmentation", "preprocessing": preprocessing})
    return LoadedNetwork(Darkness(), task_of(model, {}), 0.8, info)


def test_an_image_is_interpolated_for_networks_that_ask_for_it():
    image = np.random.default_rng(0).normal(100, 10, (40, 40)).astype(np.float32)
    (seen,) = seen_by(make_network(outliers=0, median=1, resampling="cubic", image_size=64), image, 1.28)
    assert np.allclose(seen[0, 0], preprocess(resample_cubic(image, (64, 64)), Preprocessing(outliers=0, median=1)))
    (taken,) = seen_by(make_network(outliers=0, median=1, image_size=64), image, 1.28)
    assert not np.allclose(taken, seen, atol=0.05)


@pytest.mark.parametrize("pixel_size", [0.3, 0.59, 0.8, 1.1])
@pytest.mark.parametrize("symmetry_average", [False, True])
def test_a_disc_is_found_with_its_area_whatever_the_pixel(pixel_size, symmetry_average):
    edge = round(120 / pixel_size)
    y, x = (np.indices((edge, edge + 11)) + 0.5) * pixel_size
    disc = np.hypot(y - 60, x - 55) < 30
    image = np.where(disc, 40.0, 90.0).astype(np.float32)
    probability = predict_image(make_network(image_size=128), image, pixel_size, 0.5, symmetry_average).values
    assert probability.shape == disc.shape
    assert -1e-6 <= probability.min() <= probability.max() <= 1 + 1e-6
    mask = probability >= 0.5
    assert mask.sum() * pixel_size**2 == pytest.approx(np.pi * 30**2, rel=0.03)
    assert (mask != disc).mean() < 0.02


def test_the_network_sees_tiles_of_its_own_size_each_normalised_by_itself():
    network = make_network(image_size=64)
    ramp = np.tile(np.linspace(0, 1000, 400), (100, 1)).astype(np.float32)
    predict_image(network, ramp, 0.8)
    tiles = torch.cat(network.module.seen)
    assert tiles.shape[1:] == (1, 64, 64)
    assert torch.allclose(tiles.amin(dim=(1, 2, 3)), torch.tensor(0.0))
    assert torch.allclose(tiles.amax(dim=(1, 2, 3)), torch.tensor(1.0))


@pytest.fixture
def discs():
    """Two dark discs in noise, on pixels that are not those of the network, and where they are."""
    y, x = np.indices((200, 240))
    disc = (np.hypot(y - 70, x - 60) < 30) | (np.hypot(y - 120, x - 170) < 25)
    noise = np.random.default_rng(0).normal(0, 10, disc.shape)
    return (np.where(disc, 60.0, 100.0) + noise).astype(np.float32), disc


def masks_of(*images, pixel_size=0.5):
    network = make_network(image_size=128)
    return [predict_image(network, image, pixel_size).values >= 0.5 for image in images]


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("pixel_size", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("value", [0.0, 200.0, 1000.0, 60000.0])
def test_one_hot_or_dead_pixel_leaves_the_mask_as_it_is(discs, value, pixel_size):
    image, _ = discs
    faulty = image.copy()
    faulty[70, 150] = value
    clean, found = masks_of(image, faulty, pixel_size=pixel_size)
    far = np.hypot(*(np.indices(image.shape) - np.array([70, 150])[:, None, None])) > 5
    assert overlap(clean & far, found & far) > 0.97


@pytest.mark.parametrize("value", [0.0, 60000.0])
def test_a_data_bar_is_left_out_and_told(discs, value):
    image, _ = discs
    barred = image.copy()
    barred[175:] = value
    clean, found = masks_of(image, barred)
    assert not found[175:].any()
    assert overlap(clean[:170], found[:170]) > 0.97
    prediction = predict_image(make_network(), barred, 0.5)
    assert prediction.left_out[175:].all()
    assert not prediction.left_out[:175].any()
    words = "12.5% of it is left out: a data bar, an annotation or saturation"
    assert prediction.warnings[-1] == words


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_lonely_particle_in_a_large_image_is_seen_as_a_training_image_is(sign):
    """Whatever the rest of the micrograph is like, a tile is what preprocessing makes of its field alone."""
    y, x = np.indices((640, 640))
    inside = np.hypot(y - 300, x - 340) < 16
    image = 1000 + np.random.default_rng(0).normal(0, 5, inside.shape)
    image = (image + sign * inside * (200 + 100 * np.cos(2 * np.pi * x / 3.4))).astype(np.float32)
    network = make_network(image_size=128)
    predict_image(network, image, 0.8)
    tiles = torch.cat(network.module.seen)[:, 0].numpy()
    starts = tile_starts(640, 128, 0.5)
    top = left = starts[4]
    tile = tiles[4 * len(starts) + 4]
    assert inside[top : top + 128, left : left + 128].sum() > 0.9 * inside.sum()
    field = preprocess(image[top : top + 128, left : left + 128], network.model.preprocessing)
    np.testing.assert_allclose(tile[2:-2, 2:-2], field[2:-2, 2:-2], atol=0.01)
    assert tile[inside[top : top + 128, left : left + 128]].std() > 0.05


@pytest.mark.parametrize("edge", [2, 3, 5])
def test_a_cluster_of_hot_pixels_leaves_the_mask_as_it_is(discs, edge):
    image, _ = discs
    faulty = image.copy()
    faulty[70 : 70 + edge, 150 : 150 + edge] = 60000
    clean, found = masks_of(image, faulty)
    far = np.hypot(*(np.indices(image.shape) - np.array([72, 152])[:, None, None])) > 8
    assert overlap(clean & far, found & far) > 0.97


def test_nearly_constant_images_have_no_contrast_either():
    image = np.full((256, 256), 100, np.float32)
    image[np.random.default_rng(0).integers(0, 256, 33), np.random.default_rng(1).integers(0, 256, 33)] = 5000
    prediction = predict_image(make_network(), image, 0.8)
    assert not prediction.values.any()
    assert prediction.warnings == ("it has no contrast, so that there is nothing to find",)


def test_an_image_without_contrast_has_no_particle_and_is_told():
    class Sure(Darkness):
        def forward(self, images):
            return torch.full_like(images, 20.0)

    network = LoadedNetwork(Sure(), make_network().task, 0.8, {})
    barred = np.random.default_rng(0).normal(100, 10, (200, 200)).astype(np.float32)
    barred[180:] = 0
    found = predict_image(network, barred, 0.8).values
    assert (found[:180] > 0.9).all()
    assert not found[180:].any()
    prediction = predict_image(network, np.full((200, 200), 100, np.float32), 0.8)
    assert not prediction.values.any()
    assert prediction.warnings == ("it has no contrast, so that there is nothing to find",)
    # Nor has a tile of it, whatever the others have.
    half = np.random.default_rng(0).poisson(100, (128, 256)).astype(np.float32)
    half[:, :128] = 100
    half[0, 0] = 101
    values = network_predictor(network)(np.stack([half[:, :128], half[:, 128:]]))
    assert not values[0].any()
    assert values[1].all()


def test_a_lonely_particle_on_an_empty_background_is_contrast():
    """Less than a thousandth of the pixels have an electron, and yet there is something to find."""
    y, x = np.indices((1024, 1024))
    image = np.where(np.hypot(y - 300, x - 400) < 12, 30, 0).astype(np.float32)
    image = np.random.default_rng(0).poisson(image).astype(np.float32)
    prediction = predict_image(make_network(image_size=128), image, 0.8)
    assert prediction.warnings == ()
    assert prediction.values[295:305, 395:405].max() < 0.5 < prediction.values[320:340, 400].min()


def test_a_pixel_far_from_the_networks_is_told_and_one_too_far_refused(discs):
    image, _ = discs
    assert predict_image(make_network(), image, 0.8).warnings == ()
    assert "2.0 times coarser" in predict_image(make_network(), image[:64, :64], 1.6).warnings[0]
    with pytest.raises(MicrographError, match=r"2,500.0 times coarser .* 500000 x 600000 px in .* tiles, which take"):
        predict_image(make_network(), image, 2000)


def test_the_median_acts_on_the_pixels_of_the_network_as_in_training():
    """A line of one pixel of the network, four of the camera, is as wide as its median filter removes."""
    image = np.random.default_rng(0).normal(100, 0.1, (512, 512)).astype(np.float32)
    image[:, 256:260] -= 50
    network = make_network(outliers=0)
    predict_image(network, image, 0.2)
    fine = torch.cat(network.module.seen)
    unfiltered = torch.cat(seen_by(make_network(outliers=0, median=1), image, 0.2))
    for seen, gone in ((fine, True), (unfiltered, False)):
        column = seen[0, 0].mean(dim=0)
        assert bool(column[64] < 0.05) is not gone
    network = make_network(outliers=0)
    predict_image(network, image.reshape(128, 4, 128, 4).mean(axis=(1, 3)), 0.8)
    torch.testing.assert_close(fine, torch.cat(network.module.seen), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("size", "edge"), [(128, 128), (100, 128), (130, 160)])
def test_tiles_can_be_halved_by_the_encoder(size, edge):
    assert tile_edge(make_network(image_size=size)) == edge


class Constant(Darkness):
    """The same logit everywhere."""

    def __init__(self, probability):
        super().__init__()
        self.logit = float(np.log(probability / (1 - probability)))

    def forward(self, images):
        return torch.full_like(images, self.logit)


def ensemble(*probabilities, **info):
    plain = make_network(**info)
    return [LoadedNetwork(Constant(value), plain.task, 0.8, plain.info) for value in probabilities]


@pytest.mark.parametrize("pixel_size", [0.5, 0.8, 1.1])
def test_an_ensemble_gives_mean_and_deviation_of_its_networks_on_the_image(discs, pixel_size):
    image, _ = discs
    image[175:] = 0
    prediction = predict_ensemble(ensemble(0.2, 0.3, 0.7), image, pixel_size)
    assert prediction.values.shape == prediction.spread.shape == image.shape
    np.testing.assert_allclose(prediction.values[:175], 0.4, atol=1e-5)
    np.testing.assert_allclose(prediction.spread[:175], np.std([0.2, 0.3, 0.7]), atol=1e-5)
    assert not prediction.values[175:].any()
    assert not prediction.spread[175:].any()
    rows = slice(40, 90)
    np.testing.assert_array_equal(prediction.value_rows(rows), prediction.values[rows])
    np.testing.assert_array_equal(prediction.spread_rows(rows), prediction.spread[rows])
    alone = predict_ensemble(ensemble(0.2), image, pixel_size)
    assert alone.spread is None
    assert alone.spread_rows(rows) is None


def test_the_mean_of_an_ensemble_is_that_of_its_networks_one_by_one(discs):
    image, _ = discs
    networks = [make_network(), *ensemble(0.3)]
    together = predict_ensemble(networks, image, 0.5).values
    one_by_one = [predict_image(network, image, 0.5).values for network in networks]
    np.testing.assert_allclose(together, np.mean(one_by_one, axis=0), atol=1e-6)


def test_networks_that_see_an_image_differently_are_no_ensemble(discs):
    for other in (make_network(median=1), make_network(image_size=64)):
        with pytest.raises(TrainingError, match="the networks differ in preprocessing, pixel size or tile"):
            predict_ensemble([make_network(image_size=128), other], discs[0], 0.8)


def test_every_tile_of_every_network_is_told(discs):
    told = []
    predict_ensemble(ensemble(0.2, 0.3, image_size=64), discs[0], 0.8, progress=lambda *done: told.append(done))
    tiles = len(tile_starts(200, 64, 0.5)) * len(tile_starts(240, 64, 0.5))
    assert {total for _, total in told} == {2 * tiles}
    done = [number for number, _ in told]
    assert done == sorted(done)
    assert done[-1] == 2 * tiles
    assert len(done) > 20


def test_a_far_pixel_is_told_with_the_option_that_gives_it(discs):
    image = discs[0]
    with pytest.raises(MicrographError, match=r"unless --any-pixel-size .* give --pixel-size \(Å\)$"):
        predict_ensemble([make_network()], image, 8, remedies=ON_COMMAND_LINE)
    near = predict_ensemble([make_network()], image[:64, :64], 1.6, remedies=ON_COMMAND_LINE)
    assert near.warnings[0].endswith("if the pixel is wrong, give --pixel-size (Å)")


def test_a_batch_that_the_memory_of_the_device_does_not_hold_is_halved():
    sizes = []

    class Small(Darkness):
        def forward(self, images):
            sizes.append(len(images))
            if len(images) > 2:
                raise torch.OutOfMemoryError
            return super().forward(images)

    network = LoadedNetwork(Small(), make_network().task, 0.8, {})
    tiles = np.random.default_rng(0).random((7, 32, 32), np.float32)
    predict = network_predictor(network)
    np.testing.assert_allclose(predict(tiles), network_predictor(make_network())(tiles), atol=1e-6)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    predict(tiles)
    assert sizes[9:] == [1] * 7


def test_a_prediction_on_the_pixels_of_the_image_is_what_was_given():
    values = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    left_out = np.zeros((40, 50), bool)
    left_out[:, 40:] = True
    np.testing.assert_array_equal(Prediction(values, left_out, ()).values, np.where(left_out, 0, values))


def test_memory_beside_the_image_is_a_few_bytes_a_pixel_whatever_its_size():
    """A byte for what is left out, five for each pixel filled, and a part of the image for the rest."""
    image = np.random.default_rng(0).standard_normal((2000, 2000), np.float32)
    image[-200:] = image.min()
    networks = ensemble(0.2, 0.3, 0.7, image_size=128)
    tracemalloc.start()
    prediction = predict_ensemble(networks, image, 0.2, 0)
    peak = tracemalloc.get_traced_memory()[1] / image.size
    tracemalloc.stop()
    assert prediction.left_out[-200:].all()
    assert peak < 12
