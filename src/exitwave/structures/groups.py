"""Groups: what a split must not tear apart, and where a group stands in [0, 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from exitwave.items import Groups, item_rng


def items_as_groups(identity: str, start: int, stop: int) -> Groups:
    """Every item is a group of its own.

    The positions are a golden-ratio sequence with a random start: any run of structures covers [0, 1) evenly, so that
    the splits have the sizes asked for even when there are few, and a position does not depend on how many there are.

    Parameters
    ----------
    identity : str
        Hash of the block, in hexadecimal digits.
    start, stop : int
        First item, and the one after the last.
    """
    offset = float(item_rng(0, "split", identity).uniform())
    golden = (5**0.5 - 1) / 2
    items = range(start, stop)
    positions = np.array([(offset + item * golden) % 1.0 for item in items])
    return Groups([f"{identity}-{item:06d}" for item in items], positions)


def groups_by_content(names: Sequence[str]) -> Groups:
    """Groups that are the same in every block and study: their positions follow from their names alone.

    Parameters
    ----------
    names : sequence of str
        Group of each item: what a crystal or material is, in words that stay the same.
    """
    heads = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    # 53 bits, all that a double below 1 holds.
    return Groups(list(names), np.array([(int.from_bytes(head, "big") >> 11) / 2**53 for head in heads]))
