"""How networks that find disks are judged by the strain that they show of a real scan.

As of a simulated one, see :mod:`exitwave.benchmark.strain_maps`, but that only the strain of some parts is known.
"""

from __future__ import annotations

from dataclasses import replace

from exitwave.benchmark import strain_maps
from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.strain_maps import BESIDE, KEPT, axes, fitted, predict, rules, threshold, truths
from exitwave.training.disks import DisksTask

__all__ = ["BESIDE", "KEPT", "axes", "fitted", "metric", "predict", "rules", "threshold", "truths"]

NOTE = (
    "Root of the mean square of measured minus known strain over all scored places in which a lattice was found, "
    "relative to the median lattice of the reference; places in which none was found are counted as failed. x and y "
    "are those of the patterns. What is known of a real specimen has errors of its own, which count here as those of "
    "the method. Brackets: 95 % bootstrap interval over blocks of neighbouring places. Of networks the median over "
    "seeds is given, with the smallest and the largest seed; an ensemble is the mean prediction of all seeds. "
    "Correlation is tuned on simulated training patterns."
)


def metric(task: DisksTask, threshold: float) -> Metric:
    """Metric of all places of a scan together; disks of maps are peaks from ``threshold`` on."""
    return replace(strain_maps.metric(task, threshold), note=NOTE)
