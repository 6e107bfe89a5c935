"""Learning curves of the networks of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from exitwave.report.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, VERMILLION, figure
from exitwave.training.record import read_history, read_record
from exitwave.training.task import Curves


def draw_training(networks: Sequence[str | Path], path: str | Path, title: str = "") -> None:
    """Draw the learning curves of the networks of a training.

    Parameters
    ----------
    networks : sequence of paths
        Folder of each network, or a file in it.
    path : path
        PNG to write.
    title : str
        Name of the training.
    """
    folders = [Path(network) if Path(network).is_dir() else Path(network).parent for network in networks]
    records = [read_record(folder) for folder in folders]
    histories = {
        seed: read_history(folder, record) for seed, (folder, record) in enumerate(zip(folders, records, strict=True))
    }
    diverged = sum(bool(record.diverged) for record in records)
    learning_curves(histories, path, title, records[0].task.curves, diverged)


def learning_curves(
    histories: Mapping[int, pd.DataFrame],
    path: str | Path,
    title: str,
    curves: Curves,
    diverged: int = 0,
) -> None:
    """Draw loss and scores against the epoch for every seed, their median, and the epoch that was kept.

    Parameters
    ----------
    histories : mapping of DataFrame
        By seed: one row an epoch with ``epoch``, ``train_loss``, ``validation_loss`` and the scores.
    path : path
        PNG to write.
    title : str
        Name of the training.
    curves : Curves
        The scores.
    diverged : int
        How many of the seeds have diverged; they are drawn up to there.
    """
    drawn = {seed: history for seed, history in histories.items() if len(history)}
    with figure(path, 10.0, 4.1) as drawing:
        loss, score = drawing.subplots(1, 2)
        _curves(loss, drawn, "train_loss", MUTED)
        _curves(loss, drawn, "validation_loss", BLUE)
        loss.set(ylabel="loss", ylim=(0, _loss_limit(drawn)))
        colours = dict(zip(curves.columns, (BLUE, ORANGE, GREEN, PURPLE), strict=False))
        for column in reversed(colours):
            _curves(score, drawn, column, colours[column])
        score.set(ylabel=curves.axis, ylim=curves.limits)
        for axis, column in ((loss, "validation_loss"), (score, next(iter(colours)))):
            _kept(axis, drawn, column)
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            axis.grid(axis="y")
        loss.legend(handles=[_line(MUTED, "training"), _line(BLUE, "validation")], loc="upper right")
        shown = [_line(colour, curves.columns[column]) for column, colour in colours.items()]
        score.legend(handles=[*shown, *_legend(drawn)], loc="best")
        lost = f"; {diverged} of {len(histories)} networks diverged" if diverged else ""
        drawing.suptitle(f"Training on simulated images{f': {title}' if title else ''}{lost}", fontsize=11)


def _curves(axes: Axes, histories: Mapping[int, pd.DataFrame], column: str, colour: str) -> None:
    several = len(histories) > 1
    for history in histories.values():
        # A single epoch is a point, which a line alone would not show.
        marker = "o" if len(history) == 1 else None
        axes.plot(
            history["epoch"],
            history[column],
            color=colour,
            lw=0.8 if several else 2.0,
            alpha=0.55 if several else 1.0,
            marker=marker,
            ms=3,
        )
    if several:
        joined = pd.concat([history.set_index("epoch")[column] for history in histories.values()], axis=1)
        # Where only some seeds are left, their median is not that of the training.
        median = joined.dropna().median(axis=1)
        axes.plot(median.index, median, color=colour, lw=2.2)


def best_row(history: pd.DataFrame) -> pd.Series | None:
    """The epoch that was kept, which is that of the smallest validation loss; none if there was no finite loss."""
    finite = history[np.isfinite(history["validation_loss"])]
    return None if finite.empty else finite.loc[finite["validation_loss"].idxmin()]


def _kept(axes: Axes, histories: Mapping[int, pd.DataFrame], column: str) -> None:
    for history in histories.values():
        row = best_row(history)
        if row is not None:
            axes.plot(row["epoch"], row[column], marker="D", ms=6, mfc=VERMILLION, mec="white", mew=0.9, zorder=5)


def _loss_limit(histories: Mapping[int, pd.DataFrame]) -> float:
    """Upper end of the loss axis: one wild epoch shall not flatten all others."""
    losses = [h[["train_loss", "validation_loss"]].to_numpy(dtype=float).ravel() for h in histories.values()]
    values = np.concatenate([np.empty(0), *losses])
    values = values[np.isfinite(values)]
    return float(1.1 * np.percentile(values, 98)) if values.size and values.max() > 0 else 1.0


def _line(colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, lw=2, label=label)


def _legend(histories: Mapping[int, pd.DataFrame]) -> list[Line2D]:
    handles = [Line2D([], [], ls="", marker="D", ms=6, mfc=VERMILLION, mec="white", label="epoch kept")]
    if len(histories) > 1:
        handles.append(Line2D([], [], color=INK, lw=0.8, label=f"thin: {len(histories)} seeds, thick: median"))
    return handles
