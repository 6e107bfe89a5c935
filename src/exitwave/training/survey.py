"""Which networks the libraries have: each is built once, without memory for its weights.

``python -m exitwave.training.survey`` writes ``networks.json`` beside this file, in minutes. It is to be made again
when the lock has another version of timm or segmentation-models-pytorch.
"""

from __future__ import annotations

import itertools
import json
import warnings
from dataclasses import astuple
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch

from exitwave.config.models import Classification, ColumnTarget, Network, Segmentation
from exitwave.training.architectures import assemble
from exitwave.training.costs import measured_work
from exitwave.training.known import ARCHITECTURES, CLASSIFIERS, DEPTHS, FILE, IMPOSSIBLE, RESIDUAL, WORK, name_of

USUAL = ("resnet18", "resnet34", "resnet50", "mobilenet_v2", "efficientnet-b0")
"""Encoders of which it is recorded what they take, with every architecture and depth."""


def impossible(encoder: str) -> dict[str, list[int]]:
    """Depths of an encoder that each architecture cannot have; architectures that can have all are left out."""
    refused = {name: [depth for depth in DEPTHS if not _possible(encoder, name, depth)] for name in ARCHITECTURES}
    return {name: depths for name, depths in refused.items() if depths}


def _possible(encoder: str, architecture: str, depth: int) -> bool:
    keys = {"architecture": architecture, "encoder": encoder, "encoder_depth": depth}
    model = Segmentation.model_validate({"kind": "segmentation", **keys})
    for device in ("meta", "cpu"):  # a few encoders calculate while they are built, which takes numbers
        try:
            with torch.device(device):
                assemble(model)
            return True
        except (ValueError, KeyError, NotImplementedError, RuntimeError):
            continue
    return False


def work() -> dict[str, list[float]]:
    """What the usual networks are and do, by their names in the record."""
    models: list[Network] = [
        Classification(kind="classification", target=ColumnTarget(column=""), encoder=encoder) for encoder in USUAL
    ]
    for encoder, architecture, depth in itertools.product(USUAL, ARCHITECTURES, DEPTHS):
        keys = {"architecture": architecture, "encoder": encoder, "encoder_depth": depth}
        models.append(Segmentation.model_validate({"kind": "segmentation", **keys}))
    for depth in DEPTHS:
        keys = {"architecture": RESIDUAL, "encoder_depth": depth}
        models.append(Segmentation.model_validate({"kind": "segmentation", **keys}))
    measured = {name_of(model): measured_work(model) for model in models if _is_possible(model)}
    return {name: list(astuple(found)) for name, found in measured.items() if found is not None}


def _is_possible(model: Network) -> bool:
    if not isinstance(model, Segmentation) or model.architecture == RESIDUAL:
        return True
    return _possible(model.encoder, model.architecture, model.encoder_depth)


def survey() -> dict[str, Any]:
    """What is known of all networks."""
    encoders = smp.encoders.get_encoder_names()
    return {
        IMPOSSIBLE: {name: impossible(name) for name in encoders},
        CLASSIFIERS: sorted(timm.list_models()),
        WORK: work(),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    text = json.dumps(survey(), indent=1)
    Path(__file__).with_name(FILE).write_text(text + "\n", encoding="utf-8")
