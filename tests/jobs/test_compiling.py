"""The first use of a kernel on a processor takes a while, which is said."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exitwave.hardware import compiling_told
from exitwave.images.kinds import simulation_of
from exitwave.jobs.simulate import make_shard

KERNELS = """
from numba import njit


@njit(cache=True)
def one(x):
    return x + 1


@njit(cache=True)
def other(x):
    return 2 * x
"""


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load kernels as a new process would; what has been compiled stays on disk."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    path = tmp_path / "exitwave_kernels.py"
    path.write_text(KERNELS, encoding="utf-8")

    def load(name: str = "exitwave_kernels") -> Any:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_compiling_is_told_once_and_only_where_nothing_is_on_disk(kernels: Any) -> None:
    told: list[str] = []
    first = kernels()
    with compiling_told(told.append):
        assert (first.one(1), first.other(2)) == (2, 4)
    assert told == ["compiling kernels for this processor, once: up to a minute"]
    told.clear()
    again = kernels()
    with compiling_told(told.append):
        assert (again.one(1), again.other(2)) == (2, 4)
    assert told == []


def test_compiling_of_others_is_not_told(kernels: Any) -> None:
    told: list[str] = []
    with compiling_told(told.append):
        assert kernels("other_kernels").one(1) == 2
    assert told == []


def test_a_job_of_the_simulation_tells_it(
    kernels: Any, jobs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def compiles_first(block: Any) -> Any:
        def make(block: Any, asked: Any) -> Any:
            kernels().one(1)
            yield from simulation_of(block).make(block, asked)

        return SimpleNamespace(make=make)

    monkeypatch.setattr("exitwave.jobs.simulate.simulation_of", compiles_first)
    caplog.set_level("INFO", logger="exitwave")
    make_shard(jobs.describe("structures"), range(1), {}, tmp_path / "shard.zarr.zip")
    assert [message for message in caplog.messages if message.startswith("compiling kernels")] != []
