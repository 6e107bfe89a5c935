"""What files of microscopes say of how an image was taken, in the keys of sidecars.

Which names hold what is taken from files and from the tables of pynxtools-em (FAIRmat); units are those that the values
have in files. Defocus is taken from no file: programs write a reading of the lens, whose zero and sign are not said.
Names of people stay in the files: a sidecar has an ORCID.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError

from exitwave.config.experiment import Experiment, nested


@dataclass(frozen=True)
class Fact:
    """A value that a file holds.

    Attributes
    ----------
    value : plain value
        In the unit of the key.
    origin : str
        Where it stands, in words.
    """

    value: Any
    origin: str


class _Entry(NamedTuple):
    """A name in a format with the key that it fills, and how its value becomes one of the key."""

    name: str
    key: str
    read: Callable[[Any], Any]


def _text(value: Any) -> str | None:
    """Text on one line, of characters that can be printed."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    plain = "".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text)
    return " ".join(plain.split()) or None


def _times(factor: float) -> Callable[[Any], float | None]:
    """Numbers, also those written as text, six digits of them; 0 stands for what was not known."""

    def read(value: Any) -> float | None:
        number = factor * float(value)
        return float(f"{number:.6g}") if number else None

    return read


def _angle(factor: float) -> Callable[[Any], float]:
    """Angles, for which 0 is a value as any other."""
    return lambda value: float(f"{factor * float(value):.6g}") + 0.0


def _unix(value: Any) -> str | None:
    """Seconds since 1970."""
    return datetime.fromtimestamp(float(value), UTC).isoformat() if float(value) > 0 else None


def _filetime(value: Any) -> str:
    """Tenths of microseconds since 1601, in UTC as Windows counts."""
    return (datetime(1601, 1, 1, tzinfo=UTC) + timedelta(seconds=round(float(value) / 1e7))).isoformat()


def _annular(value: Any) -> str | None:
    """A detector of a scanned image, after which such images are called."""
    found = re.search(r"\b(?:HAADF|MAADF|LAADF|ADF|ABF|BF|DF)\b", str(value))
    return found[0] if found else None


def _mode(**modes: str) -> Callable[[Any], str | None]:
    """The mode of the first of these words that a text holds."""

    def read(value: Any) -> str | None:
        return next((mode for word, mode in modes.items() if word.lower() in str(value).lower()), None)

    return read


def _any(mode: str) -> Callable[[Any], str]:
    """A mode, whatever the value: its name is there in this mode only."""
    return lambda value: mode


_STEM_BEFORE_TEM = _mode(STEM="STEM", TEM="TEM")
_TAGS, _MICROSCOPE = "ImageList/TagGroup0/ImageTags", "ImageList/TagGroup0/ImageTags/Microscope Info"
_TIA, _TIA_TOLD = "ObjectInfo/ExperimentalConditions/MicroscopeConditions", "ObjectInfo/ExperimentalDescription"
ENTRIES: dict[str, tuple[_Entry, ...]] = {
    "DigitalMicrograph (DM3, DM4)": (
        _Entry(f"{_MICROSCOPE}/Illumination Mode", "optics.mode", _STEM_BEFORE_TEM),
        _Entry(f"{_TAGS}/DigiScan/Sample Time", "optics.mode", _any("STEM")),
        _Entry(f"{_MICROSCOPE}/Voltage", "electron_source.voltage_V", _times(1)),
        _Entry(f"{_MICROSCOPE}/Emission Current (µA)", "electron_source.emission_uA", _times(1)),
        _Entry(f"{_MICROSCOPE}/Probe Current (nA)", "optics.probe_current_pA", _times(1e3)),
        _Entry(f"{_MICROSCOPE}/STEM Camera Length", "optics.camera_length_m", _times(1e-3)),
        _Entry(f"{_MICROSCOPE}/Name", "instrument.model", _text),
        _Entry(f"{_TAGS}/Session Info/Specimen", "sample.name", _text),
        _Entry(f"{_TAGS}/DigiScan/Sample Time", "scan.dwell_s", _times(1e-6)),
        _Entry(f"{_TAGS}/DigiScan/Rotation", "scan.rotation_deg", _angle(1)),
        _Entry(f"{_TAGS}/Acquisition/Device/Name", "detector.name", _text),
        _Entry("ImageList/TagGroup0/Name", "detector.name", _annular),
        _Entry(f"{_TAGS}/DataBar/Acquisition Time (OS)", "acquired", _filetime),
    ),
    "Velox (EMD)": (
        _Entry("DetectorMetadata/DetectorType", "optics.mode", _mode(Scanning="STEM", Imaging="TEM")),
        _Entry("Optics/AccelerationVoltage", "electron_source.voltage_V", _times(1)),
        _Entry("Optics/BeamConvergence", "optics.semiangle_mrad", _times(1e3)),
        _Entry("Optics/CameraLength", "optics.camera_length_m", _times(1)),
        _Entry("Instrument/Manufacturer", "instrument.manufacturer", _text),
        _Entry("Instrument/InstrumentModel", "instrument.model", _text),
        _Entry("Instrument/InstrumentId", "instrument.serial", _text),
        _Entry("Sample/SampleDescription", "sample.name", _text),
        _Entry("Scan/DwellTime", "scan.dwell_s", _times(1)),
        _Entry("Scan/ScanRotation", "scan.rotation_deg", _angle(57.29577951308232)),
        _Entry("BinaryResult/Detector", "detector.name", _text),
        _Entry("DetectorMetadata/CollectionAngleRange/begin", "detector.inner_mrad", _angle(1e3)),
        _Entry("DetectorMetadata/CollectionAngleRange/end", "detector.outer_mrad", _times(1e3)),
        _Entry("DetectorMetadata/Gain", "detector.gain", _times(1)),
        _Entry("DetectorMetadata/Offset", "detector.offset", _angle(1)),
        _Entry("Acquisition/AcquisitionStartDatetime/DateTime", "acquired", _unix),
    ),
    "Berkeley EMD": (
        _Entry("microscope/dwell time", "optics.mode", _any("STEM")),
        _Entry("microscope/high tension", "electron_source.voltage_V", _times(1)),
        _Entry("microscope/convergence angle", "optics.semiangle_mrad", _times(1e3)),
        _Entry("microscope/camera length", "optics.camera_length_m", _times(1)),
        _Entry("microscope/name", "instrument.model", _text),
        _Entry("microscope/dwell time", "scan.dwell_s", _times(1)),
        _Entry("sample/sample name", "sample.name", _text),
    ),
    "TIA (SER, with the EMI beside it)": (
        _Entry(f"{_TIA_TOLD}/Mode", "optics.mode", _STEM_BEFORE_TEM),
        _Entry(f"{_TIA}/AcceleratingVoltage", "electron_source.voltage_V", _times(1)),
        _Entry(f"{_TIA_TOLD}/Emission_uA", "electron_source.emission_uA", _times(1)),
        _Entry(f"{_TIA_TOLD}/Camera length_m", "optics.camera_length_m", _times(1)),
        _Entry("ObjectInfo/Manufacturer", "instrument.manufacturer", _text),
        _Entry(f"{_TIA_TOLD}/Microscope", "instrument.model", _text),
        _Entry("ObjectInfo/AcquireInfo/DwellTimePath", "scan.dwell_s", _times(1)),
        _Entry("ObjectInfo/AcquireInfo/CameraNamePath", "detector.name", _text),
        _Entry("ser_header_parameters/Time", "acquired", _unix),
    ),
    "MRC of FEI": (_Entry("FEI/HT", "electron_source.voltage_V", _times(1)),),
    "TIFF of FEI": (
        _Entry("fei_metadata/Beam/HV", "electron_source.voltage_V", _times(1)),
        _Entry("fei_metadata/EBeam/EmissionCurrent", "electron_source.emission_uA", _times(1e6)),
        _Entry("fei_metadata/EBeam/BeamCurrent", "optics.probe_current_pA", _times(1e12)),
        _Entry("fei_metadata/System/SystemType", "instrument.model", _text),
        _Entry("fei_metadata/Scan/Dwelltime", "scan.dwell_s", _times(1)),
        _Entry("fei_metadata/Detectors/Name", "detector.name", _text),
    ),
    "TIFF of TVIPS": (
        _Entry("TVIPS/TemHighTension", "electron_source.voltage_V", _times(1)),
        _Entry("TVIPS/CameraType", "detector.name", _text),
    ),
    "TIFF of JEOL": (
        _Entry("ImageDescription/Eos/EosMode", "optics.mode", _mode(ASID="STEM", TEM="TEM")),
        _Entry("ImageDescription/ElectronGun/AccelerationVoltage", "electron_source.voltage_V", _times(1)),
        _Entry("ImageDescription/Instruments", "instrument.model", _text),
    ),
    "TIFF of Olympus": (_Entry("Olympus_SIS_metadata/cameraname", "detector.name", _text),),
    "HyperSpy (HSPY, HDF5)": (
        _Entry("metadata/Acquisition_instrument/TEM/acquisition_mode", "optics.mode", _STEM_BEFORE_TEM),
        _Entry("metadata/Acquisition_instrument/TEM/beam_energy", "electron_source.voltage_V", _times(1e3)),
        _Entry("metadata/Acquisition_instrument/TEM/beam_current", "optics.probe_current_pA", _times(1e3)),
        _Entry("metadata/Acquisition_instrument/TEM/convergence_angle", "optics.semiangle_mrad", _times(1)),
        _Entry("metadata/Acquisition_instrument/TEM/camera_length", "optics.camera_length_m", _times(1e-3)),
        _Entry("metadata/Acquisition_instrument/TEM/microscope", "instrument.model", _text),
        _Entry("metadata/Sample/description", "sample.name", _text),
    ),
}
"""By format, the names of `Page.original` and the keys that they fill. Of two names for a key the first counts."""
STEM_ONLY = ("optics.camera_length_m", "optics.semiangle_mrad")
"""Keys that hold for an image only if it was scanned: of others programs keep what it was before."""


def facts_of(original: Mapping[str, Any]) -> tuple[dict[str, Fact], tuple[str, ...]]:
    """What a file says of an image, in the keys of a sidecar.

    Parameters
    ----------
    original : mapping
        As `Page.original`.

    Returns
    -------
    facts : dict of Fact
        By key with dots. What a file has as 0 where this cannot be is not known, and left out.
    told : tuple of str
        What the file has that cannot be, in words that go on after its name.
    """
    candidates = []
    told: list[str] = []
    for entry, raw in _found(original):
        name = entry.name.removeprefix("ImageList/TagGroup0/")
        try:
            candidates.append((entry.key, entry.read(raw), name))
        except (ValueError, TypeError, OverflowError, OSError):
            told.append(_left_out(raw, name, entry.key))
    facts, more = usable(candidates)
    mode = facts.get("optics.mode")
    if mode is not None and mode.value == "TEM":
        facts = {key: fact for key, fact in facts.items() if key not in STEM_ONLY}
    return facts, (*told, *more)


def usable(candidates: Iterable[tuple[str, Any, str]]) -> tuple[dict[str, Fact], list[str]]:
    """Of keys, values and where they stand those that a sidecar can have, and of the others why not.

    None is no value; of two values for a key the first counts.
    """
    facts: dict[str, Fact] = {}
    told = []
    for key, value, origin in candidates:
        if value is None or key in facts:
            continue
        try:
            together = {"detector.inner_mrad": facts.get("detector.inner_mrad"), key: Fact(value, origin)}
            given = {name: fact.value for name, fact in together.items() if fact is not None}
            Experiment.model_validate(nested(given))
            facts[key] = Fact(value, origin)
        except ValidationError:
            told.append(_left_out(value, origin, key))
    return facts, told


def _left_out(value: Any, origin: str, key: str) -> str:
    return f"has {str(value)[:40]!r} for {origin}, which is no {key}: it is left out"


def _found(original: Mapping[str, Any]) -> Iterator[tuple[_Entry, Any]]:
    """Entries whose names a file has, with what stands there."""
    for entries in ENTRIES.values():
        for entry in entries:
            value: Any = original
            for part in entry.name.split("/"):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None and not isinstance(value, Mapping) and str(value).strip() not in ("", "[]"):
                yield entry, value
