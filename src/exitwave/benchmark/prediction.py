"""Applying a network that gives a value for every pixel to an image of any size and calibration."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.areas import artifacts_replaced
from exitwave.benchmark.remedies import IN_BENCHMARK, Remedies
from exitwave.benchmark.tiling import (
    Predictor,
    Progress,
    check_pixel,
    interpolated_rows,
    predicted_rows,
    resample,
    resample_cubic,
    resampled_shape,
)
from exitwave.config.benchmarks import Benchmark, MicrographBenchmark
from exitwave.config.models import PixelNetwork, Segmentation
from exitwave.data.likeness import REFUSED, WARNED, compare, fields
from exitwave.data.preprocess import filter_median_in_place, has_contrast, normalize
from exitwave.data.strips import Rows, strips
from exitwave.errors import MicrographError, TrainingError

if TYPE_CHECKING:
    import torch

    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
SMALLEST_TILE = 128
"""Tile [px] for a network that does not say on which size it was trained."""


BATCH = {"cpu": 4, "cuda": 64}
"""Tiles given to a network at once: more are no faster on a processor, and take memory."""


@dataclass(frozen=True)
class Prediction:
    """What networks give for an image.

    It is kept on the grid on which the networks see the image; the values of its pixels are worked out when they are
    asked for, all of them or some rows at a time.

    Attributes
    ----------
    mean : float32 array [h, w]
        Probabilities or values of the map that the networks have learned, their mean, on the grid of the networks or of
        the image.
    left_out : bool array [H, W]
        Where the image shows no specimen; see `exitwave.benchmark.areas.not_specimen`.
    warnings : tuple of str
        What makes it doubtful, each in words that go on after the name of the image.
    distance : float, optional
        Of the image from the training images; see `exitwave.data.likeness.Likeness`. None where it cannot be told.
    deviation : float32 array [h, w], optional
        Standard deviation of the networks; None of a single one.
    """

    mean: NDArray[np.float32]
    left_out: NDArray[np.bool_]
    warnings: tuple[str, ...]
    distance: float | None = None
    deviation: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Of the image."""
        return self.left_out.shape[0], self.left_out.shape[1]

    @property
    def values(self) -> NDArray[np.float32]:
        """Mean in the pixels of the image, [H, W]; 0 where it is left out or has no contrast."""
        return self._whole(self.mean)

    @property
    def spread(self) -> NDArray[np.float32] | None:
        """Deviation in the pixels of the image, [H, W]; 0 where it is left out."""
        return None if self.deviation is None else self._whole(self.deviation)

    def value_rows(self, rows: slice) -> NDArray[np.float32]:
        """Some rows of ``values``; the slice has a start and a stop."""
        return self._rows(self.mean, rows)

    def spread_rows(self, rows: slice) -> NDArray[np.float32] | None:
        """Some rows of ``spread``."""
        return None if self.deviation is None else self._rows(self.deviation, rows)

    def _rows(self, known: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        found = interpolated_rows(known, self.shape, rows)
        found[self.left_out[rows]] = 0
        return found

    def _whole(self, known: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = np.empty(self.shape, np.float32)
        for rows in strips(self.shape):
            whole[rows] = self._rows(known, rows)
        return whole


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
    """What a network gives for the pixels of an image; see :func:`predict_ensemble`."""
    return predict_ensemble([network], image, pixel_size, overlap, symmetry_average, any_pixel_size, any_image)


def predict_ensemble(
    networks: Sequence[LoadedNetwork],
    image: Rows,
    pixel_size: float,
    overlap: float = 0.5,
    symmetry_average: bool = False,
    any_pixel_size: bool = False,
    any_image: bool = False,
    progress: Progress | None = None,
    remedies: Remedies = IN_BENCHMARK,
) -> Prediction:
    """Mean and spread of what networks give for the pixels of an image of any size and calibration.

    Outliers are replaced on the pixels of the camera, where they are single pixels. Areas that show no specimen are
    left out: the network sees the mirror image of what is beside them. Then the image is resampled to the pixel of
    the network, on which the median filter acts as it did in training, and cut into tiles of the size the network was
    trained on. Each tile is normalised by itself, since every training image was: a training image is one field of this
    size, and the grey value that the network knows as dark is the darkest of such a field, not of a whole micrograph
    with its thick and thin regions. The prediction is taken back to the grid of the image, where it is compared with
    the truth.

    Beside the image this takes a byte a pixel, and 12 bytes a pixel of the network.

    Parameters
    ----------
    networks : sequence of LoadedNetwork
        Networks that see an image alike: of one preprocessing, pixel size and tile.
    image : Rows [H, W]
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
    progress : callable, optional
        Told how many tiles are done, and of how many.
    remedies : Remedies
        Where the pixel is given.

    Returns
    -------
    Prediction

    Raises
    ------
    MicrographError
        If the pixel is too far from that of the network; see `exitwave.benchmark.tiling.check_pixel`. If the image is
        too far from the training images; see `familiar`.
    TrainingError
        If the networks do not see an image alike.
    """
    first, (height, width) = networks[0], image.shape
    preprocessing, tile = first.preprocessing, tile_edge(first)
    for other in networks[1:]:
        if (other.preprocessing, other.pixel_size, tile_edge(other)) != (preprocessing, first.pixel_size, tile):
            raise TrainingError(
                "the networks differ in preprocessing, pixel size or tile; allowed: those of one training"
            )
    told = [check_pixel((height, width), pixel_size, first.pixel_size, tile, overlap, any_pixel_size, remedies)]
    cleaned, left_out = artifacts_replaced(image, preprocessing.outliers)
    to_pixels = resample_cubic if preprocessing.resampling == "cubic" else resample
    there = to_pixels(cleaned, resampled_shape((height, width), pixel_size, first.pixel_size))
    del cleaned
    distance, unlike = familiar(first, there, any_image, remedies)
    filter_median_in_place(there, preprocessing.median)
    mean = np.empty_like(there)
    deviation = np.empty_like(there) if len(networks) > 1 else None
    predictors = [network_predictor(network) for network in networks]
    batch = BATCH[_device(first).type]
    for rows, values in predicted_rows(predictors, there, tile, overlap, symmetry_average, batch, progress):
        if isinstance(first.model, Segmentation):
            # Rounding leaves probabilities beyond one.
            np.clip(values, 0, 1, out=values)
        mean[rows] = values.mean(axis=0)
        if deviation is not None:
            deviation[rows] = values.std(axis=0)
    prediction = Prediction(mean, left_out, (), distance, deviation)
    if not any(prediction.value_rows(rows).any() for rows in strips(left_out.shape)):
        told.append("it has no contrast, so that there is nothing to find")
    elif left_out.any():
        told.append(f"{left_out.mean():.1%} of it is left out: a data bar, an annotation or saturation")
    return replace(prediction, warnings=tuple(filter(None, [*told, unlike])))


def familiar(
    network: LoadedNetwork, image: NDArray[np.float32], any_image: bool = False, remedies: Remedies = IN_BENCHMARK
) -> tuple[float | None, str]:
    """Compare an image with those that a network was trained on.

    Parameters
    ----------
    network : LoadedNetwork
    image : float32 array [H, W]
        On the pixels of the network, outliers replaced and areas without specimen filled.
    any_image : bool
        Whether an image beyond ``REFUSED`` is meant so.
    remedies : Remedies
        What says so.

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
    told = f"it is unlike the training images (unlikeness {found.distance:.1f}): {', and '.join(found.told)}"
    if found.distance > REFUSED and not any_image:
        raise MicrographError(
            f"{told}; allowed: unlikeness up to {REFUSED:g}, unless {remedies.any_image} says that the network is "
            "meant to see it"
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

    module, device, most = network.module.eval(), _device(network), 2**16
    normalization = network.preprocessing.normalization

    def applied(batch: torch.Tensor) -> NDArray[np.float32]:
        """A batch that the device's memory does not hold is halved, and so are those after it."""
        nonlocal most
        try:
            with torch.inference_mode():
                parts = [
                    network.task.predict(module(batch[start : start + most].to(device))).cpu()
                    for start in range(0, len(batch), most)
                ]
        except torch.OutOfMemoryError:
            if min(most, len(batch)) == 1:
                raise
        else:
            return np.asarray(torch.cat(parts).numpy(), np.float32)
        most = min(most, len(batch)) // 2
        return applied(batch)

    def predict(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        predicted, seen = np.zeros(tiles.shape, np.float32), has_contrast(tiles)
        if seen.any():
            predicted[seen] = applied(torch.from_numpy(normalize(tiles[seen], normalization)[:, None]))
        return predicted

    return predict


def _device(network: LoadedNetwork) -> torch.device:
    """Where a network is."""
    return next(network.module.parameters()).device
