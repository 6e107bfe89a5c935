"""Images unlike those that a network was trained on are told, and refused where they are far from them."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from exitwave.benchmark.prediction import predict_image, predict_map
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.models import Segmentation
from exitwave.data.likeness import REFUSED, WARNED, features, learn_likeness
from exitwave.data.preprocess import replace_outliers
from exitwave.errors import MicrographError
from exitwave.training.kinds import task_of
from exitwave.training.networks import LoadedNetwork

EDGE = 64


def film(rng, shape=(EDGE, EDGE)):
    """Grains of an amorphous film in shot noise, and a dark particle or none."""
    y, x = np.indices(shape)
    grains = np.fft.ifft2(
        np.fft.fft2(rng.normal(size=shape))
        * np.exp(-8 * np.hypot(*np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), indexing="ij")))
    ).real
    inside = np.hypot((y - rng.uniform(0, EDGE)) % EDGE, (x - rng.uniform(0, EDGE)) % EDGE) < rng.uniform(16, 30)
    return rng.poisson(rng.uniform(50, 200) * (1 + grains - rng.choice([0, 0.3]) * inside).clip(0)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(0)
    found = np.stack([features(replace_outliers(film(rng), 6.0)) for _ in range(120)])
    likeness = learn_likeness(found, range(len(found)), EDGE)
    model = Segmentation.model_validate({"kind": "segmentation"})
    info = {"image_size": EDGE, "data": {"sample": {"likeness": likeness}}}
    module = torch.nn.Conv2d(1, 1, 1)
    return LoadedNetwork(module, task_of(model, {}), 0.8, info)


@pytest.fixture
def image():
    return film(np.random.default_rng(3), (160, 200))


@pytest.fixture
def spots():
    """A diffraction pattern: far from any film."""
    y, x = np.indices((160, 200))
    return np.where(np.hypot(y % 40 - 20, x % 40 - 20) < 4, 5000.0, 1.0).astype(np.float32)


def test_an_image_like_the_training_images_is_not_told(network, image):
    prediction = predict_image(network, image, 0.8)
    assert prediction.warnings == ()
    assert 0 <= prediction.distance < WARNED


def test_its_distance_does_not_depend_on_the_grey_scale(network, image):
    shifted = predict_image(network, 2 * image + 64, 0.8)
    assert shifted.distance == pytest.approx(predict_image(network, image, 0.8).distance, abs=1e-3)


def test_noise_is_told_in_words(network):
    noise = np.random.default_rng(1).normal(100, 10, (200, 200)).astype(np.float32)
    prediction = predict_image(network, noise, 0.8)
    assert WARNED < prediction.distance < REFUSED
    (told,) = prediction.warnings
    assert told.startswith(f"it is unlike the training images (unlikeness {prediction.distance:.1f}): ")
    assert "white noise" in told


def test_an_image_far_from_the_training_images_is_refused_unless_it_is_meant_so(network, spots):
    with pytest.raises(
        MicrographError, match=r"unlike the training images .* allowed: unlikeness up to 6, unless any_im"
    ):
        predict_image(network, spots, 0.8)
    prediction = predict_image(network, spots, 0.8, any_image=True)
    assert prediction.distance > REFUSED
    assert "unlike the training images" in prediction.warnings[0]


def test_a_benchmark_is_only_warned(network, spots, caplog):
    block = MicrographBenchmark.model_validate({"kind": "micrographs", "path": "somewhere"})
    with caplog.at_level(logging.WARNING):
        predict_map(network, "spots", spots, 0.8, block)
    assert "spots: it is unlike the training images" in caplog.text


def test_areas_that_show_no_specimen_do_not_count(network, image):
    image[130:] = 0
    prediction = predict_image(network, image, 0.8)
    assert prediction.left_out[130:].all()
    assert prediction.distance < WARNED


@pytest.mark.parametrize("info", [{}, {"data": {"sample": {"images": 0}}}, {"data": {"sample": {"likeness": None}}}])
def test_a_network_that_does_not_say_what_it_has_seen_cannot_tell(network, spots, info):
    prediction = predict_image(replace(network, info={"image_size": EDGE, **info}), spots, 0.8)
    assert prediction.distance is None
    assert prediction.warnings == ()
