"""Diffraction through the whole workflow: one simulation of a crystal serves every condition of its patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from exitwave.data.tables import read_table
from workflow_study import Workflow

STUDY = """
seed: 5
structures:
  salts:
    kind: crystals
    count: 4
    shard_size: 2
    prototypes: [NaCl, Fluorite]
    orientations: {zone_axes: 1, random: 1}
exit_waves:
  bloch: {structures: salts, kind: scattering_matrix, thickness: 80, g_max: 1, rms_displacement_of_others: 0.08}
images:
  cbed: {exit_waves: bloch, kind: diffraction, size: 64, per_structure: 2, semiangle: 2, dose: 1.0e+5}
"""
NAME = "diffraction.yaml"
OTHER_CONDITIONS: dict[str, Any] = {
    "semiangle": {"choice": [1, 4]},
    "thickness": {"choice": [20, 60]},
    "dose": 1e3,
    "size": 96,
    "reciprocal_sampling": 0.03,
    "aperture": {"kind": "bullseye"},
    "position": "incoherent",
    "shift": {"uniform": [-2, 2]},
    "ellipticity": 0.02,
    "per_structure": 3,
    "detector": {"kind": "counting"},
}


def write(workflow: Workflow, **changes: Any) -> None:
    study = yaml.safe_load(STUDY)
    for key, value in changes.items():
        stage, name, last = key.split("__")
        study[stage][name][last] = value
    (workflow.folder / NAME).write_text(yaml.safe_dump(study), encoding="utf-8")


@pytest.fixture(scope="module")
def diffraction(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The study from nothing to its figures; tests write other configs only."""
    workflow = Workflow.new(tmp_path_factory.mktemp("diffraction") / "study")
    write(workflow)
    done = workflow.snakemake("--cores", "2", study=NAME)
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow


def simulated(planned: dict[str, int]) -> dict[str, int]:
    return {rule: count for rule, count in planned.items() if rule in ("structures", "exit_waves", "images")}


def test_a_study_of_patterns_ends_with_its_figures(diffraction: Workflow) -> None:
    names = {Path(path).name for path in diffraction.files("report/diffraction/**/*.png")}
    assert {"atoms.png", "thickness_series.png", "contact_sheet.png", "labels.png"} <= names
    table = read_table(diffraction.one("images/*/shard-*.parquet"))
    assert set(table["semiangle"]) == {2.0}
    write(diffraction)
    assert diffraction.planned(study=NAME) == {}


def test_conditions_drawn_anew_plan_no_simulation(diffraction: Workflow) -> None:
    write(diffraction, **{f"images__cbed__{key}": value for key, value in OTHER_CONDITIONS.items()})
    assert simulated(diffraction.planned(study=NAME)) == {"images": 2}


def test_more_crystals_are_added_to_what_is_there(diffraction: Workflow) -> None:
    write(diffraction, structures__salts__count=6)
    assert simulated(diffraction.planned(study=NAME)) == {"structures": 1, "exit_waves": 1, "images": 1}


def test_another_largest_semiangle_is_simulated_from_the_crystals_there_are(diffraction: Workflow) -> None:
    write(diffraction, exit_waves__bloch__semiangle=5)
    assert simulated(diffraction.planned(study=NAME)) == {"exit_waves": 2, "images": 2}
