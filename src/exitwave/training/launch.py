"""Several processes that train one network, started and watched by the one that waits for it.

None of them outlives the others: where one fails or is killed, or the one that waits is, all end. They are started by
themselves and not by ``multiprocessing``, which would run the script of a job once more in each.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import IO, Any

from exitwave.errors import ExitwaveError, TrainingError

_COMMAND = "from exitwave.training.launch import run_task; run_task()"
_AFTERWARDS = 2.0
"""After a failure, time for what others have to say of it [s]: the first to fail may not be the first that is heard."""
_HEARD_LATE = 0.5
"""Time after which a death is seen at the latest [s]; what others say of it comes after it."""
Told = tuple[int, float, Any]
"""Rank, time [s], and a log record, an error with its traceback, or at the end the status of the process."""


def run_together(number: int, cuda: bool, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function in several processes at once, and wait for all.

    What the first logs is logged here.

    Parameters
    ----------
    number : int
        Of processes.
    cuda : bool
        Whether each is given a GPU of its own; else they compute on processor cores.
    function : callable
        Of a module. Takes the :class:`exitwave.training.parallel.Ranks` of its process, and the arguments.
    arguments
        What can be pickled.

    Raises
    ------
    TrainingError
        If a process was killed.
    Exception
        Whatever a process has raised, the first that did.
    """
    with TemporaryDirectory(prefix="exitwave-") as folder, _started(number, cuda) as processes:
        told: SimpleQueue[Told] = SimpleQueue()
        for rank, process in enumerate(processes):
            task = rank, number, str(Path(folder) / "meeting"), cuda, function, arguments, _level()
            with suppress(BrokenPipeError):  # it has ended, which is seen below
                process.stdin.write(pickle.dumps(sys.path) + pickle.dumps(task))
                process.stdin.flush()
            threading.Thread(target=_listen, args=(rank, process, told), daemon=True).start()
        failures = _followed(number, told)
    if failures:
        raise min(failures, key=lambda failure: failure[:2])[-1]


@contextmanager
def _started(number: int, cuda: bool) -> Iterator[list[Any]]:
    """Processes that are killed at the end, if they still live."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(number):
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", _COMMAND],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=_environment(rank, cuda),
                    # An interrupt from the terminal comes to the one that waits, who ends all.
                    start_new_session=True,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]


def _environment(rank: int, cuda: bool) -> dict[str, str]:
    """Variables of a process: of several GPUs it is shown its own, so that nothing takes another by mistake."""
    # All are on this machine, whose name a network may not know.
    environment = {"GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo", **os.environ}
    if cuda:
        shown = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        environment["CUDA_VISIBLE_DEVICES"] = shown[rank] if shown else str(rank)
    return environment


def _listen(rank: int, process: subprocess.Popen[bytes], told: SimpleQueue[Told]) -> None:
    """Pass on what a process tells, and how it ended."""
    with process.stdout as stream:  # type: ignore[union-attr]
        while (one := _next(stream)) is not None:
            told.put((rank, *one))
    heard = time.monotonic()
    told.put((rank, heard, process.wait()))


def _next(stream: IO[bytes]) -> tuple[float, Any] | None:
    # A process may be killed in the midst of telling, or raise what cannot be made here: that it ended is told anyway.
    with suppress(Exception):
        told: tuple[float, Any] = pickle.load(stream)
        return told
    return None


def _followed(number: int, told: SimpleQueue[Told]) -> list[tuple[bool, float, BaseException]]:
    """Log what is told until all have ended, or shortly after one has failed; failures, of which the least counts.

    That is the first of those with a sentence of our own, which is never the consequence of another, or else the first.
    """
    failures: dict[int, tuple[bool, float, BaseException]] = {}
    running, until = number, None
    while running:
        try:
            rank, when, what = told.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
        except Empty:
            break
        if isinstance(what, logging.LogRecord):
            logger = logging.getLogger(what.name)
            if logger.isEnabledFor(what.levelno):
                logger.handle(what)
        elif isinstance(what, int):
            running -= 1
            if what and rank not in failures:
                failures[rank] = True, when - _HEARD_LATE, TrainingError(_ended(rank, number, what))
        else:
            error, lines = what
            error.__cause__ = RuntimeError(f"in process {rank + 1} of {number}:\n{lines}")
            failures[rank] = not isinstance(error, ExitwaveError), when, error
        if failures and until is None:
            until = time.monotonic() + _AFTERWARDS
    return list(failures.values())


def _ended(rank: int, number: int, status: int) -> str:
    how = f"ended with status {status}"
    if status < 0:
        how = f"was killed by signal {signal.Signals(-status).name}"
        how += ", as systems do that lack memory" if status == -signal.SIGKILL else ""
    return f"process {rank + 1} of the {number} that train it {how}; all have been ended: run it again to go on"


def _level() -> int:
    return logging.getLogger("exitwave").getEffectiveLevel()


class _Teller(QueueHandler):
    """Tells log records to the process that waits."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._tell = tell

    def enqueue(self, record: logging.LogRecord) -> None:
        self._tell(record)


def run_task() -> None:
    """Be one of the processes: the task comes from standard input, and what is told goes to standard output."""
    telling = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between
    lock = threading.Lock()

    def tell(what: Any) -> None:
        with lock:
            pickle.dump((time.monotonic(), what), telling)
            telling.flush()

    try:
        sys.path[:] = pickle.load(sys.stdin.buffer)
        rank, number, meeting, cuda, function, arguments, level = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_end_with_who_waits, daemon=True).start()
        _log(tell if rank == 0 else None, level)
        from exitwave.training.parallel import joined

        with joined(rank, number, meeting, cuda) as ranks:
            function(ranks, *arguments)
    except BaseException as error:
        tell((_to_pickle(error), traceback.format_exc()))
        # At once: what is left of a failed exchange may wait for others.
        os._exit(1)


def _end_with_who_waits() -> None:
    """End this process when the one that waits has ended, however it did: then nothing more comes from it."""
    os.read(0, 1)
    os._exit(1)


def _log(tell: Callable[[Any], None] | None, level: int) -> None:
    """Tell what is logged, or keep it back: all processes would log the same."""
    if tell is None:
        logging.disable()
        warnings.simplefilter("ignore")
    else:
        logging.getLogger().addHandler(_Teller(tell))
        logging.getLogger("exitwave").setLevel(level)


def _to_pickle(error: BaseException) -> BaseException:
    """An error, or its words where it cannot be pickled."""
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return copy if isinstance(copy, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
