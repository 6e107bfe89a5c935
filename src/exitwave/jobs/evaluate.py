"""Jobs of the benchmark stage: scoring networks and baselines, and the table that sums them up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.baselines import BASELINES
from exitwave.benchmark.micrographs import read_benchmark
from exitwave.benchmark.readers import Micrograph
from exitwave.benchmark.score import score_micrographs, score_prediction
from exitwave.benchmark.summary import summarise
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.models import MaskTarget
from exitwave.data.batches import load_arrays
from exitwave.data.random import item_rng
from exitwave.data.shards import open_shard, read_table, table_path, write_shard, write_table
from exitwave.jobs.simulate import block_from
from exitwave.labels.mask import mask_of

log = logging.getLogger(__name__)


Datasets = list[tuple[dict[str, Any], Path]]
"""Descriptions and manifests of the datasets of a benchmark of simulated images."""


def _images(description: dict[str, Any], datasets: Datasets) -> tuple[list[Micrograph], pd.DataFrame]:
    """Images of a benchmark, micrographs or held-out images of datasets; and the files that were skipped."""
    block = block_from(description)
    if isinstance(block, MicrographBenchmark):
        micrographs, skipped = read_benchmark(str(block.path), block.pixel_size)
        for row in skipped.itertuples():
            log.warning("skipped: %s", row.reason)
        return micrographs, skipped
    share = -(-block.size // len(datasets))
    images: list[Micrograph] = []
    for _, manifest in datasets:
        table = read_table(manifest)
        table = table[table["split"] == "test"].drop_duplicates("image_id")
        # Evenly spaced rows, so that few images still come from many structures.
        table = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(share, len(table))).astype(int))]
        loaded = load_arrays(table, ("counts", "phase"))
        masks = mask_of(loaded["phase"], MaskTarget().above)
        images += [
            Micrograph(name, counts.astype(np.float32), mask, pixel_size)
            for name, pixel_size, counts, mask in zip(
                table["image_id"], table["pixel_size"], loaded["counts"], masks, strict=True
            )
        ]
    return images, pd.DataFrame(columns=["file", "reason"])


def _score(
    description: dict[str, Any],
    images: list[Micrograph],
    predict: Callable[[Micrograph], NDArray[Any]],
    columns: dict[str, Any],
    keep: dict[str, NDArray[Any]] | None,
) -> pd.DataFrame:
    """Score one method, and keep its predictions beside image and mask where asked."""
    number = iter(range(len(images)))

    def remember(micrograph: Micrograph) -> NDArray[Any]:
        probability = predict(micrograph)
        i = next(number)
        if keep is not None and micrograph.mask is not None:
            keep[f"{i}/probability"] = probability.astype(np.float16)
            keep[f"{i}/image"] = micrograph.image
            keep[f"{i}/mask"] = micrograph.mask.astype(np.uint8)
        return probability

    table = score_micrographs(remember, images, block_from(description).threshold).rename(columns={"name": "image"})
    return table.assign(benchmark=description["name"], benchmark_hash=description["hash"], **columns)


def score_network(
    description: dict[str, Any],
    datasets: Datasets,
    network: Path,
    training: str,
    seed: int,
    threads: int,
    output: Path,
) -> None:
    """Score one network on a benchmark; write predictions and one row of scores an image."""
    import torch

    from exitwave.benchmark.prediction import segment_image
    from exitwave.training.networks import load_network

    torch.set_num_threads(threads)
    block = block_from(description)
    loaded = load_network(network)
    overlap, symmetry = getattr(block, "overlap", 0.0), getattr(block, "symmetry_average", False)

    def predict(micrograph: Micrograph) -> NDArray[Any]:
        return segment_image(loaded, micrograph, overlap, symmetry, block.threshold).probability

    arrays: dict[str, NDArray[Any]] = {}
    columns = {"method": training, "kind": "network", "seed": seed}
    images, _ = _images(description, datasets)
    table = _score(description, images, predict, columns, arrays)
    write_shard(output, arrays, table, {"kind": "predictions", "benchmark": description["name"]})


def score_baselines(description: dict[str, Any], datasets: Datasets, output: Path, skipped_files: Path) -> None:
    """Score every classical baseline on a benchmark; write one row an image and method, and what was skipped."""
    images, skipped = _images(description, datasets)
    skipped.to_csv(skipped_files, index=False)
    tables = []
    for name, baseline in BASELINES.items():

        def predict(micrograph: Micrograph, baseline: Callable[..., Any] = baseline) -> NDArray[Any]:
            return np.asarray(baseline(micrograph.image, micrograph.pixel_size))

        tables.append(_score(description, images, predict, {"method": name, "kind": "baseline", "seed": 0}, None))
    write_table(output, pd.concat(tables, ignore_index=True))


def summarise_benchmark(
    description: dict[str, Any], baselines: Path, networks: list[Path], summary: Path, per_image: Path
) -> None:
    """Sum up a benchmark: for each method the scores with intervals over images and the range over seeds.

    A training with several seeds is given by the median over its networks, and once more by the mean of their
    predictions ("ensemble"), which is one predictor that anyone can use, and not the best of several.
    """
    block = block_from(description)
    tables = [read_table(baselines), *(read_table(table_path(path)) for path in networks)]
    tables += _ensembles(block.threshold, networks)
    scores = pd.concat(tables, ignore_index=True)
    rows = []
    for (kind, method), group in scores.groupby(["kind", "method"], sort=False):
        rng = item_rng(0, "bootstrap", description["hash"])
        names = {"benchmark": description["name"], "method": method, "kind": kind}
        rows.append({**names, **summarise(group, block.bootstrap, rng)})
    write_table(summary, pd.DataFrame(rows))
    write_table(per_image, scores)


def _ensembles(threshold: float, networks: list[Path]) -> list[pd.DataFrame]:
    by_training: dict[str, list[Path]] = {}
    for path in networks:
        by_training.setdefault(path.parent.name, []).append(path)
    tables = []
    for paths in by_training.values():
        if len(paths) < 2:
            continue
        table = read_table(table_path(paths[0]))
        shards = [open_shard(path) for path in paths]
        rows = []
        for i in range(len(table)):
            mean = np.mean([shard.read(f"{i}/probability").astype(np.float64) for shard in shards], axis=0)
            rows.append(score_prediction(mean, shards[0].read(f"{i}/mask").astype(bool), threshold))
        tables.append(table.assign(**pd.DataFrame(rows), kind="ensemble", seed=-1))
    return tables
