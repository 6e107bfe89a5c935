"""exitwave: labelled synthetic electron micrographs, networks trained on them, and honest benchmarks.

In Python: :func:`exitwave.simulate` and :func:`exitwave.segment`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# NumPy has faster exponentials for processors with AVX-512, which round otherwise in the last bit. Without them waves
# and images are the same bits on all x86-64 processors with AVX2. Read when NumPy is imported, here or by a job.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")

if TYPE_CHECKING:
    from exitwave.api import segment, simulate

__version__ = "0.1.0"
__all__ = ["__version__", "segment", "simulate"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: commands and jobs are not to wait for what they do not use.
    if name in ("segment", "simulate"):
        from exitwave import api

        return getattr(api, name)
    raise AttributeError(f"module 'exitwave' has no attribute {name!r}")
