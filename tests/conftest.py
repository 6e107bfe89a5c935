"""Settings and fixtures for all tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

pytest_plugins = ["workflow_study", "job_study"]
# The same examples in every run, and no verdict on the speed of a busy machine.
settings.register_profile("exitwave", deadline=None, derandomize=True, database=None)
settings.load_profile("exitwave")


@pytest.fixture(scope="session")
def write_images() -> Callable[..., None]:
    """Write a shard of images or maps from stacks [item, y, x] and a table."""
    from exitwave.data.shards import shard_writer
    from exitwave.items import Array, Item, lateral

    def write(
        path: Path,
        stacks: Mapping[str, np.ndarray],
        table: pd.DataFrame,
        attributes: dict[str, Any] | None = None,
        pixel: float = 0.4,
    ) -> None:
        with shard_writer(path, len(table), attributes or {}) as writer:
            for place, row in enumerate(table.to_dict("records")):
                arrays = {name: Array(values[place], lateral(pixel)) for name, values in stacks.items()}
                writer.add(Item(arrays, {str(key): value for key, value in row.items()}))

    return write
