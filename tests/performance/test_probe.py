"""Probes through one transmission function, against abTEM's and against one after the other."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any

import abtem
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from exitwave.config.exit_waves import Probe
from exitwave.structures.structure import Structure
from exitwave.waves.probe_waves import simulate_probes

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

CASES = {128: (24.0, 5), 336: (48.0, 3)}
"""Stored pixels along an edge: field [Å], rounds."""
SEMIANGLES = (2.0, 4.0, 8.0)
STEP = 20.0
"""Depth between planes [Å]."""
HEADER = ("output", "probes", "way", "time [s]", "best abTEM / this", "lowest-highest", "this / ours at once")


def gold(field: float) -> Structure:
    """A slab of 100 Å along an axis, of whole periods across."""
    cells = round(field / 4.078)
    crystal = bulk("Au", a=field / cells, cubic=True).repeat((cells, cells, round(100 * cells / field)))
    numbers = crystal.numbers.astype(np.uint8)
    return Structure(crystal.positions, numbers, np.ones_like(numbers), crystal.cell.lengths())


def ours(structure: Structure, block: Probe) -> NDArray[np.float64]:
    """Patterns [semiangle, position, plane, ky, kx]."""
    (found,) = simulate_probes([(structure, np.random.default_rng(1))], block)
    return np.abs(found.amplitudes[:, :, :, 0]) ** 2


def one_by_one(structure: Structure, block: Probe) -> NDArray[np.float64]:
    """The same, each semiangle and each depth by itself, as without exit planes and without a shared transmission."""
    return np.concatenate(
        [ours(structure, block.model_copy(update={"semiangle": semiangle})) for semiangle in block.semiangles]
    )


def with_abtem(structure: Structure, block: Probe, fft: str) -> NDArray[np.float64]:
    """The same by abTEM's probes with exit planes, all positions of a semiangle in one batch."""
    positions = np.full((1, 2), structure.cell[0] / 2)
    if block.positions != "centre":
        positions = np.random.default_rng(1).uniform(0, structure.cell[0], (block.positions, 2))
    size, thickness = round(structure.cell[0] / block.sampling), block.slice_thickness
    n_slices = int(np.ceil(structure.cell[2] / thickness - 1e-9))
    settings = {
        "fft": fft,
        "fftw.threads": 1,
        "fftw.planning_effort": "FFTW_MEASURE",
        "precision": "float32",
        "antialias.cutoff": 2 / 3,
        "antialias.taper": 0.01,
    }
    found = []
    every = round(STEP / thickness)
    cell = (*structure.cell[:2], n_slices * thickness)
    with abtem.config.set(settings):
        potential = abtem.Potential(
            Atoms(structure.numbers, structure.positions, cell=cell, pbc=True),
            gpts=size * 3 // 2,
            slice_thickness=thickness,
            exit_planes=tuple(range(every - 1, n_slices, every)),
        ).build(lazy=False)
        for semiangle in block.semiangles:
            probe = abtem.Probe(semiangle_cutoff=semiangle, energy=block.energy)
            waves = probe.multislice(potential, scan=abtem.CustomScan(positions), lazy=False)
            spectra = np.fft.fftshift(np.fft.fft2(waves.array.swapaxes(-2, -1)), axes=(-2, -1))
            low = size * 3 // 4 - size // 2
            found.append(
                np.abs(spectra[..., low : low + size, low : low + size]).astype(np.float64).swapaxes(0, 1) ** 2
            )
    return np.stack(found) / (size * 3 // 2) ** 2


@pytest.mark.parametrize("n_positions", [1, 4])
@pytest.mark.parametrize("stored", CASES)
def test_probes_through_one_transmission(stored: int, n_positions: int, by_turns: Any, table: Any) -> None:
    field, rounds = CASES[stored]
    structure = gold(field)
    options: dict[str, Any] = {"semiangle": list(SEMIANGLES), "positions": n_positions, "thickness_step": STEP}
    block = Probe(kind="probe", structures="s", sampling=field / stored, **options)
    plain = block.model_copy(update={"scheme": "conventional"})
    ways = {
        "ours, accurate": partial(ours, structure, block),
        "ours, conventional": partial(ours, structure, plain),
        "ours, accurate, each semiangle by itself": partial(one_by_one, structure, block),
        "abTEM, FFTW": partial(with_abtem, structure, block, "fftw"),
        "abTEM, NumPy": partial(with_abtem, structure, block, "numpy"),
    }
    results, times = by_turns(ways, rounds)
    expected = results["abTEM, NumPy"]
    expected = expected / expected.sum((-2, -1), keepdims=True)
    found = results["ours, conventional"]
    found = found / found.sum((-2, -1), keepdims=True)
    assert np.abs(found - expected).sum((-2, -1)).max() <= 0.01
    np.testing.assert_allclose(
        results["ours, accurate, each semiangle by itself"], results["ours, accurate"], atol=1e-6
    )
    if not times:
        return
    medians = {name: statistics.median(of_rounds) for name, of_rounds in times.items()}
    best = min((name for name in times if "abTEM" in name), key=lambda name: medians[name])
    for name, of_rounds in times.items():
        ratios = [other / own for other, own in zip(times[best], of_rounds, strict=True)]
        row = (f"{stored}²", str(n_positions * len(SEMIANGLES)), name, f"{medians[name]:.3g}",
               f"{statistics.median(ratios):.3g}", f"{min(ratios):.3g}-{max(ratios):.3g}",
               f"{medians[name] / medians['ours, accurate']:.2g}")  # fmt: skip
        table("probes of three semiangles through 100 Å of gold, patterns every 20 Å", HEADER, row)
