"""Verification of results: checksums of everything, and a sample of items made again from their metadata alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from exitwave.data.shards import Shard, check_shard, open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.errors import ExitwaveError, ShardError
from exitwave.images.kinds import simulation_of
from exitwave.items import Array, Item
from exitwave.jobs.simulate import draws_of, first_rows, make_items
from exitwave.study.description import Description
from exitwave.study.plan import SIMULATION
from exitwave.training.record import WEIGHTS, read_record

ROUNDING = 1e-4
"""Largest difference of what two processors compute in single precision, relative to the largest value."""
IDENTICAL, ROUNDED, DIFFERENT = "identical", "rounded", "different"


@dataclass
class Verified:
    """What was found of one folder of results.

    Attributes
    ----------
    folder : str
        Relative to the results.
    checked : int
        Shards with their tables, other tables, and networks of which every byte was compared with a checksum.
    remade : dict of int
        Items made again, by how they compare: ``identical`` in every bit; ``rounded``, where floating-point numbers
        differ by less than ``ROUNDING``; ``different``.
    findings : list of str
        What is wrong, a sentence each.
    """

    folder: str
    checked: int = 0
    remade: dict[str, int] = field(default_factory=lambda: {IDENTICAL: 0, ROUNDED: 0, DIFFERENT: 0})
    findings: list[str] = field(default_factory=list)


def verify(results: Path, items: int = 2, seed: int = 0) -> Iterator[Verified]:
    """Compare results with their checksums, and a random sample of items with what is made again of their metadata.

    An item of structures is made from nothing but its block and seeds, which stand in the shard and its table; exit
    waves and images are made from the stored items of the stages before, which are samples themselves.

    Parameters
    ----------
    results : path
        Folder of results.
    items : int
        Structures of each block of the simulation of which items are made again; of images all draws of each.
    seed : int
        Which ones.

    Yields
    ------
    Verified
        Of each folder of a block that has files.

    Raises
    ------
    ShardError
        If there is no folder of results.
    """
    if not results.is_dir():
        raise ShardError(f"{results}: is no folder; allowed: a folder of results, such as results")
    rng = np.random.default_rng(seed)
    for stage in SIMULATION:
        for folder in _folders(results / stage):
            found = Verified(str(folder.relative_to(results)))
            whole = [path for path in sorted(folder.glob("shard-*.zarr.zip")) if _checked(found, check_shard, path)]
            _tell_leftovers(found, folder)
            if whole and items:
                _remake(found, results, stage, whole, items, rng)
            yield found
    for stage, check in (("datasets", _check_dataset), ("trainings", _check_training), ("benchmarks", _check_scores)):
        for folder in _folders(results / stage):
            found = Verified(str(folder.relative_to(results)))
            check(found, folder, results)
            _tell_leftovers(found, folder)
            yield found


def _folders(stage: Path) -> list[Path]:
    return sorted(path for path in stage.glob("*") if path.is_dir())


def _checked(found: Verified, check: Callable[[Path], object], path: Path) -> bool:
    """Whether a file passes a check; what is wrong with it is a finding."""
    found.checked += 1
    try:
        check(path)
    except ExitwaveError as error:
        found.findings.append(str(error))
        return False
    return True


def _tell_leftovers(found: Verified, folder: Path) -> None:
    found.findings += [
        f"{path}: is what a killed job has left; it can be deleted" for path in sorted(folder.rglob(".*.part"))
    ]


# --- simulation -------------------------------------------------------------------------------


def _remake(
    found: Verified, results: Path, stage: str, paths: list[Path], items: int, rng: np.random.Generator
) -> None:
    """Make a sample of items again, and compare them with the stored ones."""
    places = [(path, int(item)) for path in paths for item in read_table(table_path(path))["item"].unique()]
    chosen = rng.choice(len(places), size=min(items, len(places)), replace=False)
    for path, item in (places[number] for number in sorted(chosen)):
        try:
            outcome, where = _compared(results, stage, path, item)
        except ExitwaveError as error:
            found.findings.append(f"{path}: item {item} cannot be made again: {error}")
            continue
        found.remade[outcome] += 1
        if outcome == DIFFERENT:
            found.findings.append(f"{path}: item {item} is another when it is made again; it differs in {where}")


def _compared(results: Path, stage: str, path: Path, item: int) -> tuple[str, str]:
    """How the items of one structure compare with what is made again, and in what they differ."""
    shard, table = open_shard(path), read_table(table_path(path))
    description = _described(shard, stage, table)
    sources = _sources(results, description, path, table)
    rows = first_rows(description, range(int(table["item"].min()), int(table["item"].max()) + 1), sources)
    chosen = {place: row for place, row in enumerate(rows) if row["item"] == item}
    if not chosen:
        raise ShardError(f"{next(iter(sources.values()))}: holds no item {item}; delete the file and run again")
    made = list(make_items(description, chosen, {name: open_shard(source) for name, source in sources.items()}))
    stored = np.flatnonzero(table["item"] == item)
    if len(stored) != draws_of(description):
        return DIFFERENT, f"the number of items, which is {len(stored)}, not {draws_of(description)}"
    worst, different = IDENTICAL, []
    for place, one in zip(stored, made, strict=True):
        row = {str(key): value for key, value in table.iloc[place].items()}
        for name, outcome in _differences(Item(shard.item(int(place)), row), one):
            different += [name] if outcome == DIFFERENT else []
            worst = DIFFERENT if DIFFERENT in (worst, outcome) else ROUNDED
    return worst, ", ".join(dict.fromkeys(different))


def _described(shard: Shard, stage: str, table: pd.DataFrame) -> Description:
    """The block of a shard, from its attributes and its table."""
    attributes, first = shard.attributes, table.iloc[0]
    identity = str(first[f"{stage}_hash"])
    content = {"stage": stage, "name": attributes["name"], "hash": identity, "seed": int(first["seed"])}
    try:
        return Description.parse(json.dumps({**content, "block": attributes["block"]})).with_values(device="cpu")
    except ValueError as error:
        raise ShardError(
            f"its block is none of this version ({' '.join(str(error).split())[:200]}); it was made by exitwave "
            f"{attributes['exitwave_version']}"
        ) from error


def _sources(results: Path, description: Description, path: Path, table: pd.DataFrame) -> dict[str, Path]:
    """Shards of earlier stages with the same items, by the identities in the table."""
    named = list(description.block.MADE_FROM.values())
    stages = dict.fromkeys([*named, *simulation_of(description.block).needs(description.block)])
    found = {}
    for stage in stages:
        identity = str(table[f"{stage}_hash"].iloc[0])
        folders = sorted((results / stage).glob(f"*-{identity}"))
        if not folders:
            raise ShardError(f"{results / stage}: has no folder of the {stage} {identity} that it was made from")
        found[stage] = folders[0] / path.name
    return found


def _differences(stored: Item, made: Item) -> Iterator[tuple[str, str]]:
    """Names of arrays and columns that are not the same bits, each with how they compare."""
    for name in sorted(set(stored.arrays) | set(made.arrays)):
        if name not in stored.arrays or name not in made.arrays:
            yield name, DIFFERENT
        elif stored.arrays[name].values.tobytes() != made.arrays[name].values.tobytes():
            yield name, _rounding(stored.arrays[name], made.arrays[name])
    for name in sorted({*stored.row, *made.row} - {"exitwave_version"}):
        one, other = stored.row.get(name), made.row.get(name)
        if one == other or (one != one and other != other):  # NaN is no other than NaN
            continue
        if isinstance(one, float | np.floating) and isinstance(other, float | np.floating):
            yield name, ROUNDED if np.isclose(one, other, rtol=ROUNDING, atol=0) else DIFFERENT
        else:
            yield name, DIFFERENT


def _rounding(one: Array, other: Array) -> str:
    """How arrays compare that are not the same bits: floating-point numbers may differ by rounding only."""
    first, second = one.values, other.values
    if first.shape != second.shape or first.dtype != second.dtype or first.dtype.kind not in "fc" or not first.size:
        return DIFFERENT
    wide = np.complex128 if first.dtype.kind == "c" else np.float64
    scale = float(np.nanmax(np.abs(first.astype(wide)), initial=0.0))
    step = max(ROUNDING, 2 * float(np.finfo(first.dtype).eps))  # that of half precision is wider
    close = np.allclose(first.astype(wide), second.astype(wide), rtol=0, atol=step * scale, equal_nan=True)
    return ROUNDED if close else DIFFERENT


# --- learning ---------------------------------------------------------------------------------


def _check_dataset(found: Verified, folder: Path, results: Path) -> None:
    """The manifest, and that its images stand where it says."""
    manifest = folder / "manifest.parquet"
    if not manifest.is_file() or not _checked(found, read_table, manifest):
        return
    rows = read_table(manifest)
    for shard, of_shard in rows.groupby("shard"):
        path = results.parent / str(shard)
        if not path.is_file():
            found.findings.append(f"{manifest}: names {shard}, which is not there; run the workflow to make it")
            continue
        try:
            names = read_table(table_path(path))["image_id"]
        except ExitwaveError as error:
            found.findings.append(str(error))
            continue
        places = of_shard["row"].to_numpy()
        if places.max() >= len(names) or (names.to_numpy()[places] != of_shard["image_id"].to_numpy()).any():
            found.findings.append(f"{manifest}: names images of {shard} that are not there; delete it and run again")


def _check_training(found: Verified, folder: Path, results: Path) -> None:
    """The weights of every network, and tables beside them."""
    from exitwave.training.networks import load_network

    for network in sorted(folder.glob(f"seed-*/{WEIGHTS}")):
        _checked(found, lambda path: read_record(path).diverged or load_network(path), network)
    for table in sorted(folder.glob("seed-*/manifest.parquet")):
        _checked(found, read_table, table)


def _check_scores(found: Verified, folder: Path, results: Path) -> None:
    """Predictions and scores."""
    for shard in sorted(folder.rglob("*.zarr.zip")):
        _checked(found, check_shard, shard)
    for table in sorted(folder.rglob("*.parquet")):
        if not table.with_name(f"{table.stem}.zarr.zip").exists():
            _checked(found, read_table, table)
