"""The blocks of the exit_waves stage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from exitwave.config.block import Block, Column, Positive, Whole
from exitwave.config.crystals import Crystals
from exitwave.config.distributions import Real, or_word, within
from exitwave.config.structures import Fields

MOST_PLANES = 1000
"""Thicknesses of a scattering matrix, all of which a job holds at once."""


class ExitWaves(Block):
    """What all kinds of exit waves have."""

    COUNTS = frozenset({"device"})
    MADE_FROM = {"structures": "structures"}
    structures: str = Field(description="structures block")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to simulate; auto: a GPU if there is one; no part of the block's identity"
    )


MULTISLICE_COLUMNS = {
    "slice_thickness": Column("Å"),
    "frozen_phonons": Column(),
    "temperature": Column("K"),
    "rms_displacements": Column("Å", text=True),
    "engine": Column(text=True),
    "scheme": Column(text=True),
    "projection": Column(text=True),
    "parametrization": Column(text=True),
}
"""How a multislice was done, in the tables of all its kinds."""


class MultisliceWaves(ExitWaves):
    """What the kinds that pass electrons through slices of atoms have."""

    TAKES = {"structures": (Fields,)}
    LAPTOP = {"frozen_phonons": 2}
    energy: Positive = Field(300e3, ge=20e3, le=1e6, description="beam energy [eV]")
    sampling: Positive = Field(
        description="pixel of the stored wave [Å]; the simulation grid is 1.5 times finer, so that its band limit of "
        "2/3 is the Nyquist frequency of the stored wave"
    )
    slice_thickness: Positive = Field(2.0, description="slice thickness [Å]")
    frozen_phonons: Whole = Field(0, ge=0, description="thermal configurations averaged; 0: atoms at rest")
    temperature: Positive = Field(300.0, description="temperature of the thermal motion [K]")
    rms_displacements: dict[str, Positive] = Field(
        {},
        description="root-mean-square displacement along one axis by element, such as {Ce: 0.06, O: 0.08} [Å], at that "
        "temperature; in place of, or beside, those of the tables of Debye-Waller factors by compound and element",
    )
    engine: Literal["exitwave", "abtem"] = Field(
        "exitwave", description="what simulates: our multislice, or abTEM, the reference that it is tested against"
    )
    scheme: Literal["conventional", "accurate"] = Field(
        "accurate",
        description="conventional: atoms put on the grid by bilinear interpolation, transmission functions limited to "
        "2/3 of the band, wave for wave as abTEM does; accurate: neither, which is nearer to the wave of a fine grid "
        "and faster (docs/physics.md). Engine abtem has conventional only, which is then the default",
    )
    projection: Literal["infinite", "finite"] = Field(
        "infinite",
        description="infinite: the whole potential of an atom lies in its slice; finite: in each slice what is "
        "between its faces",
    )
    parametrization: Literal["lobato", "kirkland", "peng"] = Field("lobato", description="scattering factors")

    @model_validator(mode="before")
    @classmethod
    def _scheme_of_abtem(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("engine") == "abtem":
            return {"scheme": "conventional", **values}
        return values

    @property
    def simulated_sampling(self) -> float:
        """Pixel of a wave that would hold the whole band of the simulation [Å]."""
        return self.sampling

    @model_validator(mode="after")
    def _engine_can(self) -> MultisliceWaves:
        if self.engine == "abtem" and self.scheme == "accurate":
            raise ValueError("scheme is accurate, with engine abtem; allowed: conventional, or engine exitwave")
        if self.engine == "abtem" and self.device == "cuda":
            raise ValueError("device is cuda, with engine abtem; allowed: cpu or auto, or engine exitwave")
        return self


class PlaneWave(MultisliceWaves):
    """Plane-wave multislice: exit waves of the whole structure and of the particles alone."""

    VERSION = 4
    MOVED = {"tilt_x": "specimen_tilt_x", "tilt_y": "specimen_tilt_y"}
    COLUMNS = {
        "energy": Column("eV"),
        "wave_sampling": Column("Å"),
        "oversampling": Column(),
        **MULTISLICE_COLUMNS,
        "specimen_tilt_x": Column("mrad"),
        "specimen_tilt_y": Column("mrad"),
        "simulation_grid": Column("px"),
        "n_slices": Column(),
        "series_step": Column("Å"),
        "storage_error": Column(),
        "intensity_lost": Column(),
        "loss_alarm": Column(),
        "abtem_version": Column(text=True),
    }
    kind: Literal["plane_wave"]
    oversampling: Annotated[float, Field(ge=1, le=8)] = Field(
        1.0,
        description="simulation on a grid finer by this factor, for atoms that scatter beyond what the stored wave "
        "holds; time grows with its square, storage does not",
    )
    specimen_tilt_x: Annotated[Real, within(low=-100, high=100)] = Field(
        0.0, description="tilt of the beam against the specimen, towards x [mrad], drawn once a structure"
    )
    specimen_tilt_y: Annotated[Real, within(low=-100, high=100)] = Field(
        0.0, description="tilt of the beam towards y [mrad]"
    )
    thickness_series: Positive | None = Field(
        None,
        description="depths at which the wave of the whole structure is stored as well, every so many Å rounded to "
        "slices; none if left out",
    )
    storage_error: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.0,
        description="largest rounding error of the real and the imaginary part of a stored wave, whose incoming "
        "amplitude is 1; 0: stored without loss, 1e-3: a third of the size, no harm to images (docs/artifacts.md)",
    )

    @property
    def simulated_sampling(self) -> float:
        """Pixel of a wave that would hold the whole band of the simulation [Å]."""
        return self.sampling / self.oversampling


class ScatteringMatrix(ExitWaves):
    """Scattering matrices of perfect crystals: amplitudes of all beams, for every tilt of an aperture and thickness.

    One simulation of a crystal in an orientation gives the patterns of all apertures up to ``semiangle``, of all
    thicknesses, probe positions and defoci.
    """

    TAKES = {"structures": (Crystals,)}
    COLUMNS = {
        "energy": Column("eV"),
        "largest_semiangle": Column("mrad"),
        "tilt_step": Column("1/Å"),
        "thickness_step": Column("Å"),
        "largest_thickness": Column("Å"),
        "temperature": Column("K"),
        "rms_displacements": Column("Å", text=True),
        "engine": Column(text=True),
        "parametrization": Column(text=True),
        "beams": Column(),
        "beams_left_out": Column(),
        "beams_stored": Column(),
        "g_max": Column("1/Å"),
        "s_max": Column("1/Å"),
        "beam_error": Column(),
        "intensity_dropped": Column(),
        "intensity_error": Column(),
        "storage_error": Column(),
    }
    kind: Literal["scattering_matrix"]
    energy: Positive = Field(300e3, ge=20e3, le=1e6, description="beam energy [eV]")
    semiangle: Annotated[float, Field(gt=0, le=50)] = Field(
        4.0, description="largest semiangle of convergence that patterns may have [mrad]"
    )
    tilt_step: Positive = Field(
        0.0217, description="step of the tilts in the aperture [1/Å]; that of the pixels of patterns, or finer"
    )
    thickness: Positive = Field(500.0, description="largest thickness [Å]")
    thickness_step: Positive = Field(20.0, description="thicknesses are stored every so many Å")
    g_max: Annotated[float, Field(gt=0.2, le=10)] = Field(2.0, description="beams up to this distance across [1/Å]")
    s_max: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="beams whose excitation error is below this somewhere in the aperture [1/Å]"
    )
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="g_max and s_max are raised, 1.25 and 2 times, until that changes the intensities at the largest "
        "thickness by less than this, as a share of their sum; none: as given. The change is recorded anyway, as "
        "beam_error",
    )
    max_beams: Whole = Field(
        500,
        ge=2,
        le=3000,
        description="of more beams those that one scattering or two make the strongest; time grows with the square",
    )
    temperature: Positive = Field(300.0, description="temperature of the thermal motion [K]")
    rms_displacements: dict[str, Positive] = Field(
        {},
        description="root-mean-square displacement along one axis by element, such as {Ba: 0.07} [Å], as of kind "
        "plane_wave",
    )
    rms_displacement_of_others: Positive | None = Field(
        None, description="the same of elements that neither the tables nor the config have [Å]; none: they are refused"
    )
    parametrization: Literal["lobato", "kirkland", "peng"] = Field("lobato", description="scattering factors")
    least_intensity: Annotated[float, Field(ge=0, le=0.01)] = Field(
        1e-6, description="beams that never reach this share of the incoming intensity are not stored"
    )
    storage_error: Annotated[float, Field(ge=0, le=0.1)] = Field(
        5e-4,
        description="largest rounding error of the real and the imaginary part of a stored amplitude; that of the "
        "incoming wave is 1",
    )
    engine: Literal["exitwave", "abtem"] = Field(
        "exitwave",
        description="what simulates: our split step for all tilts at once, or the structure matrix of abTEM's Bloch "
        "waves with a diagonalisation a tilt, the reference that it is tested against",
    )

    @model_validator(mode="after")
    def _planes(self) -> ScatteringMatrix:
        if self.thickness < self.thickness_step * (1 - 1e-9):
            raise ValueError(
                f"thickness is {self.thickness:g} Å with thickness_step {self.thickness_step:g} Å; allowed: one step "
                "or more"
            )
        if self.thickness > MOST_PLANES * self.thickness_step:
            raise ValueError(
                f"thickness is {self.thickness:g} Å with thickness_step {self.thickness_step:g} Å; allowed: up to "
                f"{MOST_PLANES} steps, {MOST_PLANES * self.thickness_step:g} Å"
            )
        if abs(self.thickness / self.thickness_step - len(self.planes())) > 1e-6:
            raise ValueError(
                f"thickness is {self.thickness:g} Å with thickness_step {self.thickness_step:g} Å; allowed: whole "
                f"steps, such as {self.planes()[-1]:g} Å"
            )
        if self.engine == "abtem" and self.device == "cuda":
            raise ValueError("device is cuda, with engine abtem; allowed: cpu or auto, or engine exitwave")
        return self

    def planes(self) -> list[float]:
        """Thicknesses that are stored [Å]."""
        number = int(self.thickness / self.thickness_step + 1e-9)
        return [round((plane + 1) * self.thickness_step, 6) for plane in range(number)]


class Probe(MultisliceWaves):
    """Multislice of convergent probes: spectra of their waves behind the structure, and at depths within it.

    The grid is periodic whether the structure is or not: what of a probe reaches the edge of the field comes in again
    on the other side, and meets there what the structure ends with. Of an Airy probe of 1, 2 and 4 mrad at 300 kV in
    focus 9.0, 4.4 and 2.2 % of the intensity lie further than 23 Å from its centre. A probe in a perfect crystal needs
    a field of whole periods.
    """

    COLUMNS = {
        "energy": Column("eV"),
        "wave_sampling": Column("Å"),
        "spectrum_sampling": Column("1/Å"),
        **MULTISLICE_COLUMNS,
        "probe_defocus": Column("Å"),
        "simulation_grid": Column("px"),
        "n_slices": Column(),
        "storage_error": Column(),
        "intensity_lost": Column(),
        "loss_alarm": Column(),
        "abtem_version": Column(text=True),
    }
    kind: Literal["probe"]
    semiangle: Positive | Annotated[list[Positive], Field(min_length=1)] = Field(
        description="semiangle of convergence, or several, each simulated [mrad]"
    )
    positions: Annotated[
        Annotated[Whole, Field(ge=1)] | Literal["centre"], or_word("centre", "centre, or a whole number of 1 or more")
    ] = Field("centre", description="one probe in the centre of the field, or so many at random in it")
    defocus: Real = Field(
        0.0, description="depth below the entrance face at which the probe is in focus [Å], drawn once a structure"
    )
    thickness_step: Positive | None = Field(
        None,
        description="depths at which spectra are stored, every so many Å rounded to slices; if left out, the exit "
        "face alone, as of structures thinner than that",
    )
    largest_angle: Positive | None = Field(
        None,
        description="scattering angle along x and y [mrad] up to which spectra are stored; all that the simulation "
        "holds if left out",
    )
    storage_error: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.0,
        description="largest rounding error of the real and the imaginary part of a stored amplitude, over the "
        "amplitude in the disk of the probe in vacuum; 0: stored without loss, 1e-3: disks of a millionth of the "
        "intensity are at the limit",
    )

    @model_validator(mode="after")
    def _different(self) -> Probe:
        if len(set(self.semiangles)) < len(self.semiangles):
            raise ValueError(f"semiangle is {self.semiangle}; allowed: each angle once")
        return self

    @property
    def semiangles(self) -> tuple[float, ...]:
        """All semiangles [mrad]."""
        return tuple(self.semiangle) if isinstance(self.semiangle, list) else (self.semiangle,)

    @property
    def n_positions(self) -> int:
        """Probe positions of a structure."""
        return self.positions if isinstance(self.positions, int) else 1
