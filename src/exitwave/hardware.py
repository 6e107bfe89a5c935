"""On which device a job computes, in which arithmetic, and with kernels that may have to be compiled."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from exitwave.errors import ConfigError

Device = Literal["cpu", "cuda"]
Precision = Literal["32", "bf16"]
DEVICES = {"cpu": "processor core", "cuda": "GPU"}
"""What a device is, in words."""
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""What the drivers of GPUs bring along, on Linux and in its Windows subsystem."""
_GRANTED = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE")
"""What SLURM tells a job of its GPUs."""


def resolve_device(device: Literal["auto", "cpu", "cuda"]) -> Device:
    """Device that a job runs on.

    Under ``auto`` a job of SLURM uses a GPU that it was given, not one that it merely sees.

    Raises
    ------
    ConfigError
        If ``cuda`` is asked for and there is none. Call this before anything expensive.
    """
    if device == "auto" and "SLURM_JOB_ID" in os.environ and not any(name in os.environ for name in _GRANTED):
        return "cpu"
    # Importing PyTorch takes seconds: it is not asked where there is no driver.
    available = False
    if device != "cpu" and (sys.platform == "win32" or any(Path(name).exists() for name in _DRIVERS)):
        import torch

        available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ConfigError("device is cuda, but PyTorch finds no CUDA device; allowed here: cpu or auto")
    if device == "auto":
        return "cuda" if available else "cpu"
    return device


def check_devices(device: Device, number: int) -> None:
    """Refuse more devices than a job has.

    Raises
    ------
    ConfigError
    """
    if device == "cuda":
        import torch

        found = torch.cuda.device_count()
    else:
        # A job may be bound to some of the cores of its machine; not every system tells to which.
        bound = getattr(os, "sched_getaffinity", None)
        found = len(bound(0)) if bound else os.cpu_count() or 1
    if number > found:
        raise ConfigError(
            f"devices is {number}, and this job has {found}, each a {DEVICES[device]}; allowed here: {found} or fewer"
        )


def resolve_precision(precision: Literal["auto", "32", "bf16"], device: Device) -> Precision:
    """Arithmetic of the forward pass: bf16 under ``auto`` only where the hardware multiplies it.

    Without such instructions bf16 is emulated and slower than float32. With them a step of a U-Net takes about half
    the time on a CPU. Weights, losses and the optimiser stay in float32 either way.
    """
    import torch

    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    processor = torch.cpu.get_capabilities()
    return "bf16" if processor.get("avx512_bf16") or processor.get("amx_bf16") else "32"


@contextmanager
def compiling_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Say once, when the first of our kernels is compiled in the body, why nothing seems to happen.

    numba keeps what it has compiled on disk: of kernels that are found there nothing is said.

    Parameters
    ----------
    tell : callable
        Takes the sentence.
    """
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc]
        told = False

        def on_start(self, happened: Any) -> None:
            if not self.told and happened.data["dispatcher"].py_func.__module__.startswith("exitwave"):
                self.told = True
                tell("compiling kernels for this processor, once: up to a minute")

        def on_end(self, happened: Any) -> None:
            """Nothing: that it goes on is seen then."""

    with event.install_listener("numba:compile", Listener()):
        yield
