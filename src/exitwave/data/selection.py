"""Datasets as manifests: a query on metadata, a split by structure, a draw. No image is copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from exitwave.config.blocks import Dataset
from exitwave.data.query import select
from exitwave.errors import DatasetError

SPLITS = ("train", "validation", "test")


def draw_dataset(tables: dict[str, pd.DataFrame], block: Dataset, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a dataset from the metadata of its images.

    All images of a structure fall into the same split, and a structure falls into the same split in
    every dataset with the same shares, so that networks trained on different datasets can be scored
    on structures that none of them has seen.

    Parameters
    ----------
    tables : dict of DataFrame
        Metadata of each images block by its name as written in the config, with the columns ``shard``
        and ``row`` that say where each image stands.
    block : Dataset
    rng : Generator

    Returns
    -------
    DataFrame
        The drawn rows with a column ``split``; test rows are all that fulfil the condition.

    Raises
    ------
    DatasetError
        If nothing fulfils the condition, too little does, or a split is empty.
    """
    shares = block.images if isinstance(block.images, dict) else {block.images: 1.0}
    total = sum(shares.values())
    parts = []
    for name, share in sorted(shares.items()):
        table = tables[name]
        if block.where is not None:
            table = table[select(table, block.where)]
        if table.empty:
            raise DatasetError(
                f"where: {block.where!r} leaves no image of '{name}'; allowed: a condition that some meet"
            )
        split = pd.Series(split_of(table["split_position"].to_numpy(), block), index=table.index)
        table = table.assign(split=split)
        pool = table[split != "test"]
        if block.size is not None:
            wanted = round(block.size * share / total)
            if wanted > len(pool):
                raise DatasetError(
                    f"size: {wanted} images of '{name}' are asked for, but where and test leave only {len(pool)} of "
                    f"{len(table)}; allowed: a smaller size, or a higher count of structures"
                )
            pool = pool.iloc[np.sort(rng.choice(len(pool), size=wanted, replace=False))]
        parts.append(pd.concat([pool, table[split == "test"]]))
    manifest = pd.concat(parts, ignore_index=True)
    for name in ("train", "validation", *(["test"] if block.test > 0 else [])):
        if not (manifest["split"] == name).any():
            count = manifest["structure_id"].nunique()
            raise DatasetError(
                f"{name}: no image falls into this split with only {count} structures; allowed: more structures or a "
                "larger share"
            )
    return manifest


def split_of(position: np.ndarray, block: Dataset) -> np.ndarray:
    """Split of structures from their position in [0, 1)."""
    return np.select([position < block.test, position < block.test + block.validation], ["test", "validation"], "train")


def fingerprint(manifest: pd.DataFrame) -> dict[str, Any]:
    """What a dataset is made of: sizes and the distribution of every column, before anything is trained on it."""
    columns: dict[str, Any] = {}
    for name in manifest.columns.difference(["particles", "seed", "shard", "row"]):
        values = manifest[name]
        if pd.api.types.is_numeric_dtype(values) and values.notna().any():
            quantiles = np.nanquantile(values.to_numpy(dtype=float), [0, 0.05, 0.5, 0.95, 1])
            columns[name] = dict(zip(["min", "q05", "median", "q95", "max"], map(float, quantiles), strict=True))
        elif values.nunique() <= 20:
            columns[name] = {str(k): int(v) for k, v in values.value_counts().sort_index().items()}
    return {
        "images": {s: int((manifest["split"] == s).sum()) for s in SPLITS},
        "structures": {s: int(manifest.loc[manifest["split"] == s, "structure_id"].nunique()) for s in SPLITS},
        "columns": columns,
    }
