"""What every job does around its one call: logging, and errors as one sentence."""

from __future__ import annotations

import errno
import logging
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exitwave.errors import ExitwaveError
from exitwave.jobs.coordinator import take_part

MOST_TOLD = 3
"""Warnings of one kind that go to the terminal; all are in the log file."""


MORE_MEMORY = (
    "run fewer jobs at once (make run CORES=1, or snakemake with --resources mem_mb=MEMORY of this machine), or run on "
    "a machine with more memory"
)
"""What helps where memory is short."""


def _lacks_memory(error: Exception) -> bool:
    """Whether an error says that no more memory is given, as NumPy, the system and PyTorch do."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)


class _FirstWarnings(logging.Filter):
    """Lets the first warnings from each place in the code pass, and counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self._told: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        place = record.pathname, record.lineno
        self._told[place] += 1
        return self._told[place] <= MOST_TOLD

    @property
    def kept_back(self) -> int:
        """Warnings that did not pass."""
        return sum(max(0, number - MOST_TOLD) for number in self._told.values())


@contextmanager
def job(name: str, log_file: str | Path) -> Iterator[None]:
    """Run the body as a job.

    Progress goes to the log file item by item, and in large steps to the terminal; so do warnings of one kind, of which
    the terminal gets the first few. An ``ExitwaveError`` ends the process with its sentence and status 1, and so does a
    lack of memory; anything else is a bug and keeps its traceback.
    """
    take_part()
    try:
        handlers: list[logging.Handler] = [
            logging.FileHandler(log_file, mode="w", encoding="utf-8"),
            logging.StreamHandler(sys.stderr),
        ]
    except OSError as error:
        sys.exit(f"{name}: error: {log_file}: cannot be written ({error.strerror}); allowed: a folder that can")
    logging.raiseExceptions = False  # a log that cannot grow on a full disk must not bury the sentence in tracebacks
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s {name}: %(message)s", handlers=handlers)
    logger = logging.getLogger("exitwave")
    logger.setLevel(logging.DEBUG)
    handlers[1].setLevel(logging.INFO)
    first = _FirstWarnings()
    handlers[1].addFilter(first)
    start = time.monotonic()
    # Of a job that is killed Snakemake shows the log of the cluster only if this one is not empty.
    logger.debug("started on %s", platform.node())
    try:
        yield
    except ExitwaveError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except Exception as error:
        if _lacks_memory(error):
            logger.error("error: there is not enough memory for this job; %s", MORE_MEMORY)
            sys.exit(1)
        logger.exception("unexpected error")
        raise
    if first.kept_back:
        logger.info("%d more warnings like these in %s", first.kept_back, log_file)
    logger.info("done in %.1f s", time.monotonic() - start)
