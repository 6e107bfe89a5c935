"""How the strain of a scan is measured, and how a person says it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exitwave.benchmark.scan_lattices import Fit
from exitwave.benchmark.scan_parts import Box
from exitwave.errors import ScanError

Axis = float | Literal["g1", "g2"]
_SPAN = r"\s*(\d+)\s*:\s*(\d+)\s*"


@dataclass(frozen=True)
class Given:
    """The lattice of a reference that is known: lengths of g1 and g2 [1/Å], and the angle between them [degrees]."""

    lengths: tuple[float, float]
    angle: float


@dataclass(frozen=True)
class Measuring:
    """How the strain of a scan is measured.

    Attributes
    ----------
    model : path, optional
        What finds disks: file of networks, or folder of a training or a network; correlation with the probe if None.
    probe : path, optional
        Image of the probe in vacuum.
    vacuum : Box, optional
        Part of the scan without specimen, whose mean is the probe.
    semiangle : float, optional
        Of an even disk that is the probe [mrad].
    energy : float, optional
        Of the electrons [eV].
    reciprocal_sampling : float, optional
        Pixel of the patterns [1/Å], in place of what the file says.
    step : float, optional
        Step of the scan [Å], in place of what the file says.
    scan_shape : (int, int), optional
        Rows and columns, where the file has a stack of patterns.
    threshold : float, optional
        Least height of a disk, in place of that of the networks or of the correlation.
    fit : {'disks', 'map'}
        Whether lattices are fitted to the places of disks, or after that straight to the map.
    reference : Box or Given, optional
        What strain is relative to; the median of the whole scan if None.
    axis : float, 'g1' or 'g2'
        Direction of the first axis of the strain: angle from x of the patterns towards y [degrees], or a vector.
    device : {'auto', 'cpu', 'cuda'}
    workers : int, optional
        Processes that measure parts at the same time; as many as cores if None.
    overwrite : bool
        Whether results that were made otherwise are replaced.
    """

    model: Path | None = None
    probe: Path | None = None
    vacuum: Box | None = None
    semiangle: float | None = None
    energy: float | None = None
    reciprocal_sampling: float | None = None
    step: float | None = None
    scan_shape: tuple[int, int] | None = None
    threshold: float | None = None
    fit: Fit = "disks"
    reference: Box | Given | None = None
    axis: Axis = 0.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = None
    overwrite: bool = False


def parsed_box(text: str, key: str) -> Box:
    """A part of a scan, as ``X0:X1,Y0:Y1``.

    Raises
    ------
    ScanError
        If it is written otherwise.
    """
    found = re.fullmatch(f"{_SPAN},{_SPAN}", text)
    if found is None:
        raise ScanError(f"{key}: found '{text}'; allowed: X0:X1,Y0:Y1, columns and rows of the scan, such as 0:20,0:50")
    x0, x1, y0, y1 = map(int, found.groups())
    return Box((x0, x1), (y0, y1))


def parsed_reference(text: str) -> Box | Given:
    """What strain is relative to: a part of the scan, or a known lattice as ``LENGTH,LENGTH,ANGLE``.

    Raises
    ------
    ScanError
        If it is neither.
    """
    if ":" in text:
        return parsed_box(text, "--reference")
    try:
        first, second, angle = map(float, text.split(","))
    except ValueError:
        first = second = angle = math.nan
    if not (0 < first < math.inf and 0 < second < math.inf and 0 < angle < 180):
        raise ScanError(
            f"--reference: found '{text}'; allowed: X0:X1,Y0:Y1, a part of the scan, or LENGTH,LENGTH,ANGLE, the "
            "lengths of g1 and g2 in 1/Å and the angle between them in degrees, such as 0.184,0.184,90"
        )
    return Given((first, second), angle)


def parsed_axis(text: str) -> Axis:
    """Direction of the first axis of the strain: an angle in degrees, or a vector.

    Raises
    ------
    ScanError
        If it is neither.
    """
    if text == "g1" or text == "g2":
        return "g1" if text == "g1" else "g2"
    try:
        angle = float(text)
    except ValueError:
        angle = math.nan
    if not math.isfinite(angle):
        raise ScanError(f"--axis: found '{text}'; allowed: an angle in degrees, g1 or g2")
    return angle


def parsed_shape(text: str) -> tuple[int, int]:
    """Rows and columns of a scan, from ``COLUMNSxROWS``.

    Raises
    ------
    ScanError
        If it is written otherwise.
    """
    found = re.fullmatch(r"\s*([1-9]\d*)\s*[xX×]\s*([1-9]\d*)\s*", text)
    if found is None:
        raise ScanError(f"--scan-shape: found '{text}'; allowed: COLUMNSxROWS, such as 256x128")
    return int(found[2]), int(found[1])
