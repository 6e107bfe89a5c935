"""The blocks of STEM images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exitwave.config.block import Column, Positive, PositiveReal, Whole
from exitwave.config.distributions import Real, within
from exitwave.config.images import RealSpaceImages, UnitReal
from exitwave.config.structures import Fields


class StemConvolution(RealSpaceImages):
    """STEM images with an annular dark-field detector, of independent atoms: no scattering is simulated.

    The electrons expected in a pixel at r are ``dose pixel_size² (cross_section Σ Zᵢ^exponent P(r - rᵢ) +
    background)`` over all atoms i, where P is the probe, a Gaussian of unit area; counts are Poisson numbers. Right as
    far as imaging is incoherent (P. D. Nellist, S. J. Pennycook, Ultramicroscopy 78 (1999) 111) and atoms scatter
    alike at every depth: in specimens so thin that the probe is not channelled along columns. It knows no depth of
    focus. Exponents are 1.6 to 1.7 for an inner angle of a few times that of the probe (O. L. Krivanek et al., Nature
    464 (2010) 571: 1.64), and 2 is Rutherford's. Of a layer of MoS2 at 100 kV, with a probe of 30 mrad and a detector
    from 80 to 200 mrad, all electrons detected by the default cross_section are 1.2 times those of a multislice
    simulation.
    """

    MADE_FROM = {"structures": "structures"}
    TAKES = {"structures": (Fields,)}
    COLUMNS = {
        "pixel_size": Column("Å"),
        "place_y": Column("Å", redrawn=True),
        "place_x": Column("Å", redrawn=True),
        "exponent": Column(redrawn=True),
        "cross_section": Column("Å²"),
        "probe_sigma": Column("Å", redrawn=True),
        "background": Column(redrawn=True),
        "dose": Column("e⁻/Å²", redrawn=True),
        "mean_counts": Column("counts/px", redrawn=True),
    }
    kind: Literal["stem_convolution"]
    structures: str = Field(description="structures block")
    pixel_size: Positive = Field(description="distance of neighbouring places of the probe [Å]")
    size: Whole = Field(ge=16, description="edge of the square image [px]; cut at a random place of the field")
    exponent: Annotated[Real, within(low=1, high=2)] = Field(1.7, description="exponent of the atomic number")
    cross_section: Positive = Field(
        2e-5,
        description="cross section with which an atom of Z = 1 scatters onto the detector [Å²]; the default is assumed "
        "and gives 0.03 Å² for gold",
    )
    probe_sigma: PositiveReal = Field(0.5, description="standard deviation of the probe [Å]")
    background: UnitReal = Field(0.0, description="counts of no atom, as a fraction of the dose")
    dose: PositiveReal = Field(description="electron dose [e⁻/Å²]")
