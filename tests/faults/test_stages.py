"""At every stage: a disk that is full at any of its files, and inputs that are damaged or those of another job."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exitwave.data import whole
from exitwave.errors import ExitwaveError
from exitwave.report.figure import kind_of
from exitwave.study.link import load_study
from exitwave.study.plan import SIMULATION
from jobs_by_hand import Job, jobs_of

JOBS = {
    "exit_waves/plane_wave",
    "images/hrtem",
    "datasets",
    "trainings/segmentation",
    "benchmarks/simulated/network",
    "benchmarks/simulated/baselines",
    "benchmarks/simulated/summary",
    "figures/images/hrtem/contact_sheet.png",
    "figures/trainings/segmentation/learning_curves.png",
    "figures/benchmarks/simulated/scores.html",
    "catalog",
}
"""Of the tiny study in the default run: one a stage. All jobs of all kinds are among the slow tests."""


@pytest.fixture(scope="module")
def tiny(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the finished tiny study; each test leaves it as it was."""
    yield from copied(finished.folder, tmp_path_factory)


@pytest.fixture(scope="module")
def large(every: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the finished study of every kind; each test leaves it as it was."""
    yield from copied(every.folder, tmp_path_factory)


def copied(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stages") / "study"
    shutil.copytree(study, folder, symlinks=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=sorted(JOBS))
def job(tiny: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tiny)
    return next(job for job in jobs_of(load_study("tiny.yaml"), "tiny") if job.cell == request.param)


@contextmanager
def kept(*files: str) -> Iterator[None]:
    """Put files back as they are, whatever is done to them."""
    before = {file: (Path(file).read_bytes(), os.stat(file)) for file in files}
    try:
        yield
    finally:
        for file, (content, times) in before.items():
            Path(file).write_bytes(content)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def content(file: str) -> bytes:
    """Bytes of a file, of a history without the seconds of its epochs."""
    raw = Path(file).read_bytes()
    return b"\n".join(line.rpartition(b",")[0] for line in raw.splitlines()) if file.endswith("history.csv") else raw


def hidden(job: Job) -> list[str]:
    """What is left of files that were not finished."""
    return [p.name for folder in {Path(f).parent for f in job.writes} for p in folder.iterdir() if p.suffix == ".part"]


@contextmanager
def full_disk(name: str) -> Iterator[None]:
    """A disk that has no room for the files of a name."""
    written = os.fsync

    def fsync(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2].startswith(f".{name}."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole.os, "fsync", fsync)
        yield


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_at_any_file(job: Job) -> None:
    """A disk full at any file is named, and with room the job goes on."""
    expected = {file: content(file) for file in job.writes}
    with kept(*job.writes):
        files = [*(["checkpoint.pt"] if job.cell.startswith("trainings/") else []), *job.writes]
        for file in files:
            for output in job.writes:
                Path(output).unlink(missing_ok=True)
            with full_disk(Path(file).name), pytest.raises(ExitwaveError) as caught:
                job.run()
            sentence = rf"{re.escape(file)}: cannot be written \(No space left on device\): .*make room"
            assert re.search(sentence, str(caught.value)), caught.value
            assert "\n" not in str(caught.value)
            assert not Path(file).exists()
            assert not hidden(job)
            # What had room is whole.
            assert all(content(output) == expected[output] for output in job.writes if Path(output).exists())
        with (
            small_files(20),
            pytest.raises(ExitwaveError, match=r": cannot be written \(File too large\): .*make room"),
        ):
            job.run()
        job.run()
        assert {file: content(file) for file in job.writes} == expected
        assert not hidden(job)
        assert not list(Path(job.writes[0]).parent.glob("checkpoint.pt"))


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size * 2 // 3)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def removed(file: Path) -> None:
    file.unlink()


def flipped(share: float) -> Callable[[Path], None]:
    def flip(file: Path) -> None:
        raw = bytearray(file.read_bytes())
        raw[int(share * len(raw))] ^= 0x10
        file.write_bytes(raw)

    return flip


BROKEN = {"truncated": truncated, "empty": emptied, "missing": removed}
FLIPPED = {f"flipped at {share:.3f}": flipped(share) for share in np.random.default_rng(5).random(3)}


def damaged_inputs(job: Job) -> None:
    """Damaged inputs are named, or make no difference."""
    expected = {file: content(file) for file in job.writes}
    for file in sampled(job.reads):
        for harm, damage in {**BROKEN, **FLIPPED}.items():
            with kept(file, *job.writes):
                for output in job.writes:
                    Path(output).unlink()
                damage(Path(file))
                told = refusal(job)
                if told is None:
                    # What a job does not look at can make no difference.
                    assert {output: content(output) for output in job.writes} == expected, f"{file} {harm}"
                else:
                    named = Path(file).name.removesuffix(".zarr.zip").removesuffix(".parquet")
                    assert named in told, f"{file} {harm}: {told}"
                    assert "\n" not in told
                    assert not any(Path(output).exists() for output in job.writes[:1]), f"{file} {harm}"
                assert not hidden(job)


def foreign_inputs(job: Job) -> None:
    """Inputs that are those of another job are named, or make no difference."""
    expected = {file: content(file) for file in job.writes}
    for file in sampled(job.reads):
        for other in others(file):
            pairs = [(file, other)]
            if file.endswith(".zarr.zip"):
                pairs += [(table(file), table(other))]
            elif file.endswith((".parquet", ".safetensors", ".json")) and Path(shard(file)).exists():
                pairs += [(shard(file), shard(other))]
            foreign = {target: Path(source).read_bytes() for target, source in pairs}
            if all(Path(target).read_bytes() == raw for target, raw in foreign.items()):
                continue
            with kept(*(file for file, _ in pairs), *job.writes):
                for output in job.writes:
                    Path(output).unlink()
                for target, raw in foreign.items():
                    Path(target).write_bytes(raw)
                told = refusal(job)
                if told is None:
                    # A job need not look at a shard of which it draws no image.
                    assert {output: content(output) for output in job.writes} == expected, f"{other} as {file}"
                else:
                    assert "\n" not in told


def table(file: str) -> str:
    return file.replace(".zarr.zip", ".parquet")


def shard(file: str) -> str:
    """What stands beside a file and goes with it."""
    if file.endswith("weights.safetensors"):
        return str(Path(file).with_name("network.json"))
    return file.replace(".parquet", ".zarr.zip")


def others(file: str) -> list[str]:
    """Files of the same sort in other places: of other items or another seed, and of another block."""
    path = Path(file)
    beside = [p for p in sorted(path.parent.glob(f"*{''.join(path.suffixes)}")) if p != path and "shard-" in p.name]
    of_seeds = sorted(path.parent.parent.glob(f"seed-*/{path.name}"))
    elsewhere = sorted(path.parents[1].glob(f"*/{path.name}")) + sorted(path.parents[2].glob(f"*/*/{path.name}"))
    found = [p for p in (*beside, *of_seeds, *elsewhere) if p != path]
    return list(dict.fromkeys(str(p) for p in found))[:3]


def sampled(files: tuple[str, ...]) -> list[str]:
    """Of files that differ in their place only the first."""
    return list(
        {(Path(file).parts[1], Path(file).name.split("-")[0], Path(file).suffix): file for file in files[::-1]}.values()
    )


def refusal(job: Job) -> str | None:
    """The sentence with which a job ends; nothing if it does its work."""
    try:
        job.run()
    except ExitwaveError as error:
        return str(error)
    return None


CHECKS = [full_at_any_file, damaged_inputs, foreign_inputs]


@pytest.mark.parametrize("check", CHECKS)
def test_at_every_stage_a_fault_is_named_and_nothing_wrong_is_made(job: Job, check: Callable[[Job], None]) -> None:
    check(job)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_so_it_is_for_every_kind(large: Path, check: Callable[[Job], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(large)
    study = load_study("every_kind.yaml")
    jobs = jobs_of(study, "every_kind")
    assert {f"{m.stage}/{kind_of(m)}" for stage in SIMULATION for m in study.stage(stage)} <= {job.cell for job in jobs}
    for job in jobs:
        try:
            check(job)
        except (Exception, pytest.fail.Exception) as error:
            raise AssertionError(job.cell) from error
