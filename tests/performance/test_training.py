"""Training: an epoch of our loop against a bare PyTorch loop over the same network and images."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

import exitwave.training.loop as loop
from exitwave.config.models import Segmentation
from exitwave.data.batches import keep_open
from exitwave.hardware import resolve_precision
from exitwave.training.architectures import build_network
from exitwave.training.examples import Examples, HeldExamples, MadeExamples, StoredImages, hold
from exitwave.training.kinds import task_of

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

TRAINING, VALIDATION, EDGE = 32, 8, 128
MODEL = Segmentation(kind="segmentation", epochs=1, batch_size=16)
PRECISION = resolve_precision("auto", "cpu")


def bare_epoch(
    images: torch.Tensor, masks: torch.Tensor, validation_images: torch.Tensor, validation_masks: torch.Tensor
) -> float:
    """One epoch and its validation as one would write them down; a symmetry for the batch instead of each image."""

    def loss_of(batch: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16"):
            logits = network(batch[:, None])[:, 0]
        logits = logits.float()
        probability = torch.sigmoid(logits)
        dice = 2 * (probability * labels).sum() / (probability.sum() + labels.sum())
        return binary_cross_entropy_with_logits(logits, labels) + 1 - dice

    network = build_network(MODEL).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=MODEL.learning_rate, fused=True)
    network.train()
    for batch in torch.randperm(len(images)).split(MODEL.batch_size):
        turns = int(torch.randint(4, ()))
        inputs = torch.rot90(images[batch], turns, (-2, -1))
        labels = torch.rot90(masks[batch], turns, (-2, -1))
        loss = loss_of(inputs, labels.float())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        return float(loss_of(validation_images, validation_masks.float()))


def test_epoch_of_a_training(side_by_side: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((TRAINING + VALIDATION, EDGE, EDGE), dtype=np.float32)
    masks = images > 0.5
    names = [str(i) for i in range(len(images))]
    training = HeldExamples.of(names[:TRAINING], images[:TRAINING], masks[:TRAINING])
    validation = HeldExamples.of(names[TRAINING:], images[TRAINING:], masks[TRAINING:])
    tensors = (training.inputs, training.targets, validation.inputs, validation.targets)
    numbers = itertools.count()

    def ours() -> float:
        result = loop.train(
            training,
            validation,
            task_of(MODEL, {}),
            seed=0,
            device="cpu",
            precision=PRECISION,
            threads=1,
            checkpoint=tmp_path / f"{next(numbers)}.pt",
            progress=lambda line: None,
        )
        return float(result.history.validation_loss.iloc[-1])

    def without_checkpoint() -> float:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "save_checkpoint", lambda path, state: None)
            return ours()

    results = side_by_side(
        f"training, an epoch of {TRAINING} images of {EDGE}²",
        without_checkpoint,
        {"bare PyTorch loop": lambda: bare_epoch(*tensors), "the same with its checkpoint": ours},
        rounds=3,
    )
    assert results["ours"] == results["the same with its checkpoint"]
    assert np.isfinite(results["bare PyTorch loop"])


@pytest.mark.parametrize("depth", [3, 5])
def test_epoch_of_images_that_are_read_as_they_are_needed(
    side_by_side: Any, write_images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    rng = np.random.default_rng(0)
    number = TRAINING + VALIDATION
    phase = (rng.random((number, EDGE, EDGE)) > 0.5).astype(np.float16)
    counts = rng.poisson(20 + 10 * phase).astype(np.uint16)
    path = tmp_path / "images.zarr.zip"
    rows = pd.DataFrame({"image_id": [f"image-{place}" for place in range(number)]})
    write_images(path, {"counts": counts, "phase": phase}, rows)
    rows = rows.assign(shard=str(path), row=range(number))
    sides = [rows[:TRAINING], rows[TRAINING:]]
    task = task_of(MODEL.model_copy(update={"encoder_depth": depth}), {})
    numbers, opened = itertools.count(), keep_open()
    monkeypatch.setattr(loop, "save_checkpoint", lambda path, state: None)

    stored = [MadeExamples(side["image_id"].tolist(), StoredImages(side, task, opened).make, 1) for side in sides]
    held = [hold(side) for side in stored]

    def epoch(training: Examples, validation: Examples) -> float:
        result = loop.train(
            training,
            validation,
            task,
            seed=0,
            device="cpu",
            precision=PRECISION,
            threads=1,
            checkpoint=tmp_path / f"{next(numbers)}.pt",
            progress=lambda line: None,
        )
        return float(result.history.validation_loss.iloc[-1])

    results = side_by_side(
        f"the same with encoder_depth {depth}, images held",
        lambda: epoch(*held),
        {"images read from their shard in every epoch": lambda: epoch(*stored)},
        rounds=3,
    )
    assert len(set(results.values())) == 1
