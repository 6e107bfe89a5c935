"""Predictions of the networks of a training on a benchmark, drawn as fits what they predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exitwave.benchmark.ensemble import open_predictions
from exitwave.data.tables import read_table
from exitwave.report.kinds import draw_beside_truth


def draw_predictions(
    predictions: Sequence[str | Path],
    path: str | Path,
    threshold: float,
    real: bool = True,
    title: str = "",
    baselines: str | Path | None = None,
) -> None:
    """Draw the mean prediction of the networks of a training beside the truth.

    Parameters
    ----------
    predictions : sequence of paths
        Prediction shards of the networks, one a seed; those that have diverged are left out.
    path : path
        PNG to write.
    threshold : float
        Probability from which a pixel is particle.
    real : bool
        The images are real, not simulated.
    title : str
        Names of benchmark and training.
    baselines : path, optional
        Scores of the baselines, for kinds that show what these have found.
    """
    opened = open_predictions(predictions)
    if opened.shards:
        draw_beside_truth(opened, path, threshold, real, title, None if baselines is None else read_table(baselines))
    else:
        _draw_nothing(path, title)


def _draw_nothing(path: str | Path, title: str) -> None:
    from exitwave.report.style import INK, figure

    with figure(path, 6.5, 1.2) as drawing:
        text = f"{f'{title}: ' if title else ''}all networks have diverged, none has predicted anything"
        drawing.text(0.5, 0.5, text, ha="center", va="center", color=INK)
