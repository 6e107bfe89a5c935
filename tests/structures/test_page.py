"""The page on structures says what is true: its snippets run, and its examples of the config are accepted."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.structures.checks import check_block
from exitwave.structures.recipes import build_structure

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "structures.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_snippets_run_one_after_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL):
        exec(compile(code, "structures.md", "exec"), names)
    assert len(names["structure"].numbers) > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.xyz", "scene_prismatic.xyz"]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_build(example):
    given = {"kind": "nanoparticles_on_substrate", "count": 1, "field_of_view": 120.0, **yaml.safe_load(example)}
    block = NanoparticlesOnSubstrate.model_validate(given)
    check_block(block)
    structure = build_structure(block, np.random.default_rng(0))
    assert (structure.object_id > 0).any()
