"""Drawing again what cannot be built, such as a particle without an atom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from exitwave.errors import StructureError

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_DRAWS = 10
"""Draws of an item before its block is refused: then most of what it describes cannot be built."""


def first_possible(build: Callable[[np.random.Generator], T], rng: np.random.Generator, item: int) -> tuple[T, int]:
    """Build an item from its generator, or else from the first of the generators that follow from it.

    An item that can be built at once is the same as without. So is a redrawn one whatever the shard it is made in.

    Parameters
    ----------
    build : callable
        Draws and builds the item.
    rng : Generator
        That of the item, as `exitwave.items.item_rng` gives it.
    item : int
        Its number, for messages.

    Returns
    -------
    built : object
        What ``build`` has returned.
    redraws : int
        Draws before that could not be built. They are told in a warning, since they cut the distributions of the block.

    Raises
    ------
    StructureError
        If none of ``MOST_DRAWS`` draws can be built: why not, beginning with the item.
    """
    reasons: list[str] = []
    while len(reasons) < MOST_DRAWS:
        try:
            built = build(rng)
        except StructureError as error:
            reasons.append(str(error))
            (rng,) = rng.spawn(1)
            continue
        if reasons:
            log.warning("item %d: drawn %d times, since it could not be built: %s", item, len(reasons) + 1, reasons[-1])
        return built, len(reasons)
    found = "" if len(set(reasons)) == 1 else f"found {MOST_DRAWS} draws in a row that cannot be built, the last: "
    raise StructureError(f"item {item}: {found}{reasons[-1]}")
