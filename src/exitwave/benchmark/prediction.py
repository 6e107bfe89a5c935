"""Segmenting a micrograph with a trained network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.readers import Micrograph
from exitwave.benchmark.tiling import Predictor, predict_tiled, resample, resampled_shape
from exitwave.data.preprocess import normalize, remove_outliers

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

SMALLEST_TILE = 128
"""Tile [px] for a network that does not say on which size it was trained."""


@dataclass(frozen=True)
class SegmentedMicrograph:
    """Result on the pixels of the micrograph."""

    probability: NDArray[np.float32]
    """[H, W], probability of each pixel to be particle."""
    mask: NDArray[np.bool_]
    """[H, W], probability at the threshold or above."""


def segment_image(
    network: LoadedNetwork,
    micrograph: Micrograph,
    overlap: float = 0.5,
    symmetry_average: bool = False,
    threshold: float = 0.5,
) -> SegmentedMicrograph:
    """Segment one micrograph.

    The median filter acts on the pixels of the camera, where outliers are single pixels; then the image is resampled
    to the pixel of the network and cut into tiles of the size the network was trained on. Each tile is normalised by
    itself, since every training image was: a training image is one field of this size, and the grey value that the
    network knows as dark is the darkest of such a field, not of a whole micrograph with its thick and thin regions.
    The probability is taken back to the grid of the micrograph, where it is compared with the expert.

    Parameters
    ----------
    network : LoadedNetwork
        Network with its preprocessing and pixel size.
    micrograph : Micrograph
        Image and pixel size.
    overlap : float
        Overlap of neighbouring tiles, of their edge.
    symmetry_average : bool
        Average the prediction over the eight quarter turns and flips of each tile.
    threshold : float
        Probability from which a pixel is particle.
    """
    shape = (micrograph.image.shape[0], micrograph.image.shape[1])
    image = remove_outliers(micrograph.image, network.model.preprocessing.median)
    image = resample(image, resampled_shape(shape, micrograph.pixel_size, network.pixel_size))
    predicted = predict_tiled(network_predictor(network), image, tile_edge(network), overlap, symmetry_average)
    probability = np.clip(resample(predicted, shape, order=1), 0, 1)
    return SegmentedMicrograph(probability=probability, mask=probability >= threshold)


def tile_edge(network: LoadedNetwork) -> int:
    """Edge of the tiles [px]: the network's training images, rounded up to what its encoder can halve."""
    halvings = int(2**network.model.encoder_depth)
    edge = int(network.info.get("image_size", SMALLEST_TILE))
    return -(-edge // halvings) * halvings


def network_predictor(network: LoadedNetwork) -> Predictor:
    """Prediction on tiles: normalise each by itself, apply the network, logistic function.

    Parameters
    ----------
    network : LoadedNetwork
        Network, on the device where it is to run.

    Returns
    -------
    callable
        From float32 tiles [n, t, t], already filtered, to probabilities float32 [n, t, t].
    """
    import torch

    module = network.module.eval()
    device = next(module.parameters()).device
    normalization = network.model.preprocessing.normalization

    def predict(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(normalize(tiles, normalization)[:, None]).to(device)
        with torch.inference_mode():
            probability = torch.sigmoid(module(batch).float())
        return np.asarray(probability[:, 0].cpu().numpy())

    return predict
