"""Cases of a simulated multilayer that a probe has scanned: every place, with what is known of its strain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from exitwave.benchmark.cases import Case, check_pixel_sizes, datasets_learned
from exitwave.benchmark.held_out import COLUMNS, check_by, check_one_aim, stored_cases, training_cases
from exitwave.benchmark.scan_checks import aim, check_finders, check_tuned_on, scorable
from exitwave.benchmark.scan_columns import PLACES, REFERENCE, SCORED, STRAINS
from exitwave.config.benchmarks import LARGEST_KNOWN, StrainBenchmark
from exitwave.config.crystals import Multilayer
from exitwave.config.graph import Node
from exitwave.config.images import Images
from exitwave.config.models import Network
from exitwave.data.columns import columns_made
from exitwave.data.query import check_condition, select
from exitwave.data.tables import join_tables, read_table
from exitwave.errors import ConfigError, DatasetError, ExitwaveError
from exitwave.training.kinds import task_on
from exitwave.training.task import Task

__all__ = ["aim", "cases", "check", "files", "scorable"]


@dataclass(frozen=True)
class Scan:
    """All places of a scan; see :class:`exitwave.benchmark.cases.Cases`."""

    block: StrainBenchmark
    task: Task
    table: pd.DataFrame
    tuned_on: pd.DataFrame

    def __iter__(self) -> Iterator[Case]:
        columns = dict.fromkeys([*PLACES, *STRAINS, REFERENCE, SCORED, *self.block.by])
        return stored_cases(self.task, self.table, columns)

    def skipped(self) -> pd.DataFrame:
        """None."""
        return pd.DataFrame(columns=["file", "reason"])

    def examples(self) -> list[Case]:
        """Training images of the dataset that classical methods are tuned on."""
        return training_cases(self.task, [self.tuned_on])


def check(node: Node) -> None:
    """Refuse images of no multilayer, impossible conditions, and networks that find no disks or know the scan."""
    block, images = node.of(StrainBenchmark), node.source("images")
    origin = images.origin()
    if not isinstance(origin.block, Multilayer):
        kind = getattr(origin.block, "kind", "")
        raise ConfigError(f"images: '{images.name}' is of structures of kind {kind}; allowed: of kind multilayer")
    strongest = max(abs(layer.strain) for layer in origin.block.layers)
    if strongest > LARGEST_KNOWN:
        raise ConfigError(
            f"images: layers of '{origin.name}' are strained by {strongest:g}; allowed: up to {LARGEST_KNOWN:g}, since "
            "a lattice that is farther from the reference counts as not found"
        )
    try:
        check_condition(block.reference, columns_made(images))
    except ExitwaveError as error:
        raise ConfigError(f"reference: {error}") from error
    check_by(block.by, [images])
    trainings = node.upstream["trainings"]
    check_finders(trainings)
    for training in trainings:
        for dataset in datasets_learned(training):
            for learned in dataset.upstream["images"]:
                if _layers(learned.origin()) == _layers(origin):
                    raise ConfigError(
                        f"images: '{images.name}' is of the multilayer '{origin.name}', and '{training.name}' has "
                        f"learned from '{learned.origin().name}', which has the same layers; allowed: layers that no "
                        "network has seen"
                    )
    check_one_aim(trainings)
    check_tuned_on(node)
    if not block.any_pixel_size:
        check_pixel_sizes({f"images: '{images.name}'": images.of(Images).pixel()[0]}, trainings)


def _layers(origin: Node) -> dict[str, Any] | None:
    """What a multilayer is made of, wherever it is scanned and however tilted; none of other structures."""
    if not isinstance(origin.block, Multilayer):
        return None
    return origin.block.stack()


def files(block: StrainBenchmark) -> list[str]:
    """None: all is made by jobs."""
    return []


def cases(block: StrainBenchmark, model: Network, manifests: Sequence[Path]) -> Scan:
    """All places of the scan.

    Parameters
    ----------
    block : StrainBenchmark
    model : Network
    manifests : sequence of path
        Tables of the shards of the scan, and last the manifest of the dataset that classical methods are tuned on.

    Raises
    ------
    DatasetError
        If no place, or every one, belongs to the reference.
    """
    *scan, dataset = manifests
    table = join_tables([f"{str(path).removesuffix('.parquet')}.zarr.zip" for path in scan])
    reference = select(table, block.reference)
    if not reference.any() or reference.all():
        number = "none" if not reference.any() else "all"
        raise DatasetError(
            f"reference: {number} of the {len(table)} places fulfil '{block.reference}'; allowed: some of them"
        )
    table[REFERENCE] = reference
    table[SCORED] = ~reference & (table["interface_distance"] >= block.interface)
    # Neighbours resemble each other: what another layer would give is what an interval is to tell.
    table["group"] = "layer " + table["layer"].astype(str)
    tuned_on = read_table(dataset, COLUMNS | {*model.columns()})
    return Scan(block, task_on(model, pd.concat([table, tuned_on], ignore_index=True)), table, tuned_on)
