"""Training of a network on images held in memory or made as needed, the same or new ones in every epoch.

Lightning Fabric gives device and precision. The loop itself is ours: workers, samplers and callbacks would cost more
than they give, and a loop that draws everything from (seed, epoch) continues exactly.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal

import lightning_fabric
import numpy as np
import pandas as pd
import torch
from lightning_fabric.plugins.environments import LightningEnvironment

from exitwave.errors import TrainingError
from exitwave.hardware import resolve_device, resolve_precision
from exitwave.training.adversary import Adversary, adversary_of
from exitwave.training.checkpoint import load_checkpoint, save_checkpoint, training_digest
from exitwave.training.event_files import Watch
from exitwave.training.examples import Examples, Places, in_order
from exitwave.training.features import equipped
from exitwave.training.parallel import ALONE, Ranks
from exitwave.training.task import Task

logger = logging.getLogger(__name__)

State = dict[str, torch.Tensor]
TOLD_EVERY = 60.0
"""Seconds between two lines about an epoch that takes longer."""


class DivergenceError(TrainingError):
    """The loss of a training is no longer finite, though its images are.

    Attributes
    ----------
    history : DataFrame
        The epochs before, as in :class:`TrainingResult`.
    """

    def __init__(self, sentence: str, history: pd.DataFrame) -> None:
        super().__init__(sentence)
        self.history = history


@dataclass(frozen=True)
class TrainingResult:
    """A trained network and how it came about."""

    network: torch.nn.Module
    """With the weights of the best epoch, in evaluation mode, on the CPU."""
    history: pd.DataFrame
    """One row an epoch: epoch (from 1), learning_rate, train_loss, validation_loss, the scores of the task over all
    validation images, seconds."""
    best_epoch: int
    """Epoch with the smallest validation loss, from 1; 0 without an epoch."""


def train(
    training: Examples,
    validation: Examples,
    task: Task,
    *,
    seed: int,
    device: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "32", "bf16"],
    threads: int,
    checkpoint: Path,
    redraw: Callable[[int], Examples] | None = None,
    initial: Mapping[str, torch.Tensor] | None = None,
    ranks: Ranks = ALONE,
    progress: Callable[[str], None] = logger.info,
    watch: Watch | None = None,
) -> TrainingResult:
    """Train one network and keep the weights of its best validation loss.

    Initial weights, order and symmetries of the images follow from ``seed`` alone: on a CPU the same seed, precision
    and number of threads give the same weights, interrupted or not, if ``redraw`` gives the same images for the same
    epoch. On a GPU that holds where PyTorch has deterministic kernels; the bilinear upsampling of ``fpn`` has none.

    Parameters
    ----------
    training, validation : Examples
        Preprocessed images float16 or float32 [n, H, H] or [n, c, H, H] and the targets of the task [n, ...].
        Validation images are never augmented. Held or made as needed, they give the same weights.
    task : Task
        What is learned; its block says how.
    seed : int
    device, precision
        As in the config; see :mod:`exitwave.hardware`.
    threads : int
        Processor cores used.
    checkpoint : Path
        Written after every epoch. If it is there already and is of the same model, data and seed, training goes on
        from it.
    redraw : callable, optional
        Gives training images in place of ``training`` for an epoch, from 2, as many and in the same order. Without it
        all epochs see those of the first.
    initial : mapping of tensors, optional
        Initial weights, the state of a network of the same architecture; random ones if left out.
    ranks : Ranks
        Where several processes train the network, each with all images. The batches are those of one process.
    progress : callable
        Takes a line for each epoch, and in a long one for each minute.
    watch : callable, optional
        Takes what each epoch comes to; see :func:`exitwave.training.event_files.watched`.

    Raises
    ------
    DivergenceError
        If the loss is no longer finite; names the images of the batch.
    TrainingError
        If the device is missing, the images cannot be trained on, or the initial weights do not fit.
    """
    resolved_device = resolve_device(device)
    resolved_precision = resolve_precision(precision, resolved_device) if task.model.ROUNDED else "32"
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    fabric = lightning_fabric.Fabric(
        accelerator=resolved_device,
        devices=1,
        precision="bf16-mixed" if resolved_precision == "bf16" else "32-true",
        # By itself, whatever the environment variables of a cluster suggest: `ranks` brings processes together.
        plugins=[LightningEnvironment()],
    )
    fabric.launch()

    task = equipped(task)
    model = task.model
    for name, given in (("training", training), ("validation", validation)):
        if len(given.names) == 0:
            raise TrainingError(f"the {name} set holds 0 images; allowed: 1 or more")
    identity = training_digest(task, seed, [training, validation], initial or {}, redrawn=redraw is not None)
    training, validation = (ranks.share(part.to(fabric.device)) for part in (training, validation))
    with _seeded(seed, epoch=0):
        network = task.build().to(memory_format=torch.channels_last)
        adversary = adversary_of(fabric, model)
    first, _ = next(training.batches([np.zeros(1, np.int64)]))
    task.check(network, (len(training.names), *first.shape[1:]))
    if initial is not None:
        _start(network, initial)
    forward = fabric.setup_module(network)
    optimiser = fabric.setup_optimizers(torch.optim.Adam(network.parameters(), lr=model.learning_rate, fused=True))
    average = copy.deepcopy(network) if model.weight_average else None
    validated = network if average is None else average

    history: list[dict[str, float]] = []
    best: dict[str, Any] = {"loss": math.inf, "epoch": 0, "network": _copy_state(network)}
    steps = 0
    state = load_checkpoint(checkpoint, identity, progress)
    if state is not None:
        network.load_state_dict(state["network"])
        if average is not None:
            average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        if adversary is not None:
            adversary.load_state_dict(state["adversary"])
        history, best, steps = state["history"], state["best"], state["steps"]
        progress(f"continues after epoch {len(history)} of {model.epochs}")
    if ranks.agreed({"epochs": len(history)})["epochs"] != len(history):
        raise TrainingError(f"{checkpoint}: cannot be read by all processes; delete it and run again")

    for epoch in range(len(history) + 1, model.epochs + 1):
        start = time.perf_counter()
        if redraw is not None and epoch > 1:
            training = ranks.share(redraw(epoch).to(fabric.device))
        learning_rate = model.rate_of(epoch)
        opposed = adversary if adversary is not None and adversary.joins(epoch) else None
        for group in (*optimiser.param_groups, *(() if adversary is None else adversary.param_groups)):
            group["lr"] = learning_rate
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))
        loss_sum, done = 0.0, 0
        said = begun = time.perf_counter()
        network.train()
        # Each process drops out other units.
        with _seeded(seed, epoch, ranks.rank):
            order = _shuffled_batches(len(training.names), model.batch_size, rng)
            for places, (inputs, aims) in zip(order, training.batches(order), strict=True):
                loss = _step(fabric, forward, optimiser, opposed, inputs, aims, task, rng, ranks, len(places))
                if not math.isfinite(loss):
                    names = [training.names[place] for place in places]
                    inputs = ranks.whole(inputs, len(places))
                    raise _no_longer_finite(loss, inputs, names, history_table(history, task))
                loss_sum += len(places) * loss
                steps += 1
                done += len(places)
                if (now := time.perf_counter()) - said >= TOLD_EVERY and done < len(training.names):
                    said, left = now, (now - begun) / done * (len(training.names) - done)
                    progress(
                        f"epoch {epoch}/{model.epochs}: {done} of {len(training.names)} images, training loss "
                        f"{loss_sum / done:.4f}, validation in about {left:.0f} s"
                    )
                if average is not None:
                    update_average(average, network, min(model.weight_average, (1 + steps) / (10 + steps)))
        scores = validate(fabric.autocast, validated, validation, task, ranks)
        if not math.isfinite(scores["validation_loss"]):
            told = f"the validation loss is {scores['validation_loss']} after epoch {epoch}"
            for places, (inputs, _) in in_order(validation, model.batch_size):
                inputs = ranks.whole(inputs, len(places))
                if broken := _not_finite(inputs, [validation.names[place] for place in places]):
                    raise TrainingError(f"{told}; validation images with values that are not finite: {broken}")
            raise DivergenceError(f"{told}; a lower learning_rate may help", history_table(history, task))
        row = {"epoch": epoch, "learning_rate": learning_rate, "train_loss": loss_sum / len(training.names), **scores}
        history.append({**row, "seconds": time.perf_counter() - start})
        # Before its critic joins a network is not yet what it is to be.
        if scores["validation_loss"] < best["loss"] and opposed is adversary:
            best = {"loss": scores["validation_loss"], "epoch": epoch, "network": _copy_state(validated)}
        if watch is not None:
            watch(history[-1], validated)
        state = {
            "digest": identity,
            "network": network.state_dict(),
            "average": None if average is None else average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "adversary": None if adversary is None else adversary.state_dict(),
            "history": history,
            "best": best,
            "steps": steps,
        }
        if ranks.rank == 0:
            save_checkpoint(checkpoint, state)
        progress(_line(history[-1], task, best["epoch"]))

    network.load_state_dict(best["network"])
    return TrainingResult(network.cpu().eval(), history_table(history, task), best["epoch"])


def _start(network: torch.nn.Module, initial: Mapping[str, torch.Tensor]) -> None:
    """Give a network its initial weights."""
    try:
        network.load_state_dict(initial)
    except RuntimeError as error:
        raise TrainingError(
            "the weights to start from do not fit; allowed: those of a network of this model"
        ) from error


def history_table(history: list[dict[str, float]], task: Task) -> pd.DataFrame:
    """Rows of a history as a table, which has its columns even before the first epoch is over."""
    columns = ["epoch", "learning_rate", "train_loss", "validation_loss", *task.curves.columns, "seconds"]
    return pd.DataFrame(history, columns=columns).astype({"epoch": int})


def _step(
    fabric: Any,
    forward: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    adversary: Adversary | None,
    inputs: torch.Tensor,
    aims: torch.Tensor,
    task: Task,
    rng: np.random.Generator,
    ranks: Ranks,
    size: int,
) -> float:
    """One step of the optimiser, and of the adversary's; returns the loss of the batch of this size before it."""
    inputs = inputs.float()
    if task.model.augmentation:
        inputs, aims = ranks.augmented(task.augment, inputs, aims, size, rng)
    with ranks.statistics():
        outputs = forward(_with_channels(inputs))
    outputs, aims = ranks.whole(outputs, size), ranks.whole(aims, size)
    loss = task.objective(outputs, aims)
    if adversary is not None:
        loss = loss + adversary.objection(outputs)
    value = ranks.agreed({"loss": float(loss.detach())})["loss"]
    if not math.isfinite(value):
        return value
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    ranks.add_gradients(forward)
    if task.model.gradient_clip:
        # Gradients that are not finite show in the next loss.
        fabric.clip_gradients(forward, optimiser, max_norm=task.model.gradient_clip, error_if_nonfinite=False)
    optimiser.step()
    if adversary is not None:
        adversary.learn(outputs, aims)
    return value


def _with_channels(inputs: torch.Tensor) -> torch.Tensor:
    """Inputs [n, c, H, W] of images without channels [n, H, W], or as they are."""
    return inputs[:, None] if inputs.ndim == 3 else inputs


def _no_longer_finite(loss: float, inputs: torch.Tensor, names: list[str], history: pd.DataFrame) -> TrainingError:
    """The error of a batch whose loss is not finite: of its images, or of the training."""
    if broken := _not_finite(inputs, names):
        return TrainingError(f"the training loss is {loss}; images with values that are not finite: {broken}")
    told = f"the training loss is {loss}; a lower learning_rate may help; images: {', '.join(names)}"
    return DivergenceError(told, history)


def _not_finite(inputs: torch.Tensor, names: list[str]) -> str:
    """Names of the images of a batch that have values that are not finite."""
    finite = torch.isfinite(inputs).flatten(1).all(1).tolist()
    return ", ".join(name for name, good in zip(names, finite, strict=True) if not good)


@torch.no_grad()
def validate(
    autocast: Callable[[], AbstractContextManager[Any]],
    network: torch.nn.Module,
    examples: Examples,
    task: Task,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Loss and scores on images as they are."""
    network.eval()
    sums = []
    for places, (inputs, aims) in in_order(examples, task.model.batch_size):
        with autocast():
            outputs = network(_with_channels(inputs.float()))
        sums.append(task.sums(ranks.whole(outputs, len(places)), ranks.whole(aims, len(places))))
    return ranks.agreed(task.scores(reduce(add, sums)))


@torch.no_grad()
def update_average(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of the weights; the running statistics of normalisations are copied."""
    for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)
    for copied, buffer in zip(average.buffers(), network.buffers(), strict=True):
        copied.copy_(buffer)


def _shuffled_batches(n: int, batch_size: int, rng: np.random.Generator) -> list[Places]:
    """Random batches that differ by one image at most: a last batch of one would spoil batch normalisation."""
    return np.array_split(rng.permutation(n), math.ceil(n / batch_size))


@contextmanager
def _seeded(seed: int, epoch: int, rank: int = 0) -> Iterator[None]:
    """PyTorch's own random state (initial weights, dropout) fixed inside, and put back after."""
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence(seed, spawn_key=(epoch, rank)).generate_state(1)[0]))
        yield


def _copy_state(network: torch.nn.Module) -> State:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _line(row: dict[str, float], task: Task, best_epoch: int) -> str:
    column, name = next(iter(task.curves.columns.items()))
    return (
        f"epoch {row['epoch']:.0f}/{task.model.epochs}: training loss {row['train_loss']:.4f}, validation loss "
        f"{row['validation_loss']:.4f}, {name} {row[column]:.3f}, {row['seconds']:.1f} s"
        + (" (best so far)" if best_epoch == row["epoch"] else "")
    )
