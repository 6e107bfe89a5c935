"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, and no verdict on the speed of a busy machine.
settings.register_profile("exitwave", deadline=None, derandomize=True, database=None)
settings.load_profile("exitwave")
