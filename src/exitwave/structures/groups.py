"""Groups: what a split must not tear apart, and where a group stands in [0, 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from exitwave.items import Groups


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
