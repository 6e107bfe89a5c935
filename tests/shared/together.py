"""Trainings that processes do together, to be held against those of one alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from exitwave.config.disks import Disks
from exitwave.config.graphs import ATOMS, Graphs
from exitwave.config.models import Classification, ColumnTarget, MapTarget, Regression, Segmentation
from exitwave.config.reconstruction import SuperResolution
from exitwave.errors import TrainingError
from exitwave.training.examples import Examples, HeldExamples, MadeExamples
from exitwave.training.kinds import task_of
from exitwave.training.loop import TrainingResult, train
from exitwave.training.parallel import Ranks

Array = np.ndarray
CLASSES = {"classes": ["a", "b", "c"]}
SIZES = (5, 1)
"""Images of a batch: of which parts differ, and one is empty."""


def networks(rng: np.random.Generator) -> dict[str, tuple[Any, dict[str, Any], Array, Array]]:
    """Models, what is known of their images, and inputs and targets of five images."""
    images, marks = rng.random((5, 32, 32)).astype(np.float32), rng.integers(0, 3, 5)
    half = rng.random((5, 32, 32)).astype(np.float32)
    # The parts of two processes have very different numbers of pixels with a value.
    half[:3, 2:] = np.nan
    # Masks of very different sizes: a Dice coefficient of all is no mean of those of each.
    masks = rng.random((5, 32, 32)) < np.array([0.01, 0.02, 0.5, 0.9, 0.99])[:, None, None]
    larger = rng.random((5, 64, 64)).astype(np.float32)
    graphs = Graphs(kind="graphs", target=ColumnTarget(column="x"), hidden=16, line_layers=1)
    tables = rng.normal(0, 1, (5, *graphs.table())).astype(np.float32)
    tables[:, ATOMS:, 0] = rng.integers(0, ATOMS, tables[:, ATOMS:, 0].shape)
    patterns, ways = rng.random((5, 2, 32, 32)).astype(np.float16), rng.random((5, 3, 32, 32)).astype(np.float16)
    named = {"kind": "classification", "target": ColumnTarget(column="x")}
    return {
        "segmentation": (Segmentation(kind="segmentation", encoder_depth=3, focal_weight=1), {}, images, masks),
        "regression": (
            Regression(kind="regression", encoder_depth=3, architecture="residual", target=MapTarget(map="x")),
            {"unit": ""},
            images,
            half,
        ),
        # A layer of timm that normalises and rectifies at once.
        "classification": (Classification(encoder="mobilenetv3_small_050", **named), CLASSES, larger, marks),
        "disks": (Disks(kind="disks", width=4, depth=2), {}, patterns, ways),
        "graphs": (graphs, CLASSES, tables, marks),
    }


def one_step(ranks: Ranks, model: Any, facts: dict[str, Any], inputs: Array, targets: Array) -> dict[str, Any]:
    """Loss, gradients and running statistics of the first step on a batch, in double precision where networks can."""
    from exitwave.training import graph_network

    graph_network.SEEN = 2.0  # all bonds: which are left out is random
    task, size = task_of(model, facts), len(inputs)
    torch.manual_seed(0)
    # Those of disks do Fourier transforms in single precision.
    precise = torch.float32 if isinstance(model, Disks) else torch.float64
    network = task.build().to(precise).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
    part = ranks.part(size)
    seen, aims = torch.as_tensor(inputs)[part].float(), torch.as_tensor(targets)[part]
    seen, aims = ranks.augmented(task.augment, seen, aims, size, np.random.default_rng(1))
    with ranks.statistics():
        outputs = network((seen[:, None] if seen.ndim == 3 else seen).to(precise))
    loss = task.objective(ranks.whole(outputs, size), ranks.whole(aims, size))
    loss.backward()
    ranks.add_gradients(network)
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    return {"loss": loss.item(), "gradients": gradients, "statistics": dict(network.named_buffers())}


def steps(ranks: Ranks) -> dict[tuple[str, int], dict[str, Any]]:
    """First steps of all networks, on batches of several sizes."""
    found = {}
    for name, (model, facts, inputs, targets) in networks(np.random.default_rng(4)).items():
        for size in SIZES:
            found[name, size] = one_step(ranks, model, facts, inputs[-size:], targets[-size:])
    return found


class Stopped(BaseException):
    """Stands for a kill between two epochs."""


def without_statistics(**keys: Any) -> SuperResolution:
    """A model whose networks normalise nothing, with all that a training may have."""
    opposed = {"adversarial_weight": 0.05, "warm_up": 1, "feature_weight": 0.1, "features": "random"}
    cut = {"gradient_clip": 0.5, "weight_average": 0.9}
    small = {"factor": 2, "width": 4, "blocks": 1, "epochs": 3, "batch_size": 4}
    return SuperResolution.model_validate({"kind": "super_resolution", **small, **cut, **opposed, **keys})


def images(number: int, seed: int) -> tuple[list[str], Array, Array]:
    """Names, coarse and fine images."""
    rng = np.random.default_rng(seed)
    fine = rng.random((number, 32, 32)).astype(np.float32)
    coarse = fine.reshape(number, 16, 2, 16, 2).mean(axis=(2, 4), dtype=np.float32)
    return [f"image-{place}" for place in range(number)], coarse, fine


def made(names: list[str], coarse: Array, fine: Array) -> Examples:
    """Examples that are made as they are needed."""
    return MadeExamples(names, lambda places: (coarse[places], fine[places]), 1)


def trained(
    ranks: Ranks, checkpoint: Path, model: Any, training: Any, validation: Any, **keys: Any
) -> TrainingResult | None:
    """A training, or none if it was stopped."""
    settings: dict[str, Any] = {"seed": 1, "device": "cpu", "precision": "32", "threads": 1, **keys}
    sides = (HeldExamples.of(*training), HeldExamples.of(*validation))
    try:
        return train(*sides, task_of(model, {}), checkpoint=checkpoint, ranks=ranks, **settings)
    except Stopped:
        return None


def stopping(line: str) -> None:
    """Stop after the first epoch."""
    if line.startswith("epoch 1/"):
        raise Stopped


def outcome(result: TrainingResult | None) -> Any:
    """What can be stored of a training."""
    return result and (result.network.state_dict(), result.history.drop(columns="seconds"), result.best_epoch)


def trainings(ranks: Ranks, folder: Path) -> dict[str, Any]:
    """Several trainings: whole, stopped, and going on with what was stopped before in ``folder/stopped.pt``."""
    # Batches of 4, 4, 3 and 3 images, and of validation of 4 and 1.
    sides = images(14, 2), images(5, 3)
    mine, model = folder / f"of-{ranks.number}", without_statistics()
    mine.mkdir(exist_ok=True)
    names, coarse, fine = sides[0]
    broken = coarse.copy()
    broken[6, 3, 3] = np.nan
    found: dict[str, Any] = {
        "whole": trained(ranks, mine / "whole.pt", model, *sides),
        "new images": trained(
            ranks, mine / "new.pt", model, *sides, redraw=lambda epoch: made(*images(14, 10 + epoch))
        ),
        "stopped": trained(ranks, mine / "stopped.pt", model, *sides, progress=stopping),
        "started": trained(ranks, mine / "started.pt", without_statistics(epochs=0), *sides, initial=_initial(model)),
        "normalised": trained(
            ranks,
            mine / "normalised.pt",
            Segmentation(kind="segmentation", encoder_depth=3, epochs=2, batch_size=4),
            (names, fine, fine > 0.7),
            (names[:5], fine[:5], fine[:5] > 0.7),
            precision="bf16",
        ),
    }
    if (folder / "stopped.pt").exists():
        found["gone on"] = trained(ranks, folder / "stopped.pt", model, *sides)
    found = {name: outcome(result) for name, result in found.items()}
    try:
        trained(ranks, mine / "broken.pt", model, (names, broken, fine), sides[1])
    except TrainingError as error:
        found["broken"] = str(error)
    return found


def on_gpus(ranks: Ranks, folder: Path) -> None:
    """A training on a GPU each."""
    model = Segmentation(kind="segmentation", encoder_depth=3, epochs=2, batch_size=5)
    names, _, fine = images(15, 2)
    sides = (names, fine, fine > 0.7), (names[:5], fine[:5], fine[:5] > 0.7)
    found = outcome(trained(ranks, folder / f"of-{ranks.number}.pt", model, *sides, device="cuda"))
    torch.save(found, folder / f"process-{ranks.rank}-of-{ranks.number}.pt")


def _initial(model: Any) -> Any:
    torch.manual_seed(5)
    return task_of(model, {}).build().state_dict()


def all_together(ranks: Ranks, folder: Path) -> None:
    """Steps and trainings; each process stores what it has found."""
    found = {"steps": steps(ranks), "trainings": trainings(ranks, folder), "files": _written(folder, ranks)}
    torch.save(found, folder / f"process-{ranks.rank}-of-{ranks.number}.pt")


def _written(folder: Path, ranks: Ranks) -> list[str]:
    return sorted(path.name for path in (folder / f"of-{ranks.number}").iterdir())


def numbers(history: pd.DataFrame) -> Array:
    """Values of a history."""
    return history.to_numpy(np.float64)


def fail(ranks: Ranks, how: str) -> None:
    """Fail in the second process, while the first waits for it."""
    if ranks.rank == 1:
        FAILURES[how]()
    torch.distributed.all_reduce(torch.zeros(1))


def _sentence() -> None:
    raise TrainingError("there is no such thing")


def _bug() -> None:
    raise KeyError("what was not foreseen")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


FAILURES: dict[str, Callable[[], None]] = {"sentence": _sentence, "bug": _bug, "kill": _kill}


def wait(ranks: Ranks, folder: Path) -> None:
    """Say which process this is, and wait for ever: the first for the second."""
    (folder / f"{ranks.rank}.pid").write_text(str(os.getpid()), encoding="utf-8")
    if ranks.rank == 0:
        torch.distributed.all_reduce(torch.zeros(1))
    time.sleep(3600)
