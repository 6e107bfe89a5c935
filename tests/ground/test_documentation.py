"""The documentation says what is true: its snippets run, its links lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "config" / "README.md", ROOT / "results" / "README.md", *ROOT.glob("docs/*.md")]

STUDY = """
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 2
    field_of_view: 25.6
    particles: {radius: 6}
    substrate: {thickness: 5}
exit_waves:
  still: {structures: gold, kind: plane_wave, sampling: 0.4}
images:
  noisy: {exit_waves: still, kind: hrtem, pixel_size: 0.8, size: 32, dose: 200, per_structure: 2}
"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shards of a tiny study."""
    from exitwave.jobs.simulate import make_shard
    from exitwave.study.description import Description, describe
    from exitwave.study.link import study_from
    from exitwave.study.plan import SIMULATION, sources_of

    folder = tmp_path_factory.mktemp("run")
    study = study_from(yaml.safe_load(STUDY), "study.yaml")

    def shard_of(member: Any) -> Path:
        return folder / "results" / member.folder / "shard-000000-000002.zarr.zip"

    for stage in SIMULATION:
        member = study.stage(stage)[0]
        sources = {name: shard_of(source) for name, source in sources_of(member).items()}
        make_shard(Description.parse(describe(member)), range(2), sources, shard_of(member))
    return folder


def test_the_snippets_for_other_tools_run(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(results)
    names: dict[str, Any] = {}
    executed = 0
    for code in blocks(ROOT / "docs" / "artifacts.md", "python"):
        imported = [node.names[0].name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import)]
        if all(importlib.util.find_spec(name.partition(".")[0]) for name in imported):
            exec(compile(code, "artifacts.md", "exec"), names)
            executed += 1
    assert executed >= 5
    assert names["counts"].shape == names["mask"].shape == (32, 32)
    assert names["axes"]["y"] == names["axes"]["x"] == (0.8, "Å")
    assert len(names["atoms"]) > len(names["particles"]) > 0
    assert names["image"].array.mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("docs/images/"):  # pictures are made by the pipeline
            assert (page.parent / target).exists(), target


def test_commands_of_the_command_line_tool_exist() -> None:
    from typer.main import get_command

    from exitwave.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    for page in PAGES:
        for name in re.findall(r"(?:^|[ `/])exitwave ([a-z]+)\b", "\n".join(blocks(page, "sh")), flags=re.MULTILINE):
            assert name in commands, f"{page.name}: exitwave {name}"


def test_studies_shown_in_the_documentation_are_yaml() -> None:
    for page in PAGES:
        for text in blocks(page, "yaml"):
            assert isinstance(yaml.safe_load(text), dict)
