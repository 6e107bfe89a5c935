"""What stands beside the weights of a network: what it has learned and how it came about."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exitwave.config.models import Network
from exitwave.errors import ExitwaveError, TrainingError
from exitwave.training.kinds import task_from
from exitwave.training.task import Task

WEIGHTS = "weights.safetensors"
DESCRIPTION = "network.json"


MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, ExitwaveError)
"""What a description raises that was not written by this version."""
LARGEST_IMAGE = 16384
"""Largest edge of images that networks are trained on [px]."""


@dataclass(frozen=True)
class Record:
    """Content of the description of a network.

    Attributes
    ----------
    task : Task
        What it has learned, and what its outputs mean.
    pixel_size : float
        Pixel of the images it was trained on [Å].
    weights_sha256 : str
        Digest of its weights.
    info : dict
        What was recorded about the training.
    diverged : str
        Why there is no network, in a sentence; empty if there is one.
    """

    task: Task
    pixel_size: float
    weights_sha256: str
    info: dict[str, Any]
    diverged: str = ""

    @property
    def model(self) -> Network:
        """Its block in the config."""
        return self.task.model


def record_from(description: Mapping[str, Any]) -> Record:
    """Record of a description in plain values.

    Raises
    ------
    MALFORMED
        If it describes no network.
    """
    pixel_size, info = float(description["pixel_size"]), dict(description["info"])
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise ValueError(f"pixel_size: found {pixel_size}, which is not above 0")
    # What others ask of it without looking: numbers, and mappings in mappings.
    if not 0 <= int(info.get("image_size", 0)) <= LARGEST_IMAGE:
        raise ValueError(f"image_size: found {info['image_size']}, which is no edge of images")
    for value in info.get("validation", {}).values():
        float(value)
    info.get("data", {}).get("sample", {}).get("likeness")
    return Record(
        task_from(description),
        pixel_size,
        str(description.get("weights_sha256", "")),
        info,
        str(description.get("diverged", "")),
    )


def read_record(path: Path) -> Record:
    """Read the description of a network.

    Parameters
    ----------
    path : path
        Folder of the network, or a file in it.

    Raises
    ------
    TrainingError
        If a file is missing, or does not describe a network.
    """
    folder = path if path.is_dir() else path.parent
    description = folder / DESCRIPTION
    for file in (folder / WEIGHTS, description):
        if not file.is_file():
            raise TrainingError(f"{file} does not exist; a network is a folder with {WEIGHTS} and {DESCRIPTION}")
    try:
        return record_from(json.loads(description.read_text(encoding="utf-8")))
    except (*MALFORMED, OSError) as error:
        reason = " ".join(str(error).split())
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: found {first['input']!r}, {first['msg'].lower()}"
        raise TrainingError(
            f"{description} does not describe a network of this version ({reason}); allowed: one that it has trained"
        ) from error


def network_folders(path: Path) -> list[Path]:
    """Folder of one network, or of all networks (``seed-*``) of a training but those that have diverged.

    Raises
    ------
    TrainingError
        If there is none.
    """
    if (path / DESCRIPTION).exists() or path.is_file():
        return [path]
    folders = sorted(folder for folder in path.glob("seed-*") if (folder / DESCRIPTION).exists())
    if not folders:
        raise TrainingError(
            f"{path}: holds no network; allowed: a file of networks, or a folder with {DESCRIPTION} or with folders "
            "seed-*"
        )
    usable = [folder for folder in folders if not read_record(folder).diverged]
    if not usable:
        raise TrainingError(
            f"{path}: all {len(folders)} networks have diverged; allowed: a training with one that has not"
        )
    return usable
