"""Probabilities against shares: whose are shown, and that the figure is drawn where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.image import imread

from exitwave.benchmark.calibration import CALIBRATION_COUNTS
from exitwave.report.calibration import draw_calibration, shown_methods


def test_of_each_training_the_mean_prediction_is_shown(samples: Any, rng: Any) -> None:
    images = samples.per_image(rng)
    methods = shown_methods(images)
    assert list(methods) == ["unet"]
    mean = images[images["kind"] == "ensemble"][list(CALIBRATION_COUNTS)]
    assert np.array_equal(methods["unet"], mean.sum())
    (alone,) = shown_methods(images[images["seed"] == 0]).values()
    assert np.array_equal(alone, images[(images["seed"] == 0) & (images["kind"] == "network")][mean.columns].sum())


def test_it_is_drawn_with_and_without_networks(samples: Any, rng: Any, tmp_path: Path) -> None:
    images = samples.per_image(rng)
    for name, rows in (("all", images), ("rules", images[images["kind"] == "baseline"])):
        draw_calibration(pd.DataFrame(rows), tmp_path / f"{name}.png", "Real micrographs.", "patches")
        assert imread(tmp_path / f"{name}.png").std() > 0.05
