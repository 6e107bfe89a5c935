"""Files of YAML, in which nothing is taken for something else than it was written as."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from exitwave.errors import ConfigError

Raw = dict[str, Any]
SIDECAR = ".meta.yaml"
"""What stands behind the name of an image or a scan in that of its sidecar; see `exitwave.config.experiment`."""

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


def parse_yaml(text: str, source: str) -> Any:
    """What a text of YAML says; errors begin with its ``source``."""
    try:
        return yaml.load(text, Loader=_Loader)
    except _Refused as error:
        raise ConfigError(f"{source}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid YAML ({' '.join(str(error).split())})") from error


def read_yaml(path: Path, holds: str = "stages to blocks") -> Raw:
    """Read one YAML file that holds a mapping.

    Parameters
    ----------
    path : path
    holds : str
        What the mapping is from and to, in words.

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
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ConfigError(f"{path}: found {found}, allowed: a mapping of {holds}")
    return content


def sidecar_of(path: Path) -> Path:
    """Where the sidecar of an image or a scan is, if it has one."""
    return path.with_name(path.name + SIDECAR)
