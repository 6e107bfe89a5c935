"""What is known of networks without PyTorch is what the libraries have."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import timm

from exitwave.config.models import Classification, Segmentation
from exitwave.errors import TrainingError
from exitwave.training.architectures import build_network
from exitwave.training.known import ARCHITECTURES, CLASSIFIERS, DEPTHS, FILE, IMPOSSIBLE, check_network
from exitwave.training.survey import impossible

RECORD: dict[str, Any] = json.loads((files("exitwave.training") / FILE).read_text("utf-8"))
AGAIN = "run `python -m exitwave.training.survey`"


def pixels(**keys: Any) -> Segmentation:
    return Segmentation.model_validate({"kind": "segmentation", **keys})


def classes(encoder: str) -> Classification:
    return Classification.model_validate({"kind": "classification", "target": {"column": "a"}, "encoder": encoder})


def test_the_names_are_those_of_the_libraries() -> None:
    assert list(RECORD[IMPOSSIBLE]) == smp.encoders.get_encoder_names(), AGAIN
    assert sorted(timm.list_models()) == RECORD[CLASSIFIERS], AGAIN


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2", "efficientnet-b0", "mit_b0", "vgg11", "xception"])
def test_what_cannot_be_built_is_what_the_libraries_refuse(encoder: str) -> None:
    assert RECORD[IMPOSSIBLE][encoder] == impossible(encoder), AGAIN


def test_every_encoder_can_be_had_in_some_way() -> None:
    for name, refused in RECORD[IMPOSSIBLE].items():
        assert any(set(DEPTHS) - set(refused.get(architecture, ())) for architecture in ARCHITECTURES), name


def test_what_is_refused_names_what_is_possible() -> None:
    with pytest.raises(TrainingError) as refused:
        check_network(pixels(encoder="mit_b0", architecture="linknet"))
    assert "encoder mit_b0 cannot be used with architecture linknet and encoder_depth 5; allowed: unet" in str(
        refused.value
    )
    allowed = str(refused.value).partition("allowed: ")[2]
    name, _, depths = allowed.partition(", ")[0].partition(" with ")
    build_network(pixels(encoder="mit_b0", architecture=name, encoder_depth=int(depths.split(" or ")[0] or 5)))


def test_names_of_timm_may_say_what_weights_were_trained_to() -> None:
    check_network(classes("resnet18.a1_in1k"))
    check_network(classes("mit_b0"))
    with pytest.raises(TrainingError, match=r"encoder is 'resnet19'; allowed: a network of timm or .*resnet"):
        check_network(classes("resnet19"))


def test_a_study_is_checked_without_pytorch() -> None:
    code = (
        "import sys; from exitwave.study.link import load_study; load_study('config/config.yaml');"
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_the_record_is_part_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8"))
    assert "training/*.json" in project["tool"]["setuptools"]["package-data"]["exitwave"]
