"""What one image is taken with: microscope, exposure and camera, drawn from the distributions of an images block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from exitwave.config.block import Block
from exitwave.config.cameras import CAMERA_NUMBERS, Camera, IdealCamera
from exitwave.config.distributions import draw
from exitwave.config.images import Aberrations, Background, Hrtem

B = TypeVar("B", bound=Block)


@dataclass(frozen=True)
class ImagingConditions:
    """The microscope and the exposure of one image, as plain numbers.

    Parameters
    ----------
    defocus : float
        Defocus [Å], positive is underfocus.
    aberrations : mapping
        Krivanek coefficients ``C12``, ... [Å] and angles ``phi12``, ... [rad]; what is left out is 0.
    tilt : tuple of float
        Tilt of the illumination against the optic axis, towards x and y [mrad].
    focal_spread : float
        Standard deviation of the focal spread [Å].
    angular_spread : float
        Standard deviation of the angles of illumination [mrad].
    vibration : float
        Standard deviation of random shifts [Å].
    drift : tuple of float
        Steady drift during the exposure, its components along x and y [Å].
    objective_aperture : float, optional
        Semi-angle of the objective aperture [mrad]; none: open.
    plasmon_weight : float
        Weight of the constant background that stands for plasmon losses.
    dose : float
        Electron dose [e⁻/Å²].
    background : Background
        Illumination and contamination, every value a constant.
    camera : Camera
        The camera, every value a constant.
    """

    defocus: float = 0.0
    aberrations: Mapping[str, float] = field(default_factory=dict)
    tilt: tuple[float, float] = (0.0, 0.0)
    focal_spread: float = 0.0
    angular_spread: float = 0.0
    vibration: float = 0.0
    drift: tuple[float, float] = (0.0, 0.0)
    objective_aperture: float | None = None
    plasmon_weight: float = 0.0
    dose: float = math.inf
    background: Background = field(default_factory=Background)
    camera: Camera = field(default_factory=lambda: IdealCamera(kind="ideal"))

    def as_row(self) -> dict[str, Any]:
        """Every number as a column of the metadata table; NaN where something is not there."""
        return {
            "defocus": self.defocus,
            **{name: self.aberrations.get(name, 0.0) for name in Aberrations.model_fields},
            "illumination_tilt_x": self.tilt[0],
            "illumination_tilt_y": self.tilt[1],
            "focal_spread": self.focal_spread,
            "angular_spread": self.angular_spread,
            "vibration": self.vibration,
            "drift_x": self.drift[0],
            "drift_y": self.drift[1],
            "objective_aperture": math.nan if self.objective_aperture is None else self.objective_aperture,
            "plasmon_weight": self.plasmon_weight,
            "dose": self.dose,
            "illumination_gradient": self.background.gradient,
            "contamination": self.background.contamination,
            **camera_as_row(self.camera),
        }


def camera_as_row(camera: Camera) -> dict[str, Any]:
    """Kind and numbers of a camera as columns of the metadata table; NaN where it has no such thing."""
    values = camera.model_dump()
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {
        "detector": values["kind"],
        **{f"detector_{name}": float(numbers.get(name, math.nan)) for name in CAMERA_NUMBERS},
    }


def draw_conditions(block: Hrtem, rng: np.random.Generator) -> ImagingConditions:
    """Draw the imaging conditions of one image from the distributions of an images block."""
    drift, angle = float(draw(block.drift, rng)), float(draw(block.drift_angle, rng))
    return ImagingConditions(
        defocus=float(draw(block.defocus, rng)),
        aberrations={name: float(draw(getattr(block.aberrations, name), rng)) for name in Aberrations.model_fields},
        tilt=(float(draw(block.illumination_tilt_x, rng)), float(draw(block.illumination_tilt_y, rng))),
        focal_spread=float(draw(block.focal_spread, rng)),
        angular_spread=float(draw(block.angular_spread, rng)),
        vibration=float(draw(block.vibration, rng)),
        drift=(drift * math.cos(angle), drift * math.sin(angle)),
        objective_aperture=None if block.objective_aperture is None else float(draw(block.objective_aperture, rng)),
        plasmon_weight=float(draw(block.plasmon_weight, rng)),
        dose=float(draw(block.dose, rng)),
        background=drawn(block.background, rng),
        camera=drawn(block.detector, rng),
    )


def drawn(block: B, rng: np.random.Generator) -> B:
    """A block with a value drawn from each of its distributions."""
    values = {name: getattr(block, name) for name in type(block).model_fields}
    kept = (Block, str, type(None))
    return block.model_copy(
        update={name: value if isinstance(value, kept) else draw(value, rng) for name, value in values.items()}
    )
