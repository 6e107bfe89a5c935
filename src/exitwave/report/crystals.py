"""Crystals as figures tell them: by formula, zone axis and thickness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from exitwave.report.columns import Told

TOLD = Told(left_out=frozenset({"space_group"}), labels={"n_atoms": "atoms"})
"""The number of a space group is a name, and no histogram is made of it; its crystal system is shown."""
TILT = 0.05
"""Tilt off a zone axis above which it is told [°]."""


def describe(row: Mapping[Any, Any]) -> str:
    """Formula, zone axis and thickness of a structure, as far as its row has them, in a few lines."""
    lines = [f"item {row['item']}: {row['formula']}" if row.get("formula") else f"item {row['item']}"]
    if row.get("zone_axis"):
        lines.append(f"along [{row['zone_axis']}]")
        if row.get("zone_axis_tilt", 0) >= TILT:
            lines[-1] += f", {row['zone_axis_tilt']:.1f}° off"
    if np.isfinite(row.get("thickness", np.nan)):
        lines.append(f"{row['thickness']:.0f} Å thick")
    return "\n".join(lines)
