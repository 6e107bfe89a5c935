"""State of a training after an epoch, from which a killed one continues."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from exitwave.data.whole import replace_file
from exitwave.training.examples import Examples, digest_tensor
from exitwave.training.task import Task


def training_digest(
    task: Task, seed: int, examples: Sequence[Examples], initial: Mapping[str, torch.Tensor], redrawn: bool
) -> str:
    """Hash of all that decides a training: its block, the version of the stage, the seed, the data, initial weights.

    Images that are redrawn after the first epoch follow from the block that those of the first were drawn from.
    """
    digest = hashlib.blake2b(digest_size=16)
    model = task.model
    digest.update(f"{model.VERSION} {seed} {redrawn} {model.model_dump_json()} {json.dumps(task.facts)}".encode())
    for part in examples:
        part.identify(digest)
    for tensor in initial.values():
        digest_tensor(digest, tensor)
    return digest.hexdigest()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts in one piece."""
    stream = io.BytesIO()
    # Not to the file at once: PyTorch's writer does not say that a disk is full.
    torch.save(state, stream)
    replace_file(path, lambda unfinished: unfinished.write_bytes(stream.getbuffer()))


def load_checkpoint(path: Path, expected: str, report: Callable[[str], None]) -> dict[str, Any] | None:
    """State in a checkpoint, or nothing if it is missing, damaged or of another training.

    Parameters
    ----------
    path : Path
    expected : str
        Digest of the training that is to continue.
    report : callable
        Takes one sentence if there is a checkpoint that cannot be used.
    """
    if not path.exists():
        return None
    try:
        # torch.load does not compare the checksums of what it reads.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["digest"]
    except Exception as error:  # a damaged file fails in many ways, and each means starting anew
        report(f"{path} is damaged ({error}): the training starts anew")
        return None
    if found != expected:
        report(f"{path} is of another model, data set or seed: the training starts anew")
        return None
    return state
