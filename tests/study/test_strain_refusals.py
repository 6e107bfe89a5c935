"""What studies of Bragg disks and of strain may not ask for."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from exitwave.errors import ConfigError
from exitwave.study.link import load_study

STUDY = yaml.safe_load("""
seed: 1
structures:
  library: {kind: crystals, crystals: 100, count: 100}
  aligned: &layers
    kind: multilayer
    count: 6
    lattice_constant: 5.6
    layers: [{width: 60, strain: 0.01}, {width: 60, strain: -0.01}]
    field_of_view: 30
    thickness: 40
    scan: {start: -20, columns: 6, step: 12}
  tilted: {<<: *layers, mistilt: {magnitude: [7, 77], azimuth: [45, 315]}}
  others: {<<: *layers, layers: [{width: 60, strain: 0.005}, {width: 60, strain: -0.02}]}
exit_waves:
  bloch: {structures: library, kind: scattering_matrix, semiangle: 2, thickness: 80, rms_displacement_of_others: 0.08}
  aligned: &probes {structures: aligned, kind: probe, semiangle: 2, sampling: 0.3, thickness_step: 40}
  tilted: {<<: *probes, structures: tilted}
  others: {<<: *probes, structures: others}
images:
  cbed: {exit_waves: bloch, kind: diffraction, size: 64, semiangle: 2, dose: 1.0e+5}
  aligned: &scan {exit_waves: aligned, kind: diffraction, size: 64, semiangle: 2, thickness: 40, dose: 1.0e+5}
  tilted: {<<: *scan, exit_waves: tilted}
  others: {<<: *scan, exit_waves: others}
datasets:
  disks: {images: cbed, validation: 0.2, test: 0.2}
  layers: {images: cbed, validation: 0.2, test: 0.2}
models:
  disks: {kind: disks, width: 4, depth: 2}
trainings:
  disks: {datasets: layers, model: disks, seeds: 1}
benchmarks:
  strain: {kind: strain, images: aligned, tuned_on: disks, trainings: [disks]}
""")


def linked(tmp_path: Path, **changes: Any) -> Any:
    """The study with other values of keys, given as ``stage__block__key``."""
    raw = copy.deepcopy(STUDY)
    for path, value in changes.items():
        stage, block, key = path.split("__")
        raw[stage][block][key] = value
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    return load_study(tmp_path / "study.yaml")


def test_layers_that_no_network_has_seen_can_be_scored(tmp_path: Path) -> None:
    assert linked(tmp_path, datasets__layers__images={"cbed": 1, "others": 1}).members["benchmarks"]["strain"]


@pytest.mark.parametrize("learned", ["aligned", "tilted"])
def test_layers_that_a_network_has_seen_are_refused_however_they_are_tilted(tmp_path: Path, learned: str) -> None:
    with pytest.raises(ConfigError, match=f"has learned from '{learned}', which has the same layers; allowed: layers"):
        linked(tmp_path, datasets__layers__images={"cbed": 1, learned: 1})


def test_layers_that_a_network_has_seen_in_another_thickness_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has learned from 'tilted', which has the same layers"):
        linked(tmp_path, structures__tilted__thickness=80, datasets__layers__images={"cbed": 1, "tilted": 1})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"benchmarks__strain__images": "cbed"},
            "images: 'cbed' is of structures of kind crystals; allowed: of kind",
        ),
        ({"benchmarks__strain__reference": "layers == 0"}, "reference: .*layers"),
        ({"benchmarks__strain__by": ["dose"]}, "by: found 'dose'; allowed: columns of all these images"),
        ({"models__disks__depth": 6, "images__cbed__size": 96}, "model: patterns have 96 x 96 pixels; allowed: edges"),
    ],
)
def test_what_cannot_be_scored_or_trained_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        linked(tmp_path, **changes)
