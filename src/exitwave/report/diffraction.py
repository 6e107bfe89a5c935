"""Crystals, scattering matrices and diffraction patterns as figures tell them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.report.columns import Told, short

Row = Mapping[Any, Any]

TOLD_OF_CRYSTALS = Told(
    left_out=frozenset(
        {"crystal", "source", "formula", "prototype", "space_group", "zone_axis", "zone_axis_primitive"}
    ),
    labels={"n_atoms": "atoms of the cell", "volume": "volume of the cell"},
)
"""Names and directions of crystals have a figure of their own."""
TOLD_OF_MATRICES = Told(
    left_out=frozenset(
        {"rms_displacements", "beams", "beams_left_out", "beams_stored", "s_max", "beam_error", "intensity_dropped"}
        | {"intensity_error", "storage_error", "thickness_step", "tilt_step"}
    )
)
"""What the solver did has a figure of its own."""
TOLD_OF_PATTERNS = Told(
    left_out=frozenset({"position_x", "position_y", "ellipticity_angle"}),
    labels={"specimen_thickness": "thickness", "reflections": "reflections listed"},
)
"""Places and directions are uniform whatever the block."""
TILT = 0.05
"""Tilt off a zone axis above which it is told [mrad]."""
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_CENTRINGS = {
    "A": [[1, 0, 0], [0, 0.5, -0.5], [0, 0.5, 0.5]],
    "C": [[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]],
    "F": [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    "I": [[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]],
    "R": [[2 / 3, -1 / 3, -1 / 3], [1 / 3, 1 / 3, -2 / 3], [1 / 3, 1 / 3, 1 / 3]],
}
"""Columns: vectors of the standard primitive cell in terms of the conventional ones, by the letter of the space group
(the definition of spglib, in whose setting crystals are stored)."""


def formula_told(formula: str) -> str:
    """A formula with its numbers as subscripts."""
    return formula.translate(_SUBSCRIPTS)


def indices_told(indices: str | NDArray[Any], brackets: str = "[]") -> str:
    """Indices of a direction or a reflection with bars, in the mathematical type of matplotlib."""
    numbers = [int(index) for index in (indices.split() if isinstance(indices, str) else indices)]
    bars = [rf"\bar{{{-number}}}" if number < 0 else str(number) for number in numbers]
    # Without a space numbers of two digits could not be told apart.
    joined = (r"\," if max(map(abs, numbers)) > 9 else "").join(bars)
    return f"${brackets[:1]}{joined}{brackets[1:]}$"


@cache
def space_group_symbol(number: int) -> str:
    """Hermann-Mauguin symbol of a space group, its parts apart, such as F m -3 m."""
    from ase.spacegroup import Spacegroup

    return str(Spacegroup(number).symbol)


def space_group_told(number: int) -> str:
    """Symbol of a space group in the mathematical type of matplotlib."""
    parts = [re.sub(r"\b([2346])([12345])\b", _screw, part) for part in space_group_symbol(number).split()]
    symbol = re.sub(r"-(\d)", r"\\bar{\1}", "".join(parts))
    return f"${symbol}$"


def _screw(match: re.Match[str]) -> str:
    """A screw axis is an axis with a smaller index below it."""
    axis, index = match.groups()
    return f"{axis}_{index}" if index < axis else axis + index


def conventional_indices(indices: NDArray[np.integer], space_group: int) -> NDArray[np.int64]:
    """Indices (hkl) of the conventional cell [n, 3] from those of the standard primitive one [n, 3]."""
    primitive = np.array(_CENTRINGS.get(space_group_symbol(space_group)[0], np.eye(3)))
    return np.asarray(np.rint(indices @ np.linalg.inv(primitive)), np.int64)


def orientation_told(row: Row) -> str:
    """How a crystal is seen: its zone axis and how far off it is, or that its orientation is random."""
    axis, mistilt = indices_told(row["zone_axis"]), float(row["mistilt"])
    if row.get("orientation_kind") == "random":
        return f"random, {mistilt:.0f} mrad off {axis}"
    return axis if mistilt < TILT else f"{axis}, {mistilt:.1f} mrad off"


def describe_crystal(row: Row) -> str:
    """Formula, symmetry, prototype and orientation of a crystal in a few lines."""
    number = int(row["space_group"])
    return "\n".join(
        [
            f"item {row['item']}: {formula_told(row['formula'])}",
            f"{space_group_told(number)} ({number}), {row['crystal_system']}",
            str(row["prototype"]),
            orientation_told(row),
        ]
    )


def named(row: Row) -> str:
    """What a pattern is of, as far as its row says: formula or layer, and orientation of the crystal."""
    if row.get("formula"):
        name = formula_told(str(row["formula"]))
    else:
        name = f"layer {row['layer']}" if "layer" in row else f"item {row['item']}"
    return f"{name} {orientation_told(row)}" if row.get("zone_axis") and "mistilt" in row else name


def power_told(value: float) -> str:
    """A number with two digits and, where it is large or small, a power of ten."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)) + 1e-12)
    if -3 < power < 4:
        return short(value)
    return f"{value / 10.0**power:.2g}·10{str(power).translate(_SUPERSCRIPTS)}"


def conditions_told(row: Row) -> list[str]:
    """Semiangle, thickness and dose of a pattern."""
    semiangle = f"{row['semiangle']:.3g} mrad" if np.isfinite(row["semiangle"]) else "measured aperture"
    return [semiangle, f"{row['specimen_thickness'] / 10:g} nm", f"{power_told(float(row['electrons']))} e⁻"]


def numbers_told(row: Row) -> list[str]:
    """What a pattern was taken with; what is 0 or not there is left out."""
    values = {
        "defocus {} nm": row["defocus"] / 10,
        "ellipticity {} %": 100 * row["ellipticity"],
        "background {} %": 100 * row["background_weight"],
        "blur {} px": row["detector_blur"],
        "efficiency {}": row["detector_quantum_efficiency"],
        "gain {} counts/e⁻": row["detector_gain"],
        "readout noise {} counts": row["detector_readout_noise"],
        "{} % hot pixels": 100 * row["detector_hot_pixels"],
        "{} % dead pixels": 100 * row["detector_dead_pixels"],
        "{} % saturated": 100 * row["saturated"],
    }
    found = [named(row), *conditions_told(row)]
    if row["aperture"] == "bullseye":
        found.append("bullseye")
    if row["position"] != "random":
        found.append({"origin": "probe at the origin", "incoherent": "no interference of disks"}[row["position"]])
    found += [text.format(short(value)).replace("-", "−") for text, value in values.items() if value and value == value]
    if row["shift_x"] or row["shift_y"]:
        found.append(f"shift {row['shift_x']:+.1f}, {row['shift_y']:+.1f} px".replace("-", "−"))
    return found
