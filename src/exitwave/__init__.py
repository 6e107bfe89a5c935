"""exitwave: labelled synthetic electron micrographs, networks trained on them, and honest benchmarks.

In Python: :func:`exitwave.simulate` and :func:`exitwave.segment`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
