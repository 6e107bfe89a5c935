"""Applying a network that finds disks to patterns of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exitwave.data.patterns import scaled
from exitwave.training.disks import DisksTask, multiple_of

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork


def structure_factor_maps(
    network: LoadedNetwork, patterns: NDArray[np.floating], probes: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Images of structure factors.

    Parameters
    ----------
    network : LoadedNetwork
        Network that finds disks, on the device where it is to run.
    patterns : array [n, H, W]
        Intensities of patterns.
    probes : array [n, H, W] or [1, H, W]
        Their vacuum probes, in the middle.

    Returns
    -------
    float32 [n, H, W]
        Not negative.
    """
    import torch

    task = network.task
    assert isinstance(task, DisksTask)
    inputs = scaled(patterns, probes)
    height, width = inputs.shape[-2:]
    # A rim without electrons makes edges that the network can halve; the middle, edge // 2, stays the middle.
    rims = [_rim(edge, multiple_of(task.model)) for edge in (height, width)]
    padded = np.pad(inputs, ((0, 0), (0, 0), *rims)) if any(map(any, rims)) else inputs
    device = next(network.module.parameters()).device
    with torch.inference_mode():
        found = task.predict(network.module(torch.from_numpy(padded).to(device))).cpu().numpy()
    (top, _), (left, _) = rims
    return np.asarray(found[:, top : top + height, left : left + width], np.float32)


def _rim(edge: int, multiple: int) -> tuple[int, int]:
    """Pixels before and after."""
    whole = -(-edge // multiple) * multiple
    before = whole // 2 - edge // 2
    return before, whole - edge - before
