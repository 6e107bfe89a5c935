"""The blocks of STM images, and of the local densities of states that they are taken of."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, Column, NonNegative, NonNegativeReal, Positive, PositiveReal, Whole
from exitwave.config.distributions import Real, bounds, within
from exitwave.config.exit_waves import ExitWaves
from exitwave.config.images import RealSpaceImages
from exitwave.config.monolayers import Monolayers
from exitwave.config.stem import DISTORTION_COLUMNS, PLACE_COLUMNS, Scan

LOWEST, HIGHEST = 2.0, 12.0
"""Heights above the topmost atom between which densities are stored [Å]."""


class LocalDensity(ExitWaves):
    """Local density of states above a layer, integrated from the Fermi level, or the edge of a band, to a bias.

    The current of a tip whose state is a sphere is proportional to this density at its centre (J. Tersoff, D. R.
    Hamann, Phys. Rev. B 31 (1985) 805). Above a plane near the layer every wave is continued into the vacuum by
    Schrödinger's equation, so that any height is right, however fast a basis set or a plane-wave cut-off lets it fall.
    A PARCHG or a cube file holds a density that is integrated already, whose Fourier coefficients are continued each
    with its own decay.
    """

    TAKES = {"structures": (Monolayers,)}
    COLUMNS = {
        "map": Column(text=True),
        "map_engine": Column(text=True),
        "bias": Column("V"),
        "reference": Column(text=True),
        "broadening": Column("eV"),
        "band_gap": Column("eV"),
        "work_function": Column("eV"),
        "states": Column(),
        "decay": Column("1/Å"),
    }
    kind: Literal["ldos"]
    path: PurePath | None = Field(
        None, description="folder of the maps, that of the structures; none: the maps that exitwave comes with"
    )
    bias: Annotated[Real, within(low=-5, high=5)] | None = Field(
        None,
        description="bias of the sample [V]: positive shows empty states, negative occupied ones; drawn once a "
        "structure, and left out for files whose density is integrated already",
    )
    reference: Literal["fermi", "band_edge"] = Field(
        "band_edge",
        description="where the states begin that add to the current: fermi: at the Fermi level, which lies in the "
        "middle of a gap; band_edge: at the edge of the band that the bias is for, and at the Fermi level of a metal",
    )
    broadening: Positive = Field(
        0.05,
        description="width of the Fermi functions at the ends of the window of energies [eV]; 0.026 at 300 K, more "
        "makes up for few k-points",
    )
    join: Annotated[float, Field(ge=2, le=6)] = Field(
        3.5,
        description="height above the topmost atom at which the density of a PARCHG or cube file gives way to its "
        "continuation [Å]: as far as its basis set or cut-off lets it fall as it must",
    )


class Relief(Block):
    """What makes the height of the tip another than that which the current asks for, all in Å."""

    noise: NonNegativeReal = Field(0.0, description="rms of the noise of single pixels [Å]")
    slow_noise: NonNegativeReal = Field(
        0.0, description="rms of noise whose power falls as one over the frequency, along the path of the tip [Å]"
    )
    line_noise: NonNegativeReal = Field(0.0, description="rms of the offsets of rows against each other [Å]")
    slope: NonNegativeReal = Field(
        0.0, description="inclination of the sample against the plane of the scan, towards a random side [mrad]"
    )

    def reach(self, extent: float) -> float:
        """Farthest from its height that the tip is taken in an image of some extent, about [Å]."""
        spread = sum(float(bounds(getattr(self, name))[1]) for name in ("noise", "slow_noise", "line_noise"))
        return 4 * spread + 0.71e-3 * extent * float(bounds(self.slope)[1])


class Stm(RealSpaceImages):
    """STM images: heights of the tip at a constant current, or currents at a constant height.

    Counts are what a converter of 16 bits gives whose range is that of the image: a height [Å] is
    ``lowest_height + height_step counts``, a current in units of the density [1/Å³] ``lowest_density + density_step
    counts``. Noise, drift and inclination act on the height of the tip in both modes.
    """

    MADE_FROM = {"exit_waves": "exit_waves"}
    TAKES = {"exit_waves": (LocalDensity,)}
    COLUMNS = {
        **PLACE_COLUMNS,
        "mode": Column(text=True),
        "tip_height": Column("Å", redrawn=True),
        "setpoint": Column("1/Å³", redrawn=True),
        "tip_radius": Column("Å", redrawn=True),
        "corrugation": Column("Å", redrawn=True),
        **DISTORTION_COLUMNS,
        "height_noise": Column("Å", redrawn=True),
        "slow_noise": Column("Å", redrawn=True),
        "line_noise": Column("Å", redrawn=True),
        "slope": Column("mrad", redrawn=True),
        "lowest_height": Column("Å", redrawn=True),
        "height_step": Column("Å", redrawn=True),
        "lowest_density": Column("1/Å³", redrawn=True),
        "density_step": Column("1/Å³", redrawn=True),
    }
    kind: Literal["stm"]
    exit_waves: str = Field(description="exit_waves block of kind ldos")
    pixel_size: Positive = Field(description="distance of neighbouring places of the tip [Å]")
    size: Whole = Field(ge=16, description="edge of the square image [px]; cut at a random place of the field")
    mode: Literal["constant_current", "constant_height"] = Field(
        "constant_current", description="whether the image is of heights or of currents"
    )
    height: Annotated[Real, within(low=LOWEST, high=HIGHEST)] | None = Field(
        None,
        description="height of the centre of the tip above the topmost atom [Å]; at constant current that at which the "
        "mean density is the setpoint",
    )
    setpoint: PositiveReal | None = Field(
        None, description="density that is kept at constant current, in place of a height [1/Å³]"
    )
    tip_radius: NonNegativeReal = Field(
        0.0,
        description="radius of a disk over which the current is averaged [Å]: a blunt tip, which ends in many atoms; "
        "0: one spherical state, as of any tip that ends in one atom",
    )
    scan: Scan = Field(Scan(), description="distortions of the scan; labels are distorted alike")
    relief: Relief = Field(Relief(), description="noise and inclination of the height of the tip")
    labels: list[Literal["columns"]] = Field(
        [],
        description="columns: list of the topmost atoms: place [px], 1, 1, atomic number, an infinite signal-to-noise "
        "ratio",
    )
    depth: NonNegative = Field(
        0.5, description="atoms up to this far below the topmost one are topmost too, in labels [Å]"
    )

    @model_validator(mode="after")
    def _one_setpoint(self) -> Stm:
        if (self.height is None) == (self.setpoint is None):
            raise ValueError("height and setpoint are both given or both left out; allowed: one of the two")
        if self.setpoint is not None and self.mode == "constant_height":
            raise ValueError("setpoint is given with mode constant_height; allowed: height")
        return self

    def lists(self) -> list[str]:
        """Columns, if they are asked for."""
        return list(self.labels)
