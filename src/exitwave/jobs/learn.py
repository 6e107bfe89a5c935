"""Jobs of the learning stages: drawing a dataset, training a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.config.datasets import Dataset
from exitwave.config.models import Network
from exitwave.config.trainings import Training
from exitwave.data.fingerprint import fingerprint
from exitwave.data.selection import columns_drawn_by, draw_dataset, draw_of_network
from exitwave.data.shards import StoredTable, join_tables, read_table, write_rows, write_table
from exitwave.errors import ExitwaveError, TrainingError
from exitwave.items import item_rng
from exitwave.study.description import Description
from exitwave.training.kinds import task_on
from exitwave.training.record import read_record
from exitwave.training.streaming import ImagesSource, Stream
from exitwave.training.task import Task, read_examples

if TYPE_CHECKING:
    from exitwave.training.networks import LoadedNetwork

log = logging.getLogger(__name__)
_DRAWN_BY = {"image_id", "structure_id", "split_position"}
"""Columns that every draw goes by."""
_OF_A_DRAW = ["images", "shard", "row", "split", "pool", "dataset", "dataset_hash"]
"""Columns that a draw makes; all others are those of the images."""
TOGETHER = 512
"""Images of which inputs and targets are made at a time."""


def make_catalog(shards: list[str], output: Path) -> None:
    """Join the metadata of all images of a study in one table."""
    write_rows(output, join_tables(shards, ()))


def make_dataset(description: Description, shards: dict[str, list[str]], manifest: Path, summary: Path) -> None:
    """Draw a dataset: write its manifest and the fingerprint of what was drawn.

    Parameters
    ----------
    description : Description
        The dataset's block.
    shards : dict of list of str
        Image shards of each images block that it is drawn from.
    manifest, summary : path
        Parquet and JSON to write.
    """
    block = description.of(Dataset)
    tables = {name: _drawn_from(paths, columns_drawn_by(block)) for name, paths in shards.items()}
    rng = item_rng(description.seed, "datasets", description.hash)
    # The same for all datasets of a root seed, so that a small limit keeps a part of what a larger one keeps.
    limit_rng = item_rng(description.seed, "limit", "0")
    try:
        drawn = draw_dataset(tables, block, rng, limit_rng)
    except ExitwaveError as error:
        raise type(error)(f"datasets.{description.name}.{error}") from error
    drawn = drawn.assign(dataset=description.name, dataset_hash=description.hash)
    write_rows(manifest, drawn[_OF_A_DRAW])
    content = fingerprint(StoredTable(manifest))
    summary.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
    log.info("images %s of structures %s", content["images"], content["structures"])
    for warning in content["warnings"]:
        log.warning("datasets.%s: %s", description.name, warning)


def _drawn_from(shards: list[str], named: set[str]) -> pd.DataFrame:
    """What a draw must know of the images of some shards."""
    table = join_tables(shards, _DRAWN_BY | named)
    # The sentence on a column that there is not is to name those that there are.
    return table if named <= set(table.columns) else join_tables(shards)


def train_network(
    description: Description,
    dataset: Description,
    model: Description,
    manifest: Path,
    seed: int,
    folder: Path,
    streams: Mapping[str, ImagesSource] | None = None,
    start: Path | None = None,
) -> None:
    """Train one network of a training; an interrupted one goes on where it stopped.

    One that diverges leaves a description that says so, and no weights.

    With ``draw_per_seed`` the images that the network has drawn are written to ``manifest.parquet`` beside it.

    Parameters
    ----------
    description, dataset, model : Description
        Blocks of the training, its dataset and its model. Device, precision and threads are those of the training's.
    manifest : path
        Manifest of the dataset.
    seed : int
        Number of the network within the training.
    folder : path
        Where weights, description and history go.
    streams : mapping of ImagesSource, optional
        For streaming: what the images of each images block are drawn from, by its identity.
    start : path, optional
        Weights of the network that it starts from.
    """
    from exitwave.training.loop import DivergenceError, history_table, train
    from exitwave.training.networks import load_network, save_network

    data_block, training = dataset.of(Dataset), description.of(Training)
    folder.mkdir(parents=True, exist_ok=True)
    table = read_table(manifest)
    task = task_on(model.of(Network), table)
    data = json.loads((manifest.parent / "fingerprint.json").read_text(encoding="utf-8"))
    if data_block.draw_per_seed:
        try:
            table = draw_of_network(table, data_block, item_rng(description.seed, "draws", description.hash, seed))
        except ExitwaveError as error:
            raise type(error)(f"datasets.{dataset.name}.{error}") from error
        data = fingerprint(table)
        write_table(folder / "manifest.parquet", table[table["split"] != "test"])
    sides = {split: table[table["split"] == split] for split in ("train", "validation")}
    seen = {split: _examples(rows, task) for split, rows in sides.items()}
    images, targets = seen["train"]
    log.info("%d images for training, %d for validation", len(images), len(seen["validation"][0]))
    draws = int(item_rng(description.seed, "trainings", description.hash, seed).integers(2**31))
    checkpoint = folder / "checkpoint.pt"
    pixel_size = float(sides["train"]["pixel_size"].iloc[0])
    redraw = None
    if training.streaming:
        redraw = _stream(sides["train"], task, training, streams or {}).draw
    info = {
        "exitwave_version": version("exitwave"),
        "training": description.plain(),
        "dataset": dataset.plain(),
        "seed": seed,
        "image_size": int(images.shape[-1]),
        "data": {**data, "target": task.statistics(targets)},
        **({"start_from": read_record(start).weights_sha256} if start is not None else {}),
    }
    network, diverged = None, ""
    try:
        initial = None
        if start is not None:
            if read_record(start).diverged:
                raise DivergenceError("the network that it was to start from has diverged", history_table([], task))
            before = load_network(start)
            _tell_differences(before, task, pixel_size)
            initial = before.module.state_dict()
        result = train(
            (images, targets),
            seen["validation"],
            task,
            seed=draws,
            device=training.device,
            precision=training.precision,
            threads=training.threads,
            checkpoint=checkpoint,
            image_ids=sides["train"]["image_id"].tolist(),
            redraw=redraw,
            initial=initial,
            progress=log.info,
        )
        network, history = result.network, result.history
        info |= {"best_epoch": result.best_epoch}
        if result.best_epoch:
            info |= {"validation": history.iloc[result.best_epoch - 1].drop("seconds").to_dict()}
    except DivergenceError as error:
        # The other networks, their scores and figures go on without it.
        diverged, history = str(error), error.history
        log.warning("trainings.%s: seed %d has diverged and is left out: %s", description.name, seed, error)
    except TrainingError as error:
        raise TrainingError(f"trainings.{description.name}: seed {seed}: {error}") from error
    history.to_csv(folder / "history.csv", index=False)
    save_network(folder, network, task, pixel_size=pixel_size, info=info, diverged=diverged)
    checkpoint.unlink(missing_ok=True)


def _tell_differences(before: LoadedNetwork, task: Task, pixel_size: float) -> None:
    """Warn where a network to start from has learned from other images than it is to go on with."""
    if abs(before.pixel_size - pixel_size) > 0.02 * pixel_size:
        log.warning(
            "the network to start from knows pixels of %g Å, and these images have %g Å", before.pixel_size, pixel_size
        )
    if before.model.preprocessing != task.model.preprocessing:
        log.warning("the network to start from knows images of another preprocessing")


def _examples(rows: pd.DataFrame, task: Task) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Inputs and targets of the images of some rows."""
    seen, aimed = [], []
    for part, arrays in read_examples(task, rows, TOGETHER):
        seen.append(task.inputs(arrays))
        aimed.append(task.targets(arrays, part))
    return np.concatenate(seen), np.concatenate(aimed)


def _stream(rows: pd.DataFrame, task: Task, training: Training, sources: Mapping[str, ImagesSource]) -> Stream:
    """What draws new images for those of some rows."""
    log.info("new images in every epoch after the first, of %d structures", rows["structure_id"].nunique())
    return Stream(rows, sources, task, training.threads)
