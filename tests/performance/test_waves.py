"""Exit waves of whole structure and particles alone: against abTEM, and against the bare Fourier transforms.

Run as a script it simulates by one way alone in a process, once a line of input, and says how much memory that took.
"""

from __future__ import annotations

import importlib.util
import math
import os
import pickle
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import abtem
import numpy as np
import pytest
import scipy.fft
import torch
from ase import Atoms
from numpy.typing import NDArray

from exitwave.config.exit_waves import PlaneWave
from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.structures.recipes import build_structure
from exitwave.structures.structure import Structure
from exitwave.waves.exit_waves import propagate, simulate_exit_waves
from exitwave.waves.grid import simulation_grid
from exitwave.waves.thermal import thermal_motion

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

SCHEMES = ("conventional", "accurate")
CASES = {256: (102.4, 0.4, 3, 7), 512: (204.8, 0.4, 12, 3), 1024: (204.8, 0.2, 12, 2)}
"""Stored pixels along an edge: field [Å], their pixel [Å], number of gold particles, rounds."""


@dataclass(frozen=True)
class Case:
    """A structure, and the ways to its exit waves; each gives [2, phonon, y, x]."""

    structure: Structure
    sampling: float
    phonons: int = 1
    device: str = "cpu"

    @property
    def field(self) -> float:
        return float(self.structure.cell[0])

    @property
    def size(self) -> int:
        """Edge of the simulation grid [px]."""
        return simulation_grid(self.field, self.sampling)

    @cached_property
    def block(self) -> PlaneWave:
        options: Any = {"sampling": self.sampling, "frozen_phonons": self.phonons, "device": self.device}
        return PlaneWave(kind="plane_wave", structures="s", **options)

    @property
    def n_slices(self) -> int:
        return math.ceil(float(self.structure.cell[2]) / self.block.slice_thickness)

    def ours(self, scheme: str) -> NDArray[np.complex64]:
        block = self.block.model_copy(update={"scheme": scheme})
        found = simulate_exit_waves(self.structure, block, np.random.default_rng(1))
        return np.stack([found.whole, found.particles])

    def with_abtem(self, fft: str = "fftw", threads: int = 1) -> list[list[NDArray[np.complex64]]]:
        """At the exit plane, [y, x] on the simulation grid."""
        settings = {
            "device": "gpu" if self.device == "cuda" else "cpu",
            "fft": fft,
            "fftw.threads": threads,
            "fftw.planning_effort": "FFTW_MEASURE",
            "mkl.threads": threads,
            "precision": "float32",
            "antialias.cutoff": 2 / 3,
            "antialias.taper": 0.01,
        }
        with abtem.config.set(settings):
            return [[self._wave(moved, chosen) for moved in self._moved()] for chosen in (slice(None), self._particles)]

    def transforms(self, library: str, limited: bool) -> Callable[[], None]:
        """The Fourier transforms of a plain implementation, and nothing else; see :meth:`count`."""
        shape, (n_real, n_complex) = (self.size, self.size), self.count(limited)
        bare_real: Callable[[], Any]
        bare_complex: Callable[[], Any]
        if library == "scipy":
            bare_real = partial(scipy.fft.rfft2, np.zeros(shape, np.float32), workers=1)
            bare_complex = partial(scipy.fft.fft2, np.zeros(shape, np.complex64), overwrite_x=True, workers=1)
        else:
            wave, out = (torch.zeros(shape, dtype=torch.complex64, device=self.device) for _ in range(2))
            bare_real = partial(torch.fft.rfft2, torch.zeros(shape, device=self.device))
            bare_complex = partial(torch.fft.fft2, wave, out=out)

        def run() -> None:
            for _ in range(n_real):
                bare_real()
            for _ in range(n_complex):
                bare_complex()
            if self.device == "cuda":
                torch.cuda.synchronize()

        return run

    def count(self, limited: bool) -> tuple[int, int]:
        """Real and complex transforms of a plain implementation that builds a slice of particle atoms once.

        Real: one for each element among the atoms of a slice, particles and substrate apart, and one back for each
        potential. Complex: two for each transmission function if it is limited, and two for each wave it acts on.
        """
        n_real = n_complex = 0
        for moved in self._moved():
            slices = np.clip(moved[:, 2] // self.block.slice_thickness, 0, self.n_slices - 1)
            elements: dict[bool, set[tuple[int, int]]] = {
                kind: set(zip(slices[chosen].tolist(), self.structure.numbers[chosen].tolist(), strict=True))
                for kind, chosen in ((True, self._particles), (False, ~self._particles))
            }
            in_particles, in_substrate = ({index for index, _ in elements[kind]} for kind in (True, False))
            transmissions = len(in_particles) + len(in_substrate)
            n_real += len(elements[True]) + len(elements[False]) + transmissions
            n_complex += 2 * (len(in_particles) + len(in_particles | in_substrate)) + 2 * limited * transmissions
        return n_real, n_complex

    def error(self, waves: NDArray[np.complex64], reference: list[list[NDArray[np.complex64]]]) -> float:
        """Largest relative error of a scattered wave."""
        z, exit_plane = self.structure.positions[:, 2], (self.n_slices + 0.5) * self.block.slice_thickness
        distances = (exit_plane - (z.min() + z.max()) / 2, exit_plane - z[self._particles].mean())
        errors = []
        for phonons, distance, expected in zip(waves, distances, reference, strict=True):
            for wave, other in zip(
                propagate(phonons, distance, self.block.energy, self.sampling), expected, strict=True
            ):
                cut = on_output_grid(other, len(wave))
                errors.append(np.linalg.norm(wave - cut) / np.linalg.norm(cut - cut.mean()))
        return float(max(errors))

    @cached_property
    def _particles(self) -> NDArray[np.bool_]:
        return self.structure.object_id > 0

    def _moved(self) -> Iterator[NDArray[np.float64]]:
        rng = np.random.default_rng(1)
        motion = thermal_motion(self.structure, self.block.temperature)
        for _ in range(self.phonons):
            moved = self.structure.positions + motion.displacements(rng)
            moved[:, :2] %= self.field
            yield moved

    def _wave(self, positions: NDArray[np.float64], chosen: Any) -> NDArray[np.complex64]:
        thickness = self.block.slice_thickness
        cell = (self.field, self.field, self.n_slices * thickness)
        atoms = Atoms(self.structure.numbers[chosen], positions[chosen], cell=cell, pbc=True)
        potential = abtem.Potential(atoms, gpts=self.size, slice_thickness=thickness)
        wave = abtem.PlaneWave(energy=self.block.energy).multislice(potential, lazy=False)
        array: NDArray[np.complex64] = wave.to_cpu().array.T
        return array


def on_output_grid(wave: NDArray[np.complex64], size: int) -> NDArray[np.complex128]:
    kept = np.r_[: size // 2, -(size // 2) : 0]
    return np.fft.ifft2(np.fft.fft2(wave)[np.ix_(kept, kept)]) * (size / len(wave)) ** 2


def gold_on_carbon(field: float, number: int) -> Structure:
    block = NanoparticlesOnSubstrate(
        kind="nanoparticles_on_substrate",
        count=1,
        field_of_view=field,
        particles={"material": "Au", "number": number, "radius": 18},
        substrate={"thickness": 40},
    )
    return build_structure(block, np.random.default_rng(0))


def make_case(stored: int, **options: Any) -> tuple[Case, int]:
    """The case of a size, and the rounds it is timed for."""
    field, sampling, number, rounds = CASES[stored]
    case = Case(gold_on_carbon(field, number), sampling, **options)
    assert case.size == 1.5 * stored
    return case, rounds


WAYS: dict[str, Callable[[Case], Any]] = {
    **{f"ours, {scheme}": partial(Case.ours, scheme=scheme) for scheme in SCHEMES},
    "abTEM, FFTW": Case.with_abtem,
    "abTEM, FFTW, 2 threads": partial(Case.with_abtem, threads=2),
    "abTEM, NumPy": partial(Case.with_abtem, fft="numpy"),
}
if importlib.util.find_spec("mkl_fft"):
    WAYS["abTEM, MKL"] = partial(Case.with_abtem, fft="mkl")


@pytest.mark.parametrize("stored", CASES)
def test_exit_waves_of_a_phonon(stored: int, by_turns: Any, table: Any) -> None:
    case, rounds = make_case(stored)
    ways = {name: partial(way, case) for name, way in WAYS.items() if "threads" not in name}
    results, times = by_turns(ways | floors(case, ("scipy", "torch")), rounds)
    errors = errors_of_ours(case, results, results["abTEM, FFTW"])
    if times:
        report(case, stored, times, errors, table)


def test_exit_waves_on_two_cores(request: pytest.FixtureRequest, table: Any, tmp_path: Path) -> None:
    """By the clock: abTEM with two threads, and two processes side by side, as the workflow runs its jobs."""
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("nothing is tested here, only measured")
    cases = {stored: make_case(stored) for stored in CASES}
    for stored, (case, _) in cases.items():
        (tmp_path / str(stored)).write_bytes(pickle.dumps((case.structure, case.sampling)))
    runs = {"abTEM, FFTW, 2 threads": 1, "abTEM, FFTW": 2, **{f"ours, {scheme}": 2 for scheme in SCHEMES}}
    found = {name: apart(name, processes, cases, tmp_path) for name, processes in runs.items()}
    for stored in CASES:
        best = min(found[name][stored][0] for name in runs if "abTEM" in name)
        for name, processes in runs.items():
            seconds, memory = found[name][stored]
            row = (f"{stored}²", name, str(processes), f"{seconds:.3g}", f"{best / seconds:.2g}", f"{memory:.0f}")
            table("exit waves on two cores, by the clock", CLOCK, row)


CLOCK = ("output", "way", "processes", "time / phonons [s]", "best abTEM / this", "memory of a process [MB]")
HEADER = ("output", "way", "time [s]", "best abTEM / this", "lowest-highest", "this / FFTs", "error [%]")


@pytest.mark.gpu
@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize("stored", CASES)
def test_exit_waves_on_a_gpu(stored: int, by_turns: Any, table: Any) -> None:
    """Eight phonons, by the clock."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    case, rounds = make_case(stored, phonons=8, device="cuda")
    ways: dict[str, Callable[[], Any]] = {f"ours, {scheme}": partial(case.ours, scheme) for scheme in SCHEMES}
    if importlib.util.find_spec("cupy"):
        ways["abTEM, CuPy"] = case.with_abtem
    results, times = by_turns(ways | floors(case, ("torch",)), rounds, time.perf_counter)
    reference = results.get("abTEM, CuPy") or replace(case, device="cpu").with_abtem()
    errors = errors_of_ours(case, results, reference)
    if times:
        report(case, stored, times, errors, table)


def floors(case: Case, libraries: tuple[str, ...]) -> dict[str, Callable[[], None]]:
    """The bare transforms, by a name that says how many of them and by what."""
    ways = {}
    for scheme in SCHEMES:
        n_real, n_complex = case.count(scheme == "conventional")
        for library in libraries:
            name = f"FFTs alone, {scheme}: {n_real} real, {n_complex} complex; {library}"
            ways[name] = case.transforms(library, scheme == "conventional")
    return ways


def errors_of_ours(
    case: Case, results: dict[str, Any], reference: list[list[NDArray[np.complex64]]]
) -> dict[str, float]:
    errors = {f"ours, {scheme}": case.error(results[f"ours, {scheme}"], reference) for scheme in SCHEMES}
    assert errors["ours, conventional"] <= 0.01
    return errors


def report(
    case: Case,
    stored: int,
    times: dict[str, list[float]],
    errors: dict[str, float],
    table: Any,
) -> None:
    medians = {name: statistics.median(of_rounds) for name, of_rounds in times.items()}
    best = min((name for name in times if "abTEM" in name), key=lambda name: medians[name], default=None)
    output = f"{stored}², {len(case.structure.numbers):,} atoms, {case.n_slices} slices, phonons: {case.phonons}"
    for name, of_rounds in times.items():
        ratio = spread = share = ""
        if best:
            ratios = [other / own for other, own in zip(times[best], of_rounds, strict=True)]
            ratio, spread = f"{statistics.median(ratios):.2g}", f"{min(ratios):.2g}-{max(ratios):.2g}"
        if name in errors:
            scheme = name.removeprefix("ours, ")
            share = f"{medians[name] / min(medians[floor] for floor in times if f'alone, {scheme}' in floor):.2g}"
        error = f"{100 * errors[name]:.2g}" if name in errors else ""
        title = f"exit waves of whole structure and particles alone, {case.device}"
        table(title, HEADER, (output, name, f"{medians[name]:.3g}", ratio, spread, share, error))
        output = ""


def apart(
    name: str, processes: int, cases: dict[int, tuple[Case, int]], folder: Path
) -> dict[int, tuple[float, float]]:
    """Time by the clock over phonons [s], and peak memory of a process [MB], by size, in processes side by side."""
    # These are for the libraries beneath NumPy and PyTorch; FFTW has its own.
    alone = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command: list[Any] = [sys.executable, __file__, name, folder]
    with ExitStack() as stack:
        running = []
        for _ in range(processes):
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            running.append(stack.enter_context(subprocess.Popen(command, text=True, env=os.environ | alone, **pipes)))

        def run(stored: int) -> float:
            """Simulate once in every process; gives the largest peak memory so far [MB]."""
            for process in running:
                print(stored, file=process.stdin, flush=True)
            answers = [process.stdout.readline() for process in running]
            return max(float(answer) for answer in answers)

        found = {}
        for stored, (_, rounds) in cases.items():
            seconds = []
            memory = run(stored)
            for _ in range(rounds):
                start = time.perf_counter()
                run(stored)
                seconds.append((time.perf_counter() - start) / processes)
            found[stored] = statistics.median(seconds), memory
    return found


def main(name: str, folder: str) -> None:
    """Simulate a size for every line of input, and print how much memory all have needed at most [MB]."""
    # What libraries need whatever the size of the field is there after a small one.
    WAYS[name](Case(gold_on_carbon(40.0, 1), 0.4))
    before = peak_memory()
    for stored in map(str.strip, sys.stdin):
        WAYS[name](Case(*pickle.loads((Path(folder) / stored).read_bytes())))
        print(peak_memory() - before, flush=True)


def peak_memory() -> float:
    """Largest resident set so far [MB]."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux includes the process that started this one
        return float(status.read_text().split("VmHWM:")[1].split()[0]) * 1.024e-3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
