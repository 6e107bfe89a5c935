"""What tasks that give a value for every pixel have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.graph import Node
from exitwave.config.images import Images
from exitwave.config.models import PixelNetwork
from exitwave.data.preprocess import preprocess_stack
from exitwave.errors import ConfigError, TrainingError
from exitwave.training.task import INPUT

if TYPE_CHECKING:
    import torch


def check_arrays(names: Sequence[str], images: Sequence[Node], lists: bool = False) -> None:
    """Refuse a target made from arrays that are not stored with the images of some blocks: maps, or also ``lists``.

    Raises
    ------
    ConfigError
    """
    for node in images:
        block = node.of(Images)
        stored = [*block.maps(), *(block.lists() if lists else [])]
        for name in names:
            if name not in stored:
                more = ", or more labels of the images" if "labels" in type(block).model_fields else ""
                raise ConfigError(
                    f"found a model that learns from '{name}', which is not stored with the images '{node.name}'; "
                    f"allowed: {' or '.join(stored) or 'a model without a map'}{more}"
                )


def check_edges(model: PixelNetwork, height: int, width: int) -> None:
    """Refuse images whose edges [px] cannot be halved as often as the encoder does.

    Raises
    ------
    TrainingError
    """
    stride = 2**model.encoder_depth
    if height != width or height % stride:
        raise TrainingError(
            f"images have {height} x {width} pixels; allowed: squares with an edge that is a multiple of {stride}, "
            f"as encoder_depth is {model.encoder_depth}"
        )


@dataclass(frozen=True)
class PixelTask:
    """The part of a task that does not depend on what the value of a pixel is."""

    model: PixelNetwork

    def inputs(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Preprocessed images [n, H, H]."""
        return preprocess_stack(arrays[INPUT], self.model.preprocessing)

    def build(self) -> torch.nn.Module:
        """Network with one output a pixel."""
        from exitwave.training.architectures import build_network

        return build_network(self.model)

    def check(self, network: torch.nn.Module, shape: Sequence[int]) -> None:
        """Refuse images, so many with so many pixels [n, H, W], that do not fit the downsampling of the network.

        Raises
        ------
        TrainingError
        """
        number, height, width = shape
        depth = self.model.encoder_depth
        check_edges(self.model, height, width)
        if min(number, self.model.batch_size) == 1 and height == 2**depth:
            raise TrainingError(
                f"one image of {height} x {width} pixels at a time leaves a single value for batch normalisation at "
                f"encoder_depth {depth}; allowed: a larger batch_size or more images, or a smaller depth"
            )

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn and flip images and targets alike."""
        from exitwave.training.symmetry import augment

        return augment(images, targets, rng)

    def truth(self, targets: Any) -> Any:
        """Maps [n, H, W]."""
        return targets
