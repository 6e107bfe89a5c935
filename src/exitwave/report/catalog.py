"""The catalog of a study in the terminal: how many images there are of what, and how their parameters are spread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exitwave.data.columns import UNITS
from exitwave.data.query import select
from exitwave.data.selection import SPLITS
from exitwave.data.tables import StoredTable, write_table
from exitwave.data.whole import replace_file
from exitwave.errors import DatasetError, ShardError
from exitwave.report.columns import is_bookkeeping

BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 24
"""Bars of a histogram."""
_FEW = 6
"""Different values up to which each is counted instead."""


def find_catalog(arguments: list[str], study: str) -> tuple[Path, str | None]:
    """Tell from what was typed which table is meant, and which condition.

    Parameters
    ----------
    arguments : list of str
        Nothing, a table or the name of a study, a condition, or both in this order.
    study : str
        The study whose catalog is meant where no table is named.

    Raises
    ------
    ShardError
        If there is no such table.
    """
    if len(arguments) > 2:
        raise ShardError(
            f"found {len(arguments)} arguments; allowed: a table or study, and a condition in quotes: 'dose < 500'"
        )
    first = arguments[0] if arguments else study
    named = first.endswith(".parquet") or _catalog(first).is_file()
    if len(arguments) == 1 and not named and not re.fullmatch(r"[\w.-]+", first):
        return find_catalog([study, first], study)
    path = Path(first) if first.endswith(".parquet") else _catalog(first)
    if not path.is_file():
        there = sorted(found.parent.name for found in Path("results/report").glob("*/catalog.parquet"))
        others = f", or name one of those there are: {', '.join(there)}" if there else ""
        raise ShardError(f"{path}: is missing; run the workflow for this study first{others}")
    return path, arguments[1] if len(arguments) == 2 else None


def print_catalog(console: Console, rows: StoredTable, condition: str | None) -> NDArray[np.bool_]:
    """Print numbers of images by block, and histograms of what varies between those that fulfil a condition.

    Parameters
    ----------
    console : Console
    rows : StoredTable
        All images.
    condition : str, optional

    Returns
    -------
    ndarray of bool, shape (images,)
        Which fulfil the condition.

    Raises
    ------
    DatasetError
        If the condition is none, or of columns that there are not,
        or the table is not one of images.
    """
    found = np.ones(len(rows), dtype=bool) if condition is None else select(rows, condition)
    blocks = _blocks(rows, found)
    fulfil = "" if condition is None else f" fulfil {condition}"
    if "structure_id" not in blocks:
        raise DatasetError(
            f"{rows.path}: found no column structure_id; allowed: a table of images, such as catalog.parquet of a "
            "report or the manifest.parquet of a dataset"
        )
    structures = blocks["structure_id"].nunique()
    console.print(f"{len(blocks)} of {len(rows)} images, of {structures} structures,{fulfil}".rstrip(","), markup=False)
    if blocks.empty:
        return found
    console.print(_counts(blocks))
    table = Table(title="what varies")
    for heading in ("column", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("min", "median", "max"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("images from min to max, or of each value", overflow="fold")
    for name in rows.columns:
        if is_bookkeeping(name) or not rows.varies(name):
            continue
        values = rows[name][found]
        if _varies(values):
            table.add_row(name, UNITS.get(name, ""), *_described(values))
    if table.row_count:
        console.print(table)
    return found


def write_rows(path: Path, rows: pd.DataFrame) -> None:
    """Write a table as CSV or Parquet, as the suffix says.

    Raises
    ------
    ShardError
        If the suffix is another.
    WriteError
        If the file cannot be written.
    """
    if path.suffix == ".parquet":
        write_table(path, rows)
    elif path.suffix == ".csv":
        replace_file(path, lambda unfinished: rows.to_csv(unfinished, index=False))
    else:
        raise ShardError(f"{path}: found the suffix '{path.suffix}'; allowed: .csv or .parquet")


def bars(values: pd.Series) -> str:
    """Histogram of numbers in one line, from the smallest to the largest; of few whole numbers, a bar for each."""
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    finite = numbers[np.isfinite(numbers)]
    whole = bool((finite == np.round(finite)).all()) and finite.max() - finite.min() < WIDTH
    edges = np.arange(finite.min(), finite.max() + 2) - 0.5 if whole else WIDTH
    counts = np.histogram(finite, bins=edges)[0]
    # Rounded up, so that a bar is blank only where there is nothing.
    return "".join(BARS[level] for level in np.ceil(counts / counts.max() * (len(BARS) - 1)).astype(int))


def _catalog(study: str) -> Path:
    return Path("results/report", study, "catalog.parquet")


def _blocks(rows: StoredTable, found: NDArray[np.bool_]) -> pd.DataFrame:
    """Of the images found of which blocks and structure they are, as numbers of few names."""
    blocks = pd.DataFrame(index=range(int(found.sum())))
    for name in ("images", "structures", "structure_id", "split"):
        if name in rows.columns:
            blocks[name] = rows[name][found].fillna("").astype("category").array
        elif name == "structures":  # fields of micrographs are of none
            blocks[name] = pd.Series("", index=blocks.index, dtype="category")
    return blocks


def _varies(values: pd.Series[Any]) -> bool:
    """Whether there are different values, of which a missing one is one."""
    if values.isna().any():
        return not values.isna().all()
    return bool(values.min() != values.max())


def _counts(found: pd.DataFrame) -> Table:
    splits = [split for split in SPLITS if "split" in found.columns and (found["split"] == split).any()]
    table = Table("images", "made of", title="how many")
    for heading in ("structures", "images", *splits):
        table.add_column(heading, justify="right")
    groups = [
        (str(images), str(made_of), part)
        for (images, made_of), part in found.groupby(["images", "structures"], observed=True)
    ]
    if len(groups) > 1:
        groups.append(("all", "", found))
    for images, structures, part in groups:
        numbers = [part["structure_id"].nunique(), len(part), *((part["split"] == split).sum() for split in splits)]
        # As text, since brackets of a family's name are no markup.
        table.add_row(Text(images), Text(structures), *(str(number) for number in numbers))
    return table


def _described(values: pd.Series) -> list[str | Text]:
    """Smallest, middle and largest value with a histogram; or, of few different values, how many of each."""
    numeric = pd.api.types.is_numeric_dtype(values)
    # Of a million different numbers a thousand tell that they are many.
    many = numeric and values.iloc[:1000].nunique(dropna=False) > _FEW
    counts = values.iloc[:0] if many else values.value_counts(dropna=False)
    if many or (numeric and len(counts) > _FEW):
        spread = [f"{value:.4g}" for value in (values.min(), values.median(), values.max())]
        missing = values.isna().sum()
        return [*spread, Text(bars(values) + (f"  {missing} missing" if missing else ""))]
    counts = counts.sort_index() if numeric else counts
    names = [
        f"{value:g}" if numeric else str(value) for value in counts.index.fillna(np.nan if numeric else "").tolist()
    ]
    shown = [
        f"{'none' if name in ('', 'nan') else name}: {count}"
        for name, count in list(zip(names, counts, strict=True))[:_FEW]
    ]
    more = [f"{len(counts) - _FEW} more"] if len(counts) > _FEW else []
    return ["", "", "", Text(", ".join([*shown, *more]))]
