"""On which device a job computes, and in which arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from exitwave.errors import ConfigError

Device = Literal["cpu", "cuda"]
Precision = Literal["32", "bf16"]
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""What the drivers of GPUs bring along, on Linux and in its Windows subsystem."""


def resolve_device(device: Literal["auto", "cpu", "cuda"]) -> Device:
    """Device that a job runs on.

    Raises
    ------
    ConfigError
        If ``cuda`` is asked for and there is none. Call this before anything expensive.
    """
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
