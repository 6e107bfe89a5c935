"""Networks that give a value for every pixel."""

from __future__ import annotations

import difflib
from typing import Any

import segmentation_models_pytorch as smp
import torch

from exitwave.config.models import PixelNetwork
from exitwave.errors import TrainingError


def build_network(model: PixelNetwork) -> torch.nn.Module:
    """Network with random weights, one input channel and one output a pixel.

    Nothing is downloaded. The weights come from PyTorch's random state, which the caller seeds.

    Raises
    ------
    TrainingError
        If the encoder is unknown, or cannot be had with this depth and architecture.
    """
    encoders = smp.encoders.get_encoder_names()
    if model.encoder not in encoders:
        similar = difflib.get_close_matches(model.encoder, encoders, n=5) or encoders[:5]
        raise TrainingError(
            f"encoder is {model.encoder!r}; allowed: an encoder of segmentation-models-pytorch, "
            f"such as {', '.join(similar)}"
        )
    channels = (256, 128, 64, 32, 16)[-model.encoder_depth :]
    specific: dict[str, dict[str, Any]] = {
        "unet": {"decoder_channels": channels},
        "unetplusplus": {"decoder_channels": channels},
        # The FPN's output lies at the fourth-last stage of the encoder; this brings it back to the size of the input.
        "fpn": {"upsampling": 2 ** (model.encoder_depth - 3)},
        "linknet": {},
    }
    architectures = {"unet": smp.Unet, "unetplusplus": smp.UnetPlusPlus, "fpn": smp.FPN, "linknet": smp.Linknet}
    try:
        network: torch.nn.Module = architectures[model.architecture](
            encoder_name=model.encoder,
            encoder_depth=model.encoder_depth,
            encoder_weights=None,
            in_channels=1,
            classes=1,
            **specific[model.architecture],
        )
    except (ValueError, KeyError, NotImplementedError) as error:
        raise TrainingError(
            f"encoder {model.encoder} cannot be used with architecture {model.architecture} and encoder_depth "
            f"{model.encoder_depth} ({error})"
        ) from error
    return network
