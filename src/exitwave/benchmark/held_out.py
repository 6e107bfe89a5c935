"""Cases of held-out simulated structures: the test split of datasets, with the target of the networks as truth."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exitwave.benchmark.cases import Case, N, check_pixel_sizes, datasets_learned
from exitwave.benchmark.scoring import scoring_of
from exitwave.config.benchmarks import SimulatedBenchmark
from exitwave.config.datasets import Dataset
from exitwave.config.graph import Node
from exitwave.config.images import Images
from exitwave.config.models import DEFAULT_AIM, Network
from exitwave.data.columns import PIXELS, columns_made, pixel_column
from exitwave.data.tables import read_table
from exitwave.errors import ConfigError
from exitwave.training.kinds import kind_of, model_from, task_on
from exitwave.training.task import INPUT, Task, read_examples

EXAMPLES = 256
"""Training images at the most that baselines learn from, unless their kind of models says how many they need."""
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
            yield from stored_cases(self.task, rows, self.block.by)

    def skipped(self) -> pd.DataFrame:
        """None."""
        return pd.DataFrame(columns=["file", "reason"])

    def examples(self) -> list[Case]:
        """Training images of all datasets, evenly spaced."""
        return training_cases(self.task, self.manifests)


def training_cases(task: Task, manifests: Sequence[pd.DataFrame]) -> list[Case]:
    """Training images of datasets, evenly spaced, so few that baselines can learn from them."""
    numbered = [manifest.assign(dataset_number=number) for number, manifest in enumerate(manifests)]
    joined = pd.concat([manifest[manifest["split"] == "train"] for manifest in numbered])
    # One dataset after another: only within one do all images have the same size.
    most = getattr(scoring_of(task.model), "EXAMPLES", EXAMPLES)
    datasets = _spread(joined.drop_duplicates("image_id"), most).groupby("dataset_number")
    return [case for _, rows in datasets for case in stored_cases(task, rows)]


def stored_cases(task: Task, table: pd.DataFrame, columns: Collection[str] = ()) -> Iterator[Case]:
    """Images that are stored in shards, one after another.

    Parameters
    ----------
    task : Task
    table : DataFrame
        Rows of a manifest.
    columns : collection of str
        Metadata that goes with each.
    """
    scoring = scoring_of(task.model)
    for rows, arrays in read_examples(task, table, TOGETHER):
        truths = scoring.truths(task, arrays, rows)
        named = (rows[name] for name in ("image_id", pixel_column(map(str, rows)), "group"))
        told = rows[list(columns)].to_dict("records")
        for place, (name, pixel_size, group) in enumerate(zip(*named, strict=True)):
            yield Case(
                str(name),
                arrays[INPUT][place].astype(np.float32),
                np.atleast_1d(truths[place]),
                float(pixel_size),
                str(group),
                {beside: arrays[beside][place] for beside in scoring.BESIDE},
                {str(column): value for column, value in told[place].items()},
            )


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
    check_one_aim(trainings)
    check_by(node.of(SimulatedBenchmark).by, [image for dataset in datasets for image in dataset.upstream["images"]])
    if not node.of(SimulatedBenchmark).any_pixel_size:
        images = {image.name: image.of(Images) for dataset in datasets for image in dataset.upstream["images"]}
        check_pixel_sizes({f"datasets: '{name}'": block.pixel()[0] for name, block in images.items()}, trainings)
    model = model_from(aim(trainings))
    for dataset in datasets:
        try:
            kind_of(model).check(model, dataset.upstream["images"])
        except ConfigError as error:
            raise ConfigError(f"datasets: {error}") from error


def check_one_aim(trainings: Sequence[Node]) -> None:
    """Refuse trainings whose networks cannot be scored against the same truth."""
    models = {training.name: training.source("model").of(Network) for training in trainings}
    for name, model in models.items():
        first = next(iter(models))
        if model.aim() != models[first].aim():
            raise ConfigError(
                f"trainings: '{first}' learns {_told(models[first])} and '{name}' {_told(model)}; allowed: "
                "trainings of one target; list them, with a benchmark for each"
            )


def check_by(by: Sequence[str], images: Sequence[Node]) -> None:
    """Refuse columns to break scores down by that not all images have, or that tables of scores have themselves."""
    made = [set(columns_made(node)) for node in images]
    there = set.intersection(*made) - {"seed", "group"}
    for name in by:
        if name not in there:
            near = difflib.get_close_matches(name, there, 3) or sorted(there)
            raise ConfigError(f"by: found '{name}'; allowed: columns of all these images, such as {', '.join(near)}")


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
    tables = [read_table(manifest, COLUMNS | {*model.columns(), *block.by}) for manifest in manifests]
    return HeldOut(block, task_on(model, pd.concat(tables, ignore_index=True)), tables)
