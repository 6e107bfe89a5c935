"""One run at a time in a results folder: a live one is left alone, the lock of a dead one is taken away."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exitwave.errors import RunError
from exitwave.jobs import coordinator

COORDINATOR = [sys.executable, "-m", "exitwave.jobs.coordinator"]
DONE = "structures/*/shard-000000-000004.zarr.zip"


def signed(workflow: Any, host: str, process: int) -> None:
    """Leave what a killed run leaves: who it was, and Snakemake's lock on a file that is asked for again."""
    locks = workflow.folder / ".snakemake" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "0.output.lock").write_text(f"{workflow.one(DONE).relative_to(workflow.folder)}\n")
    about = {"host": host, "process": process, "started": "2026-01-01 10:00"}
    (workflow.results / ".run.lock").write_text(json.dumps(about))


def locked(workflow: Any) -> bool:
    return any((workflow.folder / ".snakemake").glob("locks/*"))


def test_the_lock_of_a_dead_run_is_taken_away_though_its_process_number_is_in_use_again(workflow: Any) -> None:
    signed(workflow, socket.gethostname(), os.getpid())
    target = str(workflow.one(DONE).relative_to(workflow.folder))
    workflow.one(DONE).unlink()
    plain = workflow.snakemake("--cores", "1", target)
    assert plain.returncode != 0
    assert "--unlock" in plain.stderr
    done = workflow.make_run("--cores", "1", target)
    assert done.returncode == 0, done.stderr
    told = (
        f"results: the run of process {os.getpid()} on {socket.gethostname()}, started 2026-01-01 10:00, was killed: "
    )
    assert f"{told}its lock is taken away" in done.stderr
    assert workflow.one(DONE).exists()
    assert not locked(workflow)


@pytest.mark.parametrize("known", [True, False])
def test_a_lock_from_another_machine_or_of_no_known_run_is_left_to_the_user(workflow: Any, known: bool) -> None:
    signed(workflow, "node7", 1234)
    if not known:
        (workflow.results / ".run.lock").unlink()
    done = workflow.call([*COORDINATOR, "true"])
    who = "the run of process 1234 on node7, started 2026-01-01 10:00," if known else "another run"
    assert done.returncode == 1
    assert done.stderr == (
        f"error: results: {who} has left Snakemake's lock, and cannot be seen from here; if it has ended, take the "
        "lock away (make unlock), and run again\n"
    )
    assert locked(workflow)


def test_a_second_run_is_refused_in_one_sentence_and_harms_nothing(finished: Any, empty: Any) -> None:
    first = subprocess.Popen(
        empty.command("--cores", "2", "simulate", "--until", "structures"),
        cwd=empty.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    signature = empty.results / ".run.lock"
    while not (signature.exists() and signature.read_text()):
        assert first.poll() is None
        time.sleep(0.05)
    second = empty.make_run("--cores", "1")
    assert second.returncode == 1
    lines = second.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: results: the run of process {first.pid} on {socket.gethostname()}, started 2")
    assert lines[0].endswith(" is at work here; allowed: one at a time, so wait for its end, or stop it")
    assert first.wait(timeout=300) == 0
    assert empty.files("structures/*/*") == finished.files("structures/*/*")


def test_of_runs_that_start_at_once_one_goes_on(tmp_path: Path) -> None:
    command = [*COORDINATOR, "sleep", "60"]
    runs = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        deadline = time.monotonic() + 30
        while sum(run.poll() is None for run in runs) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (alive,) = (run for run in runs if run.poll() is None)
        assert {run.returncode for run in runs} == {1, None}
        others = [run.communicate()[1] for run in runs if run is not alive]
        assert all(" is at work here; allowed: one at a time" in told for told in others)
    finally:
        for run in runs:
            run.kill()
            run.wait()
    assert alive.returncode == -signal.SIGKILL
    # However it has ended, the next one goes on.
    assert subprocess.run([*COORDINATOR, "true"], cwd=tmp_path, check=True, capture_output=True).stderr == b""


def test_a_run_waits_for_the_jobs_that_a_killed_coordinator_has_left(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    job = "import sys, time; from exitwave.jobs.coordinator import take_part; take_part(); print(flush=True)"
    left = subprocess.Popen([sys.executable, "-c", f"{job}; time.sleep(60)"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert left.stdout is not None
    left.stdout.readline()
    run = subprocess.Popen([*COORDINATOR, "true"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    assert run.stderr.readline() == "results: jobs of another run are still at work: waits for their end\n"
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(timeout=0.5)
    left.kill()
    left.wait()
    assert run.wait(timeout=30) == 0


def test_where_the_file_system_has_no_locks_snakemakes_own_is_left(tmp_path: Path, monkeypatch: Any) -> None:
    def none(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    class Became(Exception):
        pass

    def become(*arguments: Any) -> None:
        raise Became

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(os, "execvp", become)
    with pytest.raises(Became):
        coordinator.start(["snakemake"])
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.output.lock").touch()
    with pytest.raises(RunError, match="cannot be seen from here; if it has ended, take the lock away"):
        coordinator.start(["snakemake"])


@pytest.mark.slow
def test_make_run_takes_the_lock_of_a_dead_run_away(workflow: Any) -> None:
    root = Path(__file__).resolve().parents[2]
    for file in ("Makefile", "pyproject.toml"):
        (workflow.folder / file).write_bytes((root / file).read_bytes())
    bin_folder = workflow.folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    paths = f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}"
    for name, command in {"python": "", "snakemake": "-m snakemake", "exitwave": "-m exitwave.cli"}.items():
        (bin_folder / name).write_text(f'#!/bin/sh\n{paths} exec {sys.executable} {command} "$@"\n')
        (bin_folder / name).chmod(0o755)
    (workflow.folder / ".venv" / ".installed").write_text(f"{workflow.folder}\n")
    signed(workflow, socket.gethostname(), 1)
    workflow.one(DONE).unlink()
    done = workflow.call(["make", "run", "STUDY=tiny.yaml", "CORES=2"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was killed: its lock is taken away" in done.stderr
    assert done.stdout.splitlines()[-1] == "report: results/report/tiny.html"
    assert (workflow.results / "report" / "tiny.html").exists()
