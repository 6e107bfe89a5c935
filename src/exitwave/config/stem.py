"""The blocks of STEM images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, Column, Fraction, NonNegativeReal, Positive, PositiveReal, UnitReal, Whole
from exitwave.config.cameras import CAMERA_COLUMNS, Camera, IdealCamera, files_of_camera
from exitwave.config.distributions import Real, bounds, within
from exitwave.config.images import Aberrations, RealSpaceImages
from exitwave.config.scans import ProbeScan
from exitwave.config.structures import Fields

COLUMN_FIELDS = ("x", "y", "weight", "atoms", "number", "visibility")
"""Fields of the array ``columns``: place [px], share of the brightest column, atoms, largest atomic number,
signal-to-noise ratio."""
FINE = "fine"
"""Array of the electrons expected at closer places; see :class:`StemConvolution`."""


PLACE_COLUMNS = {
    "pixel_size": Column("Å"),
    "place_y": Column("Å", redrawn=True),
    "place_x": Column("Å", redrawn=True),
}
"""Pixel of a scanned image, and where in the structure its first pixel begins."""
DISTORTION_COLUMNS = {
    "jitter": Column("px", redrawn=True),
    "flyback": Column("px", redrawn=True),
    "drift_x": Column("Å", redrawn=True),
    "drift_y": Column("Å", redrawn=True),
    "skew": Column("°", redrawn=True),
    "hum": Column("px", redrawn=True),
}
"""What the table says of the places that a scan takes."""
SCAN_COLUMNS = {
    **DISTORTION_COLUMNS,
    "background": Column(redrawn=True),
    "uneven": Column(redrawn=True),
    **CAMERA_COLUMNS,
    "dose": Column("e⁻/Å²", redrawn=True),
    "mean_counts": Column("counts/px", redrawn=True),
}
"""What the table says of a scan and of the electrons that are counted."""


class Optics(Block):
    """The lens that forms the probe: aperture and aberrations."""

    energy: Positive = Field(description="energy of the electrons [eV]")
    semiangle: PositiveReal = Field(description="semi-angle of the aperture [mrad]")
    defocus: Real = Field(0.0, description="defocus [Å]; positive is underfocus")
    aberrations: Aberrations = Field(Aberrations(), description="residual aberrations")
    source_size: NonNegativeReal = Field(
        0.8, description="full width at half maximum of the source as imaged on the specimen, a Gaussian [Å]"
    )


class Scan(Block):
    """How the probe misses the places of its pixels: each row and column is taken elsewhere than where it is drawn."""

    jitter: NonNegativeReal = Field(0.0, description="standard deviation of the shifts of rows, along them [px]")
    jitter_correlation: Fraction = Field(0.5, description="correlation of the shifts of neighbouring rows")
    flyback: Annotated[Real, within(low=-50, high=50)] = Field(
        0.0, description="lag at the start of each row, which decays along it [px]"
    )
    flyback_length: Positive = Field(10.0, description="pixels in which the lag falls to 1/e")
    drift: NonNegativeReal = Field(0.0, description="drift of the specimen during the image [Å]")
    drift_angle: Real = Field(0.0, description="its direction, from x towards y [rad]")
    skew: Annotated[Real, within(low=-10, high=10)] = Field(
        0.0, description="angle by which the axes of the scan are off a right angle [°]"
    )
    hum: NonNegativeReal = Field(0.0, description="amplitude of shifts along rows with the mains [px]")
    hum_period: Positive = Field(7.3, description="rows in a period of the mains")

    def reach(self, pixel: float, size: int) -> float:
        """Farthest that a pixel can be taken from its place, about [Å]."""
        most = {
            name: max(map(abs, bounds(getattr(self, name)))) for name in ("jitter", "flyback", "skew", "hum", "drift")
        }
        along = 5 * most["jitter"] + most["flyback"] + most["hum"] + 0.01746 * most["skew"] * size
        return float(pixel * along + most["drift"])


class ScannedImages(RealSpaceImages):
    """What all kinds of images have that a scanned probe takes."""

    pixel_size: Positive = Field(description="distance of neighbouring places of the probe [Å]")
    size: Whole = Field(ge=16, description="edge of the square image [px]; cut at a random place of the field")
    scan: Scan = Field(Scan(), description="distortions and noise of the scan; labels are distorted alike")
    background: UnitReal = Field(0.0, description="counts of no atom, as a fraction of the dose")
    uneven: NonNegativeReal = Field(
        0.0, description="relative standard deviation of the background over the image, as of contamination"
    )
    uneven_length: PositiveReal = Field(15.0, description="its correlation length [Å]")
    dose: PositiveReal = Field(description="electron dose [e⁻/Å²]")
    detector: Camera = Field(
        IdealCamera(kind="ideal"),
        description="what becomes of the electrons: ideal counts them; a scintillator without MTF has gain, offset, "
        "readout noise and bits of an annular detector",
    )
    labels: list[Literal["columns"]] = Field(
        [],
        description="columns: list of the columns of the layer, without contamination: place [px], share of the "
        "brightest, atoms, largest atomic number, signal-to-noise ratio by counting alone, whatever the camera adds; "
        "atoms closer than `column_distance` are one, and so are chains of them",
    )
    column_distance: Positive | None = Field(
        None, description="[Å]; if left out 0.8 times the width of the probe at half maximum, and 0.6 Å at least"
    )

    def lists(self) -> list[str]:
        """Columns, if they are asked for."""
        return list(self.labels)

    def may_be_files(self) -> list[str]:
        """Files whose content is part of what is made: tables of transfer functions."""
        return files_of_camera(self.detector)


class StemConvolution(ScannedImages):
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

    VERSION = 3
    MADE_FROM = {"structures": "structures"}
    TAKES = {"structures": (Fields,)}
    COLUMNS = {
        **PLACE_COLUMNS,
        "exponent": Column(redrawn=True),
        "cross_section": Column("Å²"),
        "probe_sigma": Column("Å", redrawn=True),
        "energy": Column("eV"),
        "semiangle": Column("mrad", redrawn=True),
        "defocus": Column("Å", redrawn=True),
        **{name: Column("rad" if name.startswith("phi") else "Å", redrawn=True) for name in Aberrations.model_fields},
        "source_size": Column("Å", redrawn=True),
        "probe_fwhm": Column("Å", redrawn=True),
        "displacement": Column("Å", redrawn=True),
        **SCAN_COLUMNS,
    }
    kind: Literal["stem_convolution"]
    structures: str = Field(description="structures block")
    exponent: Annotated[Real, within(low=1, high=2)] = Field(1.7, description="exponent of the atomic number")
    cross_section: Positive = Field(
        2e-5,
        description="cross section with which an atom of Z = 1 scatters onto the detector [Å²]; the default is assumed "
        "and gives 0.03 Å² for gold",
    )
    probe_sigma: PositiveReal = Field(
        0.5, description="standard deviation of the probe, a Gaussian [Å]; not with `optics`"
    )
    optics: Optics | None = Field(None, description="lens that forms the probe; none: a Gaussian of `probe_sigma`")
    displacement: NonNegativeReal = Field(
        0.0, description="rms displacement of the atoms along an axis, which blurs them [Å]; 0.05 to 0.1 is usual"
    )
    fine: Annotated[Whole, Field(ge=1, le=8)] | None = Field(
        None,
        description="also store the map `fine`: the electrons expected, without noise, at places so many times closer, "
        "as many in each place as here; between rows the scan is interpolated; with an ideal detector without blur; "
        "none: no such map",
    )

    @model_validator(mode="after")
    def _fine_is_expected(self) -> StemConvolution:
        plain = IdealCamera(kind="ideal")
        if self.fine is not None and self.detector != plain:
            raise ValueError("fine is given with a detector that does more than count; allowed: an ideal detector")
        return self

    @model_validator(mode="after")
    def _one_probe(self) -> StemConvolution:
        if self.optics is not None and self.probe_sigma != type(self).model_fields["probe_sigma"].default:
            raise ValueError("probe_sigma is given with optics, which make the probe; allowed: one of the two")
        return self


class Stem(ScannedImages):
    """STEM images of perfect layers with an annular detector, of electrons whose scattering is simulated.

    The share of the electrons that the detector counts is known over one cell of the layer, from exit waves of kind
    ``scan``, and so everywhere: as a Fourier series over the frequencies of the lattice. It is multiplied by that of
    the source, and taken at the place of every pixel. Electrons expected in a pixel are ``dose pixel_size² (share +
    background)``; counts are Poisson numbers.
    """

    VERSION = 3
    MADE_FROM = {"exit_waves": "exit_waves"}
    TAKES = {"exit_waves": (ProbeScan,)}
    COLUMNS = {
        **PLACE_COLUMNS,
        "inner_angle": Column("mrad", redrawn=True),
        "outer_angle": Column("mrad", redrawn=True),
        "source_size": Column("Å", redrawn=True),
        "probe_fwhm": Column("Å", redrawn=True),
        **SCAN_COLUMNS,
    }
    kind: Literal["stem"]
    exit_waves: str = Field(description="exit_waves block of kind scan")
    inner_angle: NonNegativeReal = Field(description="inner angle of the detector [mrad]; 0: a disk")
    outer_angle: PositiveReal = Field(
        description="outer angle of the detector [mrad]; of rings of the scan that an angle cuts, electrons count by "
        "the share of their width"
    )
    source_size: NonNegativeReal = Field(
        0.8, description="full width at half maximum of the source as imaged on the specimen, a Gaussian [Å]"
    )
