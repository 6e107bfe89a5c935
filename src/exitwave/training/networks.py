"""How trained networks are kept: safetensors, with a JSON that rebuilds the network."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from exitwave.config.kinds import model_of
from exitwave.config.models import Network
from exitwave.errors import TrainingError
from exitwave.training.kinds import task_of
from exitwave.training.task import Task

WEIGHTS = "weights.safetensors"
DESCRIPTION = "network.json"


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network and what is needed to use it."""

    module: torch.nn.Module
    """Maps images [n, 1, H, W] to the outputs of its task; in evaluation mode, on the CPU."""
    task: Task
    """What it has learned, and what its outputs mean."""
    pixel_size: float
    """Pixel of the images it was trained on [Å]."""
    info: dict[str, Any]
    """What was recorded about the training."""

    @property
    def model(self) -> Network:
        """Its block in the config; ``model.preprocessing`` is what images must go through first."""
        return self.task.model


def save_network(
    folder: Path, network: torch.nn.Module, task: Task, *, pixel_size: float, info: dict[str, Any]
) -> None:
    """Write ``weights.safetensors`` and ``network.json``, each in one piece.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    network : torch.nn.Module
    task : Task
    pixel_size : float
        Pixel of the images it was trained on [Å].
    info : dict
        What to record about the training; plain JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    _replace(folder / WEIGHTS, lambda path: save_file(state, path))
    description = {
        "exitwave": version("exitwave"),
        "model": task.model.model_dump(mode="json"),
        "facts": task.facts,
        "pixel_size": pixel_size,
        "weights_sha256": _sha256(folder / WEIGHTS),
        "info": info,
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    _replace(folder / DESCRIPTION, lambda path: path.write_text(text, encoding="utf-8"))


def load_network(path: Path) -> LoadedNetwork:
    """Rebuild a network from its folder, or from its weights file with the JSON beside it.

    Raises
    ------
    TrainingError
        If a file is missing, damaged, or the two do not belong together.
    """
    folder = path if path.is_dir() else path.parent
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    for file in (weights, description):
        if not file.is_file():
            raise TrainingError(f"{file} does not exist; a network is a folder with {WEIGHTS} and {DESCRIPTION}")
    try:
        record = json.loads(description.read_text(encoding="utf-8"))
        kind = model_of("models", record["model"])
        if kind is None or not issubclass(kind, Network):
            raise ValueError(f"kind {record['model'].get('kind')!r}")
        task = task_of(kind.model_validate(record["model"]), record["facts"])
        pixel_size, expected, info = float(record["pixel_size"]), record["weights_sha256"], dict(record["info"])
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(f"{description} does not describe a network of this version ({reason})") from error
    if _sha256(weights) != expected:
        raise TrainingError(f"{weights} is damaged or does not belong to {description}: its SHA-256 differs")
    network = task.build()
    try:
        network.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise TrainingError(f"{weights} does not fit the network that {description} describes") from error
    return LoadedNetwork(network.eval().to(memory_format=torch.channels_last), task, pixel_size, info)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write under another name and rename, so that a killed job leaves no half of a file."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
