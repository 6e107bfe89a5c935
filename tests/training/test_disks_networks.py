"""Networks that find Bragg disks: their pieces against NumPy, and what they may and may not do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity as reference_similarity

from exitwave.config.disks import Disks
from exitwave.data.patterns import scaled, without_hot_pixels
from exitwave.labels.reflections import LEAST_WEIGHT, STRONG, places_image
from exitwave.training.complex_layers import (
    ComplexBlock,
    ComplexConvolution,
    from_complex,
    joined,
    spectral_half,
    to_complex,
)
from exitwave.training.disk_losses import (
    THRESHOLDS,
    DiskSums,
    disk_loss,
    gathered,
    local_maxima,
    places_loss,
    structural_similarity,
)
from exitwave.training.disk_networks import channels
from exitwave.training.disks import DisksTask
from exitwave.training.symmetry import SQUARE_SYMMETRIES, transform_about_pixel


def complex_noise(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def disks(**keys: Any) -> DisksTask:
    return DisksTask(Disks.model_validate({"kind": "disks", "width": 4, "depth": 2, **keys}))


def test_a_complex_convolution_is_that_of_complex_numbers() -> None:
    torch.manual_seed(0)
    layer = ComplexConvolution(2, 3).double()
    maps = complex_noise(1, 2, 6, 8)
    given = torch.from_numpy(np.concatenate([maps.real, maps.imag], axis=1))
    real, imaginary = layer(given).detach().chunk(2, dim=1)
    kernels = layer.real.detach().numpy() + 1j * layer.imaginary.detach().numpy()
    for out in range(3):
        # A layer correlates, as all convolutions of PyTorch do; and maps go on periodically.
        expected = sum(
            convolve2d(np.pad(maps[0, k], 1, mode="wrap"), kernels[out, k, ::-1, ::-1], mode="valid") for k in range(2)
        )
        np.testing.assert_allclose(real[0, out] + 1j * imaginary[0, out].numpy(), expected, atol=1e-12)


def test_complex_maps_are_rectified_in_both_parts_and_joined_part_by_part() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 8, 8)
    assert (ComplexBlock(2, 3, 1, 0.0).eval()(maps) >= 0).all()
    first, second = complex_noise(1, 2, 4, 4), 2 * complex_noise(1, 1, 4, 4)
    both = joined(from_complex(torch.from_numpy(first)), from_complex(torch.from_numpy(second)))
    np.testing.assert_allclose(to_complex(both).numpy(), np.concatenate([first, second], axis=1), rtol=1e-6)


@pytest.mark.parametrize("real", [False, True])
def test_spectral_pooling_keeps_the_low_frequencies_and_the_mean(real: bool) -> None:
    maps = complex_noise(8, 12)
    maps = maps.real if real else maps
    found = spectral_half(torch.from_numpy(maps)[None]).numpy()[0]
    spectrum = np.fft.fftshift(np.fft.fft2(maps))[2:6, 3:9]
    expected = np.fft.ifft2(np.fft.ifftshift(spectrum)) / 4
    np.testing.assert_allclose(found, expected.real if real else expected, atol=1e-6)
    assert found.dtype == (np.float32 if real else np.complex128)
    assert found.mean() == pytest.approx(maps.mean(), abs=1e-6)


def test_a_smooth_map_is_sampled_by_spectral_pooling() -> None:
    x = np.arange(16)
    wave = np.cos(2 * np.pi * 2 * x / 16)[:, None] * np.sin(2 * np.pi * 3 * x / 16)
    np.testing.assert_allclose(spectral_half(torch.from_numpy(wave)[None])[0], wave[::2, ::2], atol=1e-6)


def disk(x: float, y: float, radius: float = 4.0, size: int = 32) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1).astype(np.float32)


def test_the_correlation_is_highest_where_the_disk_is() -> None:
    seen = torch.from_numpy(np.stack([disk(11, 20), disk(16, 16)])[None])
    pattern, probe, correlation, hybrid, edges = channels(
        seen, ["pattern", "probe", "correlation", "hybrid", "edges"], 0.5
    )[0]
    torch.testing.assert_close(pattern, seen[0, 0])
    torch.testing.assert_close(probe, seen[0, 1])
    assert float(correlation.max()) == pytest.approx(1.0, abs=1e-5)
    for found in (correlation, hybrid, edges):
        assert np.unravel_index(int(found.argmax()), (32, 32)) == (20, 11)
    # The less of the size of the spectrum is left, the sharper is the peak.
    widths = [int((found > found.max() / 2).sum()) for found in (correlation, hybrid, edges)]
    assert widths[0] > widths[1] > widths[2]


def test_evened_correlations_are_those_of_numpy() -> None:
    seen = np.stack([disk(11, 20) + 0.1 * disk(20, 9), disk(16, 16)])[None]
    found = channels(torch.from_numpy(seen), ["hybrid"], 0.5)[0, 0].numpy()
    pattern, probe = seen[0].astype(np.float64)
    spectrum = np.fft.fft2(pattern) * np.conj(np.fft.fft2(np.fft.ifftshift(probe)))
    size = np.maximum(np.abs(spectrum) / np.abs(spectrum).max(), 1e-5)
    expected = np.fft.ifft2(spectrum / np.sqrt(size)).real
    np.testing.assert_allclose(found, expected / (5 * expected.std(ddof=1)), atol=2e-4)


def test_contrast_does_not_depend_on_how_bright_a_disk_is() -> None:
    pattern = disk(9, 16) + 0.05 * disk(23, 16)
    contrast = channels(torch.from_numpy(np.stack([pattern, disk(16, 16)])[None]), ["contrast"], 0.5)[0, 0]
    assert float(contrast[16, 23]) == pytest.approx(float(contrast[16, 9]), rel=0.1)
    assert float(contrast[2, 16]) == 0


def test_amplitudes_depend_neither_on_dose_nor_on_exposure() -> None:
    pattern, probe = 50 * disk(11, 20) + 5 * disk(20, 9), disk(16, 16)
    found = scaled(pattern[None], probe[None])
    np.testing.assert_allclose(scaled(300 * pattern[None], 7 * probe[None]), found, rtol=2e-3)
    assert found[0, 1].max() == 1
    assert found[0, 0, 20, 11] == pytest.approx(np.sqrt(50 / 55), rel=1e-2)


def test_empty_broken_and_negative_pixels_count_as_none() -> None:
    pattern = disk(16, 16)
    pattern[3, 4], pattern[5, 5] = np.nan, -40
    found = scaled(np.stack([pattern, np.zeros_like(pattern)]), disk(16, 16)[None])
    assert np.isfinite(found).all()
    assert found[0, 0, 3, 4] == found[0, 0, 5, 5] == 0
    assert not found[1, 0].any()


def test_a_hot_pixel_is_replaced_and_single_electrons_and_disks_are_not() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(200 * disk(16, 16) + 2 * disk(6, 6, 1.2) + 0.05).astype(np.float32)
    hot = counts.copy()
    hot[25, 3] = 30000
    np.testing.assert_array_equal(without_hot_pixels(counts[None])[0], counts)
    cleaned = without_hot_pixels(hot[None])[0]
    assert cleaned[25, 3] <= 2
    cleaned[25, 3] = counts[25, 3]
    np.testing.assert_array_equal(cleaned, counts)


@pytest.mark.parametrize("size", [8, 7])
def test_symmetries_about_the_middle_pixel_leave_it_in_place(size: int) -> None:
    field = torch.zeros(size, size)
    field[size // 2, size // 2], field[size // 2, size // 2 + 2] = 2.0, 1.0
    places = set()
    for symmetry in range(SQUARE_SYMMETRIES):
        moved = transform_about_pixel(field, symmetry)
        assert moved[size // 2, size // 2] == 2
        places.add(tuple(np.argwhere(moved.numpy() == 1)[0] - size // 2))
    assert places == {(0, 2), (2, 0), (0, -2), (-2, 0)}


def test_all_eight_symmetries_about_a_pixel_differ() -> None:
    field = torch.arange(64.0).reshape(8, 8)
    seen = {tuple(transform_about_pixel(field, symmetry).flatten().tolist()) for symmetry in range(SQUARE_SYMMETRIES)}
    assert len(seen) == SQUARE_SYMMETRIES


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"merge": 2},
        {"pooling": "spectral"},
        {"inputs": ["correlation"]},
        {"architecture": "fcunet"},
        {"architecture": "fcunet", "inputs": ["pattern", "probe"]},
        {"places": False},
    ],
)
def test_every_network_gives_an_image_of_the_size_of_the_pattern(keys: dict[str, Any]) -> None:
    torch.manual_seed(0)
    task = disks(**keys)
    network = task.build().eval()
    seen = torch.rand(2, 2, 32, 48)
    found = network(seen)
    assert found.shape == (2, 1 if keys.get("places") is False else 4, 32, 48)
    assert task.predict(found).shape == (2, 32, 48)
    assert (task.predict(found) >= 0).all()
    if keys.get("inputs") == ["correlation"]:
        # Blind to all but the correlation: a constant pattern shifts that by a constant alone.
        assert len(network.inputs) == 1


def test_a_fourier_network_sees_the_spectrum_over_its_power() -> None:
    torch.manual_seed(0)
    network = disks(architecture="fcunet", width=2, depth=1, power=0.5).build().eval()
    pattern, probe = disk(16, 16), disk(16, 16)
    still = network(torch.from_numpy(np.stack([pattern, probe])[None])).detach()
    again = network(torch.from_numpy(np.stack([2 * pattern, 2 * probe])[None])).detach()
    np.testing.assert_allclose(again, still, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"architecture": "fcunet", "pooling": "max"}, "allowed: spectral"),
        ({"architecture": "fcunet", "merge": 2}, "allowed: 1"),
        ({"inputs": []}, "allowed: one at least"),
        ({"inputs": ["probe", "probe"]}, "allowed: each once"),
    ],
)
def test_impossible_networks_are_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        disks(**keys)


def test_dropout_is_off_once_trained() -> None:
    torch.manual_seed(0)
    seen = torch.rand(1, 2, 16, 16)
    for architecture in ("unet", "fcunet"):
        network = disks(width=12, dropout=0.3, architecture=architecture).build()
        assert not torch.equal(network(seen), network(seen))
        network.eval()
        assert torch.equal(network(seen), network(seen))


def test_the_structural_similarity_is_that_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 24, 32))
    found = structural_similarity(torch.from_numpy(first), torch.from_numpy(second))
    for place in range(3):
        # That one averages over what lies within the image as well.
        expected = reference_similarity(first[place], second[place], data_range=1.0)
        assert float(found[place]) == pytest.approx(expected, abs=1e-9)


def test_losses_are_what_they_say() -> None:
    outputs, targets = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    error = (outputs - targets)[:, 0]
    weighted = ((1 + 5 * targets[:, 0]) * error**2).mean(dim=(1, 2))
    torch.testing.assert_close(disk_loss(outputs, targets, "weighted_mse"), weighted)
    torch.testing.assert_close(disk_loss(outputs, targets, "l1"), error.abs().mean(dim=(1, 2)))
    mixed = disk_loss(outputs, targets, "ssim_l1") - disk_loss(outputs, targets, "l1")
    torch.testing.assert_close(mixed, 1 - structural_similarity(outputs[:, 0], targets[:, 0]))
    for loss in ("weighted_mse", "l1", "ssim_l1"):
        torch.testing.assert_close(disk_loss(targets, targets, loss), torch.zeros(2), atol=1e-5, rtol=0)


def test_the_uncertainty_that_costs_least_is_the_mean_error() -> None:
    targets = torch.from_numpy(places_image(reflection(16, 16), 32))[None]
    errors = torch.from_numpy(np.random.default_rng(0).laplace(0, 0.3, (1, 2, 32, 32)))
    costs = {}
    for scale in (0.1, 0.2, 0.3, 0.45, 0.9):
        unsure = torch.full((1, 1, 32, 32), np.log(scale))
        costs[scale] = float(places_loss(torch.cat([targets[:, :1], targets[:, 1:] + errors, unsure], 1), targets))
    assert min(costs, key=lambda scale: costs[scale]) in (0.2, 0.3, 0.45)


def reflection(*places: float) -> np.ndarray:
    """List of reflections at places x, y, all as strong, with 000 in the corner."""
    pairs = np.reshape(places, (-1, 2))
    listed = np.zeros((1 + len(pairs), 9))
    listed[0, :2], listed[0, 5], listed[1:, :2], listed[1:, 2], listed[1:, 5] = -50, 1, pairs, 1, 1
    return listed


def test_pixels_that_point_to_the_middle_of_a_spot_put_it_exactly_there() -> None:
    target = torch.from_numpy(places_image(reflection(10.3, 12.8, 21.45, 20.1), 32))[None]
    # A spot in the wrong place, whose pixels know the right one.
    blurred = torch.from_numpy(places_image(reflection(10.0, 13.0, 21.0, 20.0), 32))[None, 0:1]
    found = gathered(blurred[:, 0], target[:, 1:], 1.0)[0]
    truth = target[0, 0]
    assert float(found.max()) == pytest.approx(float(truth.max()), rel=0.15)
    for x, y in ((10.3, 12.8), (21.45, 20.1)):
        near = found[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4]
        rows, columns = np.mgrid[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4]
        centre = [float((near * at).sum() / near.sum()) for at in (columns, rows)]
        np.testing.assert_allclose(centre, (x, y), atol=0.02)


def test_turned_ways_still_point_to_the_disk() -> None:
    task = disks()
    target = torch.from_numpy(places_image(reflection(9.3, 20.8), 32))[None]
    images = torch.zeros(1, 2, 32, 32)
    for seed in range(12):
        _, moved = task.augment(images, target, np.random.default_rng(seed))
        rows, columns = np.nonzero(moved[0, 0].numpy() > 0.3)
        places = np.stack([columns, rows]) + moved[0, 1:, rows, columns].numpy()
        np.testing.assert_allclose(places, places[:, :1].repeat(len(rows), axis=1), atol=1e-5)
        assert moved[0, 0].max() == target[0, 0].max()


def spots(*places: tuple[int, int, float]) -> torch.Tensor:
    rows, columns = np.mgrid[:32, :32]
    image = np.zeros((32, 32))
    for x, y, height in places:
        image = np.maximum(image, height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2))
    return torch.from_numpy(image[None, None]).float()


def test_validation_counts_found_false_and_missed_disks() -> None:
    weak = 0.5 * STRONG**0.5
    truth = spots((8, 8, 1.0), (20, 8, 0.6), (8, 24, weak))
    found = spots((9, 8, 0.9), (8, 24, 0.4), (26, 26, 0.3))
    strong = local_maxima(truth[:, 0]) & (truth[:, 0] > 0.9 * STRONG**0.5)
    sums = DiskSums.of(found, truth, found[:, 0], "l1", strong, truth[:, 0] > LEAST_WEIGHT**0.5)
    counts = dict(zip(THRESHOLDS, sums.found.tolist(), strict=True))
    assert counts[0.2] == [1, 1, 1]  # the weak one that was found is neither right nor wrong
    assert counts[0.35] == [1, 0, 1]
    assert counts[0.5] == [1, 0, 1]
    threshold, best = (sums + sums).best()
    assert threshold in (0.3, 0.35, 0.4, 0.5)
    assert best == pytest.approx(2 / 3)
