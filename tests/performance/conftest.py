"""Costs side by side: every round times the alternatives one after another, and ratios are taken round by round.

Times are processor time on one core, so that other work on the machine disturbs them little.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numba
import numpy as np
import pytest
import scipy.fft
import torch

Measured = tuple[str, str, float, float, list[float]]
"""Step, what it is compared with, median time of ours and of the other [s], other / ours in every round."""
ROWS = pytest.StashKey[list[Measured]]()
Table = list[tuple[str, ...]]
TABLES = pytest.StashKey[dict[str, Table]]()
"""Other tables by title: header and rows."""

ByTurns = Callable[..., tuple[dict[str, Any], dict[str, list[float]]]]
SideBySide = Callable[..., dict[str, Any]]
COSTS = ("step", "against", "ours [s]", "other [s]", "other / ours", "lowest-highest", "ours / other")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.stash[TABLES] = {}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture
def by_turns(benchmark: Any) -> ByTurns:
    """Time several ways by turns, the first one as the benchmark.

    Gives what each returned in the untimed call that warms it up, and its times [s]; none if benchmarks are disabled.
    """

    def measure(
        ways: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.process_time
    ) -> tuple[dict[str, Any], dict[str, list[float]]]:
        results = {name: way() for name, way in ways.items()}
        if benchmark.disabled:
            return results, {}
        times: dict[str, list[float]] = {name: [] for name in ways}
        first, *others = ways

        def time_others() -> None:
            for name in others:
                start = clock()
                ways[name]()
                times[name].append(clock() - start)

        benchmark.pedantic(ways[first], setup=time_others, rounds=rounds)
        times[first] = benchmark.stats.stats.data
        return results, times

    return measure


@pytest.fixture
def side_by_side(by_turns: ByTurns, benchmark: Any, request: pytest.FixtureRequest) -> SideBySide:
    """Time our way and others alternately; returns what each gave in the untimed call that warms it up."""

    def measure(
        step: str, ours: Callable[[], Any], others: dict[str, Callable[[], Any]], rounds: int
    ) -> dict[str, Any]:
        results, times = by_turns({"ours": ours, **others}, rounds)
        own = times.pop("ours", [])
        for name, other_times in times.items():
            ratios = [other / mine for other, mine in zip(other_times, own, strict=True)]
            benchmark.extra_info[f"{name} / ours"] = ratios
            row = (step, name, statistics.median(own), statistics.median(other_times), ratios)
            request.config.stash[ROWS].append(row)
        return results

    return measure


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Callable[[str, tuple[str, ...], tuple[str, ...]], None]:
    """Add a row to the table of a title and a header that is printed at the end."""

    def add(title: str, header: tuple[str, ...], row: tuple[str, ...]) -> None:
        request.config.stash[TABLES].setdefault(title, [header]).append(row)

    return add


@pytest.fixture
def bare_transforms(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Callable[[], None]]:
    """Record the Fourier transforms of a call; gives a function that does these transforms and nothing else."""

    def record(call: Callable[[], Any]) -> Callable[[], None]:
        transforms: list[Callable[[], Any]] = []
        # Zeros stay zeros when transformed in place; the time does not depend on the values.
        arrays: dict[Any, np.ndarray] = {}

        def recorded(transform: Callable[..., Any], x: np.ndarray, **options: Any) -> Any:
            array = arrays.setdefault((x.shape, x.dtype), np.zeros_like(x))
            transforms.append(partial(transform, array, **options))
            return transform(x, **options)

        with monkeypatch.context() as patch:
            for name in ("fft2", "ifft2", "rfft2", "irfft2"):
                patch.setattr(scipy.fft, name, partial(recorded, getattr(scipy.fft, name)))
            call()
        assert transforms, "the call does no Fourier transform through scipy.fft"

        def replay() -> None:
            for transform in transforms:
                transform()

        return replay

    return record


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tables = dict(config.stash[TABLES])
    for step, name, own, other, ratios in config.stash[ROWS]:
        ratio = statistics.median(ratios)
        spread = f"{min(ratios):.3g}-{max(ratios):.3g}" if len(ratios) > 1 else "one round"
        row = (step, name, f"{own:.3g}", f"{other:.3g}", f"{ratio:.3g}", spread, f"{1 / ratio:.3g}")
        tables.setdefault("costs side by side", [COSTS]).append(row)
    for title, (header, *rows) in tables.items():
        terminalreporter.section(title)
        lines = [header, tuple("---" for _ in header), *rows]
        widths = [max(len(row[column]) for row in lines) for column in range(len(header))]
        for row in lines:
            cells = (cell.ljust(width, "-" if cell == "---" else " ") for cell, width in zip(row, widths, strict=True))
            terminalreporter.write_line("| " + " | ".join(cells) + " |")
    if tables:
        load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
        terminalreporter.write_line(
            f"processor time, one thread, if not said otherwise; {platform.machine()}, {os.cpu_count()} cores, "
            f"load at the end {load}"
        )
