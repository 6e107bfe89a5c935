"""The block of scanned probes behind monolayers, from which detectors of any angles take images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exitwave.config.block import Column, Positive, PositiveReal
from exitwave.config.distributions import Real
from exitwave.config.exit_waves import MULTISLICE_COLUMNS, MultisliceWaves
from exitwave.config.images import Aberrations
from exitwave.config.monolayers import Monolayers


class ProbeScan(MultisliceWaves):
    """Multislice of a probe that is scanned over one cell of a perfect layer: where its electrons go, by angle.

    The layer goes on around the cell as it does in the structure, at any angle and unstrained, for ``margin`` on all
    sides; what of the probe reaches beyond that meets atoms in wrong places. Places of the probe are as close as the
    image of a lattice needs that has no frequency beyond twice the semiangle over the wavelength. So the image of the
    cell is known between them as well, and that of the whole layer. With frozen phonons all places see the same
    configurations.
    """

    COLUMNS = {
        "energy": Column("eV"),
        "wave_sampling": Column("Å"),
        **MULTISLICE_COLUMNS,
        "semiangle": Column("mrad"),
        "defocus": Column("Å"),
        **{name: Column("rad" if name.startswith("phi") else "Å") for name in Aberrations.model_fields},
        "scanned_area": Column("Å²"),
        "places": Column(),
        "beyond_margin": Column(),
        "simulation_grid": Column("px"),
        "n_slices": Column(),
        "intensity_lost": Column(),
        "loss_alarm": Column(),
        "abtem_version": Column(text=True),
    }
    TAKES = {"structures": (Monolayers,)}
    kind: Literal["scan"]
    semiangle: PositiveReal = Field(description="semiangle of convergence [mrad], drawn once a structure")
    defocus: Real = Field(
        0.0, description="depth below the entrance face at which the probe is in focus [Å]; positive is underfocus"
    )
    aberrations: Aberrations = Field(Aberrations(), description="residual aberrations of the lens before the specimen")
    margin: Annotated[float, Field(ge=4, le=100)] = Field(
        12.0,
        description="layer on each side of the cell that is scanned [Å]; no more than 5 % of the probe may lie farther "
        "out",
    )
    ring_width: Positive = Field(
        5.0, description="width of the rings of scattering angles, from 0 on, whose electrons are stored [mrad]"
    )
