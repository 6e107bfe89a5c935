"""What was found in a scan, in words and in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from exitwave.benchmark.scan_strain import GOOD, TRUST, StrainMaps
from exitwave.benchmark.scans import Scan
from exitwave.benchmark.sidecars import FILE, GIVEN, SIDECAR
from exitwave.config.yaml_files import sidecar_of
from exitwave.report.strain_figures import COMPONENTS, shown

UNITS = {"xx": " %", "yy": " %", "xy": " %", "rotation": "°"}
TOLD = {"xx": "e_xx", "yy": "e_yy", "xy": "e_xy", "rotation": "The rotation"}
NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def number_told(value: float) -> str:
    """A number with three decimals, of which none is below 0 that is shown as 0."""
    return f"{round(float(value), 3) + 0.0:.3f}"


def pace_told(positions: int, seconds: float, held: int) -> str:
    """How long it took, for how many positions now and in calls before."""
    if not positions:
        return "All disks were there already; maps and pictures are new."
    before = f" ({held - positions:,} were there already)" if held > positions else ""
    minutes, rest = divmod(round(seconds), 60)
    spent = f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
    return f"{positions:,} patterns were measured in {spent}, {positions / seconds:.3g} a second{before}."


def trust_told(maps: StrainMaps) -> str:
    """At how many positions strain is trusted, and why not at the others."""
    total, good = maps.trust.size, int(np.count_nonzero(maps.good))
    why = [
        f"{TRUST[code]}: {number:,}"
        for code in TRUST
        if code != GOOD and (number := int(np.count_nonzero(maps.trust == code)))
    ]
    others = f"; the others: {', '.join(why)}" if why else ""
    return f"Strain is trusted at {good:,} of {total:,} positions ({100 * good / total:.3g} %){others}."


def reference_told(maps: StrainMaps, sampling: float | None) -> str:
    """What strain is relative to."""
    vectors, number = maps.reference.vectors, int(np.count_nonzero(maps.reference.mask))
    lengths = np.linalg.norm(vectors, axis=0)
    angle = math.degrees(math.acos(np.clip(vectors[:, 0] @ vectors[:, 1] / lengths.prod(), -1, 1)))
    if sampling is None:
        sizes = [f"{length:.3f} px" for length in lengths]
    else:
        sizes = [f"{length * sampling:.4f} 1/Å (spacing {1 / (length * sampling):.3f} Å)" for length in lengths]
    source = f"the median of {number:,} positions of {maps.reference.told}" if number else maps.reference.told
    told = f"Strain is relative to {source}: g1 {sizes[0]}, g2 {sizes[1]}, {angle:.2f}° between them."
    if maps.reference.told == "the whole scan":
        told += " So its zero means nothing; give --reference with an unstrained part."
    return told


def axis_told(maps: StrainMaps, name: str) -> str:
    """Along what the components are."""
    angle = math.degrees(maps.axis)
    if name:
        along = f"along {name}, which is {angle:.2f}° from x of the patterns towards y"
    elif abs(angle) < 1e-9:
        along = "along x of the patterns, to the right, and e_yy along y, down"
    else:
        along = f"at {angle:.2f}° from x of the patterns (to the right) towards y (down)"
    return (
        f"e_xx is {along}; rotation counts from x towards y, clockwise on the screen. Axes of scan and patterns agree "
        "only where no rotation is between them."
    )


def pixels_told(scan: Scan) -> str:
    """Pixel of the patterns and step of the scan, and where they are from."""
    words = {GIVEN: "as given", SIDECAR: f"from {sidecar_of(scan.path).name}", FILE: "from the file"}
    pixel = "not known"
    if scan.reciprocal_sampling is not None:
        pixel = f"{scan.reciprocal_sampling:.4g} 1/Å, {words[scan.sampling_from]}"
    step = "not known" if scan.step is None else f"{scan.step:.4g} Å, {words[scan.step_from]}"
    return f"Pixel of the patterns: {pixel}; step of the scan: {step}."


def components_told(maps: StrainMaps) -> Iterator[str]:
    """The middle and the spread of each component, over the scan and in the reference."""
    within = maps.reference.mask & maps.good
    for name in COMPONENTS:
        values = shown(maps, name)
        there = values[np.isfinite(values)]
        if not there.size:
            continue
        low, middle, high = map(number_told, np.percentile(there, [5, 50, 95]))
        unit = UNITS[name]
        told = f"{TOLD[name]}: median {middle}{unit}, 90 % of the positions within {low} and {high}{unit}"
        if np.count_nonzero(within) > 2 and not within.all():
            scatter = NORMAL * float(np.median(np.abs(values[within] - np.median(values[within]))))
            told += f"; in the reference it scatters by {scatter:.3f}{unit}"
        yield told + "."
