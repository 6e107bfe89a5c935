"""What a dataset is made of, written before anything is trained on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.models import MaskTarget, Preprocessing
from exitwave.data.columns import PIXELS, UNITS, pixel_column
from exitwave.data.likeness import LARGEST_FIELD, features, learn_likeness
from exitwave.data.preprocess import replace_outliers
from exitwave.data.query import Columns
from exitwave.data.selection import SPLITS, always_same
from exitwave.data.shards import open_shard

SAMPLE = 512
"""Images at most of which intensities, spectra and likeness are taken: some seconds."""
INTENSITY_EDGES = np.linspace(0, 3, 61)
"""Edges of the intensity histogram, in units of the mean of the image."""
RINGS = 32
"""Rings of the power spectrum from frequency 0 to Nyquist."""
LEAST_LABELLED, RARELY = 0.7, 0.1
"""Share of the particles' outline that the mask by phase should cover, and of the images in which it may cover less."""
_DESCRIPTIONS = {"particles", "seed", "shard", "row", "pool", "item", "draw"}
"""Columns that say nothing about what is in the images."""


def fingerprint(manifest: Columns) -> dict[str, Any]:
    """Statistics of a dataset: sizes, the distribution of every column, and what its training images look like.

    Parameters
    ----------
    manifest : Columns
        What :func:`exitwave.data.selection.draw_dataset` returns, with all columns of the images; or a StoredTable,
        which needs memory for one column at a time.

    Returns
    -------
    dict
        For JSON. ``images`` and ``structures``: numbers by split. ``columns``: of numbers the quantiles, how many are
        missing and a histogram, of texts how often each occurs. ``sample``: of at most ``SAMPLE`` training images,
        always the same of the same dataset, the mean counts, the histogram of intensities divided by the mean of the
        image, the radial power spectrum (see :func:`power_spectrum`), and what tells how like them another image is
        (see :func:`exitwave.data.likeness.learn_likeness`; null where they are too few). ``warnings``: what makes it
        doubtful, in words.

    Raises
    ------
    ShardError
        If a shard of the sample is missing or damaged.
    """
    split, structures = manifest["split"], manifest["structure_id"]
    return {
        "images": {side: int((split == side).sum()) for side in SPLITS},
        "structures": {side: int(structures[split == side].nunique()) for side in SPLITS},
        "columns": {
            name: _of_column(manifest[name], UNITS.get(name, ""))
            for name in sorted(set(manifest.columns) - _DESCRIPTIONS)
        },
        "sample": _of_images(training_sample(manifest)),
        "warnings": _warnings(manifest),
    }


def training_sample(manifest: Columns) -> pd.DataFrame:
    """Where at most ``SAMPLE`` training images stand, always the same of the same dataset."""
    train = np.flatnonzero(manifest["split"] == "train")
    chosen = train[always_same(manifest["image_id"].to_numpy(dtype=object)[train], SAMPLE)]
    columns = ("shard", "row", "image_id", "structure_id", pixel_column(manifest.columns))
    return pd.DataFrame({name: manifest[name].iloc[chosen].to_numpy() for name in columns})


def power_spectrum(image: NDArray[Any]) -> NDArray[np.float64]:
    """Radial power spectrum of the contrast of an image.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Counts.

    Returns
    -------
    ndarray, shape (RINGS,)
        Mean over each ring from 0 to 0.5 / px of ``|FFT(w (I / mean(I) - 1))|² / sum(w²)``, w a Hann window, since the
        image is no period. Uncorrelated noise of variance v in units of the squared mean gives v in every ring:
        Poisson noise of n electrons a pixel gives 1 / n.
    """
    contrast = image / max(float(image.mean()), np.finfo(float).tiny) - 1
    window = np.outer(*(np.hanning(edge + 2)[1:-1] for edge in image.shape))
    # The window would make a peak at 0 of what it leaves of the mean.
    contrast = contrast - (window * contrast).sum() / window.sum()
    power = np.abs(np.fft.fft2(window * contrast)) ** 2 / (window**2).sum()
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(edge) for edge in image.shape), indexing="ij"))
    ring = np.floor(frequency * 2 * RINGS).astype(int).ravel()
    sums, sizes = (np.bincount(ring, weights, RINGS)[:RINGS] for weights in (power.ravel(), None))
    return np.divide(sums, sizes, out=np.zeros(RINGS), where=sizes > 0)


def _warnings(manifest: Columns) -> list[str]:
    """Images blocks in which masks by phase leave much of the particles out."""
    told = []
    there = "labelled_outline" in manifest.columns
    for name, part in manifest["labelled_outline"].groupby(manifest["images"]) if there else ():
        labelled = part.dropna()
        few = (labelled < LEAST_LABELLED).mean()
        if few > RARELY:
            told.append(
                f"in {few:.0%} of the images of '{name}' with particles, a {MaskTarget().told()} covers less than "
                f"{LEAST_LABELLED:.0%} of what the particles' atoms cover (median of all: {labelled.median():.0%}): "
                "thin and light particles are lost to masks by phase; those by thickness or outline keep them "
                "(target of the model)"
            )
    return told


def _of_column(values: pd.Series, unit: str) -> dict[str, Any]:
    if not pd.api.types.is_numeric_dtype(values):
        found = values.value_counts().sort_index()
        return {str(k): int(v) for k, v in found.items()} if len(found) <= 20 else {"different": len(found)}
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    finite = numbers[np.isfinite(numbers)]
    result: dict[str, Any] = {"unit": unit, "missing": len(numbers) - len(finite)}
    if len(finite):
        quantiles = np.quantile(finite, [0, 0.05, 0.5, 0.95, 1])
        result |= dict(zip(["min", "q05", "median", "q95", "max"], map(float, quantiles), strict=True))
        # Values that differ by rounding alone leave no room for bins.
        if quantiles[-1] - quantiles[0] > 100 * np.spacing(np.abs(quantiles[[0, -1]]).max()):
            counts, edges = np.histogram(finite, bins=20)
            result["histogram"] = {"edges": edges.tolist(), "counts": counts.tolist()}
    return result


def _of_images(sample: pd.DataFrame) -> dict[str, Any]:
    intensities, spectra, means, described = [], [], [], []
    # Without a median filter, which only some models have; an image is compared before it too.
    outliers = Preprocessing().outliers
    for path, part in sample.groupby("shard"):
        shard = open_shard(str(path))
        for row, structure in zip(part["row"], part["structure_id"], strict=True):
            counts = shard.read("counts", row)
            mean = float(counts.mean())
            means.append(mean)
            intensities.append(np.histogram(counts / mean if mean else counts, [*INTENSITY_EDGES, np.inf])[0])
            spectra.append(power_spectrum(counts))
            field = _middle(counts, LARGEST_FIELD)
            if (found := features(replace_outliers(field, outliers))) is not None:
                described.append((found, structure, min(field.shape)))
    if not means:
        return {"images": 0}
    histogram = np.sum(intensities, axis=0) / np.sum(intensities)
    column = pixel_column(map(str, sample))
    pixel = float(sample[column].iloc[0])
    of_fields = np.array([found for found, _, _ in described])
    structures, edge = [structure for _, structure, _ in described], min((edge for *_, edge in described), default=0)
    return {
        "images": len(means),
        "mean_counts": _spread(means),
        "intensity": {"edges": INTENSITY_EDGES.tolist(), "share": histogram[:-1].tolist(), "above": histogram[-1]},
        "power_spectrum": {
            "frequency": ((np.arange(RINGS) + 0.5) / (2 * RINGS * pixel)).tolist(),
            "unit": {"Å": "1/Å", "1/Å": "Å"}[PIXELS[column]],
            "power": np.mean(spectra, axis=0).tolist(),
        },
        "likeness": learn_likeness(of_fields, structures, edge),
    }


def _middle(image: NDArray[Any], edge: int) -> NDArray[Any]:
    """The middle of an image, of at most so many pixels along each edge."""
    top, left = (max(0, length - edge) // 2 for length in image.shape)
    return image[top : top + edge, left : left + edge]


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": float(np.median(values)), "mean": float(np.mean(values)), "max": max(values)}
