"""Features of images by which they are compared: what an early layer of another network gives of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from exitwave.config.models import PixelNetwork
from exitwave.config.reconstruction import RANDOM
from exitwave.errors import TrainingError
from exitwave.training.bundle import load_networks
from exitwave.training.super_resolution import SuperResolutionTask
from exitwave.training.task import Task

_LEVEL = 2
"""Halvings of the image after which features are taken: of later layers they cost more."""
_SEED = 0
"""Of the encoder that has learned nothing: the same for all trainings."""
_FLOOR = 1e-3
"""Grey value below which no root is drawn, whose slope would be without end."""


def equipped(task: Task) -> Task:
    """A task with the features by which its loss compares images; others as they are."""
    if isinstance(task, SuperResolutionTask) and task.model.features is not None:
        return replace(task, feature_errors=partial(feature_errors, task.model.features))
    return task


def feature_errors(name: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared error of features over their mean square, of each image.

    Parameters
    ----------
    name : str
        As ``features`` of :class:`exitwave.config.reconstruction.SuperResolution`.
    outputs, targets : tensor [n, H, W]
        Images made and true.

    Returns
    -------
    tensor [n]

    Raises
    ------
    TrainingError
        If there are no such networks, or they have no encoder.
    """
    encoder, root = _encoder(name)
    encoder.to(outputs.device)
    low = targets.amin(dim=(1, 2), keepdim=True)
    spread = (targets.amax(dim=(1, 2), keepdim=True) - low).clamp(min=1e-12)
    made, true = (_seen((images - low) / spread, root) for images in (outputs, targets))
    with torch.no_grad():
        aimed = encoder(true)[_LEVEL]
    error = (encoder(made)[_LEVEL] - aimed).square().mean(dim=(1, 2, 3))
    errors: torch.Tensor = error / aimed.square().mean(dim=(1, 2, 3)).clamp(min=1e-12)
    return errors


def _seen(images: torch.Tensor, root: bool) -> torch.Tensor:
    """Images from 0 to 1 as an encoder sees them [n, 1, H, W]."""
    return (images.clamp(min=_FLOOR).sqrt() if root else images)[:, None]


@cache
def _encoder(name: str) -> tuple[Any, bool]:
    """Encoder whose weights stay, and whether it sees the root of images."""
    encoder: Any
    if name == RANDOM:
        encoder, root = _random(), True
    else:
        network = load_networks(Path(name))[0]
        if not isinstance(network.model, PixelNetwork) or network.model.encoder_depth < _LEVEL:
            raise TrainingError(
                f"features: {name} holds networks of kind {network.model.kind}; allowed: networks with an encoder, "
                "such as those of kind atoms or segmentation"
            )
        encoder, root = network.module.encoder, network.preprocessing.normalization == "root"
    # Later stages would be worked out for nothing.
    if hasattr(encoder, "_depth"):
        encoder._depth = _LEVEL
    return encoder.eval().requires_grad_(False), root


def _random() -> torch.nn.Module:
    import segmentation_models_pytorch as smp

    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        encoder: torch.nn.Module = smp.encoders.get_encoder("resnet18", in_channels=1, depth=_LEVEL, weights=None)
    return encoder
