"""Reading config files: YAML, one base file, blocks that are ``like`` another, matrix expansion.

All of this works on plain dictionaries; validation comes after it, in ``study.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from exitwave.config.blocks import STAGES
from exitwave.errors import ConfigError

Raw = dict[str, Any]


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> Raw:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{node.start_mark.name}: key '{key}' is given twice (line {node.start_mark.line + 1})")
    return {str(key): value for key, value in loader.construct_mapping(node, deep=True).items()}


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: Path) -> Raw:
    """Read one YAML file that holds a mapping.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, gives a key twice or is not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=_UniqueKeyLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: found {type(content).__name__}, allowed: a mapping of stages to blocks")
    return content


UNNAMED_KIND = "amorphous"
"""The one kind, of substrate, that need not be named."""


def merge(base: Any, change: Any) -> Any:
    """Lay ``change`` over ``base``: mappings are merged key by key, everything else is replaced.

    A distribution or matrix is a value, not a mapping to merge into, and a block of another kind is another block.
    """
    values = {"uniform", "normal", "loguniform", "choice", "matrix"}
    if (
        isinstance(base, dict)
        and isinstance(change, dict)
        and not values & (set(base) | set(change))
        and change.get("kind", base.get("kind")) in (base.get("kind", UNNAMED_KIND), None)
    ):
        return {**base, **{key: merge(base.get(key), value) for key, value in change.items()}}
    return change


def with_base(raw: Raw, folder: Path, source: str) -> Raw:
    """Lay a study over its base file, if it names one (relative to ``folder``)."""
    if "base" not in raw:
        return raw
    path = folder / str(raw["base"])
    base = read_yaml(path)
    if "base" in base:
        raise ConfigError(f"{source}: base {path} has a base itself; allowed: one base file, to rule out circles")
    merged: Raw = merge(base, {key: value for key, value in raw.items() if key != "base"})
    return merged


def resolve_like(blocks: Raw, stage: str, source: str) -> Raw:
    """Replace ``like: other`` in each block by the keys of the other block of the same stage."""

    def resolve(name: str, seen: tuple[str, ...]) -> Raw:
        if name in seen:
            raise ConfigError(f"{source}: {stage}.{name}: circular reference {' -> '.join([*seen, name])}")
        if name not in blocks:
            raise ConfigError(
                f"{source}: {stage}.{seen[-1]}.like: found '{name}', which is no block of {stage}; "
                f"allowed: {', '.join(blocks)}"
            )
        block = blocks[name]
        if not isinstance(block, dict):
            raise ConfigError(f"{source}: {stage}.{name}: found {block!r}, allowed: a mapping of keys to values")
        if "like" not in block:
            return block
        merged: Raw = merge(resolve(str(block["like"]), (*seen, name)), {k: v for k, v in block.items() if k != "like"})
        return merged

    return {name: resolve(name, ()) for name in blocks}


def _matrix_axes(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    if isinstance(value, dict):
        if set(value) == {"matrix"}:
            if not isinstance(value["matrix"], list) or not value["matrix"]:
                raise ConfigError(f"{'.'.join(path)}.matrix: found {value['matrix']!r}, allowed: a list of values")
            yield path, value["matrix"]
        else:
            for key, inner in value.items():
                yield from _matrix_axes(inner, (*path, str(key)))


def _replace(value: Any, path: tuple[str, ...], new: Any) -> Any:
    if not path:
        return new
    return {k: _replace(v, path[1:], new) if str(k) == path[0] else v for k, v in value.items()}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "+".join(f"{k}:{_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "..".join(_text(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def expand_matrix(block: Raw) -> dict[str, Raw]:
    """Expand every ``{matrix: [...]}`` of a block into members.

    Returns
    -------
    dict
        Label such as ``dose=100`` (empty without a matrix) to the block of that member.
    """
    axes = list(_matrix_axes(block))
    names = [path[-1] for path, _ in axes]
    # The last key names an axis; the whole path where that would be ambiguous.
    names = [".".join(path) if names.count(path[-1]) > 1 else path[-1] for path, _ in axes]
    members: dict[str, Raw] = {}
    for values in itertools.product(*(values for _, values in axes)):
        member = block
        for (path, _), value in zip(axes, values, strict=True):
            member = _replace(member, path, value)
        members[",".join(f"{n}={_text(v)}" for n, v in zip(names, values, strict=True))] = member
    return members


def check_stages(raw: Raw, source: str) -> None:
    """Refuse a top-level key that is neither ``seed`` nor a stage."""
    for key, value in raw.items():
        if key not in {"seed", *STAGES}:
            raise ConfigError(f"{source}: {key}: unknown key; allowed: seed, base, {', '.join(STAGES)}")
        if key != "seed" and not isinstance(value, dict):
            raise ConfigError(f"{source}: {key}: found {value!r}, allowed: a mapping of block names to blocks")
