"""The block of the trainings stage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, Whole


class Training(Block):
    """A model trained on a dataset, several times over."""

    COUNTS = frozenset({"seeds", "device", "precision", "devices", "threads", "tensorboard"})
    MADE_FROM = {"datasets": "datasets", "model": "models", "start_from": "trainings"}
    LAPTOP = {"seeds": 2, "devices": 1}
    datasets: str = Field(description="datasets block")
    model: str = Field(description="models block")
    start_from: str | None = Field(
        None,
        description="trained networks whose weights are the initial ones, which is called fine-tuning: a trainings "
        "block above this one, or the folder of a network or of a training, relative to the working directory; of a "
        "training network 0 starts from network 0 (seed-0), and so on; none: random weights",
    )
    streaming: bool = Field(
        False,
        description="whether every epoch after the first sees newly drawn images of the same exit waves, made while "
        "training, instead of the stored ones; validation images stay the stored ones",
    )
    seeds: Whole = Field(
        5, ge=1, le=1000, description="networks trained, differing in initial weights and order of images"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to train; auto: a GPU if there is one")
    precision: Literal["auto", "32", "bf16"] = Field(
        "auto", description="arithmetic; auto: bf16 where the processor has it in hardware"
    )
    devices: Whole = Field(
        1,
        ge=1,
        description="GPUs of one machine that train one network together, each with a process and a part of every "
        "batch (docs/cluster.md); without a GPU, processes on processor cores",
    )
    threads: Whole = Field(1, ge=1, description="processor cores for one network, of all its devices together")
    tensorboard: bool = Field(
        False,
        description="whether losses, scores and some predictions of every network are also written for TensorBoard "
        "while it is trained, to results/logs/trainings",
    )

    @model_validator(mode="after")
    def _a_core_each(self) -> Training:
        if self.threads < self.devices:
            raise ValueError(
                f"devices is {self.devices} with threads: {self.threads}; allowed: threads of {self.devices} or more, "
                "since each device needs a core"
            )
        return self

    @property
    def threads_each(self) -> int:
        """Processor cores of each device."""
        return self.threads // self.devices

    def may_be_files(self) -> list[str]:
        """Weights that the networks start from, unless it is a block of the study that they are named after."""
        return [str(file) for file in self.started_from()]

    def started_from(self) -> list[Path]:
        """Weights in the folder that is named: of one network, or of each of a training by its number."""
        if self.start_from is None:
            return []
        folder = Path(self.start_from)
        one = folder / "weights.safetensors"
        found = sorted(folder.glob("seed-*/weights.safetensors"), key=lambda file: (len(str(file)), str(file)))
        return [one] if os.path.isfile(one) else found
