"""The page on adding a kind does what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from exitwave.config import stem
from exitwave.config.kinds import STAGES
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ConfigError
from exitwave.images import kinds
from exitwave.jobs.preview import make_preview
from exitwave.study.link import study_from
from exitwave.study.plan import plan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add_a_kind.md"


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def shadow(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The kind of the page, in the two places where kinds are found."""
    block, functions = snippets("python")
    beside = dict(vars(stem))
    exec(compile(block, PAGE.name, "exec"), beside)
    monkeypatch.setattr(stem, "Shadow", beside["Shadow"], raising=False)
    module = ModuleType("exitwave.images.shadow")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(functions, PAGE.name, "exec"), module.__dict__)
    find = kinds.kind_of
    monkeypatch.setitem(STAGES["images"], "shadow", beside["Shadow"])
    monkeypatch.setattr(kinds, "kind_of", lambda b: module if isinstance(b, beside["Shadow"]) else find(b))
    return module


def test_the_kind_of_the_page_is_planned_made_and_previewed(shadow: ModuleType, new_made: Any, tmp_path: Path) -> None:
    (study_text,) = snippets("yaml")
    study = study_from(yaml.safe_load(study_text), "study.yaml")
    (member,) = study.stage("images")
    (row,) = [row for row in plan(study) if row.stage == "images"]
    assert (row.jobs, row.items) == (1, 8)
    made = new_made(study)
    shard, table = made.open(member), read_table(table_path(made.shard(member)))
    counts = shard.read("counts")
    assert counts.shape == (8, 32, 32)
    np.testing.assert_allclose(
        counts.mean(axis=(1, 2)) / table["dose"],
        table["n_atoms_particles"].add(table["n_atoms_substrate"]) / 32**2,
        rtol=0.1,
    )
    assert [axis.unit for axis in shard.item(0)["counts"].axes] == ["Å", "Å"]
    shown = make_preview(study, "shadow", tmp_path / "sheet.png", 4)
    assert "structures" in shown
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_what_the_kind_of_the_page_cannot_make_is_refused(shadow: ModuleType) -> None:
    raw = yaml.safe_load(snippets("yaml")[0])
    raw["images"]["shadow"]["size"] = 64
    with pytest.raises(ConfigError, match=r"study.yaml: images.shadow.size: found 64 px, which is 51.2 Å; allowed"):
        study_from(raw, "study.yaml")
