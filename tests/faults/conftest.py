"""The study of every kind through the whole workflow."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from every_kind import every_kind
from workflow_study import Workflow

STUDY = "every_kind.yaml"


def write_every_kind(folder: Path) -> Workflow:
    """The workflow with the study of every kind, in small: of which nothing has been run."""
    made = Workflow.new(folder)
    study = every_kind(folder / "labelled")
    # More structures, for both shapes to be among those that a network learns from.
    study["structures"]["particles"] |= {"count": 8}
    study["structures"]["particles"]["particles"] |= {"shape": {"choice": ["sphere", "cube"]}}
    for block in study["structures"].values():
        block["shard_size"] = block["count"] // 2
    for block in study["models"].values():
        block["epochs"] = 3
    for block in study["trainings"].values():
        block |= {"seeds": block.get("seeds", 1), "device": "cpu", "precision": "32"}
    for block in study["benchmarks"].values():
        block["bootstrap"] = 100
    (folder / STUDY).write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return made


@pytest.fixture(scope="session")
def every(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The study of every kind from nothing to its figures; not to be changed."""
    workflow = write_every_kind(tmp_path_factory.mktemp("every") / "study")
    done = workflow.make_run("--cores", "2", study=STUDY)
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow
