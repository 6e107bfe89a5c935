"""Cases of held-out simulated structures: the test split of datasets, with the target of the networks as truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exitwave.benchmark.cases import Case, Examples, N, check_pixel_sizes, datasets_learned
from exitwave.config.benchmarks import SimulatedBenchmark
from exitwave.config.datasets import Dataset
from exitwave.config.graph import Node
from exitwave.config.images import Images
from exitwave.config.models import DEFAULT_AIM, Network
from exitwave.data.columns import PIXELS, pixel_column
from exitwave.data.tables import read_table
from exitwave.errors import ConfigError
from exitwave.training.kinds import kind_of, model_from, task_on
from exitwave.training.task import INPUT, Task, read_examples

EXAMPLES = 256
"""Training images at the most that baselines learn from."""
COLUMNS = {"image_id", "group", "split", "shard", "row", "micrograph", *PIXELS}
"""Columns of a manifest that are needed to read images and to score them."""
TOGETHER = 32
"""Images read at a time."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out images of datasets; see :class:`exitwave.benchmark.cases.Cases`."""

    block: SimulatedBenchmark
    task: Task
    manifests: Sequence[pd.DataFrame]

    def __iter__(self) -> Iterator[Case]:
        left, seen = self.block.size, set[str]()
        for number, manifest in enumerate(self.manifests):
            # An image that two datasets draw counts once.
            table = manifest[(manifest["split"] == "test") & ~manifest["image_id"].isin(seen)]
            rows = _spread(table.drop_duplicates("image_id"), -(-left // (len(self.manifests) - number)))
            left -= len(rows)
            seen.update(rows["image_id"])
            yield from self._read(rows)

    def _read(self, table: pd.DataFrame) -> Iterator[Case]:
        for rows, arrays in read_examples(self.task, table, TOGETHER):
            truths = self.task.targets(arrays, rows)
            columns = (rows[name] for name in ("image_id", pixel_column(map(str, rows)), "group"))
            for place, (name, pixel_size, group) in enumerate(zip(*columns, strict=True)):
                image = arrays[INPUT][place].astype(np.float32)
                yield Case(str(name), image, np.atleast_1d(truths[place]), float(pixel_size), str(group))

    def skipped(self) -> pd.DataFrame:
        """None."""
        return pd.DataFrame(columns=["file", "reason"])

    def examples(self) -> Examples:
        """Training images of all datasets, evenly spaced."""
        numbered = [manifest.assign(dataset_number=number) for number, manifest in enumerate(self.manifests)]
        joined = pd.concat([manifest[manifest["split"] == "train"] for manifest in numbered])
        examples = Examples([], [])
        # One dataset after another: only within one do all images have the same size.
        for _, rows in _spread(joined.drop_duplicates("image_id"), EXAMPLES).groupby("dataset_number"):
            for part, arrays in read_examples(self.task, rows, EXAMPLES):
                examples.images.extend(arrays[INPUT].astype(np.float32))
                examples.truths.extend(self.task.targets(arrays, part))
        return examples


def _spread(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Evenly spaced rows, so that few images still come from many structures."""
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, min(most, len(table))).astype(int))]


def check(node: Node) -> None:
    """Refuse test shares that differ, networks that differ in their aim, and datasets without what is aimed at."""
    trainings, datasets = node.upstream["trainings"], node.upstream["datasets"]
    # Only with the same share does a held-out structure of one dataset stay out of training in the others.
    held = [
        *datasets,
        *(dataset for training in trainings for dataset in datasets_learned(training) if _simulated(dataset)),
    ]
    shares = sorted({dataset.of(Dataset).test for dataset in held})
    if len(shares) > 1 or shares[0] == 0:
        raise ConfigError(
            f"datasets: these and those of the trainings keep shares {shares} of their structures for the test; "
            "allowed: one share for all, above 0"
        )
    models = {training.name: training.source("model").of(Network) for training in trainings}
    for name, model in models.items():
        first = next(iter(models))
        if model.aim() != models[first].aim():
            raise ConfigError(
                f"trainings: '{first}' learns {_told(models[first])} and '{name}' {_told(model)}; allowed: "
                "trainings of one target; list them, with a benchmark for each"
            )
    if not node.of(SimulatedBenchmark).any_pixel_size:
        images = {image.name: image.of(Images) for dataset in datasets for image in dataset.upstream["images"]}
        check_pixel_sizes({f"datasets: '{name}'": block.pixel()[0] for name, block in images.items()}, trainings)
    model = model_from(aim(trainings))
    for dataset in datasets:
        try:
            kind_of(model).check(model, dataset.upstream["images"])
        except ConfigError as error:
            raise ConfigError(f"datasets: {error}") from error


def _simulated(dataset: Node) -> bool:
    """Whether a dataset has images of structures; of micrographs none can be held out here."""
    return any(images.upstream for images in dataset.upstream["images"])


def _told(model: Network) -> str:
    told = model.model_dump(mode="json", include={"target", *model.aim()}, exclude={"kind"})
    return " ".join([model.kind, *(f"{key} {value}" for key, value in told.items())])


def scorable(trainings: Sequence[N]) -> list[N]:
    """Those that learn what the first one learns."""
    aims = [training.source("model").of(Network).aim() for training in trainings]
    return [training for training, aim in zip(trainings, aims, strict=True) if aim == aims[0]]


def aim(trainings: Sequence[Node]) -> dict[str, Any]:
    """Aim of the networks, which is one for all."""
    return trainings[0].source("model").of(Network).aim() if trainings else DEFAULT_AIM


def files(block: SimulatedBenchmark) -> list[str]:
    """None: manifests and shards are made by jobs."""
    return []


def cases(block: SimulatedBenchmark, model: Network, manifests: Sequence[Path]) -> HeldOut:
    """Held-out images of the datasets with these manifests."""
    tables = [read_table(manifest, COLUMNS | {*model.columns()}) for manifest in manifests]
    return HeldOut(block, task_on(model, pd.concat(tables, ignore_index=True)), tables)
