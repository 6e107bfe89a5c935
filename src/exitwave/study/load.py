"""Reading config files: YAML, one base file, a library, blocks that are ``like`` another.

All of this works on plain dictionaries; validation comes after it, in ``study.py``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from exitwave.config.kinds import STAGES
from exitwave.config.merge import merge
from exitwave.errors import ConfigError

Raw = dict[str, Any]

_DIGITS = r"(?:0|[1-9][0-9]*)"
_WHOLE = re.compile(rf"[-+]?{_DIGITS}")
_DECIMAL = re.compile(rf"[-+]?(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
# Leading zeros, underscores, sexagesimals, and numbers to the base of 2, 8 and 16.
_DOUBTFUL = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?::[0-5]?[0-9])*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|0[bB][01_]+|0[oO][0-7_]+|0[xX][0-9a-fA-F_]+)"
)


MOST_VALUES = 100_000
"""Of a file, each counted as often as it is referred to: far above what a study has, and below what fills a memory."""
LARGEST_WHOLE = 2**63 - 1
"""Beyond, whole numbers are no integers of 64 bits."""


class _Refused(yaml.YAMLError):
    """What is YAML, but says something else than it seems to."""

    def __init__(self, node: yaml.Node, sentence: str) -> None:
        super().__init__(f"line {node.start_mark.line + 1}: {sentence}")


class _Loader(yaml.SafeLoader):
    """SafeLoader that takes nothing for something else than it was written as.

    Keys are text as written, and numbers are decimal: YAML 1.1, which PyYAML reads, takes ``010`` for 8, ``1:30`` for
    90 and ``1e3`` for text. Of its truth values ``true`` and ``false`` are left, of which ``yes`` and ``no`` are read
    only where a truth value is expected. A key given twice is refused, but a mapping may say again what it takes in by
    a merge key (``<<``).
    """

    yaml_implicit_resolvers = {}

    def get_single_node(self) -> yaml.Node | None:
        """Check the number of values before any is made: a few lines of references can stand for billions."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise _Refused(node, f"found more than {MOST_VALUES:,} values, by references; allowed: fewer")
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Check for characters that neither a file's name nor a terminal takes, as only escapes in quotes can write."""
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        for character in node.value:
            if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n":
                raise _Refused(node, f"found the character {character!a}; allowed: text that can be printed")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Check the keys before merge keys are resolved, after which what was written twice cannot be told."""
        node = super().compose_mapping_node(anchor)
        given = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused(key, "found a list or a mapping as a key; allowed: text")
            if key.value in given:
                raise _Refused(key, f"key '{key.value}' is given twice; allowed: once")
            given.add(key.value)
        return node


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values that a node stands for, itself included; one that contains itself is refused."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 0
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    elif not known[id(node)]:
        raise _Refused(node, "found a list or a mapping that contains itself; allowed: what ends")
    return known[id(node)]


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Raw:
    loader.flatten_mapping(node)  # puts what is merged first, so that the mapping's own keys win
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    if _WHOLE.fullmatch(node.value):
        if len(node.value) > 20 or abs(int(node.value)) > LARGEST_WHOLE:
            raise _Refused(
                node, f"found {node.value[:20]}…, a whole number too large; allowed: up to {LARGEST_WHOLE:,}"
            )
        return int(node.value)
    if _DECIMAL.fullmatch(node.value):
        return float(node.value)
    raise _Refused(
        node,
        f"found {node.value}, which readers of YAML take for different numbers; allowed: a decimal number without "
        "leading zeros, or text in quotation marks",
    )


_TAG = "tag:yaml.org,2002:"
for _tag, _pattern in (
    ("null", "~|null|Null|NULL|"),
    ("bool", "true|True|TRUE|false|False|FALSE"),
    ("merge", "<<"),
    ("float", f"{_DECIMAL.pattern}|{_DOUBTFUL.pattern}"),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(f"^(?:{_pattern})$"), None)
for _tag in ("int", "float"):
    _Loader.add_constructor(_TAG + _tag, _number)
_Loader.add_constructor(_TAG + "map", _mapping)


def _read(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except _Refused as error:
        raise ConfigError(f"{source}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid YAML ({' '.join(str(error).split())})") from error


def read_yaml(path: Path) -> Raw:
    """Read one YAML file that holds a mapping.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, gives a key twice, has a number that is not decimal or is not a mapping.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ConfigError(f"{path}: is no file; allowed: a file of YAML")  # such as a device, which never ends
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid YAML ({error})") from error
    content = _read(text, str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: found {type(content).__name__}, allowed: a mapping of stages to blocks")
    return content


def read_run(files: Sequence[Path], settings: Iterable[str] = ()) -> Raw:
    """Read what a run of the workflow is given: files, each laid over those before it, and settings over all of them.

    Parameters
    ----------
    files : sequence of Path
        Config files.
    settings : iterable of str
        ``KEY=VALUE`` with a top-level key and its value in YAML, such as ``seed=3`` or
        ``images={noisy: {dose: 300}}``. Mappings are merged key by key.

    Raises
    ------
    ConfigError
        As `read_yaml`; for a setting it names the key.
    """
    layers = [read_yaml(path) for path in files]
    for setting in settings:
        key, _, value = setting.partition("=")
        layers.append({key: _read(value, f"--config {key}")})
    raw: Raw = reduce(merge, layers)
    return raw


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


def with_library(raw: Raw, folder: Path, source: str) -> tuple[Raw, dict[str, set[str]] | None]:
    """Lay a study over its library, if it names one (relative to ``folder``).

    Returns
    -------
    tuple
        The study with all blocks of the library, and the names of the blocks by stage that the study speaks of itself;
        none without a library. Of the others only those are to be made that these are made from.
    """
    if "library" not in raw:
        return raw, None
    path = folder / str(raw["library"])
    library = read_yaml(path)
    for key in ("base", "library"):
        if key in library:
            raise ConfigError(f"{source}: library {path} has a {key} itself; allowed: none, to rule out circles")
    study = {key: value for key, value in raw.items() if key != "library"}
    own = {stage: set(map(str, study[stage])) for stage in STAGES if isinstance(study.get(stage), dict)}
    merged: Raw = merge(library, study)
    return merged, own


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


def check_stages(raw: Raw, source: str) -> None:
    """Refuse a top-level key that is neither ``seed`` nor ``scale`` nor a stage."""
    for key, value in raw.items():
        if key not in {"seed", "scale", *STAGES}:
            allowed = ", ".join(["seed", "base", *STAGES, "library", "scale"])
            raise ConfigError(f"{source}: {key}: unknown key; allowed: {allowed}")
        if key in STAGES and not isinstance(value, dict):
            raise ConfigError(f"{source}: {key}: found {value!r}, allowed: a mapping of block names to blocks")
