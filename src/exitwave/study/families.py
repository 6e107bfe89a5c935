"""Families of blocks: ``{matrix: [...]}`` in a block, and blocks made from families.

All of this works on plain dictionaries; validation comes after it, in ``study.py``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from exitwave.config.yaml_files import Raw
from exitwave.errors import ConfigError

C = TypeVar("C")
Labels = tuple[str, ...]
"""What tells the members of a family apart, such as ``("dose=100", "defocus=0")``; none of a block on its own."""
Families = dict[str, dict[str, Labels]]
"""For each block of a stage the full names of its members with their labels."""

MOST_MEMBERS = 10_000
"""Of a block: what a dozen short lists stand for can be more than fits into a memory."""


def full_name(name: str, labels: Labels) -> str:
    """Name of a member, such as ``noisy[dose=100,defocus=0]``."""
    return f"{name}[{','.join(labels)}]" if labels else name


def _matrix_axes(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    if isinstance(value, dict):
        if set(value) == {"matrix"}:
            if not path:
                raise ConfigError("matrix: found in the place of a block; allowed: in the place of a value of a block")
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
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    return str(value)


def matrix_axes(block: Raw) -> dict[str, tuple[tuple[str, ...], list[Any]]]:
    """Every ``{matrix: [...]}`` of a block by the name of its axis: its path, and its values."""
    axes = list(_matrix_axes(block))
    names = [path[-1] for path, _ in axes]
    # The last key names an axis; the whole path where that would be ambiguous.
    return {".".join(axis[0]) if names.count(name) > 1 else name: axis for name, axis in zip(names, axes, strict=True)}


def axis_label(axis: str, value: Any) -> str:
    """Label of the members of a family that have one value of an axis."""
    return f"{axis}={_text(value)}"


def _product(choices: Sequence[Collection[C]]) -> Iterator[tuple[C, ...]]:
    """One of each of some choices, in all ways."""
    number = math.prod(map(len, choices))
    if number > MOST_MEMBERS:
        raise ConfigError(f"matrix: found {number:,} combinations in one block; allowed: up to {MOST_MEMBERS:,}")
    return itertools.product(*choices)


def expand_matrix(block: Raw) -> dict[Labels, Raw]:
    """Expand every ``{matrix: [...]}`` of a block into members.

    Returns
    -------
    dict
        Labels such as ``("dose=100",)`` (none without a matrix) to the block of that member.
    """
    axes = matrix_axes(block)
    members: dict[Labels, Raw] = {}
    for values in _product([values for _, values in axes.values()]):
        member = block
        for (path, _), value in zip(axes.values(), values, strict=True):
            member = _replace(member, path, value)
        members[tuple(axis_label(axis, value) for axis, value in zip(axes, values, strict=True))] = member
    return members


def expand(block: Raw, references: Mapping[str, Families]) -> dict[Labels, Raw]:
    """Expand the block's own matrices and every family that it is made from.

    A family named alone gives a member for each of its members. Families in a mapping of shares go together where they
    have an axis in common. A list, and a member named in full in a mapping, are taken in as they are.

    Parameters
    ----------
    block : dict
    references : mapping
        For each key that names blocks of another stage the families of that stage.

    Returns
    -------
    dict
        Labels to the block of that member, in which every reference is the full name of a member.

    Raises
    ------
    ConfigError
        If a matrix is no list, or families in a mapping have an axis in common with other values.
    """
    expanded: dict[Labels, Raw] = {}
    for own, member in expand_matrix(block).items():
        choices: list[list[tuple[Labels, Raw]]] = []
        for key, families in references.items():
            value = member.get(key)
            if isinstance(value, list):
                named = [families.get(v, [v]) if isinstance(v, str) else [v] for v in value]
                member = {**member, key: [name for names in named for name in names]}
            elif isinstance(value, dict):
                choices.append([(labels, {key: shares}) for labels, shares in _mixtures(key, value, families)])
            elif isinstance(value, str):
                in_full = {name: labels for family in families.values() for name, labels in family.items()}
                members = families.get(value, {value: in_full.get(value, ())})
                choices.append([(labels, {key: name}) for name, labels in members.items()])
        for parts in _product(choices):
            labels = tuple(dict.fromkeys([*own, *(label for part, _ in parts for label in part)]))
            expanded[labels] = {**member, **{key: value for _, part in parts for key, value in part.items()}}
    return expanded


def _mixtures(key: str, shares: Raw, families: Families) -> Iterator[tuple[Labels, Raw]]:
    """Mappings of members to shares that a mapping of families to shares stands for."""
    mixed = [families.get(entry, {entry: ()}) for entry in shares]
    axes: dict[str, tuple[str, set[Labels]]] = {}
    for entry, members in zip(shares, mixed, strict=True):
        for axis in dict.fromkeys(axis for labels in members.values() for axis in _by_axis(labels)):
            values = {_by_axis(labels)[axis] for labels in members.values()}
            other, found = axes.setdefault(axis, (entry, values))
            if found != values:
                raise ConfigError(
                    f"{key}: '{other}' and '{entry}' are families with different values of {axis}; "
                    "allowed: the same values, or members named in full"
                )
    for parts in _product([members.items() for members in mixed]):
        together: dict[str, Labels] = {}
        if all(together.setdefault(axis, v) == v for _, labels in parts for axis, v in _by_axis(labels).items()):
            mixture = {name: share for (name, _), share in zip(parts, shares.values(), strict=True)}
            if len(mixture) < len(parts):
                raise ConfigError(f"{key}: found a member twice in {', '.join(shares)}; allowed: each with one share")
            yield tuple(dict.fromkeys(label for _, labels in parts for label in labels)), mixture


def _by_axis(labels: Labels) -> dict[str, Labels]:
    axes: dict[str, Labels] = {}
    for label in labels:
        axis = label.partition("=")[0]
        axes[axis] = (*axes.get(axis, ()), label)
    return axes
