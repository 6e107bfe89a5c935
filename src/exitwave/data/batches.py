"""Arrays of the images of a manifest, read into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from exitwave.data.shards import Shard, open_shard

OPEN = 400
"""Shards kept open by what reads many: each takes a file handle, of which systems allow 1024, and its directory."""


def load_arrays(
    manifest: pd.DataFrame, names: Iterable[str], opened: Callable[[str], Shard] = open_shard
) -> dict[str, Any]:
    """Read arrays of the images of a manifest.

    Parameters
    ----------
    manifest : DataFrame
        At least one row.
    names : iterable of str
        Arrays that are stored with every image.
    opened : callable
        Opens a shard, or has it open already.

    Returns
    -------
    dict of ndarray [images, ...]
        In the order of the manifest; of ragged arrays, whose shapes differ, a list.

    Raises
    ------
    ShardError
        If a shard is missing or damaged, or has no such array.
    """
    names, arrays = list(names), dict[str, Any]()
    for path, rows in manifest.reset_index(drop=True).groupby("shard"):
        shard = opened(str(path))
        for place, row in rows["row"].items():
            for name in names:
                values = shard.read(name, row)
                # Filled one by one: a list of all and their stack would be twice the memory.
                if name not in arrays:
                    ragged = shard.is_ragged(name)
                    arrays[name] = (
                        [None] * len(manifest) if ragged else np.empty((len(manifest), *values.shape), values.dtype)
                    )
                arrays[name][int(str(place))] = values
    return arrays


def keep_open(shards: int = OPEN) -> Callable[[str], Shard]:
    """What opens shards, and keeps so many open, those used last; for use in several threads."""
    return lru_cache(shards)(open_shard)


def unit_of(shard: Shard, name: str) -> str:
    """Unit of a stored array; empty where it has none."""
    return shard.item(0)[name].unit
