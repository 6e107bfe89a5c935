"""What is drawn of the predictions of each kind of models, imported when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from exitwave.benchmark.ensemble import Predictions
from exitwave.config.atoms import Atoms
from exitwave.config.disks import Disks
from exitwave.config.models import Classifier, Regression, Segmentation
from exitwave.config.reconstruction import Autoencoder, SuperResolution


def draw_beside_truth(
    predictions: Predictions, path: str | Path, threshold: float, real: bool, title: str, baselines: pd.DataFrame | None
) -> None:
    """Draw predictions beside the truth; parameters as of :func:`exitwave.report.predictions.draw_predictions`."""
    match predictions.task.model:
        case Segmentation():
            from exitwave.report.overlays import draw_overlays

            draw_overlays(predictions, path, threshold, real, title)
        case Regression():
            from exitwave.report.maps import draw_maps

            draw_maps(predictions, path, title)
        case Classifier():
            from exitwave.report.confusion import draw_confusion

            draw_confusion(predictions, path, title)
        case Disks():
            from exitwave.report.disks import draw_disks

            draw_disks(predictions, baselines, path, title)
        case Atoms():
            from exitwave.report.atoms import draw_atoms

            draw_atoms(predictions, path, title)
        case Autoencoder():
            from exitwave.report.reconstruction import draw_remade

            draw_remade(predictions, path, title)
        case SuperResolution():
            from exitwave.report.reconstruction import draw_finer

            draw_finer(predictions, path, title)
        case model:
            raise TypeError(f"there is no drawing of {type(model).__name__}")
