"""What pydantic finds wrong with a block, as one sentence in the words of the config."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from exitwave.config.block import Block
from exitwave.config.kinds import STAGES


def sentence(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """First problem of a pydantic error as ``.key: found value; what is allowed``.

    Parameters
    ----------
    error : ValidationError
    model : type, optional
        What was to be read, where it is no block of a study.
    """
    top = model or next(m for kinds in STAGES.values() for m in kinds.values() if m.__name__ == error.title)
    # Of a union every option complains: the one that came furthest into the value is what was meant.
    problem = max(error.errors(include_url=False), key=lambda problem: len(problem["loc"]))
    first = error.errors(include_url=False)[0]
    if first["loc"][:1] != problem["loc"][:1]:
        problem = first
    path, inner, unit = _locate(problem["loc"], top)
    found = f"found {problem['input']!r}"
    if problem["type"] == "extra_forbidden":
        keys = list(inner.model_fields) if inner else []
        moved = getattr(inner, "MOVED", {}).get(str(problem["loc"][-1]))
        if moved is not None:
            return f"{path}: the key has moved (value {problem['input']!r}); allowed: {moved}"
        close = difflib.get_close_matches(str(problem["loc"][-1]), keys, n=1, cutoff=0.7)
        hint = f", perhaps meant as '{close[0]}'" if close else ""
        return f"{path}: unknown key (value {problem['input']!r}){hint}; allowed: {', '.join(keys)}"
    if problem["type"] == "missing":
        return f"{path}: is missing; allowed: a value{unit}"
    if problem["type"] == "model_type":
        keys = list(inner.model_fields) if inner else []
        return f"{path}: {found}; allowed: a block with the keys {', '.join(keys)}"
    message = _allowed(problem)
    # What a block says of several of its keys names their units itself.
    if problem["type"] == "value_error" and isinstance(problem["input"], dict) and not _TAGS & set(problem["input"]):
        return f"{path}: {message}"
    value, other = problem["input"], ""
    if unit == " [eV]" and isinstance(value, (int, float)) and 0 < value <= _LARGEST_KEV:
        other = f"; {value:g} keV is {1000 * value:g}"
    return f"{path}: {found}; {message}{unit}{other}"


_LARGEST_KEV = 3000
"""Beam energy [keV] below which a number that is refused as eV was meant as keV."""
_ALLOWED = {
    "greater_than": "above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "below {lt:g}",
    "less_than_equal": "{le:.10g} or less",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "union_tag_invalid": "a block of kind {expected_tags}",
    "union_tag_not_found": "a block with the key kind",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    "string_type": "text",
    "dict_type": "a mapping of keys to values",
    "path_type": "a path",
}
"""What is allowed where pydantic finds a problem of a type, in our words; else they are its own."""


def _allowed(problem: Any) -> str:
    """What is allowed, and what is wrong where our own checks say it."""
    if problem["type"] in _ALLOWED:
        return f"allowed: {_ALLOWED[problem['type']].format(**problem.get('ctx', {}))}"
    message = problem["msg"].removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    return message if "allowed:" in message else f"allowed: {message}"


_TAGS = {"uniform", "loguniform", "normal", "choice"}


def _locate(location: tuple[int | str, ...], top: type[BaseModel]) -> tuple[str, type[BaseModel] | None, str]:
    """Path of a problem in the words of the config, the model that it lies in, and the unit of its key in words.

    Tags of unions stand in pydantic's location too, but are no keys of the config.
    """
    model: type[BaseModel] | None = top
    path, unit, inside = "", "", list(_models(model))
    own_key = -1  # where a key stands that the user has chosen
    for place, key in enumerate(location):
        tagged = next((m for m in inside if key in (m.__name__, *_kinds(m))), None)
        if tagged is not None and (model is None or key not in model.model_fields):
            model = tagged
        elif model is not None and key in model.model_fields:
            path += f".{key}"
            field = model.model_fields[str(key)]
            annotation = field.annotation
            if issubclass(model, Block):  # distributions have the unit of the key that they stand for
                unit = unit_in_words(field.description or "")
            own_key = place + 1 if get_origin(annotation) is dict else -1
            inside = list(_models(annotation))
            model = next((m for m in inside if issubclass(m, Block)), None)
        elif isinstance(key, int):
            path += f"[{key}]"
        elif place and (str(location[place - 1]).startswith("dict[") or place == own_key):
            path += f".{key}"
        elif key in _TAGS and (model is None or key != location[-1]):
            model = next((m for m in inside if key in m.model_fields), None)
        elif place == len(location) - 1 and model is not None and key not in _PLAIN_TAGS:
            path += f".{key}"  # a key that there is not
    return path, model, unit


_UNIT = re.compile(r"\[((?:Å|eV|K|°|m?rad|px|1/px|e⁻|g/cm|counts)[^\]]*)\]")
"""Unit in the description of a key, among other things in brackets."""


def unit_in_words(description: str) -> str:
    """Unit that the description of a key gives, such as `` [Å]``; nothing if it has none."""
    found = _UNIT.search(description)
    return f" [{found.group(1)}]" if found else ""


_PLAIN_TAGS = {"form", "random", "[key]"}
"""Tags of alternatives that are no blocks, and of the keys of mappings."""


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """Values of the key ``kind`` of a block, which tell the alternatives of a key apart."""
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
