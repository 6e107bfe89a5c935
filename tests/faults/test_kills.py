"""Killed at any moment: a job, the coordinator or all of a run; run again, everything is as if nothing had been."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exitwave.config.kinds import STAGES
from exitwave.report.figure import kind_of
from exitwave.study.link import load_study

VICTIMS = ("job", "coordinator", "group")
TRIALS = 50
LONGEST = 30.0
"""Time that a run is expected to take at the most [s]; one that is done before is repeated, its time known."""
AT_ONCE = 3
"""Files that are made anew in a trial, with all that their jobs make."""
LOCKS = {".run.lock", ".jobs.lock"}
"""Stay in the folder of results, held by no one."""
MEASURED = ("logs/", "benchmarks_of_jobs/", "report/tiny/costs.", "report/every_kind/costs.")
"""Files that hold times, which no two runs have in common."""


def cells_of(workflow: Any, study: str) -> dict[str, list[str]]:
    """Files that belong to one block of every kind of every stage, and those of the study as a whole."""
    with chdir(workflow.folder):
        loaded, name = load_study(study), Path(study).stem
    cells: dict[str, list[str]] = {}
    for stage in STAGES:
        for member in loaded.stage(stage):
            cell = f"{stage}/{kind_of(member)}"
            if cell not in cells:
                folders = (workflow.results / member.folder, workflow.results / "report" / name / member.folder)
                cells[cell] = _files(workflow, *folders)
    cells["report"] = [
        f"results/report/{name}/{file}" for file in ("catalog.parquet", "costs.html", "costs.png", "index.html")
    ]
    return {cell: files for cell, files in cells.items() if files}


def _files(workflow: Any, *folders: Path) -> list[str]:
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(path.relative_to(workflow.folder)) for path in found]


def trial(number: int, workflow: Any, reference: Any, study: str, cell: str, victim: str) -> str:
    """Make some files of a cell anew, kill at a random moment, run again and compare; what was done, in words."""
    rng, of_cell = np.random.default_rng(number), cells_of(reference, study)[cell]
    files = [str(file) for file in rng.choice(of_cell, min(AT_ONCE, len(of_cell)), replace=False)]
    share = float(rng.random())
    about = LONGEST
    for _ in range(5):
        for file in files:
            (workflow.folder / file).unlink()
        moment = share * about
        lived = killed(workflow, files, study, victim, moment, number)
        if lived is None:
            break
        # It was done before: now it is known how long it takes.
        assert_as_before(workflow, reference)
        about = lived
    else:
        raise AssertionError(f"{cell} was done before it could be killed")
    left = sum(not (workflow.folder / file).exists() for file in files)
    done = workflow.make_run("--cores", "2", *files, study=study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_as_before(workflow, reference)
    assert workflow.planned(study=study) == {}
    return f"{cell}: {victim} killed after {moment:.1f} s with {left} of {len(files)} files to be made"


def killed(workflow: Any, files: list[str], study: str, victim: str, moment: float, number: int) -> float | None:
    """Start a run and kill a part of it at a moment; how long it has taken where it was done before."""
    start = time.monotonic()
    run = subprocess.Popen(
        workflow.as_made("--cores", "2", *files, study=study),
        cwd=workflow.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        run.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        if victim == "group":
            os.killpg(run.pid, signal.SIGKILL)
        elif victim == "coordinator":
            run.kill()
        elif not _kill_a_job(run, np.random.default_rng(number)):
            return time.monotonic() - start
        run.wait()
        return None
    assert run.returncode == 0
    return time.monotonic() - start


def _kill_a_job(run: subprocess.Popen[bytes], rng: np.random.Generator) -> bool:
    """Kill a process of a job that a run has started, or of the next one that it starts; whether there was one."""
    while run.poll() is None:
        if processes := list(_children(run.pid)):
            # One that has ended by itself meanwhile was none to kill.
            with suppress(ProcessLookupError):
                os.kill(int(rng.choice(processes)), signal.SIGKILL)
                return True
        time.sleep(0.01)
    return False


def _children(parent: int) -> Iterator[int]:
    """Processes of jobs that a process has started, and those that these have."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            started_by = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            of_a_job = b"snakemake" in (process / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if started_by == parent and of_a_job:
            yield int(process.name)
            yield from _children(int(process.name))


def assert_as_before(workflow: Any, reference: Any) -> None:
    """The same files with the same content, and nothing beside them."""
    made, expected = (
        {str(path.relative_to(w.results)): path for path in w.results.rglob("*") if path.is_file()}
        for w in (workflow, reference)
    )
    assert {*made} - LOCKS == {*expected} - LOCKS
    for name in sorted({*expected} - LOCKS):
        if not name.startswith(MEASURED):
            assert content(made[name]) == content(expected[name]), name
        # As if all had been made in one run, since what is made from these files is that of the reference.
        times = expected[name].stat()
        os.utime(made[name], ns=(times.st_atime_ns, times.st_mtime_ns))


def content(path: Path) -> bytes:
    """Bytes of a file, of a history without the seconds of its epochs."""
    raw = path.read_bytes()
    if path.name == "history.csv":
        return pd.read_csv(io.BytesIO(raw)).drop(columns="seconds").to_csv(index=False).encode()
    return raw


@pytest.mark.parametrize(
    ("number", "cell", "victim"),
    [(0, "exit_waves/plane_wave", "group"), (2, "images/hrtem", "job")],
)
def test_killed_at_a_random_moment_and_run_again_all_is_as_undisturbed(
    finished: Any, workflow: Any, number: int, cell: str, victim: str
) -> None:
    print(trial(number, workflow, finished, "tiny.yaml", cell, victim))


@pytest.fixture(scope="session")
def again(every: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The study of every kind, to be changed; each trial leaves it as it was."""
    folder = tmp_path_factory.mktemp("again") / "study"
    shutil.copytree(every.folder, folder, symlinks=True)
    return type(every)(folder)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(TRIALS))
def test_every_kind_of_every_stage_survives_every_kill(every: Any, again: Any, number: int) -> None:
    cells = cells_of(every, "every_kind.yaml")
    assert {cell.split("/")[0] for cell in cells} == {*STAGES} - {"models"} | {"report"}
    cell = list(cells)[number % len(cells)]
    # Every cell with every victim, once there are three times as many trials as cells.
    victim = VICTIMS[(number + number // len(cells)) % len(VICTIMS)]
    print(trial(number, again, every, "every_kind.yaml", cell, victim))
