"""Randomness of an item: the same whatever the shard size, order, count or number of cores."""

from __future__ import annotations

import numpy as np


def item_rng(seed: int, stage: str, identity: str, *index: int) -> np.random.Generator:
    """Generator of one item.

    Parameters
    ----------
    seed : int
        Root seed of the study.
    stage, identity : str
        Stage and identity hash of the block.
    index : int
        Index of the item, and of the draw within it where there are several.
    """
    key = [seed, int.from_bytes(stage.encode(), "big"), int(identity, 16), *index]
    return np.random.default_rng(np.random.SeedSequence(key))


def split_position(identity: str, item: int) -> float:
    """Position of a structure in [0, 1) that decides its split in every dataset.

    A golden-ratio sequence with a random start: any run of structures covers [0, 1) evenly, so that
    the splits have the sizes asked for even when there are few, and the position does not depend on
    how many there are.
    """
    golden = (5**0.5 - 1) / 2
    start = float(item_rng(0, "split", identity).uniform())
    return float((start + item * golden) % 1.0)
