"""How trained networks are kept: safetensors, with a JSON that rebuilds the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from exitwave.config.models import ImageNetwork, Network, Preprocessing
from exitwave.data.whole import replace_file, sealed
from exitwave.errors import TrainingError
from exitwave.training.record import DESCRIPTION, WEIGHTS, read_record
from exitwave.training.task import Task


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network and what is needed to use it."""

    module: torch.nn.Module
    """Maps images [n, 1, H, W], or what else its task sees, to its outputs; in evaluation mode, on the CPU."""
    task: Task
    """What it has learned, and what its outputs mean."""
    pixel_size: float
    """Pixel of the images it was trained on [Å]."""
    info: dict[str, Any]
    """What was recorded about the training."""

    @property
    def model(self) -> Network:
        """Its block in the config."""
        return self.task.model

    @property
    def preprocessing(self) -> Preprocessing:
        """What images must go through first, where it sees images alone."""
        assert isinstance(self.model, ImageNetwork)
        return self.model.preprocessing

    @property
    def threshold(self) -> float:
        """Least height of a peak in its images of structure factors, chosen on validation images."""
        return float(self.info["validation"]["validation_threshold"])


def save_network(
    folder: Path,
    network: torch.nn.Module | None,
    task: Task,
    *,
    pixel_size: float,
    info: dict[str, Any],
    diverged: str = "",
) -> None:
    """Write ``weights.safetensors`` and ``network.json``, each in one piece.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    network : torch.nn.Module, optional
        None where the training has diverged: the file of weights then holds none.
    task : Task
    pixel_size : float
        Pixel of the images it was trained on [Å].
    info : dict
        What to record about the training; plain JSON.
    diverged : str
        Why there is no network, in a sentence.
    """
    tensors = {} if network is None else network.state_dict()
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not by save_file, which hides the file from all but its owner, whatever the umask says.
    replace_file(folder / WEIGHTS, lambda path: path.write_bytes(save(state)))
    description = {
        "exitwave": version("exitwave"),
        "model": task.model.model_dump(mode="json"),
        "facts": task.facts,
        "pixel_size": pixel_size,
        "weights_sha256": _sha256(folder / WEIGHTS),
        "info": info,
        **({"diverged": diverged} if diverged else {}),
    }
    text = json.dumps(sealed(description), indent=2, ensure_ascii=False) + "\n"
    replace_file(folder / DESCRIPTION, lambda path: path.write_text(text, encoding="utf-8"))


def load_network(path: Path) -> LoadedNetwork:
    """Rebuild a network from its folder, or from its weights file with the JSON beside it.

    Raises
    ------
    TrainingError
        If a file is missing, damaged, or the two do not belong together, or the training has diverged.
    """
    record = read_record(path)
    folder = path if path.is_dir() else path.parent
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    if _sha256(weights) != record.weights_sha256:
        raise TrainingError(f"{weights} is damaged or does not belong to {description}: its SHA-256 differs")
    if record.diverged:
        raise TrainingError(f"{folder} holds no network, since its training has diverged: {record.diverged}")
    try:
        network = rebuilt(record.task, load_file(weights))
    except (SafetensorError, ValueError) as error:
        raise TrainingError(f"{weights} does not fit the network that {description} describes") from error
    module = network.eval().to(memory_format=torch.channels_last)
    return LoadedNetwork(module, record.task, record.pixel_size, record.info)


def rebuilt(task: Task, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Network of a task with weights; no room is made for it before they are known to be all of its weights.

    Raises
    ------
    ValueError
        If they are not.
    TrainingError
        If there is no such network.
    """
    try:
        # Of no values, with the names and shapes alone; and no random number is drawn for it.
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            expected = task.build().state_dict()
    except RuntimeError:  # a few encoders work with values when they are built
        pass
    else:
        shapes = {name: tensor.shape for name, tensor in expected.items()}
        if shapes != {name: tensor.shape for name, tensor in state.items()}:
            raise ValueError("the weights are those of another network")
    network = task.build()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError("the weights are those of another network") from error
    return network


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
