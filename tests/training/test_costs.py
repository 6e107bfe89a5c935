"""What a network will cost, told before it is built with any numbers."""

from __future__ import annotations

from typing import Any

import pytest

from exitwave.config.models import Classification, Segmentation
from exitwave.training.architectures import build_network
from exitwave.training.costs import known_work, measured_work, work_of


def pixels(**keys: Any) -> Segmentation:
    return Segmentation.model_validate({"kind": "segmentation", **keys})


def classes(encoder: str) -> Classification:
    return Classification.model_validate({"kind": "classification", "target": {"column": "a"}, "encoder": encoder})


@pytest.mark.parametrize(
    ("encoder", "depth", "seconds"),
    [
        ("resnet18", 5, 0.42),
        ("resnet18", 4, 0.33),
        ("resnet18", 3, 0.25),
        ("mobilenet_v2", 4, 0.35),
        ("mobilenet_v2", 3, 0.27),
        ("efficientnet-b0", 4, 0.47),
    ],
)
def test_a_step_takes_about_what_was_measured(encoder: str, depth: int, seconds: float) -> None:
    # Of 16 images of 128 x 128 pixels on one core, in bf16.
    work = work_of(pixels(encoder=encoder, encoder_depth=depth))
    assert work is not None
    assert work.seconds * 16 * 128**2 == pytest.approx(seconds, rel=0.3)


def test_parameters_are_those_of_the_network() -> None:
    model = pixels(encoder_depth=3)
    work = work_of(model)
    assert work is not None
    assert work.parameters == sum(weight.numel() for weight in build_network(model).parameters())


def test_operations_are_those_that_are_published() -> None:
    # He et al., CVPR 2016: 1.8e9 multiply-adds for 224 x 224 pixels of three channels, of which the first layer has
    # 0.118e9, here with one channel a third of it; and the last layer has half a million for its thousand classes.
    work = work_of(classes("resnet18"))
    assert work is not None
    assert work.operations == pytest.approx(2 * (1.814e9 - 0.118e9 * 2 / 3 - 0.5e6) / 224**2, rel=0.02)


def test_encoders_that_calculate_while_they_are_built_are_measured_too() -> None:
    work = work_of(pixels(encoder="mit_b0", architecture="fpn"))
    assert work is not None
    assert work.parameters > 3e6


@pytest.mark.parametrize(
    "model",
    [pixels(), pixels(encoder="mobilenet_v2", architecture="fpn", encoder_depth=3), classes("efficientnet-b0")],
    ids=["unet", "fpn", "classes"],
)
def test_what_is_recorded_of_usual_networks_is_what_is_measured(model: Segmentation | Classification) -> None:
    assert known_work(model) == measured_work(model) is not None, "run `python -m exitwave.training.survey`"


def test_unusual_networks_are_not_known_without_being_built() -> None:
    assert known_work(pixels(encoder="vgg11")) is None
