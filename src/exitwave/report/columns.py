"""Columns of the metadata tables as figures and tables tell them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from exitwave.data.columns import UNITS

_BOOKKEEPING = re.compile(
    r"item|seed|row|shard|draw|pool|structures|exit_waves|images|split|split_position|group|dataset|file|"
    r"(offset|place)_[xy]|.*_(id|hash|version)"
)


@dataclass(frozen=True)
class Told:
    """How the parameters of a kind are told.

    Attributes
    ----------
    left_out : frozenset of str
        Columns that follow from others, or are shown of the parts.
    labels : mapping of str
        Words in place of names.
    parts : str
        Column that holds what a structure consists of, such as ``particles``, as a JSON list of mappings.
    units : mapping of str
        What is shown of each part, with its unit.
    """

    left_out: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    parts: str = ""
    units: Mapping[str, str] = field(default_factory=dict)


def is_bookkeeping(name: str) -> bool:
    """Whether a column says what something is, comes from or where it lies, and is no property of it."""
    return bool(_BOOKKEEPING.fullmatch(name)) or UNITS.get(name) == "JSON"


def label_of(name: str) -> str:
    """Name of a column as a reader sees it; symbols of coefficients stay as they are."""
    return name if name[:1].isupper() or name.startswith("phi") else name.replace("_", " ")


def short(value: float) -> str:
    """Two digits, or more where they stand before the point."""
    return f"{value:.0f}" if abs(value) >= 99.5 else f"{value:.2g}"
