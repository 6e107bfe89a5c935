"""Diffraction patterns of a multilayer, from atoms to counts: places and sides of disks are those of the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exitwave.config.crystals import Multilayer
from exitwave.config.exit_waves import Probe
from exitwave.config.patterns import Diffraction
from exitwave.electron import wavelength
from exitwave.images import diffraction
from exitwave.items import Asked, Item
from exitwave.labels.reflections import FIELDS
from exitwave.structures import multilayer
from exitwave.waves import probe

SIZE, SAMPLING, SEMIANGLE, THICKNESS = 255, 0.02, 1.5, 24.0
RADIUS = SEMIANGLE * 1e-3 / wavelength(200e3) / SAMPLING
FACTOR, S, INTENSITY = (FIELDS.index(name) for name in ("structure_factor", "excitation_error", "intensity"))


def pattern(column: int, mistilt: dict[str, Any] | None = None, **keys: Any) -> Item:
    """A pattern of GaAs along [011], the middle of the substrate or of a layer of 3 or -3 % of strain."""
    specimen = Multilayer.model_validate(
        {
            "kind": "multilayer", "count": 3, "field_of_view": 36, "material": "GaAs", "thickness": THICKNESS,
            "layers": [{"width": 80, "strain": 0.03}, {"width": 80, "strain": -0.03}],
            "scan": {"start": -40, "columns": 3, "step": 80}, "mistilt": mistilt,
        }
    )  # fmt: skip
    waves = Probe(
        kind="probe", structures="any", energy=200e3, semiangle=SEMIANGLE, sampling=0.15, slice_thickness=1.0,
        projection="finite",
    )  # fmt: skip
    block = Diffraction(
        kind="diffraction", exit_waves="any", size=SIZE, reciprocal_sampling=SAMPLING, semiangle=SEMIANGLE, dose=1e10,
        **keys,
    )  # fmt: skip
    rngs = (np.random.default_rng(3),)
    (structure,) = multilayer.make(specimen, [Asked(column, rngs)])
    (wave,) = probe.make(waves, [Asked(column, rngs, structure.row, {"structures": structure.arrays})])
    sources = {"structures": structure.arrays, "exit_waves": wave.arrays}
    (item,) = diffraction.make(block, [Asked(column, rngs, structure.row | wave.row, sources)])
    return item


def shares(item: Item) -> np.ndarray:
    return np.asarray(item.arrays["counts"].values / 1e10)


def offsets(item: Item) -> np.ndarray:
    """Centroids of the disks near the Ewald sphere less the places of the list [n, 2] [px]."""
    counts, listed = shares(item), item.arrays["reflections"].values.astype(np.float64)
    y, x = np.mgrid[:SIZE, :SIZE]
    found = []
    for row in listed[np.abs(listed[:, S]) * THICKNESS < 0.2]:
        others = np.hypot(*(listed[:, :2] - row[:2]).T)
        alone = not ((others > 0) & (others < 2 * RADIUS + 4) & (listed[:, FACTOR] > 0.2)).any()
        if alone and row[INTENSITY] > 3e-5 and min(row[:2]) > 12 and max(row[:2]) < SIZE - 12:
            inside = np.hypot(x - row[0], y - row[1]) < RADIUS + 2
            part = counts[inside] / counts[inside].sum()
            found.append([(part * x[inside]).sum() - row[0], (part * y[inside]).sum() - row[1]])
    return np.array(found)


@pytest.mark.parametrize("column", [1, 2])
def test_disks_of_strained_layers_are_where_the_list_has_them(column: int) -> None:
    """A strain that is wrong by a tenth of what it is would move a disk at 1.5 1/Å by 0.2 px."""
    found = offsets(pattern(column, shift=2.3, ellipticity=0.05))
    assert len(found) >= 10
    assert np.median(np.hypot(*found.T)) < 0.05


def test_disks_of_a_tilted_layer_are_bright_on_the_side_that_the_list_says() -> None:
    item = pattern(1, {"magnitude": [60, 60], "azimuth": [25, 25]}, shift=-2.3, ellipticity=0.05)
    counts, listed = shares(item), item.arrays["reflections"].values.astype(np.float64)
    listed = listed[(listed[:, 2:5] != 0).any(axis=1)]
    expected = listed[:, FACTOR] ** 2 * np.sinc(listed[:, S] * THICKNESS) ** 2
    y, x = np.mgrid[:SIZE, :SIZE]
    centre = SIZE // 2 + np.array([item.row["shift_x"], item.row["shift_y"]])

    def likeness(places: np.ndarray) -> float:
        disks = [counts[np.hypot(x - at[0], y - at[1]) < RADIUS].sum() for at in places]
        return float(np.corrcoef(expected, disks)[0, 1])

    away = listed[:, :2] - centre
    sides = [likeness(centre + away * mirror) for mirror in ([1, 1], [-1, 1], [1, -1], [-1, -1])]
    assert sides[0] > 0.99
    assert max(sides[1:]) < 0.97


def test_vacuum_probe_of_waves_is_dark_beside_the_disk() -> None:
    values = pattern(0, shift=3).arrays["probe"].values
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    assert values.sum() == pytest.approx(1, abs=0.01)
    assert [(values * axis).sum() / values.sum() for axis in (x, y)] == pytest.approx([0, 0], abs=0.01)
    assert np.count_nonzero(values) < 8 * np.pi * RADIUS**2
