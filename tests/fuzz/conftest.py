"""What hostile input may do: give a result or one sentence, in bounded time and memory."""

from __future__ import annotations

import copy
import importlib
import random
import re
import resource
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exitwave.errors import ExitwaveError

MEMORY, RESERVED = 2**30, 2**33
"""Bytes that an input of some kilobytes may take beyond what the process has already, and may reserve."""
SECONDS = 20
"""Time of the processor that it may take."""
NUMBERS = (0, 1, -1, 2, 255, 32767, 65535, 2**20, 2**24, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1)
TEXTS = (
    "", "0", "-1", "nan", "inf", "-inf", "1e308", "1e999", "1e-999", "9" * 5000, "1/0", "../../../outside", "/outside",
    "a\x00b", "a" * 300, "\u202e\u0301", "\ud800", "[/red]", "\\[bold]", "%s{0}", "$(id)", "`id`", "__import__('os')",
    "!!python/object/apply:os.system [id]", "\x1b[2J", "'", '"', ";", "#", "@", "*", "?", "\n", "\t", "(1)", "..",
)  # fmt: skip
"""Texts that are more than they seem, or no numbers where a number is expected."""
VALUES: tuple[Any, ...] = (
    *TEXTS, *NUMBERS, 0.5, float("nan"), float("inf"), 1e308, 10**400, True, False, None, [], {}, [[]], [None],
    {"": None}, {"matrix": [1, 2]}, {"uniform": [0, 1]}, {"normal": [0, 1e308]}, {"choice": []}, [0] * 100,
)  # fmt: skip


class TooSlow(BaseException):
    """Not to be caught by those who catch exceptions."""


@pytest.fixture(scope="session", autouse=True)
def alarm() -> Iterator[None]:
    """What takes too long is an error."""
    # Libraries are loaded before memory is limited, and their time is none of the input's.
    for name in ("torch", "pyarrow.parquet", "segmentation_models_pytorch", "timm", "spglib", "ase.io", "dask.array"):
        importlib.import_module(name)

    def rung(number: int, frame: object) -> None:
        raise TooSlow(f"took longer than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, rung)
    yield
    signal.signal(signal.SIGPROF, before)


@pytest.fixture(scope="session")
def survives() -> Callable[..., str | None]:
    """Call something with what it does not expect.

    Gives the sentence that it ends with, none if it has a result. Anything else than an ``ExitwaveError``, more time
    or more memory than is allowed, is an error.
    """

    def call(function: Callable[..., object], *arguments: object) -> str | None:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + RESERVED, hard))
        Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
        before = _status("VmRSS")
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor, since others may use it too
        try:
            function(*arguments)
            told = None
        except ExitwaveError as error:
            told = str(error)
            assert told.strip()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        assert _status("VmHWM") - before < MEMORY
        return told

    return call


def _status(name: str) -> int:
    """What the system says about this process [bytes]."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


@pytest.fixture(scope="session")
def mutations() -> SimpleNamespace:
    """What makes hostile input of good input, by a random generator: ``content`` of bytes, ``tree`` of plain values."""
    return SimpleNamespace(content=_content, tree=_tree)


def _content(rng: random.Random, samples: Sequence[bytes]) -> bytes:
    data = bytearray(rng.choice(samples))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        # Headers, which say what follows, are short and come first, or last.
        end = len(data)
        place = rng.randrange(max(1, rng.choice((64, 512, 2048, end))))
        place = min(place, max(0, end - 1)) if rng.random() < 0.9 else max(0, end - 1 - rng.randrange(64))
        length = rng.choice((1, 2, 4, 8, 16, 64, 256))
        match rng.randrange(9):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                code = rng.choice("bBhHiIqQ")
                number = rng.choice(NUMBERS)
                size = 8 * struct.calcsize(code)
                value = number % 2**size
                value = value - 2**size if code.islower() and value >= 2 ** (size - 1) else value
                packed = struct.pack(rng.choice("<>") + code, value)
                data[place : place + len(packed)] = packed
            case 2:
                number = rng.choice((float("nan"), float("inf"), -1.0, 1e-30, 1e30, 0.0))
                packed = struct.pack(rng.choice("<>") + rng.choice("fd"), number)
                data[place : place + len(packed)] = packed
            case 3:
                del data[place : place + length if rng.random() < 0.5 else end]
            case 4:
                data[place:place] = data[place : place + length] * rng.choice((1, 2, 50))
            case 5:
                data[place:place] = rng.randbytes(length)
            case 6:
                data[place : place + length] = bytes(length)
            case 7:
                _replace_number(rng, data)
            case 8:
                other = rng.choice(samples)
                start = rng.randrange(max(1, len(other)))
                data[place : place + length] = other[start : start + length]
    return bytes(data)


def _replace_number(rng: random.Random, data: bytearray) -> None:
    """Put another text in the place of a number or a word."""
    found = list(re.finditer(rb"[-+\w.]+", data))
    if found:
        start, stop = rng.choice(found).span()
        data[start:stop] = rng.choice(TEXTS).encode(errors="surrogatepass")


def _tree(rng: random.Random, tree: Any) -> Any:
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(tree))
        if not places:
            break
        parent, key = rng.choice(places)
        match rng.randrange(5):
            case 0:
                del parent[key]
            case 1:
                other, at = rng.choice(places)
                parent[key] = copy.deepcopy(other[at])
            case 2 if isinstance(parent, dict):
                parent[rng.choice(TEXTS)] = parent.pop(key)
            case _:
                parent[key] = copy.deepcopy(rng.choice(VALUES))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every key and place in a tree, with what it is in."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])
