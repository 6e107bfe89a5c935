"""What is generated from the typed config is up to date and says what the config accepts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from exitwave.config.kinds import STAGES
from exitwave.data.columns import UNITS
from exitwave.study.docs import fill, json_schema, key_table, schema_text
from exitwave.study.link import load_study

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"


class EditorLoader(yaml.SafeLoader):
    """Reads 300e3 as the number that it is in YAML 1.2, which editors follow."""


EditorLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
STUDIES = sorted([*CONFIG.glob("*.yaml"), *CONFIG.glob("studies/*.yaml")])


def test_the_key_table_is_up_to_date() -> None:
    text = (CONFIG / "README.md").read_text(encoding="utf-8")
    assert fill(text) == text, "run `make docs-keys`"


def test_the_schema_is_up_to_date() -> None:
    assert (CONFIG / "schema.json").read_text(encoding="utf-8") == schema_text(), "run `make docs-keys`"


def test_every_key_of_every_block_stands_in_the_table() -> None:
    table = key_table()
    for kinds in STAGES.values():
        for model in kinds.values():
            for key, field in model.model_fields.items():
                assert f"| `{key}`" in table
                assert key == "kind" or field.description, f"{model.__name__}.{key} needs a description"


def test_every_column_of_a_condition_stands_in_the_readme() -> None:
    text = (CONFIG / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{column}` |" in text for column in UNITS)


def test_the_schema_is_a_schema_and_accepts_the_small_study(raw: Any) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    raw["images"]["noisy"]["dose"] = {"matrix": [100, {"uniform": [100, 400]}]}
    raw["images"]["other"] = {"like": "noisy", "defocus": 3}
    jsonschema.validate(raw, schema)


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("structures", {"cuont": 3}),
        ("structures", {"particles": {"raduis": 3}}),
        ("images", {"size": "big"}),
        ("images", {"dose": {"unifrom": [1, 2]}}),
        ("images", {"kind": "stem"}),
    ],
)
def test_the_schema_marks_what_is_wrong(raw: Any, stage: str, change: Any) -> None:
    next(iter(raw[stage].values())).update(change)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, json_schema())


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_that_come_along_load_and_fit_the_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    load_study(path)
    jsonschema.validate(yaml.load(path.read_text(encoding="utf-8"), Loader=EditorLoader), json_schema())


def test_the_example_of_the_readme_loads(tmp_path: Path) -> None:
    text = (CONFIG / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "example.yaml"
    path.write_text(text.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    study = load_study(path)
    assert [member.name for member in study.stage("trainings")] == ["gold[dose=100]", "gold[dose=400]"]
    jsonschema.validate(yaml.load(path.read_text(encoding="utf-8"), Loader=EditorLoader), json_schema())
