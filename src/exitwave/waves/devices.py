"""Where the multislice runs: which backend serves a device and a grid."""

from __future__ import annotations

import logging
from functools import partial
from typing import Literal

from exitwave.waves.backend import MakeBackend

log = logging.getLogger(__name__)


def backend_on(device: Literal["auto", "cpu", "cuda"], size: int) -> tuple[MakeBackend, int | None, type[Exception]]:
    """The backend of a device for a simulation grid of ``size`` pixels.

    Returns
    -------
    callable, int or None, type of exception
        What makes it, how many waves it takes at once (None: any number, and gains nothing by it), and what it raises
        if those are too many.
    """
    from exitwave.hardware import resolve_device

    if resolve_device(device) == "cuda":
        import torch

        from exitwave.waves.torch_backend import TorchBackend, members_that_fit

        return TorchBackend, members_that_fit(size), torch.OutOfMemoryError
    from exitwave.waves.numba_backend import NumbaBackend

    if NumbaBackend.supports(size):
        return NumbaBackend, None, MemoryError
    import torch

    from exitwave.waves.torch_backend import TorchBackend

    log.info("a simulation grid of %d pixels has a prime factor beyond 13, and takes several times longer", size)
    torch.set_num_threads(1)  # a job has one core
    return partial(TorchBackend, device="cpu"), None, MemoryError
