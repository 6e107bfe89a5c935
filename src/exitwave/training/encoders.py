"""Networks that give one vector an image."""

from __future__ import annotations

import segmentation_models_pytorch as smp
import timm
import torch

from exitwave.config.models import Classification
from exitwave.errors import TrainingError
from exitwave.training.architectures import DEEPEST
from exitwave.training.known import check_network


class Pooled(torch.nn.Module):
    """An encoder of segmentation-models-pytorch, the mean of its last features, and a linear layer."""

    def __init__(self, encoder: torch.nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Linear(features, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of images [n, channels, H, W]."""
        logits: torch.Tensor = self.head(self.encoder(images)[-1].mean((-2, -1)))
        return logits


def build_classifier(model: Classification, classes: int, channels: int) -> torch.nn.Module:
    """Network with random weights and one logit a class.

    Nothing is downloaded. The weights come from PyTorch's random state, which the caller seeds.

    Parameters
    ----------
    model : Classification
        Its encoder is a network of timm, or else an encoder of segmentation-models-pytorch.
    classes, channels : int
        Outputs and inputs.

    Raises
    ------
    TrainingError
        If there is no such network, or not with so many input channels.
    """
    check_network(model)
    name = model.encoder
    try:
        if timm.is_model(name):
            network: torch.nn.Module = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes)
            return network
        encoder = smp.encoders.get_encoder(name, in_channels=channels, depth=DEEPEST, weights=None)
        return Pooled(encoder, encoder.out_channels[-1], classes)
    except (ValueError, KeyError, TypeError, RuntimeError, AssertionError, NotImplementedError) as error:
        raise TrainingError(
            f"encoder {name} cannot be had with {channels} input channel(s): {_reason(error)}"
        ) from error


@torch.no_grad()
def check_size(network: torch.nn.Module, name: str, edge: int, channels: int = 1) -> None:
    """Refuse square images, of an edge [px] and so many channels, that a network cannot take.

    Raises
    ------
    TrainingError
    """
    before, device = network.training, next(network.parameters()).device
    try:
        network.eval()(torch.zeros((2, channels, edge, edge), device=device))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise TrainingError(f"encoder {name} cannot take images of {edge} x {edge} px ({_reason(error)})") from error
    finally:
        network.train(before)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
