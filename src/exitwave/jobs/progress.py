"""How far a long command is, for the person who waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TOLD_EVERY = 10.0
"""Seconds between two lines about something that takes longer, where there is no terminal."""


@contextmanager
def progress_told(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """Tells on stderr how far something is: a bar on a terminal, else a line every ``TOLD_EVERY`` seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    # What goes to another place than the bar does not pass through it.
    bar = Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, redirect_stdout=sys.stdout.isatty()
    )
    task, current, begun, told, first = bar.add_task("", total=None, visible=False), "", 0.0, 0.0, 0

    def progress(text: str, done: int, total: int) -> None:
        nonlocal current, begun, told, first
        now, start = time.monotonic(), current != text
        if start:
            current, begun, told, first = text, now, now, done
        if console.is_terminal:
            if start:
                bar.reset(task, description=text)
            bar.update(task, total=total, completed=done, visible=done < total)
        elif now - told >= TOLD_EVERY and first < done < total:
            told = now
            left = (now - begun) / (done - first) * (total - done)
            print(f"{text}: {done} of {total} {unit}, about {left:.0f} s left", file=sys.stderr, flush=True)

    if console.is_terminal:
        with bar:
            yield progress
    else:
        yield progress
