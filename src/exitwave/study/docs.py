"""What is generated from the typed config: the key table of ``config/README.md``, the JSON schema for editors, the
record of defaults, and the tables of sidecars in ``docs/metadata.md``.

``python -m exitwave.study.docs`` writes all, from the root of the project.
"""

from __future__ import annotations

import copy
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, AwareDatetime, BaseModel, Discriminator, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from exitwave.benchmark.facts import ENTRIES
from exitwave.config.block import Block
from exitwave.config.experiment import Experiment
from exitwave.config.haider import ANGLES, TERMS
from exitwave.config.kinds import STAGES
from exitwave.data.columns import IDENTITIES, columns_of
from exitwave.errors import ConfigError
from exitwave.study.scale import PAPER, SCALES

_NAMES: dict[Any, str] = {
    float: "number",
    int: "whole number",
    str: "text",
    bool: "true or false",
    AwareDatetime: "time",
}
_UNIONS = (Union, types.UnionType)


def key_table() -> str:
    """Markdown tables of every key, one for each stage and kind, nested blocks with dotted keys."""
    parts = []
    for stage, kinds in STAGES.items():
        parts.append(f"### {stage}\n")
        for kind, model in kinds.items():
            if kind:
                parts.append(f"#### kind: {kind}\n")
            parts.append(f"{inspect.getdoc(model)}\n")
            parts.append("| key | value | default | meaning |\n|---|---|---|---|")
            for key, field in _fields(model):
                value = " or ".join(_values(field.annotation, field.metadata))
                if key in model.MADE_FROM:
                    value = value.replace("text", "block name")
                star = "\\*" if key in model.COUNTS else ""
                parts.append(f"| `{key}`{star} | {value} | {_default(field)} | {_cell(field.description or '')} |")
            parts[-1] += "\n"
    return "\n".join(parts)


def column_table() -> str:
    """Markdown table of the metadata columns that ``where`` may name."""
    rows = ["| column | unit | drawn or set in |", "|---|---|---|"]
    for stage in IDENTITIES:
        rows += [f"| `{name}` | {column.unit} | {stage} |" for name, column in columns_of(stage).items()]
    return "\n".join(rows) + "\n"


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Keys of a block in order; a nested block stands before its own keys, alternatives by their kind if any."""
    first = [name for name in ("kind", *getattr(model, "MADE_FROM", ())) if name in model.model_fields]
    for name in [*first, *(name for name in model.model_fields if name not in first)]:
        field = model.model_fields[name]
        yield prefix + name, field
        nested = list(_blocks(field.annotation))
        for block in nested:
            told_apart = len(nested) > 1 and "kind" in block.model_fields
            kind = get_args(block.model_fields["kind"].annotation)[0] if told_apart else ""
            for key, inner in _fields(block, f"{prefix}{name}{f'[{kind}]' if kind else ''}."):
                if not key.endswith("].kind"):
                    yield key, inner


def _blocks(annotation: Any) -> Iterator[type[Block]]:
    """Blocks among the alternatives of an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from _blocks(argument)


def _values(annotation: Any, metadata: list[Any]) -> list[str]:
    """What may stand for a key, in words, one entry an alternative."""
    limits = _limits(metadata)
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _values(inner, [*more, *metadata])
    discriminators = [entry for entry in metadata if isinstance(entry, Discriminator)]
    if any(entry.custom_error_type == "distribution" for entry in discriminators):  # a number, or a distribution of it
        constant = get_args(get_args(annotation)[0])[0]
        return [(_NAMES[constant] if constant is not str else "name") + limits, "[distribution](#distributions)"]
    if get_origin(annotation) in _UNIONS:
        shared = [entry for entry in metadata if not isinstance(entry, Discriminator)]
        return list(dict.fromkeys(value for option in get_args(annotation) for value in _values(option, shared)))
    if annotation is type(None):
        return ["null"]
    if get_origin(annotation) is Literal:
        return [f"`{option}`" for option in get_args(annotation)]
    if get_origin(annotation) is list:
        return [f"list of {' or '.join(_values(get_args(annotation)[0], []))}"]
    if get_origin(annotation) is dict:
        key, value = get_args(annotation)
        return [f"mapping of {_values(key, [])[0]} to {' or '.join(_values(value, []))}"]
    if get_origin(annotation) is tuple:
        values = [" or ".join(_values(entry, [])) for entry in get_args(annotation)]
        return [f"list of {len(values)}: {values[0]}"]
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return ["block"]
    return [_NAMES.get(annotation, "path") + limits]


def _limits(metadata: list[Any]) -> str:
    found: dict[str, float] = {}
    for entry in [one for each in metadata for one in (each.metadata if isinstance(each, FieldInfo) else [each])]:
        if isinstance(entry, AfterValidator):  # within(...) keeps its limits in the closure of its check
            limits = inspect.getclosurevars(entry.func).nonlocals
            found |= {sign: limits[key] for key, sign in (("low", "≥"), ("above", ">"), ("high", "≤")) if key in limits}
        for kind, sign in ((Ge, "≥"), (Gt, ">"), (Le, "≤"), (Lt, "<")):
            if isinstance(entry, kind):
                found[sign] = getattr(entry, kind.__name__.lower())
    if "≥" in found and found["≥"] is not None:
        found.pop(">", None)  # a block may narrow a type that is above 0 already
    text = ", ".join(f"{sign} {_number(value)}" for sign, value in found.items() if value is not None)
    return f" {text}" if text else ""


def _number(value: float) -> str:
    return f"{value:g}".replace("e+0", "e")


def _default(field: FieldInfo) -> str:
    default = field.default
    if field.is_required():
        return "needed"
    if isinstance(default, BaseModel):
        return "its defaults"
    if isinstance(default, float):
        return f"`{_number(default)}`"
    return f"`{json.dumps(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def json_schema() -> dict[str, Any]:
    """JSON schema of a study file, for completion and checks while typing.

    No key is required in it: blocks may inherit from ``like`` and from a base file. What is missing
    or impossible is found when the study is loaded.
    """
    models = [(model, "validation") for kinds in STAGES.values() for model in kinds.values()]
    references, schema = models_json_schema(models, ref_template="#/$defs/{model}")  # type: ignore[arg-type]
    definitions = schema["$defs"]
    blocks = {model.__name__: model for kinds in STAGES.values() for model in kinds.values()}
    coefficients = definitions["Aberrations"]["properties"]  # Haider's names become Krivanek's when a study is loaded
    for names, unit in ((TERMS, "Å"), (ANGLES, "°")):
        about = {"description": f"in Haider's notation [{unit}]"}
        coefficients |= {name: {**copy.deepcopy(coefficients["C12"]), **about} for name in names}
    for name, definition in definitions.items():
        _relax(definition, top=name in blocks)
    # Becomes a mapping of shares when the study is loaded.
    pool = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    definitions["Dataset"]["properties"]["images"]["anyOf"].append(pool)
    definitions["matrix"] = {
        "description": "one member of the block for each value",
        "type": "object",
        "properties": {"matrix": {"type": "array", "minItems": 1}},
        "required": ["matrix"],
        "additionalProperties": False,
    }
    stages = {
        stage: {
            "type": "object",
            "description": f"blocks of the stage {stage}, by name",
            "additionalProperties": {"anyOf": [references[model, "validation"] for model in kinds.values()]},
        }
        for stage, kinds in STAGES.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "exitwave study",
        "type": "object",
        "properties": {
            "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "root of all randomness"},
            "base": {"type": "string", "description": "study file that this one is laid over"},
            "library": {"type": "string", "description": "study file from which blocks are taken as they are needed"},
            "scale": {"enum": list(SCALES), "default": PAPER, "description": "laptop: the same with fewer items"},
            **stages,
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def _relax(definition: dict[str, Any], top: bool) -> None:
    """Let every key of a block be left out or be a matrix; distributions stay as they are."""
    definition.pop("title", None)
    properties = definition.get("properties", {})
    for schema in properties.values():
        schema.pop("title", None)
    if {"uniform", "loguniform", "normal", "choice"} & set(properties):
        return
    definition.pop("required", None)
    for key, schema in properties.items():
        about = {name: schema.pop(name) for name in ("description", "default") if name in schema}
        _any_of(schema)
        if isinstance(schema.get("additionalProperties"), dict):  # a mapping with keys of the user's choice
            schema["additionalProperties"] = {"anyOf": [schema["additionalProperties"], {"$ref": "#/$defs/matrix"}]}
        properties[key] = {**about, "anyOf": [schema, {"$ref": "#/$defs/matrix"}]}
    if top:
        properties["like"] = {"type": "string", "description": "block of the same stage that this one starts from"}


def _any_of(schema: Any) -> None:
    """Let a value fit more than one alternative, as a block does whose keys may all be left out."""
    if isinstance(schema, dict):
        if "oneOf" in schema:
            schema["anyOf"] = schema.pop("oneOf")
        for part in schema.values():
            _any_of(part)
    elif isinstance(schema, list):
        for part in schema:
            _any_of(part)


def sidecar_table() -> str:
    """Markdown table of the keys of sidecars, with their places in NeXus and DataCite."""
    rows = ["| key | value | meaning | NXem | DataCite |", "|---|---|---|---|---|"]
    for key, field in _fields(Experiment):
        if any(_blocks(field.annotation)):
            continue
        value = " or ".join(each for each in _values(field.annotation, field.metadata) if each != "null")
        places = cast(dict[str, str], field.json_schema_extra)
        cells = (value, field.description or "", places["nexus"], places["datacite"])
        rows.append(f"| `{key}` | {' | '.join(map(_cell, cells))} |")
    return "\n".join(rows) + "\n"


def facts_table() -> str:
    """Markdown table of what is read of the files of each program."""
    rows = ["| file | its name | key |", "|---|---|---|"]
    rows += [f"| {kind} | {each.name} | `{each.key}` |" for kind, entries in ENTRIES.items() for each in entries]
    return "\n".join(rows) + "\n"


def fill(text: str) -> str:
    """Put the generated tables between their markers in the text of ``config/README.md``."""
    return _filled(text, {"keys": key_table(), "columns": column_table()})


def fill_metadata(text: str) -> str:
    """Put the generated tables between their markers in the text of ``docs/metadata.md``."""
    return _filled(text, {"sidecars": sidecar_table(), "facts": facts_table()})


def _filled(text: str, tables: Mapping[str, str]) -> str:
    for name, table in tables.items():
        start, end = f"<!-- {name}: made by `make docs-keys` -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def defaults_text() -> str:
    """Text of ``config/defaults.json``."""
    return json.dumps(defaults(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def schema_text() -> str:
    """Text of ``config/schema.json``."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def defaults() -> dict[str, dict[str, Any]]:
    """The version and the defaults of every kind, by ``stage/kind``; keys of nested blocks with dots.

    Values equal to their defaults are left out of the identity of a block, so that a default is part of what a
    version means. Keys that are no part of the identity are left out.
    """
    record = {}
    for stage, kinds in STAGES.items():
        for kind, model in kinds.items():
            values = {
                key: field.get_default(call_default_factory=True)
                for key, field in _fields(model)
                if key not in model.COUNTS and not field.is_required()
            }
            plain = {key: TypeAdapter(Any).dump_python(value, mode="json") for key, value in values.items()}
            record[f"{stage}/{kind}"] = {"version": model.VERSION, "defaults": plain}
    return record


def changed_defaults(recorded: Mapping[str, dict[str, Any]]) -> list[str]:
    """Sentences on defaults that are not those recorded although the kind has the recorded ``VERSION``."""
    problems = []
    for kind, now in defaults().items():
        then = recorded.get(kind, {"version": 0, "defaults": {}})
        if now["version"] > then["version"]:
            continue
        for key in then["defaults"].keys() & now["defaults"].keys():
            before, after = then["defaults"][key], now["defaults"][key]
            if isinstance(before, dict) and isinstance(after, dict):
                # A key that a nested block has got since changes nothing that was made without it.
                after = {name: value for name, value in after.items() if name in before}
            if before != after:
                problems.append(
                    f"{kind}: the default of {key} has changed from {before!r} to {after!r}; artifacts made with the "
                    "old one would be taken for those of the new one: raise VERSION of the kind"
                )
    return sorted(problems)


def write(folder: Path) -> None:
    """Write schema and record of defaults, and fill the README, in ``folder``.

    Raises
    ------
    ConfigError
        If a default has changed without a new ``VERSION``.
    """
    record = folder / "defaults.json"
    problems = changed_defaults(json.loads(record.read_text(encoding="utf-8")) if record.exists() else {})
    if problems:
        raise ConfigError(problems[0])
    record.write_text(defaults_text(), encoding="utf-8")
    readme = folder / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "schema.json").write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    write(Path("config"))
    page = Path("docs/metadata.md")
    page.write_text(fill_metadata(page.read_text(encoding="utf-8")), encoding="utf-8")
