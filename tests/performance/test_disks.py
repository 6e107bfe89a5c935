"""Disks and lattices of patterns: a second and core, beside py4DSTEM and LiberTEM-blobfinder where installed."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from exitwave.benchmark import blobfinder
from exitwave.benchmark.cepstrum import cepstral_lattice
from exitwave.benchmark.correlation import Correlation, correlate, disk_radius, find_disks
from exitwave.benchmark.lattice import find_lattice, fit_lattice, refine_lattice
from exitwave.data.peaks import find_peaks

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

SIZE, NUMBER = 128, 20
HOW = Correlation(1.0, 1.2, 0.05, 1.0, "log", 1.4)


def patterns() -> tuple[list[np.ndarray], np.ndarray]:
    """Some thirty disks of 4.7 px each, on a background."""
    rng = np.random.default_rng(0)
    down, along = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    index = np.array([(h, k) for h in range(-3, 4) for k in range(-3, 4)])
    taken = []
    for _ in range(NUMBER):
        places = 64 + rng.uniform(-1, 1, 2) + index @ np.array([[17.0, 2.0], [-3.0, 16.0]])
        image = 200 / (1 + ((down - 64) ** 2 + (along - 64) ** 2) / 400)
        for (x, y), strength in zip(places, rng.lognormal(5, 1, len(places)), strict=True):
            image = image + strength * np.clip(5.2 - np.hypot(along - x, down - y), 0, 1)
        taken.append(rng.poisson(image).astype(np.float32))
    return taken, np.clip(5.2 - np.hypot(along - 64, down - 64), 0, 1).astype(np.float32)


def test_disks_of_patterns(by_turns: Any, table: Any) -> None:
    taken, probe = patterns()
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: [find_disks(pattern, probe, HOW) for pattern in taken],
        "ours, correlation and peaks only": lambda: [
            find_peaks(correlate(pattern, probe, HOW), 0.1) for pattern in taken
        ],
    }
    if find_spec("py4DSTEM") is not None:
        from py4DSTEM.braggvectors.diskdetection import _find_Bragg_disks_single as by_py4dstem

        corner = np.fft.ifftshift(np.sqrt(probe))
        ways["py4dstem-lite, multicorr"] = lambda: [
            by_py4dstem(
                np.sqrt(pattern), corner, sigma_cc=1.2, subpixel="multicorr", minRelativeIntensity=0.05,
                relativeToPeak=1, minPeakSpacing=disk_radius(probe), maxNumPeaks=70,
            )
            for pattern in taken
        ]  # fmt: skip
    if blobfinder.installed():
        blobs = blobfinder.Blobs("BackgroundSubtraction", 1.0, 0.05, 1.0)
        ways["libertem-blobfinder"] = lambda: [blobfinder.find_blobs(pattern, probe, blobs) for pattern in taken]
    found, times = by_turns(ways, rounds=5)
    for name in times:
        rate = NUMBER / float(np.median(times[name]))
        number = np.mean([len(getattr(one, "data", one)) for one in found[name]])
        table(
            "disks of patterns of 128²",
            ("way", "patterns a second and core", "disks"),
            (name, f"{rate:.0f}", f"{number:.0f}"),
        )


def test_lattices_of_patterns(by_turns: Any, table: Any) -> None:
    taken, probe = patterns()
    maps = [correlate(pattern, probe, HOW) for pattern in taken]
    peaks = [find_disks(pattern, probe, HOW) for pattern in taken]
    start = find_lattice(peaks[0])
    found, times = by_turns(
        {
            "peaks of a map": lambda: [find_peaks(one, 0.1) for one in maps],
            "lattice from nothing": lambda: [find_lattice(one) for one in peaks],
            "lattice fitted to peaks": lambda: [fit_lattice(one, start) for one in peaks],
            "lattice fitted to a map": lambda: [refine_lattice(one, start) for one in maps],
            "lattice fitted to the cepstrum": lambda: [cepstral_lattice(one, start) for one in taken],
        },
        rounds=5,
    )
    assert all(len(one) == NUMBER for one in found.values())
    for name in times:
        table("lattices, 128²", ("step", "ms"), (name, f"{1e3 * float(np.median(times[name])) / NUMBER:.2f}"))
