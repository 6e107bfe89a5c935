"""A small study as a dictionary, to be changed by the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exitwave.errors import ConfigError
from exitwave.study.link import study_from
from exitwave.study.member import Study

SMALL = """
seed: 7
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 8
    shard_size: 4
    field_of_view: 51.2
    particles: {material: Au, radius: {uniform: [8, 12]}, planar_defects: {number: {uniform: [0, 2]}}}
    substrate: {thickness: {uniform: [10, 20]}}
exit_waves:
  thermal: {structures: gold, kind: plane_wave, sampling: 0.4, frozen_phonons: 2}
images:
  noisy:
    exit_waves: thermal
    kind: hrtem
    per_structure: 2
    pixel_size: 0.8
    size: 64
    defocus: {normal: [0, 100]}
    aberrations: {C30: 1000}
    dose: 100
datasets:
  gold: {images: noisy, validation: 0.2, test: 0.2}
models:
  unet: {kind: segmentation}
trainings:
  gold: {datasets: gold, model: unet, seeds: 2}
benchmarks:
  held_out: {kind: simulated, datasets: [gold]}
"""

Raw = dict[str, Any]


@pytest.fixture
def raw() -> Raw:
    content: Raw = yaml.safe_load(SMALL)
    return content


def set_key(raw: Raw, key: str, value: Any) -> Raw:
    """Set a dotted key; the value ``...`` takes it away."""
    *path, last = key.split(".")
    node = raw
    for part in path:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return raw


@pytest.fixture
def changed(raw: Raw) -> Callable[..., Study]:
    """Build the small study with dotted keys changed, one after another."""

    def build(*changes: tuple[str, Any]) -> Study:
        for key, value in changes:
            set_key(raw, key, value)
        return study_from(raw, "study.yaml")

    return build


@pytest.fixture
def refusal(changed: Callable[..., Study]) -> Callable[..., str]:
    """The one sentence with which the changed study is refused."""

    def build(*changes: tuple[str, Any]) -> str:
        with pytest.raises(ConfigError) as caught:
            changed(*changes)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert sentence.startswith("study.yaml: ")
        return sentence.removeprefix("study.yaml: ")

    return build


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """A training of two networks, as far as a study looks at them."""
    for number in range(2):
        folder = tmp_path / "networks" / f"seed-{number}"
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_text(f"weights {number}")
        record = {"model": {"kind": "segmentation"}, "facts": {}, "pixel_size": 0.8, "weights_sha256": "", "info": {}}
        (folder / "network.json").write_text(json.dumps(record))
    return tmp_path / "networks"


@pytest.fixture
def micrographs(tmp_path: Path) -> Path:
    """A folder of five micrographs with masks, the last of them kept back."""
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = ["image,mask,pixel_size,split"]
    for number in range(5):
        for kind in ("image", "mask"):
            (folder / f"{kind}{number}.png").write_text(f"{kind} {number}")
        rows.append(f"image{number}.png,mask{number}.png,0.5,{'test' if number == 4 else 'train'}")
    (folder / "index.csv").write_text("\n".join(rows))
    return folder
