"""What every job does around its one call: logging, and errors as one sentence."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exitwave.errors import ExitwaveError


@contextmanager
def job(name: str, log_file: str | Path) -> Iterator[None]:
    """Run the body as a job.

    Progress goes to the log file item by item, and in large steps to the terminal. An ``ExitwaveError`` ends the
    process with its sentence and status 1; anything else is a bug and keeps its traceback.
    """
    handlers: list[logging.Handler] = [
        logging.FileHandler(log_file, mode="w", encoding="utf-8"),
        logging.StreamHandler(sys.stderr),
    ]
    logging.raiseExceptions = False  # a log that cannot grow on a full disk must not bury the sentence in tracebacks
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s {name}: %(message)s", handlers=handlers)
    logger = logging.getLogger("exitwave")
    logger.setLevel(logging.DEBUG)
    handlers[1].setLevel(logging.INFO)
    start = time.monotonic()
    try:
        yield
    except ExitwaveError as error:
        logger.error("error: %s", error)
        sys.exit(1)
    except Exception:
        logger.exception("unexpected error")
        raise
    logger.info("done in %.1f s", time.monotonic() - start)
