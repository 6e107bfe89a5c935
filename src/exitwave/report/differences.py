"""Differences between methods on the same images: in words, as a page and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exitwave.benchmark.paired import BETTER, IMAGES, SEEDS, WORSE
from exitwave.report.benchmarks import metric_of_summary, number_told

MOST = 24
"""Pairs drawn at the most, those with the best training first."""
MOST_LINES = 6
"""Pairs told in the terminal at the most."""
RARE = 0.05
"""Probability below which it needs no word that networks of equal trainings may lie apart by chance."""
NOTE = (
    "Differences of the first score, first minus second, of the median over seeds, on the images that all methods "
    "have. Brackets: 95 % bootstrap interval over images, the same resamples for both; images of one structure or "
    "group are drawn together. Over seeds: the smallest and the largest difference of any two networks. A difference "
    "is called one only if neither contains 0. Of twenty comparisons of equal methods, one looks like a difference. "
    "The best baseline was chosen by its score on these images."
)


def difference_told(row: Any) -> str:
    """A difference with its sign and the interval over images."""
    ends = [row["low"], row["high"]]
    interval = f" [{', '.join(_signed(end) for end in ends)}]" if np.all(np.isfinite(ends)) else ""
    return f"{_signed(row['difference'])}{interval}"


def verdict_told(row: Any) -> str:
    """What a difference says, in words."""
    doubt = _doubt(row)
    match row["verdict"]:
        case "better" | "worse" as word:
            return f"{row['first']} is {word} than {row['second']}{f', {doubt}' if doubt else ''}"
        case _:
            return within_told(row)


def brief_verdict(row: Any) -> str:
    """The same in few words that do not name the methods, with the difference if it is one."""
    match row["verdict"]:
        case "better" | "worse" as word:
            return f"{word}: {difference_told(row)}{', few networks' if _doubt(row) else ''}"
        case _:
            return within_told(row)


def within_told(row: Any) -> str:
    """Why a difference is none."""
    match row["verdict"]:
        case verdict if verdict == IMAGES:
            return "no difference: within the spread of the images"
        case verdict if verdict == SEEDS:
            return "no difference: within the spread of the networks"
        case _:
            return "not known: the images are of one group"


def lines_told(differences: pd.DataFrame) -> list[str]:
    """Differences in words, one a line, those of the best training first."""
    rows = _first(differences)
    lines = []
    for row in rows[:MOST_LINES]:
        words = verdict_told(row)
        words = words if " than " in words else f"{row['first']} and {row['second']}: {words}"
        lines.append(f"{words} ({difference_told(row)})")
    return lines + ([f"and {len(rows) - MOST_LINES} pairs more"] if len(rows) > MOST_LINES else [])


def difference_page(differences: pd.DataFrame, summary: pd.DataFrame, path: str | Path, title: str = "") -> None:
    """Write the differences on a benchmark as a HTML page.

    Parameters
    ----------
    differences : DataFrame
        One row a pair, as the benchmark stage writes it.
    summary : DataFrame
        One row a method.
    path : path
        Page to write.
    title : str
        Name of the benchmark.
    """
    from exitwave.report.tables import Table, write_html

    score = metric_of_summary(summary).summary[0]
    columns = ["first", "second", f"difference of {score.label}", "over seeds", "images higher, lower", "in words"]
    rows: list[list[str | tuple[str, str]]] = [
        [
            str(row["first"]),
            str(row["second"]),
            difference_told(row),
            f"{_signed(row['seed_min'])} to {_signed(row['seed_max'])}",
            f"{row['higher']}, {row['lower']}",
            verdict_told(row),
        ]
        for row in differences.to_dict("records")
    ]
    marks = ["strong" if verdict in (BETTER, WORSE) else "" for verdict in differences.get("verdict", ())]
    heading = f"Differences: {title}" if title else "Differences"
    write_html(path, heading, NOTE, [Table(columns, rows, marks)])


def draw_differences(differences: pd.DataFrame, summary: pd.DataFrame, path: str | Path, title: str = "") -> None:
    """Draw differences between methods with their intervals and the range over seeds.

    Parameters
    ----------
    differences, summary, path, title
        As of :func:`difference_page`; the path is that of a PNG.
    """
    from matplotlib.lines import Line2D

    from exitwave.report.style import BLUE, INK, MUTED, figure

    score = metric_of_summary(summary).summary[0]
    rows = _first(differences)[:MOST]
    with figure(path, 9.0, 0.34 * len(rows) + 1.6) as drawing:
        axes = drawing.subplots()
        for y, row in enumerate(rows):
            colour = BLUE if row["verdict"] in (BETTER, WORSE) else MUTED
            axes.plot([row["seed_min"], row["seed_max"]], [y, y], color=colour, lw=8, alpha=0.28, solid_capstyle="butt")
            axes.plot([row["low"], row["high"]], [y, y], color=INK, lw=1.3, marker="|", ms=7)
            axes.plot(row["difference"], y, marker="o", color=colour, ms=7, mec="white", mew=0.8, zorder=4)
            beside = axes.get_yaxis_transform()
            axes.text(1.02, y, difference_told(row), va="center", fontsize=8.5, transform=beside)
        axes.axvline(0, color=INK, lw=0.8, ls=(0, (4, 3)))
        axes.set_yticks(range(len(rows)), [f"{row['first']} − {row['second']}" for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(f"difference of {score.axis or score.label}")
        axes.grid(axis="x")
        axes.tick_params(axis="both", length=0)
        axes.spines["left"].set_visible(False)
        handles = [
            Line2D([], [], ls="", marker="o", ms=7, color=BLUE, label="difference"),
            Line2D([], [], ls="", marker="o", ms=7, color=MUTED, label="within the spread"),
            Line2D([], [], color=INK, lw=1.4, label="95 % interval over images"),
            Line2D([], [], color=BLUE, lw=7, alpha=0.3, label="any two networks"),
        ]
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        images = max((row["images"] for row in rows), default=0)
        drawing.suptitle(f"{f'{title}: ' if title else ''}the same {images} images", fontsize=11)


def _first(differences: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the pairs, those of the best training first."""
    rows = [{str(key): value for key, value in row.items()} for row in differences.to_dict("records")]
    return sorted(rows, key=lambda row: row["first"] != rows[0]["first"])


def _doubt(row: Any) -> str:
    """What few networks leave open; empty where there are enough."""
    if row["chance"] < RARE:
        return ""
    if row["chance"] >= 1:
        return f"as far as one network{'' if row['second_kind'] == 'baseline' else ' each'} can tell"
    return f"though of so few networks 1 in {1 / row['chance']:.0f} equal ones would look so"


def _signed(value: float) -> str:
    told = number_told(abs(value))
    return told if not np.isfinite(value) else f"{'−' if value < 0 else '+'}{told}"
