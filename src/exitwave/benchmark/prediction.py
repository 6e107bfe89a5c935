"""Applying a network that gives a value for every pixel to an image of any size and calibration."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.areas import without_artifacts
from exitwave.benchmark.tiling import Predictor, check_pixel, interpolate, predict_tiled, resample, resampled_shape
from exitwave.config.benchmarks import Benchmark, MicrographBenchmark
from exitwave.config.models import PixelNetwork
from exitwave.data.likeness import REFUSED, WARNED, compare, fields
from exitwave.data.preprocess import filter_median, has_contrast, normalize
from exitwave.errors import MicrographError

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
SMALLEST_TILE = 128
"""Tile [px] for a network that does not say on which size it was trained."""


@dataclass(frozen=True)
class Prediction:
    """What a network gives for an image.

    Attributes
    ----------
    values : float32 array [H, W]
        Probabilities or values of the map that the network has learned; 0 where the image has no contrast.
    left_out : bool array [H, W]
        Where it shows no specimen; see `exitwave.benchmark.areas.not_specimen`.
    warnings : tuple of str
        What makes it doubtful, each in words that go on after the name of the image.
    distance : float, optional
        Of the image from the training images; see `exitwave.data.likeness.Likeness`. None where it cannot be told.
    """

    values: NDArray[np.float32]
    left_out: NDArray[np.bool_]
    warnings: tuple[str, ...]
    distance: float | None = None


def predict_map(
    network: LoadedNetwork, name: str, image: NDArray[np.float32], pixel_size: float, block: Benchmark
) -> NDArray[np.float32]:
    """What a network gives for an image of a benchmark; tiles overlap where the benchmark is of micrographs.

    An image that is unlike the training images is only warned of: which to score is what the benchmark says.

    Parameters
    ----------
    network : LoadedNetwork
    name : str
        Of the image; warnings go to the log.
    image : float32 array [H, W]
    pixel_size : float
        [Å]
    block : Benchmark

    Returns
    -------
    float32 array [H, W]

    Raises
    ------
    MicrographError
        If its pixel is too far from that of the network.
    """
    overlap, symmetry_average = 0.0, False
    if isinstance(block, MicrographBenchmark):
        overlap, symmetry_average = block.overlap, block.symmetry_average
    try:
        prediction = predict_image(network, image, pixel_size, overlap, symmetry_average, block.any_pixel_size, True)
    except MicrographError as error:
        raise MicrographError(f"{name}: {error}") from error
    for warning in prediction.warnings:
        log.warning("%s: %s", name, warning)
    return prediction.values


def predict_image(
    network: LoadedNetwork,
    image: NDArray[np.float32],
    pixel_size: float,
    overlap: float = 0.5,
    symmetry_average: bool = False,
    any_pixel_size: bool = False,
    any_image: bool = False,
) -> Prediction:
    """What a network gives for the pixels of an image of any size and calibration.

    Outliers are replaced on the pixels of the camera, where they are single pixels. Areas that show no specimen are
    left out: the network sees the mirror image of what is beside them. Then the image is resampled to the pixel of
    the network, on which the median filter acts as it did in training, and cut into tiles of the size the network was
    trained on. Each tile is normalised by itself, since every training image was: a training image is one field of this
    size, and the grey value that the network knows as dark is the darkest of such a field, not of a whole micrograph
    with its thick and thin regions. The prediction is taken back to the grid of the image, where it is compared with
    the truth.

    Parameters
    ----------
    network : LoadedNetwork
        Network with its preprocessing and pixel size.
    image : float32 array [H, W]
    pixel_size : float
        [Å]
    overlap : float
        Overlap of neighbouring tiles, of their edge.
    symmetry_average : bool
        Average the prediction over the eight quarter turns and flips of each tile.
    any_pixel_size : bool
        Whether a pixel far from that of the network is meant so.
    any_image : bool
        Whether an image far from those that the network was trained on is meant so.

    Returns
    -------
    Prediction

    Raises
    ------
    MicrographError
        If the pixel is too far from that of the network; see `exitwave.benchmark.tiling.check_pixel`. If the image is
        too far from the training images; see `familiar`.
    """
    shape, preprocessing = (image.shape[0], image.shape[1]), network.model.preprocessing
    tile = tile_edge(network)
    told = [check_pixel(shape, pixel_size, network.pixel_size, tile, overlap, any_pixel_size)]
    cleaned, left_out = without_artifacts(image, preprocessing.outliers)
    there = resample(cleaned, resampled_shape(shape, pixel_size, network.pixel_size))
    distance, unlike = familiar(network, there, any_image)
    there = filter_median(there, preprocessing.median)
    predicted = predict_tiled(network_predictor(network), there, tile, overlap, symmetry_average)
    values = interpolate(predicted, shape)
    values[left_out] = 0
    if not values.any():
        told.append("it has no contrast, so that there is nothing to find")
    elif left_out.any():
        told.append(f"{left_out.mean():.1%} of it is left out: a data bar, an annotation or saturation")
    return Prediction(values, left_out, tuple(filter(None, [*told, unlike])), distance)


def familiar(network: LoadedNetwork, image: NDArray[np.float32], any_image: bool = False) -> tuple[float | None, str]:
    """Compare an image with those that a network was trained on.

    Parameters
    ----------
    network : LoadedNetwork
    image : float32 array [H, W]
        On the pixels of the network, outliers replaced and areas without specimen filled.
    any_image : bool
        Whether an image beyond ``REFUSED`` is meant so.

    Returns
    -------
    distance : float, optional
        See `exitwave.data.likeness.Likeness`; None where the image has no contrast or is too small, and where the
        network does not say what it was trained on.
    told : str
        A warning in words; empty if there is none.

    Raises
    ------
    MicrographError
        If the distance is beyond ``REFUSED``, unless ``any_image``.
    """
    reference = likeness_of(network)
    found = compare(fields(image, reference["edge"]), reference, network.pixel_size) if reference else None
    if found is None:
        return None, ""
    if found.distance <= WARNED:
        return found.distance, ""
    told = f"it is unlike the training images (distance {found.distance:.1f}): {', and '.join(found.told)}"
    if found.distance > REFUSED and not any_image:
        raise MicrographError(
            f"{told}; allowed: distances up to {REFUSED:g}, unless any_image says that the network is meant to see it"
        )
    return found.distance, told


def likeness_of(network: LoadedNetwork) -> dict[str, Any] | None:
    """What images of its kind a network was trained on; None where its description does not say."""
    sample: dict[str, Any] = network.info.get("data", {}).get("sample", {})
    return sample.get("likeness")


def tile_edge(network: LoadedNetwork) -> int:
    """Edge of the tiles [px]: the network's training images, rounded up to what its encoder can halve."""
    assert isinstance(network.model, PixelNetwork)
    halvings = int(2**network.model.encoder_depth)
    edge = int(network.info.get("image_size", SMALLEST_TILE))
    return -(-edge // halvings) * halvings


def network_predictor(network: LoadedNetwork) -> Predictor:
    """Prediction on tiles: normalise each by itself, apply the network, and say it in the words of its task.

    Parameters
    ----------
    network : LoadedNetwork
        Network, on the device where it is to run.

    Returns
    -------
    callable
        From float32 tiles [n, t, t], already filtered, to predictions float32 [n, t, t]; 0 for tiles without contrast.
    """
    import torch

    module = network.module.eval()
    device = next(module.parameters()).device
    normalization = network.model.preprocessing.normalization

    def predict(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        predicted, seen = np.zeros(tiles.shape, np.float32), has_contrast(tiles)
        if seen.any():
            batch = torch.from_numpy(normalize(tiles[seen], normalization)[:, None]).to(device)
            with torch.inference_mode():
                predicted[seen] = network.task.predict(module(batch)).cpu().numpy()
        return predicted

    return predict
