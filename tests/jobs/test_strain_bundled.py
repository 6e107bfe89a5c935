"""The networks that come with exitwave find disks, and are what the card says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial import cKDTree

from exitwave.benchmark.disk_maps import disk_maps, placed_disks
from exitwave.benchmark.scan_parts import Box
from exitwave.benchmark.scan_strain import GOOD
from exitwave.config.disks import Disks
from exitwave.jobs.strain import measure_strain
from exitwave.jobs.strain_how import Measuring
from exitwave.training.bundle import BUNDLED, BUNDLED_DISKS, bundle_with, find_convention, load_bundle
from strained_scan import STRAIN, TURN, VECTORS, strained_scan


def test_they_are_small_and_have_scores_of_disks_and_of_strain():
    assert BUNDLED_DISKS.stat().st_size <= 8e6
    convention = find_convention(BUNDLED_DISKS)
    assert isinstance(convention.task().model, Disks)
    assert 0.4 < convention.scores["held_out"]["f1"] < 1
    assert sum(name.startswith("strain[") for name in convention.scores) == 4
    card = (BUNDLED_DISKS.parent / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"### held_out: 960 images.*?\| \*\*places\*\* \| ([0-9.]+) ", card, re.DOTALL)
    assert float(row) == pytest.approx(convention.scores["held_out"]["f1"], abs=6e-4)
    assert bundle_with("places") == BUNDLED_DISKS
    assert bundle_with("half") == BUNDLED


def test_they_find_the_disks_of_a_pattern_in_either_arithmetic():
    patterns, probe = strained_scan().patterns[0, :3], strained_scan().probe[None]
    network, _ = load_bundle(BUNDLED_DISKS)
    single, half = (
        [placed_disks(maps, network.threshold) for maps in disk_maps(network, patterns, probe, precision)]
        for precision in ("32", "bf16")
    )
    for exact, rounded in zip(single, half, strict=True):
        there, _ = cKDTree(exact[:, :2]).query([[32.6 + x, 31.6 + y] for x, y in np.c_[VECTORS, -VECTORS].T])
        assert there.max() < 0.4
        moved, _ = cKDTree(rounded[:, :2]).query(exact[:, :2])
        assert np.median(moved) < 0.05


def test_they_measure_the_strain_of_a_scan(tmp_path):
    np.save(tmp_path / "scan.npy", strained_scan().patterns)
    np.save(tmp_path / "probe.npy", strained_scan().probe)
    how = Measuring(
        model=BUNDLED_DISKS,
        probe=tmp_path / "probe.npy",
        reciprocal_sampling=0.03,
        reference=Box((0, 4), (0, 6)),
        workers=1,
    )
    measure_strain(tmp_path / "scan.npy", tmp_path / "out", how)
    maps = np.load(tmp_path / "out" / "strain.npz")
    strained = strained_scan().strained
    assert (maps["trust"] == GOOD).mean() > 0.95
    for name, true in (("e_xx", STRAIN[0, 0]), ("e_yy", STRAIN[1, 1]), ("e_xy", STRAIN[0, 1]), ("rotation", TURN)):
        assert np.median(maps[name][strained]) == pytest.approx(true, abs=3e-3), name
        assert np.median(maps[name][~strained]) == pytest.approx(0, abs=3e-3), name
