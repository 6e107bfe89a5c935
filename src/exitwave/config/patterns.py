"""The blocks of images that are diffraction patterns."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from exitwave.config.block import Block, Column, Positive, PositiveReal, UnitReal, Whole
from exitwave.config.cameras import CAMERA_COLUMNS, Camera, IdealCamera, files_of_camera
from exitwave.config.distributions import Choice, Real, bounds, or_word, within
from exitwave.config.exit_waves import Probe, ScatteringMatrix
from exitwave.config.images import Images

REFLECTIONS = "reflections"
"""List of the reflections of a pattern, its primary label."""


class Bullseye(Block):
    """A round aperture with opaque rings and the spokes that hold them.

    After S. E. Zeltmann et al., Ultramicroscopy 209 (2020) 112890.
    """

    kind: Literal["bullseye"]
    rings: Whole = Field(3, ge=1, le=10, description="opaque rings, as wide as the open ones between them")
    spokes: Whole = Field(4, ge=0, le=24, description="opaque spokes")
    spoke_width: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="width of a spoke over the radius of the aperture"
    )


class MeasuredAperture(Block):
    """An aperture as a vacuum image shows it."""

    kind: Literal["measured"]
    file: PurePath = Field(
        description="vacuum image of the probe, in a format that Pillow reads, background taken off; the aperture is "
        "centred on its centre of mass; relative to the working directory"
    )
    reciprocal_sampling: Positive = Field(description="its pixel [1/Å]; that of the patterns")


def _aperture_tag(value: Any) -> str | None:
    if value == "disk":
        return "disk"
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


Aperture = Annotated[
    Annotated[Literal["disk"], Tag("disk")]
    | Annotated[Bullseye, Tag("bullseye")]
    | Annotated[MeasuredAperture, Tag("measured")],
    Discriminator(
        _aperture_tag,
        custom_error_type="alternatives",
        custom_error_message="allowed: disk, or a block of kind bullseye or measured",
    ),
]


class InelasticBackground(Block):
    """Electrons scattered inelastically: a Lorentzian folded with the probe."""

    weight: UnitReal = Field(0.0, description="share of the electrons of a pattern")
    width: PositiveReal = Field(0.1, description="half width q0 of the Lorentzian 1 / (q² + q0²) [1/Å]")


class Diffraction(Images):
    """Diffraction patterns of a convergent beam: thickness, aperture, place, distortion and dose drawn for each.

    A pattern comes with the vacuum probe of the same aperture and lenses, and with the list of its reflections.
    """

    LAPTOP = {"per_structure": 16, "size": 128}
    PIXEL = ("reciprocal_sampling", "1/Å")
    MADE_FROM = {"exit_waves": "exit_waves"}
    TAKES = {"exit_waves": (ScatteringMatrix, Probe)}
    COLUMNS = {
        "reciprocal_sampling": Column("1/Å"),
        "semiangle": Column("mrad", redrawn=True),
        "specimen_thickness": Column("Å", redrawn=True),
        "aperture": Column(text=True),
        "position": Column(text=True),
        "position_x": Column("Å", redrawn=True),
        "position_y": Column("Å", redrawn=True),
        "defocus": Column("Å", redrawn=True),
        "shift_x": Column("px", redrawn=True),
        "shift_y": Column("px", redrawn=True),
        "ellipticity": Column(redrawn=True),
        "ellipticity_angle": Column("rad", redrawn=True),
        "background_weight": Column(redrawn=True),
        "background_width": Column("1/Å", redrawn=True),
        "electrons": Column("e⁻", redrawn=True),
        **CAMERA_COLUMNS,
        "recorded": Column(redrawn=True),
        "mean_counts": Column("counts/px", redrawn=True),
        "saturated": Column(redrawn=True),
        "reflections": Column(redrawn=True),
    }
    kind: Literal["diffraction"]
    exit_waves: str = Field(description="exit_waves block")
    size: Whole = Field(256, ge=16, le=4096, description="edge of the square pattern [px]")
    reciprocal_sampling: Positive = Field(0.0217, description="pixel of the pattern [1/Å]")
    semiangle: PositiveReal = Field(
        Choice[float](choice=[1.0, 2.0, 4.0]), description="semiangle of convergence [mrad]; of no use if measured"
    )
    thickness: Annotated[
        PositiveReal | Literal["planes"], or_word("planes", "planes, a number or a choice of numbers")
    ] = Field(
        "planes",
        description="thickness of the specimen [Å], one of those that are stored or a choice of them; planes: any of "
        "them, equally likely",
    )
    aperture: Aperture = Field("disk", description="aperture: disk, or a block of kind bullseye or measured")
    position: Literal["random", "origin", "incoherent"] = Field(
        "random",
        description="where the probe stands, which decides how overlapping disks interfere: at random, at the origin "
        "of the cell, or everywhere, so that they do not; of waves of probes one of their positions",
    )
    defocus: Real = Field(0.0, description="defocus of the probe [Å]; positive is underfocus")
    shift: Real = Field(0.0, description="shift of the pattern along x and along y, each drawn by itself [px]")
    ellipticity: Annotated[Real, within(low=0, high=0.5)] = Field(
        0.0, description="elliptic distortion: difference of the two axes over their mean, towards a random side"
    )
    background: InelasticBackground = Field(InelasticBackground(), description="inelastic background")
    dose: PositiveReal = Field(description="electrons of a pattern [e⁻]")
    detector: Camera = Field(IdealCamera(kind="ideal"), description="camera")

    @model_validator(mode="after")
    def _one_pixel(self) -> Diffraction:
        if isinstance(self.aperture, MeasuredAperture):
            found = self.aperture.reciprocal_sampling
            if abs(found / self.reciprocal_sampling - 1) > 1e-3:
                raise ValueError(
                    f"aperture.reciprocal_sampling is {found:g} 1/Å; allowed: that of the patterns, "
                    f"{self.reciprocal_sampling:g} 1/Å"
                )
        return self

    def lists(self) -> list[str]:
        return [REFLECTIONS]

    def may_be_files(self) -> list[str]:
        """Files whose content is part of what is made: tables of transfer functions, and the image of an aperture."""
        measured = [str(self.aperture.file)] if isinstance(self.aperture, MeasuredAperture) else []
        return measured + files_of_camera(self.detector)

    def thicknesses(self) -> list[float] | None:
        """Thicknesses that can be drawn [Å]; none: all that are stored.

        Raises
        ------
        ValueError
            If they are no list, but a range.
        """
        if self.thickness == "planes":
            return None
        if isinstance(self.thickness, Choice):
            return list(self.thickness.choice)
        low, high = bounds(self.thickness)
        if low != high:
            raise ValueError("a range")
        return [float(low)]
