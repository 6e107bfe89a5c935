"""What tasks that give a value for every pixel have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exitwave.config.graph import Node
from exitwave.config.images import Images
from exitwave.config.models import PixelNetwork
from exitwave.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    import torch


def check_map(name: str, images: Sequence[Node]) -> None:
    """Refuse a map that is not stored with the images of some blocks.

    Raises
    ------
    ConfigError
    """
    for node in images:
        block = node.of(Images)
        if name not in block.maps():
            raise ConfigError(
                f"found a model that learns the map '{name}', which is not stored with the images "
                f"'{node.name}'; allowed: {' or '.join(block.maps()) or 'a model without a map'}, or more labels of "
                "the images"
            )


def check_images(model: PixelNetwork, images: torch.Tensor) -> None:
    """Refuse images [n, H, W] that do not fit a network with so many downsampling stages.

    Raises
    ------
    TrainingError
    """
    height, width = images.shape[-2:]
    stride = 2**model.encoder_depth
    if height != width or height % stride:
        raise TrainingError(
            f"images have {height} x {width} pixels; allowed with encoder_depth {model.encoder_depth}: "
            f"squares with an edge that is a multiple of {stride}"
        )
    if min(len(images), model.batch_size) == 1 and height == stride:
        raise TrainingError(
            f"one image of {height} x {width} pixels at a time leaves a single value for batch normalisation at "
            f"encoder_depth {model.encoder_depth}; allowed: a larger batch_size or more images, or a smaller depth"
        )
