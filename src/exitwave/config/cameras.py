"""The blocks of cameras: what becomes of the electrons that reach them."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field

from exitwave.config.block import (
    Block,
    Column,
    Fraction,
    NonNegative,
    NonNegativeReal,
    Positive,
    PositiveReal,
    UnitReal,
    Whole,
)


class ParametricMtf(Block):
    """Modulation transfer function ``(1 - floor) / (1 + (k / half)^power) + floor``, k in cycles per image pixel.

    abTEM's form with c0 = 1, c1 = floor, c2 = half / 2 and c3 = power.
    """

    half: Positive = Field(description="frequency at which the part above the floor has fallen to half [1/px]")
    power: Positive = Field(2.0, description="steepness")
    floor: Fraction = Field(0.0, description="value at high frequencies")


class MeasuredMtf(Block):
    """Modulation transfer function from a table."""

    file: PurePath = Field(
        description="CSV with the columns frequency [1/px, Nyquist is 0.5] and mtf, without the pixel's own sinc; "
        "relative to the working directory"
    )


Mtf = ParametricMtf | MeasuredMtf


class _Sensor(Block):
    dead_pixels: Fraction = Field(0.0, description="share of pixels that give 0")


class IdealCamera(_Sensor):
    """Counts every electron: shot noise, blurred by a Gaussian if asked for."""

    kind: Literal["ideal"]
    blur: NonNegativeReal = Field(
        0.0, description="standard deviation of a Gaussian point spread, acting on the noise too [px]"
    )
    hot_pixels: Fraction = Field(
        0.0,
        description="share of pixels that give 2 to 100 times the mean count, or 1 where that is less, even in the "
        "logarithm",
    )


class _Camera(_Sensor):
    mtf: Mtf | None = Field(None, description="modulation transfer function; none: 1")
    hot_pixels: Fraction = Field(0.0, description="share of pixels that give the largest count there is")
    bit_depth: Whole = Field(16, ge=8, le=32, description="bits of a stored count")


class ScintillatorCamera(_Camera):
    """Scintillator, fibre optics and CCD or CMOS: counts of light, noise transferred as the light is spread."""

    kind: Literal["scintillator"]
    quantum_efficiency: UnitReal = Field(0.8, description="detective quantum efficiency at frequency 0")
    noise_transfer: Mtf | None = Field(None, description="noise transfer function; none: the MTF")
    gain: PositiveReal = Field(20.0, description="counts an electron")
    gain_residue: NonNegativeReal = Field(
        0.0, description="relative standard deviation of the pixels' gain that a gain reference has left"
    )
    offset: NonNegative = Field(0.0, description="counts added to all pixels, so that none falls below 0")
    dark_residue: NonNegativeReal = Field(
        0.0, description="standard deviation of the pixels' dark counts that a dark reference has left [counts]"
    )
    readout_noise: NonNegativeReal = Field(0.0, description="standard deviation of the readout noise [counts]")


class CountingCamera(_Camera):
    """Direct detector that counts electrons one by one."""

    kind: Literal["counting"]
    quantum_efficiency: UnitReal = Field(0.9, description="share of the electrons that are detected")
    electrons_per_frame: NonNegativeReal = Field(
        0.0,
        description="incident electrons a pixel and frame, where those in the same pixel count once; 0: no such loss",
    )


Camera = Annotated[IdealCamera | ScintillatorCamera | CountingCamera, Field(discriminator="kind")]


CAMERA_NUMBERS = {
    "blur": "px",
    "quantum_efficiency": "",
    "gain": "counts/e⁻",
    "gain_residue": "",
    "offset": "counts",
    "dark_residue": "counts",
    "readout_noise": "counts",
    "electrons_per_frame": "e⁻/px",
    "dead_pixels": "",
    "hot_pixels": "",
    "bit_depth": "",
}
"""Numbers of cameras that become columns, with their units; NaN for cameras that have no such thing."""
CAMERA_COLUMNS = {
    "detector": Column(text=True, redrawn=True),
    **{f"detector_{name}": Column(unit, redrawn=True) for name, unit in CAMERA_NUMBERS.items()},
}
"""Columns of a camera that is drawn for every image."""


def files_of_camera(camera: Camera) -> list[str]:
    """Tables of the transfer functions of a camera."""
    functions = (getattr(camera, key, None) for key in ("mtf", "noise_transfer"))
    return [str(function.file) for function in functions if isinstance(function, MeasuredMtf)]
