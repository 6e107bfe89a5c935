"""Jobs of the learning stages: drawing a dataset, training a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from exitwave.config.datasets import Dataset
from exitwave.config.models import ImageNetwork, Network
from exitwave.config.trainings import Training
from exitwave.data.batches import keep_open
from exitwave.data.columns import PIXELS, pixel_column
from exitwave.data.fingerprint import fingerprint
from exitwave.data.match import DISTANCE, WEIGHT
from exitwave.data.selection import columns_drawn_by, draw_dataset, draw_of_network
from exitwave.data.tables import StoredTable, join_tables, read_table, write_rows, write_table
from exitwave.data.whole import replace_file, sealed, unsealed
from exitwave.errors import DatasetError, ExitwaveError, TrainingError
from exitwave.hardware import DEVICES, check_devices, resolve_device
from exitwave.items import item_rng
from exitwave.study.description import Description
from exitwave.training.kinds import task_on
from exitwave.training.launch import run_together
from exitwave.training.record import HISTORY, history_digest, read_record
from exitwave.training.streaming import ImagesSource, Stream
from exitwave.training.task import HELD_BYTES, Task

if TYPE_CHECKING:
    from exitwave.training.event_files import Watch
    from exitwave.training.examples import Examples
    from exitwave.training.networks import LoadedNetwork
    from exitwave.training.parallel import Ranks

log = logging.getLogger(__name__)
SPLITS = ("train", "validation")
COLUMNS = {
    "image_id",
    "structure_id",
    "images_hash",
    "item",
    "draw",
    "split",
    "shard",
    "row",
    "micrograph",
    *PIXELS,
}
"""Columns of a manifest that every training needs."""
SAMPLE = 256
"""Training images at most whose targets are described with a network."""
_DRAWN_BY = {"image_id", "structure_id", "split_position"}
"""Columns that every draw goes by."""
_OF_A_DRAW = ["images", "shard", "row", "split", "pool", "dataset", "dataset_hash"]
"""Columns that a draw makes; all others are those of the images."""


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
    towards = None
    if block.match is not None:
        from exitwave.jobs.match import Towards

        towards = Towards(block.match, int(block.size or 0))
    tables = {name: _drawn_from(paths, columns_drawn_by(block)) for name, paths in shards.items()}
    rng = item_rng(description.seed, "datasets", description.hash)
    # The same for all datasets of a root seed, so that a small limit keeps a part of what a larger one keeps.
    limit_rng = item_rng(description.seed, "limit", "0")
    try:
        drawn = draw_dataset(tables, block, rng, limit_rng, towards)
    except ExitwaveError as error:
        raise type(error)(f"datasets.{description.name}.{error}") from error
    drawn = drawn.assign(dataset=description.name, dataset_hash=description.hash)
    write_rows(manifest, drawn[[*_OF_A_DRAW, *(name for name in (WEIGHT, DISTANCE) if name in drawn)]])
    try:
        content = fingerprint(StoredTable(manifest))
    except ExitwaveError:
        manifest.unlink()  # of images that cannot be looked at
        raise
    if towards is not None:
        content["match"] = towards.brought(drawn)
    text = json.dumps(sealed(content), indent=1, sort_keys=True)
    replace_file(summary, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
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
    events: Path | None = None,
    ranks: Ranks | None = None,
) -> None:
    """Train one network of a training; an interrupted one goes on where it stopped.

    One that diverges leaves a description that says so, and no weights.

    With ``draw_per_seed`` the images that the network has drawn are written to ``manifest.parquet`` beside it.

    Parameters
    ----------
    description, dataset, model : Description
        Blocks of the training, its dataset and its model. Devices, precision and threads are those of the training's.
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
    events : path, optional
        Folder for the event files of TensorBoard, if the block of the training asks for them.
    ranks : Ranks, optional
        Where this process is one of several that train the network, its place among them. Else they are started here.
    """
    training = description.of(Training)
    if training.devices > 1 and ranks is None:
        device = resolve_device(training.device)
        check_devices(device, training.devices)
        log.info("%d processes train the network, each on a %s", training.devices, DEVICES[device])
        arguments = description, dataset, model, manifest, seed, folder, streams, start, events
        run_together(training.devices, device == "cuda", _take_part, *arguments)
        return
    from exitwave.training.event_files import check_tensorboard, watched
    from exitwave.training.loop import DivergenceError, history_table, train
    from exitwave.training.networks import load_network, save_network
    from exitwave.training.parallel import ALONE

    ranks, data_block = ranks or ALONE, dataset.of(Dataset)
    if training.tensorboard:
        check_tensorboard()
    folder.mkdir(parents=True, exist_ok=True)
    # The columns alone that are needed: a manifest has as many rows as there are images, and a hundred columns.
    columns = COLUMNS | {*model.of(Network).columns()}
    table = read_table(manifest, None if data_block.draw_per_seed else columns)
    task = task_on(model.of(Network), table)
    data = _read_fingerprint(manifest.parent / "fingerprint.json", dataset.hash)
    if data_block.draw_per_seed:
        try:
            table = draw_of_network(table, data_block, item_rng(description.seed, "draws", description.hash, seed))
        except ExitwaveError as error:
            raise type(error)(f"datasets.{dataset.name}.{error}") from error
        data = fingerprint(table)
        if ranks.rank == 0:
            write_table(folder / "manifest.parquet", table[table["split"] != "test"])
        table = table[[name for name in table if name in columns]]
    sides = {split: table[table["split"] == split].reset_index(drop=True) for split in SPLITS}
    log.info("%d images for training, %d for validation", *map(len, sides.values()))
    examples = _examples(sides, task, training)
    draws = int(item_rng(description.seed, "trainings", description.hash, seed).integers(2**31))
    checkpoint = folder / "checkpoint.pt"
    pixel = pixel_column(sides["train"].columns)
    pixel_size = float(sides["train"][pixel].iloc[0])
    redraw = None
    if training.streaming:
        redraw = _redraw(sides["train"], examples["train"], task, training, streams or {})
    edge, statistics = _described(examples["train"], sides["train"], task)
    info = {
        "exitwave_version": version("exitwave"),
        "training": description.plain(),
        "dataset": dataset.plain(),
        "seed": seed,
        "image_size": edge,
        **({"pixel_unit": PIXELS[pixel]} if pixel != "pixel_size" else {}),
        "data": {**data, "target": statistics},
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
        watching: AbstractContextManager[Watch | None] = nullcontext()
        if training.tensorboard and events is not None and ranks.rank == 0:
            watching = watched(events, task, examples["validation"])
        with watching as watch:
            result = train(
                examples["train"],
                examples["validation"],
                task,
                seed=draws,
                device=training.device,
                precision=training.precision,
                threads=training.threads_each,
                checkpoint=checkpoint,
                redraw=redraw,
                initial=initial,
                ranks=ranks,
                progress=log.info,
                watch=watch,
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
    if ranks.rank != 0:
        return
    info |= {"history_sha256": history_digest(history)}
    replace_file(folder / HISTORY, lambda unfinished: history.to_csv(unfinished, index=False))
    save_network(folder, network, task, pixel_size=pixel_size, info=info, diverged=diverged)
    checkpoint.unlink(missing_ok=True)


def _take_part(ranks: Ranks, *arguments: Any) -> None:
    """Train a network as one of several processes."""
    partial(train_network, ranks=ranks)(*arguments)


def _read_fingerprint(path: Path, identity: str) -> dict[str, Any]:
    """Fingerprint of the dataset with this identity."""
    try:
        content = unsealed(json.loads(path.read_text(encoding="utf-8")))
        found = list(content["columns"]["dataset_hash"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); delete it and run again") from error
    if found != [identity]:
        raise DatasetError(f"{path}: is of dataset {', '.join(found)}; allowed: {identity}; delete it and run again")
    return content


def _tell_differences(before: LoadedNetwork, task: Task, pixel_size: float) -> None:
    """Warn where a network to start from has learned from other images than it is to go on with."""
    if abs(before.pixel_size - pixel_size) > 0.02 * pixel_size:
        log.warning(
            "the network to start from knows pixels of %g Å, and these images have %g Å", before.pixel_size, pixel_size
        )
    models = before.model, task.model
    if len({repr(model.preprocessing) for model in models if isinstance(model, ImageNetwork)}) > 1:
        log.warning("the network to start from knows images of another preprocessing")


def _examples(sides: Mapping[str, pd.DataFrame], task: Task, training: Training) -> dict[str, Examples]:
    """Inputs and targets of the images of each split: held, or beyond a limit read and made as they are needed."""
    from exitwave.training.examples import MadeExamples, StoredImages, hold

    number, opened = sum(map(len, sides.values())), keep_open()
    inputs, targets = StoredImages(sides["train"][:1], task, opened).make(np.zeros(1, np.int64))
    needed = number * (inputs.nbytes + targets.nbytes)
    held = needed <= HELD_BYTES
    examples: dict[str, Examples] = {}
    for split, rows in sides.items():
        # With streaming the stored images for training are seen once.
        once = held or (training.streaming and split == "train")
        images = StoredImages(rows, task, opened, 0 if once else HELD_BYTES * len(rows) // number)
        made = MadeExamples(rows["image_id"].tolist(), images.make, training.threads_each)
        examples[split] = hold(made) if held else made
    if not held:
        log.info(
            "inputs and targets of all images are %.1f GB; beyond %.1f GB they are read and made when they are needed",
            needed / 1e9,
            HELD_BYTES / 1e9,
        )
    return examples


def _redraw(
    rows: pd.DataFrame, stored: Examples, task: Task, training: Training, sources: Mapping[str, ImagesSource]
) -> Callable[[int], Examples]:
    """What draws new images for those of some rows: held if the stored ones are."""
    from exitwave.training.examples import HeldExamples, MadeExamples

    stream = Stream(rows, sources, task, training.threads_each)
    log.info("new images in every epoch after the first, of %d structures", rows["structure_id"].nunique())
    names = stored.names
    # Of several processes each makes those of its part.
    if isinstance(stored, HeldExamples) and training.devices == 1:
        return lambda epoch: HeldExamples.of(names, *stream.draw(epoch))
    return lambda epoch: MadeExamples(names, partial(stream.make, epoch), training.threads_each)


def _described(examples: Examples, rows: pd.DataFrame, task: Task) -> tuple[int, dict[str, Any]]:
    """Edge of the images [px], and what targets are like: of a sample, evenly spaced, since all may be very many."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64))
    edge, targets = 0, []
    for inputs, aims in examples.batches(np.array_split(places, -(-len(places) // 16))):
        edge = int(inputs.shape[-1])
        targets.append(aims.numpy())
    return edge, task.statistics(np.concatenate(targets), rows)
