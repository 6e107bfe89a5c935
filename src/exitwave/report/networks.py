"""The networks that there are: those that come with exitwave, and those of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exitwave.config.models import MaskTarget, Network
from exitwave.errors import TrainingError
from exitwave.training.bundle import Convention, read_bundle
from exitwave.training.record import WEIGHTS, Record, read_record
from exitwave.training.task import Task

if TYPE_CHECKING:
    from rich.console import Console

MISSING = "–"
FOREMOST = ("f1_pooled", "f1")
"""Scores of a benchmark of which the first that it has is listed."""
COMMANDS = {"disks": "strain", "atoms": "atoms"}
"""Commands that use what comes along of a kind, which has no conventions to choose from."""


@dataclass(frozen=True)
class Listed:
    """Networks that are used together.

    Attributes
    ----------
    name : str
        As it is given to ``exitwave segment``, ``exitwave strain`` or ``exitwave atoms``.
    learned : str
        What they have learned, in words.
    networks : int
    pixel_size : float
        Pixel of the images they were trained on [Å], or of patterns [1/Å].
    image_size : int
        Edge of these images [px].
    size : float
        Of the files [MB].
    scores : str
        On validation images and on benchmarks.
    """

    name: str
    learned: str
    networks: int
    pixel_size: float
    image_size: int
    size: float
    scores: str


def known_networks(bundles: Sequence[Path], trainings: Path) -> list[Listed]:
    """Networks of bundles that are there, and of all trainings in a folder; trainings that cannot be read are named.

    Parameters
    ----------
    bundles : sequence of path
        Files of networks.
    trainings : path
        Folder of trainings, ``results/trainings``.
    """
    listed = []
    for bundle in filter(Path.is_file, bundles):
        size = bundle.stat().st_size / 1e6
        for number, convention in enumerate(read_bundle(bundle).values()):
            command = COMMANDS.get(convention.task().model.kind)
            name = f"--convention {convention.name}" if command is None else f"exitwave {command}"
            listed.append(_of_convention(name + (" (default)" if number == 0 else ""), convention, size))
    for folder in sorted(path for path in trainings.glob("*") if path.is_dir()):
        seeds = sorted(path.parent for path in folder.glob(f"seed-*/{WEIGHTS}"))
        try:
            records = [record for record in map(read_record, seeds) if not record.diverged]
        except TrainingError as error:
            listed.append(Listed(str(folder), f"cannot be read: {error}", 0, np.nan, 0, 0.0, MISSING))
            continue
        if records:
            size = sum((seed / WEIGHTS).stat().st_size for seed in seeds) / 1e6
            listed.append(_of_training(f"--model {folder}", records, size))
    return listed


def _of_convention(name: str, convention: Convention, size: float) -> Listed:
    infos = [one["info"] for one in convention.networks]
    scores = [_validation(convention.task(), infos)]
    for benchmark, found in convention.scores.items():
        scores += [f"{benchmark} {found[name]:.3f}" for name in FOREMOST if name in found][:1]
    return Listed(
        name, convention.told, len(infos), convention.pixel_size, convention.image_size, size, ", ".join(scores)
    )


def _of_training(name: str, records: Sequence[Record], size: float) -> Listed:
    first = records[0]
    return Listed(
        name,
        _told(first.model),
        len(records),
        first.pixel_size,
        int(first.info.get("image_size", 0)),
        size,
        _validation(first.task, [record.info for record in records]),
    )


def _told(model: Network) -> str:
    """What a model learns, in words."""
    target = getattr(model, "target", None)
    if isinstance(target, MaskTarget):
        return target.told()
    return f"{model.kind} of {', '.join(str(value) for value in model.model_dump()['target'].values())}"


def _validation(task: Task, infos: Sequence[Mapping[str, Any]]) -> str:
    """The foremost score on simulated validation images, median over networks."""
    column, label = next(iter(task.curves.columns.items()))
    values = [info["validation"][column] for info in infos if column in info.get("validation", {})]
    return f"{label} on validation {np.median(values):.3f}" if values else MISSING


def print_networks(console: Console, listed: Sequence[Listed]) -> None:
    """Print a table of networks."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title="networks for exitwave segment, strain and atoms",
        caption="F1 pooled over all pixels, disks or columns of a benchmark; pixel [Å, of patterns 1/Å] and field are "
        "those of the training images",
    )
    numbers = ("networks", "pixel", "field [px]", "size [MB]")
    for heading in ("networks of", "what is found", *numbers, "scores"):
        table.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for one in listed:
        pixel = f"{one.pixel_size:.3g}" if np.isfinite(one.pixel_size) else MISSING
        cells = (one.name, one.learned, str(one.networks), pixel, str(one.image_size), f"{one.size:.1f}", one.scores)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
