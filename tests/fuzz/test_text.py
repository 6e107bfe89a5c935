"""Studies and conditions from strangers: names, paths, numbers and nesting that nobody means well."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exitwave.data.query import check_condition, select
from exitwave.errors import ConfigError
from exitwave.study.artifacts import before_the_report
from exitwave.study.families import MOST_MEMBERS
from exitwave.study.link import load_study, study_from
from exitwave.study.plan import plan

STUDY = """
structures:
  gold:
    kind: nanoparticles_on_substrate
    count: 8
    shard_size: 4
    field_of_view: 51.2
    particles: {material: Au, radius: {uniform: [8, 12]}}
    substrate: {thickness: {uniform: [10, 20]}}
exit_waves:
  thermal: {structures: gold, kind: plane_wave, sampling: 0.4}
images:
  noisy: {exit_waves: thermal, kind: hrtem, pixel_size: 0.8, size: 64, defocus: {normal: [0, 100]}, dose: 100}
datasets:
  gold: {images: noisy, where: "defocus > 0", test: 0.2}
models:
  unet: {kind: segmentation}
trainings:
  gold: {datasets: gold, model: unet, seeds: 2}
benchmarks:
  held_out: {kind: simulated, datasets: [gold]}
"""
TEXT = st.text(max_size=40) | st.sampled_from(
    ["", ".", "..", "../../outside", "/outside", "~", "a" * 5000, "a\x00b", "\ud800", "a/b", "-", "*", "$(id)", "NUL"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every key in the mappings of a study, with the mapping."""
    if not isinstance(tree, dict):
        return []
    return [(tree, key) for key in tree] + [place for inner in tree.values() for place in places(inner)]


def build(text: str, folder: Path) -> None:
    """Load a study as the workflow does, and hold the paths of all that it would write against its folder."""
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    study = load_study(path)
    plan(study)
    for artifact in before_the_report(study, "study"):
        parts = PurePath(artifact).parts
        assert parts[0] == "results"
        assert ".." not in parts
        assert all(len(part.encode()) <= 255 and part.isprintable() for part in parts)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_study_with_anything_in_it_is_a_study_or_a_sentence(data, tmp_path, survives):
    raw = yaml.safe_load(STUDY)
    for _ in range(data.draw(st.integers(1, 2))):
        found = places(raw)
        parent, key = found[data.draw(st.integers(0, len(found) - 1))]
        if data.draw(st.booleans()):
            parent[key] = data.draw(TREES)
        else:
            parent[data.draw(TEXT)] = parent.pop(key)
    # Everything that JSON can say is YAML too, escapes of characters included.
    survives(build, json.dumps(raw), tmp_path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXT)
def test_artifacts_stay_below_the_results_whatever_a_block_is_called(name, tmp_path, survives):
    raw = yaml.safe_load(STUDY)
    raw["models"][name] = raw["models"].pop("unet")
    raw["trainings"] = {name: {"datasets": "gold", "model": name, "seeds": 1}}
    survives(build, json.dumps(raw), tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=TEXT)
@pytest.mark.parametrize(
    "key",
    [
        "structures.gold.particles.material",
        "structures.gold.path",
        "trainings.gold.start_from",
        "benchmarks.held_out.path",
        "base",
        "library",
        "models.unet.encoder",
    ],
)
def test_any_path_is_found_or_not(key, value, tmp_path, survives):
    assume(not os.path.isdir(value))  # which would be searched for structures
    raw = yaml.safe_load(STUDY)
    if key == "structures.gold.path":
        raw["structures"]["gold"] = {"kind": "files", "field_of_view": 51.2, "thickness": 20, "count": 8}
    if key == "benchmarks.held_out.path":
        raw["benchmarks"]["held_out"] = {"kind": "micrographs"}
    *path, last = key.split(".")
    block = raw
    for part in path:
        block = block[part]
    block[last] = value
    survives(build, json.dumps(raw), tmp_path)


REFERENCES = "a: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"b{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(9)
)
MERGES = "a: &a0 {x: 1}\n" + "".join(f"b{n}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}]}}\n" for n in range(9))
MATRIX = "{matrix: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (REFERENCES, "values, by references"),
        (MERGES, "values, by references"),
        ("a: &a [*a]", "contains itself"),
        ('seed: "\\0"', "found the character '\\x00'"),
        ('images: {"\\ud800": {}}', "found the character '\\ud800'"),
        ('images: {"\\x1b[2J": {}}', "found the character '\\x1b'"),
        ("seed: " + "9" * 30, "too large"),
        ("seed: " + "9" * 5000, "too large"),
        ("base: /dev/zero", "is no file"),
        (STUDY.replace("count: 8", "count: 9000000000"), "1000000 or less"),
        (STUDY.replace("seeds: 2", "seeds: 9000000000"), "1000 or less"),
        (
            STUDY.replace(
                "dose: 100",
                f"aberrations: {{{', '.join(f'{name}: {MATRIX}' for name in ('C10', 'C12', 'C21', 'C23', 'C30'))}}}",
            ),
            f"100,000 combinations in one block; allowed: up to {MOST_MEMBERS:,}",
        ),
        ("{a: " * 2000 + "1" + "}" * 2000, "not valid YAML"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_a_few_lines_that_stand_for_too_much_are_refused(text, words, tmp_path, survives):
    assert words in survives(build, text, tmp_path)


TABLE = pd.DataFrame(
    {
        "dose": [1.0, float("nan"), 3.0],
        "material": ["Au", None, "Ag"],
        "periodic": [True, False, True],
        "__class__": [1, 2, 3],
        "n_atoms": pd.array([1, None, 3], dtype="Int64"),
    }
)
SIGNS = "< >= == != + - * / // ** @ ( ) [ ] { } , : := . abs( len( eval( dose[0] *[1] lambda:1 b'x' \\ # '''"
TOKENS = st.sampled_from(
    [
        *(*TABLE.columns, "unknown", "'Au'", "''", "1", "-1", "1e999", "0x" + "9" * 4000, "9" * 4400, "1j", "True"),
        *(*SIGNS.split(), " and ", " or ", " not ", " in ", " not in ", " is ", " if ", " else ", "[x for x in dose]"),
        *("__import__('os').system('id')", "().__class__", "f'{dose!r:>9}'", "'\\N{DASH}'", "\n", "\0", "ﬁ", "\u2028"),
        *("\ud800", "not " * 60, "(" * 60, "(" * 3000, "-" * 3000),
    ]
)


@settings(max_examples=1000)
@given(tokens=st.lists(TOKENS, min_size=1, max_size=12) | st.lists(st.text(max_size=5), max_size=5))
def test_any_condition_selects_rows_or_is_refused(tokens, survives):
    def ask(condition: str) -> None:
        rows = select(TABLE, condition)
        assert rows.shape == (3,)
        assert rows.dtype == bool
        check_condition(condition, ["dose", "material"])

    survives(ask, "".join(tokens))


def test_a_study_from_a_dictionary_is_checked_for_combinations_too():
    raw = yaml.safe_load(STUDY)
    raw["images"]["noisy"]["dose"] = {"matrix": list(range(1, 200))}
    raw["images"]["noisy"]["per_structure"] = {"matrix": list(range(1, 200))}
    with pytest.raises(ConfigError, match="39,601 combinations"):
        study_from(raw, "study")
