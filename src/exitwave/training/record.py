"""What stands beside the weights of a network: what it has learned and how it came about."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from exitwave.config.models import Network
from exitwave.data.whole import unsealed
from exitwave.errors import ExitwaveError, TrainingError
from exitwave.training.kinds import task_from
from exitwave.training.task import Task

HISTORY = "history.csv"
WEIGHTS = "weights.safetensors"
DESCRIPTION = "network.json"
_PLACE = re.compile(r"(?:^|/)trainings/[^/]+-([0-9a-f]{8})/seed-(\d+)$")
"""Where the workflow keeps a network."""


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
    info.get("training", {}).get("hash")
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
        If a file is missing, does not describe a network, or stands in the place of another.
    """
    folder = path if path.is_dir() else path.parent
    description = folder / DESCRIPTION
    for file in (folder / WEIGHTS, description):
        if not file.is_file():
            raise TrainingError(f"{file} does not exist; a network is a folder with {WEIGHTS} and {DESCRIPTION}")
    try:
        record = record_from(unsealed(json.loads(description.read_text(encoding="utf-8"))))
    except (*MALFORMED, OSError) as error:
        reason = " ".join(str(error).split())
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: found {first['input']!r}, {first['msg'].lower()}"
        raise TrainingError(
            f"{description} does not describe a network of this version ({reason}); allowed: one that it has trained"
        ) from error
    place = _PLACE.search(str(folder))
    found = record.info.get("training", {}).get("hash"), record.info.get("seed")
    if place and None not in found and found != (place[1], int(place[2])):
        raise TrainingError(
            f"{folder} holds another network: found training {found[0]}, seed {found[1]}; allowed: {place[1]}, seed "
            f"{place[2]}; delete the folder and run again"
        )
    return record


def read_history(folder: Path, record: Record) -> pd.DataFrame:
    """Read the epochs of a network.

    Raises
    ------
    TrainingError
        If the file is missing or damaged, or that of another network.
    """
    path = folder / HISTORY
    try:
        history = pd.read_csv(path, float_precision="round_trip")
        if record.info.get("history_sha256", history_digest(history)) != history_digest(history):
            raise ValueError("its checksum differs")
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{path} is damaged, or of another network ({reason}); delete its folder and run again"
        ) from error
    return history


def history_digest(history: pd.DataFrame) -> str:
    """Digest of the epochs of a network, but of their time, which no two trainings have in common."""
    return hashlib.sha256(history.drop(columns="seconds", errors="ignore").to_csv(index=False).encode()).hexdigest()


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
