"""Images and masks of a manifest, read into memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from exitwave.data.shards import open_shard


@dataclass(frozen=True)
class LoadedImages:
    """Images and masks in memory.

    Attributes
    ----------
    counts : ndarray of uint32, shape (images, y, x)
        Electron counts.
    masks : ndarray of bool, shape (images, y, x)
        True on particles.
    image_ids : list of str
    pixel_size : float
        Image pixel [Å].
    """

    counts: np.ndarray
    masks: np.ndarray
    image_ids: list[str]
    pixel_size: float


def load_images(manifest: pd.DataFrame, label_threshold: float) -> LoadedImages:
    """Read the images of a manifest, in its order.

    Parameters
    ----------
    manifest : DataFrame
        At least one row.
    label_threshold : float
        Smoothed phase of the particle wave above which a pixel is particle [rad].
    """
    counts: list[np.ndarray | None] = [None] * len(manifest)
    masks: list[np.ndarray | None] = [None] * len(manifest)
    places = manifest.reset_index(drop=True)
    for path, rows in places.groupby("shard"):
        shard = open_shard(str(path))
        for place, row in rows["row"].items():
            counts[int(str(place))] = shard.read("counts", row)
            masks[int(str(place))] = shard.read("phase", row) > label_threshold
    return LoadedImages(
        np.stack([c for c in counts if c is not None]),
        np.stack([m for m in masks if m is not None]),
        places["image_id"].tolist(),
        float(places["pixel_size"].iloc[0]),
    )
