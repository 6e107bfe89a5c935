"""Datasets as manifests: a query on metadata, a split by structure, a limit, a draw. No image is copied."""

from __future__ import annotations

import hashlib
import heapq
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from exitwave.config.datasets import Dataset
from exitwave.data.columns import UNITS
from exitwave.data.match import WEIGHT
from exitwave.data.query import names_in, select, unknown_column
from exitwave.data.strata import Strata
from exitwave.errors import DatasetError

log = logging.getLogger(__name__)
SPLITS = ("train", "validation", "test")
Steps = dict[str, dict[str, int]]
"""How many images of each images block there are after each step."""


def draw_dataset(
    tables: Mapping[str, pd.DataFrame],
    block: Dataset,
    rng: np.random.Generator,
    limit_rng: np.random.Generator | None = None,
    weigh: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Draw a dataset from the metadata of its images.

    All images of a group (a structure, or all structures of one crystal) fall into the same split, and a group falls
    into the same split in every dataset with the same shares, so that networks trained on different datasets can be
    scored on structures that none of them has seen. For the same reason the test images are all that fulfil the
    condition: limit, strata and size act on what is left for training and validation.

    Parameters
    ----------
    tables : mapping of DataFrame
        Metadata of each images block by its name as written in the config, with the columns ``shard`` and ``row`` that
        say where each image stands.
    block : Dataset
    rng : Generator
        Draws the images.
    limit_rng : Generator, optional
        Draws the values that ``limit`` keeps; ``rng`` if left out. From the same state, a larger limit of a column
        keeps what a smaller one keeps, and more.
    weigh : callable, optional
        Adds a column of weights to the images that may be drawn, which are the likelier the larger it is.

    Returns
    -------
    DataFrame
        The drawn rows with the columns ``split`` and ``pool``. With ``draw_per_seed`` the whole pool, ``pool`` True,
        from which :func:`draw_of_network` draws.

    Raises
    ------
    DatasetError
        If nothing fulfils the condition, too little does, or a split is empty.
    """
    pool, steps = _pool(tables, block, rng if limit_rng is None else limit_rng)
    if weigh is not None:
        for name in block.shares():
            _check_size(block, name, steps[name])  # before it takes time
        pool = weigh(pool)
    # Drawn in any case, so that what is impossible is not found as late as in the trainings.
    manifest = _draw(pool, block, rng, steps)
    return pool.assign(pool=True) if block.draw_per_seed else manifest


def draw_of_network(manifest: pd.DataFrame, block: Dataset, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the images of one network from the pool that a dataset with ``draw_per_seed`` is.

    Parameters
    ----------
    manifest : DataFrame
        What :func:`draw_dataset` has returned.
    block : Dataset
    rng : Generator

    Returns
    -------
    DataFrame
        What ``draw_dataset`` returns without ``draw_per_seed``.
    """
    steps = {
        str(name): {**_counted(part), "without the test share": int((part["split"] != "test").sum())}
        for name, part in manifest.groupby("images")
    }
    return _draw(manifest, block, rng, steps)


@dataclass(frozen=True)
class Pool:
    """The images of a block, as far as they are known before there is any.

    Attributes
    ----------
    structures : list of str
        Identity of each structure; blocks of images may share some.
    positions : float array [structures]
        Position of the group of each structure in [0, 1), which decides its split.
    images : int
        Images of each structure.
    """

    structures: list[str]
    positions: NDArray[np.float64]
    images: int


def check_dataset(block: Dataset, pools: Mapping[str, Pool], columns: Collection[str] = UNITS) -> None:
    """Refuse a dataset that cannot be drawn, as far as that can be known before there is any image.

    Parameters
    ----------
    block : Dataset
    pools : mapping of Pool
        By the name of the images block.
    columns : collection of str
        Columns that some of the images will have, of all that are known.

    Raises
    ------
    DatasetError
        One sentence that begins with the key.
    """
    for key, named in (("limit", [_column(name) for name in block.limit]), ("strata", list(block.strata))):
        for name in named:
            if name not in columns:
                raise DatasetError(f"{key}: found unknown column '{name}'; allowed: {unknown_column(name, columns)}")
    _check_draw(block)
    if block.size == 1:
        raise DatasetError("size: found 1; allowed: 2 or more, one image for training and one for validation")
    splits = {
        structure: split
        for pool in pools.values()
        for structure, split in zip(pool.structures, split_of(pool.positions, block).tolist(), strict=True)
    }
    found = list(splits.values())
    groups = len({position for pool in pools.values() for position in pool.positions.tolist()})
    number = {split: found.count(split) for split in SPLITS}
    for split in SPLITS if block.test > 0 else SPLITS[:2]:
        if number[split] == 0:
            shared = f", which are {groups} groups that stay together," if groups < len(found) else ""
            raise DatasetError(
                f"{split}: no structure of the {len(found)} there are{shared} falls into this split; allowed: more "
                f"{'groups' if shared else 'structures'}, or a larger share"
            )
    outside = number["train"] + number["validation"]
    limit = min([block.limit[name] for name in block.limit if _column(name) == "structure_id"], default=outside)
    if not 2 <= limit <= outside:
        raise DatasetError(
            f"limit.structure: found {limit}; allowed: from 2, one for training and one for validation, to {outside}, "
            f"those of the {len(found)} structures that are not kept for the test"
        )
    for name, pool in pools.items():
        left = sum(splits[structure] != "test" for structure in pool.structures)
        steps = {"structures": len(pool.structures), "images": len(pool.structures) * pool.images}
        if block.test > 0:
            steps["without the test share"] = left * pool.images
        if limit < left:
            steps["after limit"] = limit * pool.images
        _check_size(block, name, steps)


def always_same(names: ArrayLike, most: int) -> NDArray[np.intp]:
    """Places of at most so many images, in ascending order, chosen by their names alone.

    Parameters
    ----------
    names : text [n]
    most : int

    Returns
    -------
    int array [at most ``most``]
        The same images of the same set in any order; of a larger set these and others.
    """
    digests = [hashlib.blake2b(str(name).encode()).digest() for name in np.asarray(names, object)]
    return np.array(sorted(heapq.nsmallest(most, range(len(digests)), key=digests.__getitem__)), np.intp)


def columns_drawn_by(block: Dataset) -> set[str]:
    """Columns that the condition, limits, strata and match of a dataset are about."""
    of_condition = names_in(str(block.where)) if block.where is not None else set()
    of_match = {"pixel_size"} if block.match is not None else set()
    return of_condition | of_match | {_column(name) for name in block.limit} | set(block.strata)


def split_of(position: ArrayLike, block: Dataset) -> NDArray[Any]:
    """Split of structures from their position in [0, 1)."""
    position = np.asarray(position)
    return np.select([position < block.test, position < block.test + block.validation], ["test", "validation"], "train")


def _pool(tables: Mapping[str, pd.DataFrame], block: Dataset, rng: np.random.Generator) -> tuple[pd.DataFrame, Steps]:
    """All images that may be drawn, and all test images, with their split."""
    parts, steps = [], {}
    for name in sorted(block.shares()):
        table = tables[name].sort_values("image_id", kind="stable", ignore_index=True)
        steps[name] = _counted(table)
        if block.where is not None:
            table = table[select(table, block.where)]
            if table.empty:
                raise DatasetError(
                    f"where: {block.where!r} leaves no image of '{name}'{_account(steps[name], ', of ')}; allowed: a "
                    "condition that some meet"
                )
            steps[name]["after where"] = len(table)
        parts.append(table.assign(images=name, split=split_of(table["split_position"], block)))
        if block.test > 0:
            steps[name]["without the test share"] = int((parts[-1]["split"] != "test").sum())
    pool = pd.concat(parts, ignore_index=True)
    if block.limit:
        pool = _limited(pool, block, rng.bytes(16), _summed(steps)).reset_index(drop=True)
        for name, account in steps.items():
            account["after limit"] = int(((pool["split"] != "test") & (pool["images"] == name)).sum())
    return pool, steps


def _limited(pool: pd.DataFrame, block: Dataset, key: bytes, steps: dict[str, int]) -> pd.DataFrame:
    """Keep so many different values of each column; structures last, so that each of them has an image."""
    for name in sorted(block.limit, key=lambda name: (_column(name) == "structure_id", name)):
        column, wanted = _column(name), block.limit[name]
        _known(f"limit.{name}", column, pool)
        rest = pool[pool["split"] != "test"]
        values = rest[column].drop_duplicates()
        if wanted > len(values):
            raise DatasetError(
                f"limit.{name}: {wanted} different values of {column} are asked for, but only {len(values)} are there"
                f"{_account(steps, ', of ')}; allowed: at most {len(values)}"
            )
        ranks = [_rank(value, key, column) for value in values]
        order = values.iloc[sorted(range(len(ranks)), key=ranks.__getitem__)]
        if column == "structure_id":
            sides = {split: order[rest.loc[order.index, "split"] == split] for split in SPLITS[:2]}
            held = _held_out(wanted, len(sides["train"]), len(sides["validation"]), block)
            kept = pd.concat([sides["train"][: wanted - held], sides["validation"][:held]])
        else:
            kept = order[:wanted]
        pool = pool[(pool["split"] == "test") | pool[column].isin(kept)]
        steps[f"after limit.{name}"] = int((pool["split"] != "test").sum())
    return pool


def _rank(value: Any, key: bytes, column: str) -> bytes:
    """Place of a value in a random order that does not depend on which other values there are."""
    text = value if isinstance(value, str) else "" if pd.isna(value) else (float(value) + 0.0).hex()  # -0 is 0
    return hashlib.blake2b(f"{column}={text}".encode(), key=key).digest()


def _draw(pool: pd.DataFrame, block: Dataset, rng: np.random.Generator, steps: Steps) -> pd.DataFrame:
    """Draw images for training and validation from a pool; test images are kept as they are."""
    _check_draw(block)
    for name in block.shares():
        _check_size(block, name, steps[name])
    rest = pool[pool["split"] != "test"]
    for name in block.strata:
        _known(f"strata.{name}", name, pool)
    strata = Strata(rest, block.strata, rng) if block.strata and not rest.empty else None
    wanted = _apportioned(block)
    parts = []
    for source, part in pool.groupby("images"):
        sides = {split: part.index[part["split"] == split].to_numpy() for split in SPLITS}
        drawn = [sides["train"], sides["validation"]]
        if block.size is not None:
            number = wanted[str(source)]
            held = _held_out(number, len(drawn[0]), len(drawn[1]), block)
            drawn = [
                strata.draw(side, count, rng) if strata else _chosen(pool, side, count, rng)
                for side, count in zip(drawn, (number - held, held), strict=True)
            ]
        parts += [pool.loc[np.sort(np.concatenate(drawn))], pool.loc[sides["test"]]]
    if strata is not None:
        strata.report()
    _report_shares(rest, block)
    manifest = pd.concat(parts, ignore_index=True).assign(pool=False)
    for split in SPLITS if block.test > 0 else SPLITS[:2]:
        if not (manifest["split"] == split).any():
            raise DatasetError(
                f"{split}: no image falls into this split{_account(_summed(steps), ', of ')}; allowed: more structures "
                "or a larger share"
            )
    return manifest


def _chosen(pool: pd.DataFrame, side: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Labels of images drawn without replacement: all as likely, or by their weights."""
    weights = None
    if WEIGHT in pool and count:
        weights = pool.loc[side, WEIGHT].to_numpy(float)
        weights = weights / weights.sum()
    return rng.choice(side, size=count, replace=False, p=weights)


def _held_out(number: int, train: int, validation: int, block: Dataset) -> int:
    """How many of a number of images or structures are for validation: their share, at least one, as there are.

    The number for training and that for validation both never fall when the whole rises.
    """
    share = math.floor(number * block.validation / (1 - block.test) + 0.5)
    share = min(max(share, 1), max(number - 1, 0))
    return min(max(share, number - train), validation)


def _apportioned(block: Dataset) -> dict[str, int]:
    """Images wanted of each images block: their shares of the size, rounded by largest remainders."""
    shares, size = block.shares(), block.size or 0
    exact = {name: size * share / sum(shares.values()) for name, share in sorted(shares.items())}
    result = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: result[name] - exact[name])
    for name in by_remainder[: size - sum(result.values())]:
        result[name] += 1
    return result


def _report_shares(rest: pd.DataFrame, block: Dataset) -> None:
    """Say in one sentence that shares are not met where all images are taken."""
    shares = pd.Series(block.shares()) / sum(block.shares().values())
    found = rest["images"].value_counts(normalize=True)
    if block.size is None and ((found - shares).abs() > 0.01).any():
        counts = ", ".join(f"{count} of '{name}'" for name, count in rest["images"].value_counts().items())
        log.warning("images: without a size all images are taken, %s, whatever their shares", counts)


def _check_draw(block: Dataset) -> None:
    if block.draw == "stratified" and block.size is None:
        raise DatasetError(
            "draw: found stratified without a size, which takes all images; allowed: a size, or draw: random"
        )
    if block.draw_per_seed and block.size is None:
        raise DatasetError(
            "draw_per_seed: found true without a size, so that all networks get the same images; allowed: a size, or "
            "false"
        )


def _check_size(block: Dataset, name: str, steps: dict[str, int]) -> None:
    wanted, left = _apportioned(block)[name], list(steps.values())[-1]
    if wanted > left:
        raise DatasetError(
            f"size: {wanted} images of '{name}' are asked for{_account(steps, ', but there are ')}; allowed: a smaller "
            "size, or more structures or images of each"
        )


def _counted(table: pd.DataFrame) -> dict[str, int]:
    return {"structures": table["structure_id"].nunique(), "images": len(table)}


def _summed(steps: Steps) -> dict[str, int]:
    """Steps of all images blocks together; structures are left out, since blocks may share some."""
    accounts = list(steps.values())
    if len(accounts) == 1:
        return dict(accounts[0])
    return {step: sum(account[step] for account in accounts) for step in accounts[0] if step != "structures"}


def _account(steps: dict[str, int], opening: str) -> str:
    """What is left after each step: ``180 images of 60 structures, 40 after where, 36 without the test share``."""
    after = [f"{count} {step}" for step, count in steps.items() if step not in ("structures", "images")]
    structures = f" of {steps['structures']} structures" if "structures" in steps else ""
    return opening + ", ".join([f"{steps['images']} images{structures}", *after])


def _column(name: str) -> str:
    return "structure_id" if name == "structure" else name


def _known(key: str, column: str, table: pd.DataFrame) -> None:
    if column not in table.columns:
        raise DatasetError(f"{key}: found unknown column '{column}'; allowed: {unknown_column(column, table.columns)}")
