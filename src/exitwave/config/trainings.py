"""The block of the trainings stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exitwave.config.block import Block, Whole


class Training(Block):
    """A model trained on a dataset, several times over."""

    COUNTS = frozenset({"seeds", "device", "precision", "threads"})
    MADE_FROM = {"datasets": "datasets", "model": "models"}
    LAPTOP = {"seeds": 2}
    datasets: str = Field(description="datasets block")
    model: str = Field(description="models block")
    streaming: bool = Field(
        False,
        description="whether every epoch after the first sees newly drawn images of the same exit waves, made while "
        "training, instead of the stored ones; validation images stay the stored ones",
    )
    seeds: Whole = Field(5, ge=1, description="networks trained, differing in initial weights and order of images")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to train; auto: a GPU if there is one")
    precision: Literal["auto", "32", "bf16"] = Field(
        "auto", description="arithmetic; auto: bf16 where the processor has it in hardware"
    )
    threads: Whole = Field(1, ge=1, description="processor cores for one network")
