"""STM images in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from exitwave.report.columns import short


def conditions_told(row: Mapping[Any, Any]) -> list[str]:
    """What an image is of, and how it was taken: material, bias, height of the tip, and its noise."""
    told = [str(row["formula"])]
    if not math.isnan(row["bias"]):
        told.append(f"{row['bias']:+.2f} V")
    told.append(f"{row['tip_height']:.2f} Å")
    if not math.isnan(row["corrugation"]):
        told.append(f"range {short(100 * row['corrugation'])} pm")
    noise = math.hypot(row["height_noise"], row["slow_noise"], row["line_noise"])
    if noise > 0:
        told.append(f"noise {short(100 * noise)} pm")
    return [text.replace("-", "−") for text in told]
