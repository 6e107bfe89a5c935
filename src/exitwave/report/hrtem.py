"""Conditions of HRTEM images as figures tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from exitwave.config.images import Aberrations
from exitwave.report.columns import short


def describe_conditions(row: Mapping[Any, Any]) -> str:
    """Defocus and dose of an image in a line."""
    defocus = row["defocus"] / 10
    digits = 0 if abs(defocus) >= 9.95 else 1
    dose = f"{row['dose']:.0f}" if row["dose"] >= 10 else f"{row['dose']:.2g}"
    return f"Δf {defocus:+.{digits}f} nm, {dose} e⁻/Å²".replace("-", "−")


def drawn_numbers(row: Mapping[Any, Any]) -> list[str]:
    """What an image was taken with, in the units of the field; what is 0 or not there is left out."""
    found = [describe_conditions(row)]
    tilt, drift = (math.hypot(row[f"{name}_x"], row[f"{name}_y"]) for name in ("illumination_tilt", "drift"))
    values = {
        "focal spread {} Å": row["focal_spread"],
        "illumination ± {} mrad": row["angular_spread"],
        "tilt {} mrad": tilt,
        "vibration {} Å": row["vibration"],
        "drift {} Å": drift,
        "aperture {} mrad": row["objective_aperture"],
        "plasmons {} %": 100 * row["plasmon_weight"],
        "gradient {} %": 100 * row["illumination_gradient"],
        "contamination {} %": 100 * row["contamination"],
        "blur {} px": row["detector_blur"],
        "efficiency {}": row["detector_quantum_efficiency"],
        "gain {} counts/e⁻": row["detector_gain"],
        "gain residue {} %": 100 * row["detector_gain_residue"],
        "readout noise {} counts": row["detector_readout_noise"],
        "{} % saturated": 100 * row["saturated"],
    }
    found += [text.format(short(value)) for text, value in values.items() if value and not math.isnan(value)]
    found += [f"{name} {_length(row[name])}" for name in Aberrations.model_fields if name[0] == "C" and row[name]]
    return found


def _length(value: float) -> str:
    """A coefficient [Å] in a unit that keeps it short."""
    factor, unit = next(
        (factor, unit) for factor, unit in ((1e7, "mm"), (1e4, "µm"), (10, "nm"), (0, "Å")) if abs(value) >= factor
    )
    return f"{short(value / (factor or 1))} {unit}".replace("-", "−")
