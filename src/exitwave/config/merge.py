"""Laying one description over another."""

from __future__ import annotations

from typing import Any

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
