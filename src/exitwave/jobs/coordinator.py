"""One run at a time in a results folder, and the end of a killed one noticed.

Two files of the folder are locked while a process lives. The system takes such a lock back however the process ends, so
that neither a process number that is in use again nor a missing farewell can mislead. ``.run.lock`` is held by who
coordinates a run, and says who that is; ``.jobs.lock`` by all that take part in it, and may outlive their coordinator.

``python -m exitwave.jobs.coordinator snakemake ...`` becomes Snakemake once nothing stands against it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from exitwave.errors import RunError

RESULTS = Path("results")
RUN, JOBS = ".run.lock", ".jobs.lock"
LATE = 60.0
"""Difference of clocks that is none [s]."""
SNAKEMAKE = Path(".snakemake") / "locks"
"""Where Snakemake keeps its own lock, which outlives a Snakemake that is killed."""


def take_part(results: Path = RESULTS) -> None:
    """Show, until this process ends, that it may write to the results folder, if there is one."""
    with suppress(OSError):  # a file system without such locks, or not to be written to
        _lock(results / JOBS, fcntl.LOCK_SH)


def coordinate(results: Path = RESULTS) -> None:
    """Show, until this process ends, that it coordinates a run.

    Raises
    ------
    RunError
        If the results folder cannot be written to.
    """
    _sign(results)
    with suppress(OSError):
        _lock(results / RUN, fcntl.LOCK_SH | fcntl.LOCK_NB)
    take_part(results)


def start(snakemake: list[str], results: Path = RESULTS) -> None:
    """Take away the lock of a run that was killed, once its last jobs have ended, and become Snakemake.

    Parameters
    ----------
    snakemake : list of str
        Its command.
    results : path

    Raises
    ------
    RunError
        If another run is alive, or may be on a machine that cannot be seen from here, or the results folder cannot be
        written to.
    """
    before = _told(results)
    claimed = _claim(results)
    if SNAKEMAKE.is_dir() and any(SNAKEMAKE.iterdir()):
        if claimed is None or socket.gethostname() != _about(results).get("host"):
            raise RunError(
                f"{results}: {before} has left Snakemake's lock, and cannot be seen from here; if it has ended, take "
                "the lock away (make unlock), and run again"
            )
        print(f"{results}: {before} was killed: its lock is taken away", file=sys.stderr)
        done = subprocess.run([*snakemake, "--unlock"], capture_output=True, text=True)
        if done.returncode:
            raise RunError(f"{results}: Snakemake's lock cannot be taken away: {done.stderr.strip()}")
    _sign(results)
    _date(results)
    if claimed is not None:
        # With others again, since Snakemake itself locks the file too. Its jobs do not inherit it.
        fcntl.flock(claimed, fcntl.LOCK_SH)
        os.set_inheritable(claimed, True)
    os.execvp(snakemake[0], snakemake)


def _claim(results: Path) -> int | None:
    """The file of who coordinates a run, locked for this process alone; none where the file system has no locks.

    Raises
    ------
    RunError
        If another run is alive.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        claimed = _lock(results / RUN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunError(
            f"{results}: {_told(results)} is at work here; allowed: one at a time, so wait for its end, or stop it"
        ) from error
    except OSError:
        return None
    try:
        os.close(_lock(results / JOBS, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        print(f"{results}: jobs of {_told(results)} are still at work: waits for their end", file=sys.stderr)
        os.close(_lock(results / JOBS, fcntl.LOCK_EX))
    return claimed


def _sign(results: Path) -> None:
    """Write down who coordinates a run."""
    about = {"host": socket.gethostname(), "process": os.getpid(), "started": f"{datetime.now():%Y-%m-%d %H:%M}"}
    try:
        results.mkdir(parents=True, exist_ok=True)
        (results / RUN).write_text(json.dumps(about), encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{results}: cannot be written to ({error.strerror}); allowed: a folder that can, or a link to one"
        ) from error


def _date(results: Path) -> None:
    """Date files now that a clock has dated in the future: what is made from them would be too old until then."""
    now = time.time()
    paths = (Path(folder, name) for folder, _, names in os.walk(results) for name in names)
    late = [path for path in paths if path.lstat().st_mtime > now + LATE]
    for path in late:
        os.utime(path, (now, now))
    if late:
        print(
            f"{results}: {len(late)} files were dated in the future and are dated now; check the clock", file=sys.stderr
        )


def _lock(path: Path, how: int) -> int:
    """Lock a file, which is made if it is not there, until its descriptor is closed."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, how)
    except OSError:
        os.close(file)
        raise
    return file


def _about(results: Path) -> dict[str, Any]:
    """Who coordinated the last run; empty where nothing says so."""
    try:
        return dict(json.loads((results / RUN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _told(results: Path) -> str:
    """Who coordinated the last run, in words."""
    about = _about(results)
    if not about:
        return "another run"
    return f"the run of process {about.get('process')} on {about.get('host')}, started {about.get('started')},"


if __name__ == "__main__":
    try:
        start(sys.argv[1:])
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
