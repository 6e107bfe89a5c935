"""Scores of images that were made again or made finer, and what reaches them without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from exitwave.benchmark import autoencoder, super_resolution
from exitwave.benchmark.cases import Case
from exitwave.benchmark.held_out import EXAMPLES
from exitwave.benchmark.summary import summarise
from exitwave.config.benchmarks import SimulatedBenchmark
from exitwave.config.reconstruction import Autoencoder, SuperResolution
from exitwave.errors import MicrographError, TrainingError
from exitwave.training.kinds import task_of
from exitwave.training.networks import LoadedNetwork
from exitwave.training.super_resolution import scale_of

FloatArray = NDArray[np.float64]
FINE, FACTOR, SIGMA = 0.2, 4, 0.5
PLAIN = {"outliers": 0, "median": 1, "normalization": "minmax"}
BLOCK = SimulatedBenchmark(kind="simulated", datasets=["own"])


def finer(**keys: Any) -> Any:
    return task_of(SuperResolution.model_validate({"kind": "super_resolution", "factor": FACTOR, **keys}), {})


def few(edge: int = 12, **keys: Any) -> Any:
    return task_of(Autoencoder.model_validate({"kind": "autoencoder", "preprocessing": PLAIN, **keys}), {"edge": edge})


def case(image: Any, truth: Any, pixel_size: float = FINE * FACTOR) -> Case:
    return Case("one", np.asarray(image, np.float32), np.asarray(truth), pixel_size, "group")


def columns(places: Any, edge: int = 96, height: float = 100.0) -> FloatArray:
    """Gaussians at places x, y [px] on fine pixels."""
    y, x = np.mgrid[:edge, :edge]
    width = SIGMA / FINE
    spots = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2)) for a, b in places]
    return height * np.sum(spots, axis=0) + 1.0


def lattice(edge: int = 96, spacing: float = 16.0) -> FloatArray:
    line = np.arange(spacing / 2, edge, spacing)
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


# --- finer images -----------------------------------------------------------------------------


def test_pixels_are_judged_as_scikit_image_does() -> None:
    rng = np.random.default_rng(0)
    true = columns(lattice() + rng.normal(0, 1, (36, 2)))
    made = true + rng.normal(0, 5, true.shape)
    found = super_resolution.metric(finer(), 0.5).of_image(made, true, FINE * FACTOR)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(true, made, data_range=np.ptp(true)))
    kernel = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert found["ssim"] == pytest.approx(structural_similarity(true, made, data_range=np.ptp(true), **kernel))


def test_columns_that_are_moved_invented_and_lost_are_counted() -> None:
    places = lattice()
    moved = places + np.array([0.5, 0.0])
    middle = int(np.linalg.norm(places - 40, axis=1).argmin())
    changed = np.concatenate([np.delete(moved, middle, axis=0), [[48.0, 48.0], [64.0, 32.0]]])
    found = super_resolution.metric(finer(), 0.5).of_image(columns(changed), columns(places), FINE * FACTOR)
    # Half a fine pixel is 10 pm.
    assert found["rms"] == pytest.approx(10.0, abs=0.5)
    assert (found["right"], found["invented"] / 100 * 36, found["lost"] / 100 * 36) == pytest.approx((35, 2, 1))


def test_what_happens_at_the_edge_is_not_counted() -> None:
    places = lattice()
    beyond = np.concatenate([places, [[1.0, 48.0]]])
    found = super_resolution.metric(finer(), 0.5).of_image(columns(beyond), columns(places), FINE * FACTOR)
    assert (found["invented"], found["lost"]) == (0, 0)


def test_scores_of_several_images_are_those_of_their_columns_and_means_of_the_rest() -> None:
    import pandas as pd

    metric, true = super_resolution.metric(finer(), 0.5), columns(lattice())
    rows = [metric.of_image(true + noise, true, FINE * FACTOR) for noise in (5.0, 20.0)]
    table = pd.DataFrame(rows).assign(seed=0, group=["a", "b"])
    found = summarise(table, metric, 100, np.random.default_rng(0))
    assert found["psnr"] == pytest.approx(np.mean([row["psnr"] for row in rows]))
    assert found["ssim"] == pytest.approx(np.mean([row["ssim"] for row in rows]))


def test_an_image_without_columns_has_a_score_of_its_pixels() -> None:
    found = super_resolution.metric(finer(), 0.5).of_image(np.ones((96, 96)), np.ones((96, 96)), FINE * FACTOR)
    assert (found["psnr"], found["ssim"]) == pytest.approx((100, 1))
    assert np.isnan(found["rms"])


@pytest.mark.parametrize("how", ["BICUBIC", "LANCZOS"])
def test_interpolations_show_what_is_between_the_places_where_it_is(how: str) -> None:
    """Coarse places lie in the middle of their fine ones; of a smooth image little is lost."""
    fine = (np.arange(96) + 0.5) / 4 - 0.5
    wave = np.cos(2 * np.pi * fine / 8)
    coarse = np.cos(2 * np.pi * np.arange(24) / 8)
    found = super_resolution.interpolated(np.outer(coarse, coarse), 4, how)
    inner = np.s_[12:-12, 12:-12]
    np.testing.assert_allclose(found[inner], np.outer(wave, wave)[inner], atol=0.03)


def test_cubic_interpolation_is_near_that_of_splines() -> None:
    image = gaussian_filter(np.random.default_rng(0).random((24, 24)), 2)
    found = super_resolution.interpolated(image, 4, "BICUBIC")
    splines = zoom(image, 4, order=3, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(found[8:-8, 8:-8], splines[8:-8, 8:-8], atol=0.01 * np.ptp(image))


def test_the_wiener_filter_takes_noise_away_and_little_else() -> None:
    rng = np.random.default_rng(0)
    expected = 20 * gaussian_filter(rng.random((96, 96)) ** 8, 3) / 0.11 + 2
    noisy = rng.poisson(expected)
    errors = [
        float(((super_resolution.smoothed(noisy, balance) - expected) ** 2).mean()) for balance in (1e-6, 0.3, 1e3)
    ]
    assert errors[0] == pytest.approx(float(((noisy - expected) ** 2).mean()), rel=1e-3)
    assert errors[1] < 0.5 * min(errors[0], errors[2])
    assert super_resolution.smoothed(noisy, 0.3).mean() == pytest.approx(noisy.mean(), rel=0.01)
    np.testing.assert_array_equal(super_resolution.smoothed(np.zeros((16, 16)), 1.0), 0)


def test_the_wiener_filter_is_tuned_on_examples() -> None:
    rng = np.random.default_rng(0)
    true = [columns(lattice() + rng.normal(0, 1, (36, 2)), height=8) for _ in range(4)]
    noisy = [case(rng.poisson(one[2::4, 2::4]), one) for one in true]
    clean = [case(one[2::4, 2::4], one) for one in true]

    def error(rule: Any, cases: list[Case]) -> float:
        return float(np.mean([((rule(one) - one.truth) ** 2).mean() for one in cases]))

    rule = super_resolution.wiener(noisy[:2], FACTOR)
    assert error(rule, noisy[2:]) < 0.9 * error(super_resolution.rules(finer())["bicubic"], noisy[2:])
    assert error(super_resolution.wiener(clean[:2], FACTOR), clean[2:]) < error(rule, clean[2:])


class Doubled(torch.nn.Module):
    """Repeats each pixel, as it was seen."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.repeat_interleave(FACTOR, dim=2).repeat_interleave(FACTOR, dim=3)


def test_a_prediction_is_in_the_counts_of_its_image() -> None:
    image = np.random.default_rng(0).poisson(30, (12, 12)).astype(np.float32)
    network = LoadedNetwork(Doubled(), finer(), 0.8, {})
    made = super_resolution.predict(network, case(image, np.zeros((48, 48))), BLOCK, finer())
    np.testing.assert_allclose(made, np.kron(image, np.ones((4, 4))), rtol=1e-5)
    offset, scale = scale_of(np.stack([image, np.full_like(image, 3)]))
    assert scale[1] == 1
    assert offset[0] == pytest.approx(image.mean())


def test_a_pixel_that_the_network_does_not_know_is_refused() -> None:
    network = LoadedNetwork(Doubled(), finer(), 0.8, {})
    coarse = case(np.ones((12, 12)), np.ones((48, 48)), 1.0)
    with pytest.raises(MicrographError, match=r"one has pixels of 1 Å; allowed: about 0.8 Å, which the network has le"):
        super_resolution.predict(network, coarse, BLOCK, finer())
    meant = BLOCK.model_copy(update={"any_pixel_size": True})
    assert super_resolution.predict(network, coarse, meant, finer()).shape == (48, 48)


# --- images made again ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples() -> list[Case]:
    """Images of five waves, and a little noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12]
    waves = np.array([np.cos(2 * np.pi * (k * x + (k % 3) * y) / 12) for k in range(1, 6)])
    found = []
    for _ in range(40):
        image = np.tensordot(rng.normal(size=5), waves, 1) + 0.05 * rng.normal(size=(12, 12))
        low, spread = image.min(), np.ptp(image)
        found.append(case(image, ((image - low) / spread).astype(np.float32), 0.4))
    return found


@pytest.mark.parametrize("number", [0, 3, 6])
def test_principal_components_are_those_of_a_singular_value_decomposition(examples: list[Case], number: int) -> None:
    rules = autoencoder.fitted(few(principal_components=[3, 6]))
    rule = rules[f"PCA {number}" if number else autoencoder.MEAN](examples[:30])
    images = np.stack([one.truth.ravel() for one in examples[:30]]).astype(np.float64)
    mean = images.mean(axis=0)
    axes = np.linalg.svd(images - mean, full_matrices=False)[2][:number]
    for one in examples[30:]:
        expected = mean + (one.truth.ravel() - mean) @ axes.T @ axes
        np.testing.assert_allclose(rule(one).ravel(), expected, atol=2e-3)


def test_the_error_is_in_grey_levels_and_falls_with_the_numbers_kept(examples: list[Case]) -> None:
    metric = autoencoder.metric(few(), 0.5)
    truth = examples[0].truth
    found = metric.of_image(truth + 0.1, truth, 0.4)
    assert found["squared_error"] == pytest.approx(25.5**2, rel=1e-4)
    assert found["lost"] == pytest.approx(100 * 0.01 / truth.var(), rel=1e-4)
    rules = autoencoder.fitted(few(principal_components=[2, 5, 8]))
    errors = [
        np.mean([metric.of_image(rule(one), one.truth, 0.4)["squared_error"] for one in examples[30:]])
        for rule in (fit(examples[:30]) for fit in rules.values())
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_more_components_than_images_are_refused(examples: list[Case]) -> None:
    fit = autoencoder.fitted(few(principal_components=[40]))["PCA 40"]
    with pytest.raises(
        TrainingError, match="found 40 with 40 training images of 144 pixels; allowed: fewer than there"
    ):
        fit(examples)


def test_components_are_taken_of_more_examples_than_others_learn_from() -> None:
    assert autoencoder.EXAMPLES > 2 * EXAMPLES


def test_an_image_of_another_size_than_a_network_knows_is_refused() -> None:
    task = few(16, latent=3, width=2, depth=2)
    network = LoadedNetwork(task.build().eval(), task, 0.4, {})
    made = autoencoder.predict(
        network, case(np.random.default_rng(0).random((16, 16)), np.zeros((16, 16))), BLOCK, task
    )
    assert made.shape == (16, 16)
    with pytest.raises(MicrographError, match="one has 12 x 12 px; allowed: 16 x 16, the size that the network has le"):
        autoencoder.predict(network, case(np.ones((12, 12)), np.ones((12, 12))), BLOCK, task)
