"""What a network costs, before it is trained: of its layers, on an image that holds no numbers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from exitwave.config.disks import Disks
from exitwave.config.graphs import ATOMS, Graphs
from exitwave.config.models import Classification, ColumnTarget, Network, PixelNetwork, Segmentation
from exitwave.config.reconstruction import Autoencoder, SuperResolution
from exitwave.training.known import recorded_work

if TYPE_CHECKING:
    import torch

_SECONDS_OF_AN_OPERATION = 5.2e-12
_SECONDS_OF_A_VALUE = 1.54e-9
"""Of a training step, by the operations and the values of a pass forward.

Fitted to the steps of U-Nets of the encoders resnet18, mobilenet_v2 and efficientnet-b0 with 3 to 5 stages, on one core
with bf16 in hardware: within 25 %.
"""
WITHOUT_BF16 = 2.0
"""How many times longer a step takes in single precision."""
_FOURIER = 4.0
"""How many times longer a step of a complex network takes than its convolutions, as measured."""
OF_A_STEP = 1 / 3
"""Share of a training step that a pass forward takes."""
_EDGES = (128, 224, 256, 384, 512)
"""Edges of images [px] with which a network is tried until it can take one."""
_Measured = Segmentation | Classification | Disks | Autoencoder | SuperResolution


@dataclass(frozen=True)
class Work:
    """What a network is and does.

    Attributes
    ----------
    parameters : int
    operations, values : float
        Operations of convolutions and matrix products, and numbers that layers give, in one pass forward, for each
        pixel of the image.
    """

    parameters: int
    operations: float
    values: float

    @property
    def seconds(self) -> float:
        """Time of one core with bf16 for a training step, for each pixel [s]."""
        return _SECONDS_OF_AN_OPERATION * self.operations + _SECONDS_OF_A_VALUE * self.values


def known_work(model: Network) -> Work | None:
    """What the networks of a block are and do, if it is one of the usual ones, known without PyTorch."""
    found = recorded_work(model)
    return None if found is None else Work(*found)


def work_of(model: Network) -> Work | None:
    """What the networks of a block are and do, as far as no number is needed to tell.

    None for the few networks that take no image of usual size. Imports PyTorch for those that are not in the record.

    Raises
    ------
    TrainingError
        If there is no such network.
    """
    if (known := known_work(model)) is not None:
        return known
    return measured_work(model)


def measured_work(model: Network) -> Work | None:
    """As ``work_of``, of the network as the libraries build it; imports PyTorch."""
    if isinstance(model, PixelNetwork):
        keys = model.model_dump(include={"architecture", "encoder", "encoder_depth"})
        return _work_of(Segmentation(kind="segmentation", **keys))
    if isinstance(model, Disks):
        return _work_of(Disks(kind="disks", **model.model_dump(include={"inputs", *model.parts()})))
    if isinstance(model, Graphs):
        return _work_of_graphs(Graphs(target=ColumnTarget(column=""), **model.parts()))
    if isinstance(model, Autoencoder | SuperResolution):
        return _work_of(type(model).model_validate({"kind": model.kind, **model.parts()}))
    assert isinstance(model, Classification)
    keys = model.model_dump(include=set(model.parts()))
    return _work_of(Classification(kind="classification", target=ColumnTarget(column=""), **keys))


@cache
def _work_of(model: _Measured) -> Work | None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    for mode in (FakeTensorMode, nullcontext):  # a few encoders calculate while they are built, which takes numbers
        try:
            with mode():
                network = _built(model)
                for edge in _EDGES:
                    if (work := _passed(network.eval(), edge, _channels(model))) is not None:
                        return _in_fourier_space(work) if getattr(model, "architecture", "") == "fcunet" else work
        except RuntimeError:
            continue
    return None


@cache
def _work_of_graphs(model: Graphs) -> Work:
    """Of a graph whose atoms have all bonds, as few have, for each of as many pixels as its table has numbers."""
    import torch

    from exitwave.training.graph_network import GraphNetwork

    table = torch.zeros(1, 1, *model.table())
    table[:, :, ATOMS:] = 1
    work = _counted(GraphNetwork(model, 2).eval(), table)
    assert work is not None
    return work


def _channels(model: _Measured) -> int:
    if isinstance(model, Disks):
        return 2
    return model.seen(0)[0] if isinstance(model, Classification) else 1


def _in_fourier_space(work: Work) -> Work:
    """Of a network whose Fourier transforms and periodic edges are no layers that could be counted."""
    return Work(work.parameters, _FOURIER * work.operations, _FOURIER * work.values)


def _built(model: _Measured) -> torch.nn.Module:
    if isinstance(model, Disks):
        from exitwave.training.disk_networks import build_disk_network

        return build_disk_network(model)
    if isinstance(model, Autoencoder):
        from exitwave.training.reconstruction_networks import DenseAutoencoder

        return DenseAutoencoder(model, _EDGES[0])  # dense layers grow with the image; of a larger one this is less
    if isinstance(model, SuperResolution):
        from exitwave.training.reconstruction_networks import FinerImages

        return FinerImages(model)
    if isinstance(model, Segmentation):
        from exitwave.training.architectures import build_network

        return build_network(model)
    from exitwave.training.encoders import build_classifier

    return build_classifier(model, 2, _channels(model))


def _passed(network: torch.nn.Module, edge: int, channels: int) -> Work | None:
    """Work of one pass forward of an image with this edge [px]; none if the network cannot take it."""
    import torch

    return _counted(network, torch.zeros(1, channels, edge, edge))


def _counted(network: torch.nn.Module, image: torch.Tensor) -> Work | None:
    """Work of one pass forward of an image [1, channels, H, W], for each pixel; none if the network cannot take it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    values = 0

    def count(module: torch.nn.Module, arguments: Any, output: Any) -> None:
        nonlocal values
        values += output.numel() if isinstance(output, torch.Tensor) else 0

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
    except (RuntimeError, ValueError, AssertionError):
        return None
    finally:
        for hook in hooks:
            hook.remove()
    parameters = sum(weight.numel() for weight in network.parameters())
    pixels = image.shape[-2] * image.shape[-1]
    return Work(parameters, counter.get_total_flops() / pixels, values / pixels)
