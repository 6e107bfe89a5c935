"""Print the lock without PyTorch and the libraries for GPUs, for an environment that has PyTorch already.

It needs nothing but Python, since nothing else is installed when it is used.
"""

from __future__ import annotations

import re
from pathlib import Path

LOCK = Path(__file__).resolve().with_name("requirements.lock")
LEFT_OUT = re.compile(r"torch|torchvision|triton|(nvidia|cuda)-.+")
"""Names of the packages that PyTorch's own builds for processors come with, or do without."""


def lean_lock() -> str:
    """Text of the lock without the entries that are left out."""
    # An entry begins at the margin; its hashes, and comments on whom it is for, are indented.
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return "".join(entry for entry in entries if not LEFT_OUT.fullmatch(entry.partition("==")[0]))


if __name__ == "__main__":
    print(lean_lock(), end="")
