"""Which class was taken for which."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exitwave.benchmark.classification import ANOTHER
from exitwave.benchmark.ensemble import Predictions
from exitwave.report.style import INK, figure
from exitwave.training.classification import ClassTask
from exitwave.training.confusion import accuracy, macro_f1

NUMBERED = 30
"""Classes up to which every field has its number."""


def draw_confusion(predictions: Predictions, path: str | Path, title: str = "") -> None:
    """Draw the confusion matrix of a training on a benchmark.

    Parameters
    ----------
    predictions : Predictions
        Of the networks of a training; the class is that of their mean prediction.
    path : path
        PNG to write.
    title : str
        Names of benchmark and training.
    """
    task = predictions.task
    assert isinstance(task, ClassTask)
    number = len(task.classes)
    confusion = np.zeros((number, number + 1), dtype=int)
    for place in range(len(predictions.table)):
        confusion[int(predictions.truth(place)[0]), int(np.argmax(predictions.mean(place)))] += 1
    # A class that the benchmark does not have is shown where a network has taken an image for it.
    names = [*task.classes, ANOTHER] if confusion[:, -1].any() else list(task.classes)
    matrix = confusion[:, : len(names)]
    share = matrix / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    edge = 0.42 * number + 2.2
    with figure(path, max(6.5, edge + 1.5), max(4.0, edge)) as drawing:
        axes = drawing.subplots()
        shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(number), task.classes)
        axes.set(xlabel="predicted", ylabel=f"true {task.model.target.column}")
        axes.tick_params(length=0)
        if number <= NUMBERED:
            for (row, column), count in np.ndenumerate(matrix):
                if count:
                    colour = "white" if share[row, column] > 0.6 else INK
                    axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
        drawing.colorbar(shown, ax=axes, label="share of the true class", shrink=0.8)
        scores = f"accuracy {accuracy(confusion):.3f}, macro F1 {macro_f1(confusion):.3f}"
        named = f"{title} ({predictions.told})" if title else predictions.told.capitalize()
        drawing.suptitle(f"{named}\n{scores}", fontsize=11)
