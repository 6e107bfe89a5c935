"""Applying a network that gives a value for every pixel to an image of any size and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.tiling import Predictor, predict_tiled, resample, resampled_shape
from exitwave.config.benchmarks import Benchmark, MicrographBenchmark
from exitwave.config.models import PixelNetwork
from exitwave.data.preprocess import normalize, remove_outliers

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

SMALLEST_TILE = 128
"""Tile [px] for a network that does not say on which size it was trained."""


def predict_map(
    network: LoadedNetwork, image: NDArray[np.float32], pixel_size: float, block: Benchmark
) -> NDArray[np.float32]:
    """What a network gives for an image of a benchmark; tiles overlap where the benchmark is of micrographs.

    Parameters
    ----------
    network : LoadedNetwork
    image : float32 array [H, W]
    pixel_size : float
        [Å]
    block : Benchmark

    Returns
    -------
    float32 array [H, W]
    """
    overlap, symmetry_average = 0.0, False
    if isinstance(block, MicrographBenchmark):
        overlap, symmetry_average = block.overlap, block.symmetry_average
    return predict_image(network, image, pixel_size, overlap, symmetry_average)


def predict_image(
    network: LoadedNetwork,
    image: NDArray[np.float32],
    pixel_size: float,
    overlap: float = 0.5,
    symmetry_average: bool = False,
) -> NDArray[np.float32]:
    """What a network gives for the pixels of an image of any size and calibration.

    The median filter acts on the pixels of the camera, where outliers are single pixels; then the image is resampled
    to the pixel of the network and cut into tiles of the size the network was trained on. Each tile is normalised by
    itself, since every training image was: a training image is one field of this size, and the grey value that the
    network knows as dark is the darkest of such a field, not of a whole micrograph with its thick and thin regions.
    The prediction is taken back to the grid of the image, where it is compared with the truth.

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

    Returns
    -------
    float32 array [H, W]
        Probabilities or values of the map that the network has learned.
    """
    shape = (image.shape[0], image.shape[1])
    image = remove_outliers(image, network.model.preprocessing.median)
    image = resample(image, resampled_shape(shape, pixel_size, network.pixel_size))
    predicted = predict_tiled(network_predictor(network), image, tile_edge(network), overlap, symmetry_average)
    return resample(predicted, shape, order=1)


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
        From float32 tiles [n, t, t], already filtered, to predictions float32 [n, t, t].
    """
    import torch

    module = network.module.eval()
    device = next(module.parameters()).device
    normalization = network.model.preprocessing.normalization

    def predict(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(normalize(tiles, normalization)[:, None]).to(device)
        with torch.inference_mode():
            predicted = network.task.predict(module(batch))
        return np.asarray(predicted.cpu().numpy())

    return predict
