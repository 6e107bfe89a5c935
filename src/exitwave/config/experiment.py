"""What is known of an image or a scan: the keys of its sidecar, typed, with their places in NeXus and DataCite.

A sidecar is a file of YAML beside the file that it describes, ``IMAGE.meta.yaml``. Units are part of the keys; ``_A``
is ångström and never ampere. What is not known is left out: it is never 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from ase.data import chemical_symbols
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from exitwave.config.block import Block
from exitwave.config.images import Aberrations

REQUIRED = {
    "optics.mode": "TEM, STEM or STM",
    "scan.pixel_size_A": "distance of neighbouring pixels, in Å",
    "provenance.licence": "SPDX name, such as CC-BY-4.0",
}
"""Keys that a whole sidecar has, and what is to be given."""
LARGEST_KV = 3000
"""Number below which a voltage was meant in kV [kV]."""


def _whole_as_text(value: object) -> object:
    """Serial numbers and names that are numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _volts(value: float) -> float:
    if not 1e3 <= value <= 3e6:
        other = f"; {value:g} kV is {1000 * value:g}" if 0 < value <= LARGEST_KV else ""
        raise ValueError(f"allowed: 1000 to 3000000, in volts{other}")
    return value


def _time(value: object) -> datetime:
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None or isinstance(value, int):
        raise ValueError("allowed: ISO 8601 with the time zone, such as 2026-03-31T14:05:00+02:00")
    return time


def _formula(value: str) -> str:
    """A formula of known elements, such as La0.67Ca0.33MnO3 or Ca(OH)2."""
    number = r"(?:\d+(?:\.\d+)?)?"
    symbols = re.findall(r"[A-Z][a-z]?", value)
    plain = re.sub(rf"\(((?:[A-Z][a-z]?{number})+)\){number}", r"\1", value)
    if not re.fullmatch(rf"(?:[A-Z][a-z]?{number})+", plain) or not set(symbols) <= set(chemical_symbols[1:]):
        raise ValueError("allowed: a formula of elements, such as SrTiO3, La0.67Ca0.33MnO3 or Ca(OH)2")
    return value


def _licence(value: str) -> str:
    try:
        return str(canonicalize_license_expression(value))
    except InvalidLicenseExpression:
        raise ValueError(
            "allowed: a name of SPDX, such as CC-BY-4.0, CC0-1.0 or MIT, or LicenseRef-NAME for another one"
        ) from None


def _orcid(value: str) -> str:
    """An ORCID, whose last digit is a checksum by ISO/IEC 7064, MOD 11-2."""
    found = re.fullmatch(r"(?:https://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])", value)
    if found:
        digits, total = found[1].replace("-", ""), 0
        for digit in digits[:-1]:
            total = 2 * (total + int(digit)) % 11
        if "0123456789X"[(12 - total) % 11] == digits[-1]:
            return found[1]
    raise ValueError("allowed: an ORCID, such as 0000-0002-1825-0097, whose last digit is a checksum")


def _aberrations(values: dict[str, float]) -> dict[str, float]:
    known = [f"{name}_rad" if name.startswith("phi") else f"{name}_A" for name in Aberrations.model_fields]
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"unknown key {unknown[0]}; allowed: {', '.join(known)}")
    return values


def _matching(pattern: str, allowed: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"allowed: {allowed}")
        return value

    return AfterValidator(check)


Text = Annotated[str, BeforeValidator(_whole_as_text), Field(min_length=1)]
# Strict: neither a text such as '80 kV' nor a truth value is taken for a number.
Number = Annotated[float, Field(strict=True)]
Above0 = Annotated[Number, Field(gt=0)]
Whole = Annotated[int, Field(strict=True, ge=1)]
Angle = Annotated[Number, Field(ge=0, le=1000)]


def _key(description: str, nexus: str = "", datacite: str = "") -> Any:
    """A key that may be left out, with its places; ``EVENT`` is what was so during the exposure."""
    nexus = nexus.replace("EVENT/", "measurement/event1/").replace("COLUMN/", "instrument/ebeam_column/")
    return Field(None, description=description, json_schema_extra={"nexus": nexus, "datacite": datacite})


class Sample(Block):
    """What was looked at."""

    formula: Annotated[Text, AfterValidator(_formula)] | None = _key(
        "chemical formula", "sample/chemical_formula, its elements sample/atom_types", "subjects"
    )
    name: Text | None = _key("name of the specimen", "sample/name", "subjects")
    thickness_A: Above0 | None = _key("thickness [Å]", "sample/thickness")
    preparation: Text | None = _key("how it was prepared, in words", "sample/description", "descriptions (Methods)")
    zone_axis: Annotated[list[Annotated[int, Field(strict=True)]], Field(min_length=3, max_length=4)] | None = _key(
        "crystal direction along the beam, three or four whole numbers", "sample/description"
    )
    defects: Text | None = _key("known defects, in words", "sample/description")


class Instrument(Block):
    """The microscope."""

    manufacturer: Text | None = _key("who made it", "measurement/instrument/fabrication/vendor")
    model: Text | None = _key("its model", "measurement/instrument/fabrication/model")
    serial: Text | None = _key("its serial number", "measurement/instrument/fabrication/serial_number")
    corrector: Text | None = _key(
        "aberration corrector", "measurement/instrument/ebeam_column/corrector_cs1/fabrication/model"
    )


class ElectronSource(Block):
    """The electron gun."""

    voltage_V: Annotated[Number, AfterValidator(_volts)] | None = _key(
        "acceleration voltage [V]", "EVENT/COLUMN/electron_source/voltage"
    )
    emission_uA: Above0 | None = _key("emission current [µA]", "EVENT/COLUMN/electron_source/emission_current")


class ExperimentOptics(Block):
    """Lenses and illumination."""

    mode: Literal["TEM", "STEM", "STM"] | None = _key(
        "how the image was formed; needed", "EVENT/COLUMN/operation_mode; NXstm: experiment_technique", "subjects"
    )
    probe_current_pA: Above0 | None = _key("current of the probe [pA]", "EVENT/instrument/optics/probe_current")
    semiangle_mrad: Annotated[Above0, Field(le=500)] | None = _key(
        "semi-angle of the probe's convergence [mrad]", "EVENT/instrument/optics/semi_convergence_angle"
    )
    camera_length_m: Annotated[Above0, Field(le=100)] | None = _key(
        "camera length [m]", "EVENT/instrument/optics/camera_length"
    )
    defocus_A: Number | None = _key("defocus [Å]; positive is underfocus", "EVENT/instrument/optics/defocus")
    aberrations: Annotated[dict[str, Number], AfterValidator(_aberrations)] | None = _key(
        "residual aberrations in Krivanek's polar notation, such as C12_A [Å] with phi12_rad [rad]",
        "EVENT/COLUMN/corrector_cs1/tableau1, as c_1_2_a and c_1_2_b",
    )


class ExperimentScan(Block):
    """The pixels of an image, or of a scan of diffraction patterns its positions."""

    pixel_size_A: Annotated[Number, Field(ge=1e-2, le=1e4)] | None = _key(
        "distance of neighbouring pixels, of a scan of patterns its step [Å]; needed",
        "EVENT/image1/image_2d/axis_i and axis_j, their step",
    )
    size_px: tuple[Whole, Whole] | None = _key(
        "width and height, of a scan of patterns columns and rows [px]",
        "EVENT/image1/image_2d/real, its shape",
        "sizes",
    )
    dwell_s: Annotated[Above0, Field(le=1000)] | None = _key(
        "dwell time at each pixel [s]", "EVENT/COLUMN/scan_controller/dwell_time"
    )
    rotation_deg: Annotated[Number, Field(ge=-360, le=360)] | None = _key(
        "rotation of the scan [°]", "EVENT/instrument/optics/rotation"
    )
    frames: Whole | None = _key("exposures or scans that were added up")


class ExperimentDetector(Block):
    """What counted the electrons."""

    name: Text | None = _key("its name, such as HAADF", "measurement/instrument/detector1/name")
    inner_mrad: Angle | None = _key("inner collection angle [mrad]")
    outer_mrad: Annotated[Angle, Field(gt=0)] | None = _key("outer collection angle [mrad]")
    gain: Above0 | None = _key("gain, as the instrument has it", "EVENT/instrument/detector1/gain_setting")
    offset: Number | None = _key("offset, as the instrument has it")
    bits: Annotated[Whole, Field(le=64)] | None = _key(
        "bits of a value", "EVENT/instrument/detector1/bit_depth_readout"
    )
    reciprocal_pixel_per_A: Annotated[Number, Field(ge=1e-5, lt=1)] | None = _key(
        "pixel of diffraction patterns [1/Å]", "EVENT/image1/image_2d/axis_i and axis_j of the pattern, their step"
    )

    @model_validator(mode="after")
    def _a_ring(self) -> ExperimentDetector:
        if self.inner_mrad is not None and self.outer_mrad is not None and self.inner_mrad >= self.outer_mrad:
            raise ValueError(
                f"inner_mrad is {self.inner_mrad:g} and outer_mrad {self.outer_mrad:g}; allowed: an outer angle above "
                "the inner one"
            )
        return self


class Stm(Block):
    """What only scanning tunnelling microscopy has."""

    bias_V: Number | None = _key("bias of the sample [V]", "NXstm: instrument/sample_bias_voltage")
    setpoint_pA: Above0 | None = _key(
        "tunnelling current of the set point [pA]", "NXstm: instrument/current_sensor/current"
    )
    mode: Literal["constant current", "constant height"] | None = _key("what is kept constant", "NXstm: scan_mode")
    tip: Text | None = _key("material and preparation of the tip")
    temperature_K: Above0 | None = _key("temperature [K]", "NXstm: instrument/scan_environment/head_temperature_sensor")


class Provenance(Block):
    """Whose the data are, and of which file the sidecar speaks."""

    creator: Text | None = _key("who made the data", datacite="creators")
    licence: Annotated[Text, AfterValidator(_licence)] | None = _key(
        "licence by its SPDX name; needed", datacite="rightsList (rightsIdentifier, scheme SPDX)"
    )
    doi: Annotated[Text, _matching(r"10\.\d{4,9}/\S+", "a DOI, such as 10.1000/182, without an address")] | None = _key(
        "DOI of the data", "cite1/doi", "identifiers (DOI)"
    )
    source: Text | None = _key("name of the file that is described", "note1/file_name", "alternateIdentifiers")
    sha256: Annotated[Text, _matching(r"[0-9a-f]{64}", "64 hexadecimal digits")] | None = _key(
        "SHA-256 of that file", "note1/checksum, with note1/algorithm", "alternateIdentifiers"
    )


class Experiment(Block):
    """All that a sidecar may say."""

    MOVED = {key.rpartition(".")[2]: key for key in REQUIRED}
    sample: Sample = Sample()
    instrument: Instrument = Instrument()
    electron_source: ElectronSource = ElectronSource()
    optics: ExperimentOptics = ExperimentOptics()
    scan: ExperimentScan = ExperimentScan()
    detector: ExperimentDetector = ExperimentDetector()
    stm: Stm = Stm()
    acquired: Annotated[AwareDatetime, BeforeValidator(_time)] | None = _key(
        "when, in ISO 8601 with the time zone", "EVENT/start_time", "dates (Collected)"
    )
    operator: Annotated[Text, AfterValidator(_orcid)] | None = _key(
        "ORCID of who was at the microscope", "user1/identifier", "contributors (DataCollector, scheme ORCID)"
    )
    dose_e_per_A2: Above0 | None = _key(
        "electrons on each Å² of the specimen [e⁻/Å²]", "EVENT/instrument/optics/dose_management"
    )
    provenance: Provenance = Provenance()

    @model_validator(mode="before")
    @classmethod
    def _empty_groups(cls, values: Any) -> Any:
        """A group of which all keys were taken out is none."""
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if value is not None or key not in cls.model_fields}

    @model_validator(mode="after")
    def _one_technique(self) -> Experiment:
        if self.optics.mode in ("TEM", "STEM") and self.stm != Stm():
            raise ValueError(f"stm is given, but optics.mode is {self.optics.mode}; allowed: STM, or no stm")
        if self.optics.mode == "STM" and self.electron_source != ElectronSource():
            raise ValueError(
                "electron_source is given, but optics.mode is STM; allowed: TEM or STEM, or no electron_source"
            )
        return self

    def given(self) -> dict[str, Any]:
        """Values that are given, by keys with dots, in the order of the template."""
        return {key: value for key, value in _leaves(self) if value is not None}


def _leaves(block: Block, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, Block):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by keys with dots as a sidecar has them."""
    groups: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (groups.setdefault(group, {}) if group else groups)[name] = value
    return groups
