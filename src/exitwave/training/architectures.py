"""Networks that give a value for every pixel."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import torch

from exitwave.config.models import PixelNetwork
from exitwave.training.known import RESIDUAL, check_network
from exitwave.training.residual import ResidualUnet

DEEPEST = 5
"""Stages that encoders have."""


def build_network(model: PixelNetwork) -> torch.nn.Module:
    """Network with random weights, one input channel and one output a pixel.

    Nothing is downloaded. The weights come from PyTorch's random state, which the caller seeds.

    Raises
    ------
    TrainingError
        If the encoder is unknown, or cannot be had with this depth and architecture.
    """
    check_network(model)
    if model.architecture == RESIDUAL:
        return ResidualUnet(model.encoder_depth)
    network = assemble(model)
    if model.encoder_depth < DEEPEST:
        _drop_unused(network)
    return network


def assemble(model: PixelNetwork) -> torch.nn.Module:
    """Network of any names, as the library has it; what it cannot build is an error of its own."""
    channels = (256, 128, 64, 32, 16)[-model.encoder_depth :]
    specific: dict[str, dict[str, Any]] = {
        "unet": {"decoder_channels": channels},
        "unetplusplus": {"decoder_channels": channels},
        # The FPN's output lies at the fourth-last stage of the encoder; this brings it back to the size of the input.
        "fpn": {"upsampling": 2 ** (model.encoder_depth - 3)},
        "linknet": {},
    }
    architectures = {"unet": smp.Unet, "unetplusplus": smp.UnetPlusPlus, "fpn": smp.FPN, "linknet": smp.Linknet}
    network: torch.nn.Module = architectures[model.architecture](
        encoder_name=model.encoder,
        encoder_depth=model.encoder_depth,
        encoder_weights=None,
        in_channels=1,
        classes=1,
        **specific[model.architecture],
    )
    # The library puts a first layer for one channel on the CPU, whatever device it is asked for.
    return network.to(torch.empty(0).device)


def _drop_unused(network: torch.nn.Module) -> None:
    """Take the stages out of an encoder that an image never reaches: their weights would be optimised and stored.

    They are found by sending an image through: what is not called and has no gradient.
    """
    called: set[torch.nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: called.add(module)) for module in network.modules()]
    # Evaluated, so that no running mean sees the image.
    network.eval()
    network(torch.zeros(1, 1, 64, 64)).sum().backward()
    network.train()
    for hook in hooks:
        hook.remove()
    for name, module in list(network.named_modules()):
        weights = list(module.parameters())
        used = not called.isdisjoint(module.modules()) or any(weight.grad is not None for weight in weights)
        if weights and not used:
            network.set_submodule(name, torch.nn.Identity())
    network.zero_grad()
