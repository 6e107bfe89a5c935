"""Patterns of convergent beams: all thicknesses and semiangles of a crystal in an orientation, beside abTEM."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import abtem
import numpy as np
import pytest
from ase import Atoms

from exitwave.config.exit_waves import ScatteringMatrix
from exitwave.config.patterns import Diffraction
from exitwave.data.shards import open_shard, shard_writer
from exitwave.electron import wavelength
from exitwave.images import diffraction
from exitwave.imaging.aperture import aperture_table
from exitwave.imaging.patterns import Geometry, Optics, disks_of, render
from exitwave.items import Asked, Item
from exitwave.waves import scattering_matrix
from known_crystals import DISPLACEMENT, strontium_titanate

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

SEMIANGLES, CELLS, EDGE = (1.0, 2.0, 4.0), 12, 3.905
PIXEL = 1 / (CELLS * EDGE)
STEP = 5 * EDGE
"""Distance of planes [Å], a whole number of cells."""


def matrix(size: float = PIXEL, tolerance: float | None = None) -> tuple[ScatteringMatrix, Item]:
    block = ScatteringMatrix(
        kind="scattering_matrix", structures="any", tilt_step=size, thickness=25 * STEP, thickness_step=STEP,
        tolerance=tolerance,
        rms_displacements=dict.fromkeys(("Sr", "Ti", "O"), DISPLACEMENT),
    )  # fmt: skip
    arrays = {"structures": strontium_titanate().arrays()}
    (item,) = scattering_matrix.make(block, [Asked(0, (np.random.default_rng(0),), {}, arrays)])
    return block, item


def ours(tolerance: float | None) -> list[np.ndarray]:
    """From the crystal to 75 patterns of 256²."""
    block, item = matrix(PIXEL, tolerance)
    length = wavelength(block.energy)
    arrays = {name: array.values for name, array in item.arrays.items()}
    patterns = []
    for plane, thickness in enumerate(arrays["planes"]):
        disks = disks_of(
            arrays["amplitudes"][plane], arrays["tilts"], arrays["beams"][:, 3:], PIXEL, float(thickness), length
        )
        for semiangle in SEMIANGLES:
            table = aperture_table("disk", semiangle * 1e-3 / length / PIXEL)
            patterns.append(render(disks, Geometry(256, PIXEL), Optics(table, length)))
    return patterns


def by_abtem() -> list[np.ndarray]:
    """The same by multislice of a probe in a box of 46.9 Å, 512 points and two slices a cell, as the paper has it."""
    cell = strontium_titanate()
    atoms = Atoms(cell.numbers, scaled_positions=cell.fractional, cell=cell.cell, pbc=True).repeat((CELLS, CELLS, 125))
    with abtem.config.set({"precision": "float32", "device": "cpu"}):
        potential = abtem.Potential(
            atoms, gpts=512, slice_thickness=EDGE / 2, projection="infinite", parametrization="lobato", exit_planes=10
        ).build(lazy=False)
        patterns = []
        for semiangle in SEMIANGLES:
            probe = abtem.Probe(energy=300e3, semiangle_cutoff=semiangle, extent=CELLS * EDGE, gpts=512)
            waves = probe.multislice(potential, scan=(0.0, 0.0), lazy=False)
            patterns.append(waves.diffraction_patterns(max_angle=None, fftshift=True).array)
    return patterns


@pytest.mark.parametrize("tolerance", [None, 0.1], ids=["limits as given", "default tolerance"])
def test_patterns_of_all_thicknesses_and_semiangles(tolerance: float | None, side_by_side: Any) -> None:
    """Of the default limits the tolerance makes 269 beams of 185 here; abTEM has two slices a cell in both."""
    told = f"75 patterns of SrTiO3 [001], tolerance {tolerance or 'null'}"
    found = side_by_side(told, partial(ours, tolerance), {"abTEM, probe multislice": by_abtem}, rounds=2)
    assert len(found["ours"]) == 75


@pytest.mark.parametrize("size", [128, 256])
def test_patterns_recorded_from_what_is_stored(size: int, tmp_path: Path, by_turns: Any, table: Any) -> None:
    """Read from a shard, rendered, counted and listed: eight patterns of each crystal."""
    _, item = matrix(0.0217)
    cell = strontium_titanate()
    path = tmp_path / "shard.zarr.zip"
    with shard_writer(path, 1, {}) as writer:
        writer.add(item)
    images = Diffraction(
        kind="diffraction", exit_waves="any", size=size, dose=1e5, shift={"uniform": [-2, 2]},
        ellipticity={"uniform": [0, 0.02]}, background={"weight": 0.1},
    )  # fmt: skip

    def take() -> list[Item]:
        rngs = tuple(np.random.default_rng(number) for number in range(8))
        sources = {"structures": cell.arrays(), "exit_waves": open_shard(path).item(0)}
        return list(diffraction.make(images, [Asked(0, rngs, item.row, sources)]))

    found, times = by_turns({"patterns": take}, rounds=9)
    assert len(found["patterns"]) == 8
    if times:
        rate = 8 / float(np.median(times["patterns"]))
        table("patterns from stored matrices", ("size", "a second and core"), (f"{size}²", f"{rate:.0f}"))
        kept = path.stat().st_size / 1e6
        table("a stored matrix", ("beams", "MB"), (f"{item.row['beams_stored']}", f"{kept:.1f}"))
