"""What is read of the metadata of files: names and units as real files have them."""

from __future__ import annotations

import json
import struct

import h5py
import numpy as np
import pytest

from exitwave.benchmark.facts import ENTRIES, facts_of
from exitwave.benchmark.readers import read_micrograph
from exitwave.benchmark.subjects import subject_of
from micrograph_writers import write_dm3, write_mrc

DIGITAL_MICROGRAPH = {
    "ImageList": {
        "TagGroup0": {
            "Name": "HAADF",
            "ImageTags": {
                "DataBar": {
                    "Acquisition Date": "12/10/2019",
                    "Acquisition Time": "3:32:41 PM",
                    "Acquisition Time (OS)": 1.3220483561436376e17,
                },
                "DigiScan": {"Sample Time": 32.400001525878906, "Rotation": 0.0},
                "Microscope Info": {
                    "Emission Current (\u00b5A)": 0.0,
                    "Illumination Mode": "STEM NANOPROBE",
                    "Name": "FEI Tecnai Remote",
                    "Probe Current (nA)": 0.025,
                    "STEM Camera Length": 77.0,
                    "Voltage": 300000.0,
                },
                "Session Info": {"Detector": "GIF CCD", "Operator": "JohnDoe", "Specimen": "Precipitate\u2028A"},
            },
        }
    }
}
VELOX = {
    "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
    "BinaryResult": {"Detector": "HAADF"},
    "DetectorMetadata": {
        "DetectorType": "ScanningDetector",
        "CollectionAngleRange": {"begin": "0.0641", "end": "0.2"},
        "Gain": "18.58",
        "Offset": "-4.56",
    },
    "Instrument": {"Manufacturer": "FEI Company", "InstrumentModel": "Titan", "InstrumentId": "3147"},
    "Optics": {
        "AccelerationVoltage": "300000",
        "BeamConvergence": "0.025",
        "CameraLength": "0.115",
        "Defocus": "-9.5e-08",
    },
    "Scan": {"DwellTime": "1e-05", "ScanRotation": "-3.14159265"},
}
BERKELEY = {
    "microscope": {
        "camera length": np.float64(0.085),
        "convergence angle": np.float64(0.024979373255162828),
        "defocus": np.float64(6.761511926296307e-06),
        "dwell time": np.float64(1e-06),
        "high tension": np.float64(200000.0),
        "name": "TEAM 0.5",
    },
    "sample": {"sample name": "STO laser cut"},
    "user": {"name": np.bytes_(b"")},
}
TIA = {
    "ser_header_parameters": {"Time": np.uint32(1318987126)},
    "ObjectInfo": {
        "ExperimentalConditions": {"MicroscopeConditions": {"AcceleratingVoltage": "80000.0"}},
        "ExperimentalDescription": {
            "Microscope": "TitanCubed D3147 S-Twin",
            "Emission_uA": 268.2,
            "Mode": " STEM nP Mh Zoom Diffraction",
            "Defocus_um": -0.002,
            "Camera length_m": 0.116,
        },
        "AcquireInfo": {"DwellTimePath": "0.000029"},
        "Manufacturer": "FEI (ISAS)",
    },
}
JEOL = {
    "ImageDescription": {
        "Eos": {"EosMode": "eosTEM"},
        "ElectronGun": {"AccelerationVoltage": "200000"},
        "Instruments": "JEM-F200",
    }
}


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        (
            DIGITAL_MICROGRAPH,
            {
                "optics.mode": "STEM",
                "electron_source.voltage_V": 300000,
                "optics.probe_current_pA": 25,
                "optics.camera_length_m": 0.077,
                "instrument.model": "FEI Tecnai Remote",
                "sample.name": "Precipitate A",
                "scan.dwell_s": 3.24e-5,
                "scan.rotation_deg": 0,
                "detector.name": "HAADF",
                "acquired": "2019-12-10T20:32:41+00:00",  # 3:32:41 PM, five hours behind
            },
        ),
        (
            VELOX,
            {
                "optics.mode": "STEM",
                "electron_source.voltage_V": 300000,
                "optics.semiangle_mrad": 25,
                "optics.camera_length_m": 0.115,
                "instrument.manufacturer": "FEI Company",
                "instrument.model": "Titan",
                "instrument.serial": "3147",
                "scan.dwell_s": 1e-5,
                "scan.rotation_deg": -180,
                "detector.name": "HAADF",
                "detector.inner_mrad": 64.1,
                "detector.outer_mrad": 200,
                "detector.gain": 18.58,
                "detector.offset": -4.56,
                "acquired": "2023-11-14T22:13:20+00:00",
            },
        ),
        (
            BERKELEY,
            {
                "optics.mode": "STEM",
                "electron_source.voltage_V": 200000,
                "optics.semiangle_mrad": 24.9794,
                "optics.camera_length_m": 0.085,
                "instrument.model": "TEAM 0.5",
                "scan.dwell_s": 1e-6,
                "sample.name": "STO laser cut",
            },
        ),
        (
            TIA,
            {
                "optics.mode": "STEM",
                "electron_source.voltage_V": 80000,
                "electron_source.emission_uA": 268.2,
                "optics.camera_length_m": 0.116,
                "instrument.manufacturer": "FEI (ISAS)",
                "instrument.model": "TitanCubed D3147 S-Twin",
                "scan.dwell_s": 2.9e-5,
                "acquired": "2011-10-19T01:18:46+00:00",  # 18:18:46 the day before, seven hours behind
            },
        ),
        (JEOL, {"optics.mode": "TEM", "electron_source.voltage_V": 200000, "instrument.model": "JEM-F200"}),
        ({}, {}),
    ],
    ids=["DigitalMicrograph", "Velox", "Berkeley", "TIA", "JEOL", "nothing"],
)
def test_describe_reads_what_files_hold_in_the_units_of_the_keys(original, expected):
    facts, told = facts_of(original)
    assert {key: fact.value for key, fact in facts.items()} == pytest.approx(expected, abs=1e-12)
    assert told == ()


def test_describe_takes_neither_defocus_nor_names_of_people():
    keys = {entry.key for entries in ENTRIES.values() for entry in entries}
    assert not keys & {"optics.defocus_A", "operator", "provenance.creator"}


def test_describe_leaves_out_what_cannot_be_and_says_so():
    facts, told = facts_of({"Optics": {"AccelerationVoltage": "300 kV"}, "Scan": {"DwellTime": "-1"}})
    assert facts == {}
    assert "has '300 kV' for Optics/AccelerationVoltage, which is no electron_source.voltage_V" in told[0]
    assert "no scan.dwell_s" in told[1]
    ring = {"CollectionAngleRange": {"begin": "0.2", "end": "0.1"}}
    facts, told = facts_of({"DetectorMetadata": ring})
    assert set(facts) == {"detector.inner_mrad"}
    assert "no detector.outer_mrad" in told[0]


def test_describe_knows_no_convergence_of_an_image_that_was_not_scanned():
    camera = {"DetectorMetadata": {"DetectorType": "ImagingDetector"}, "Optics": VELOX["Optics"]}
    facts, _ = facts_of(camera)
    assert facts["optics.mode"].value == "TEM"
    assert not {"optics.semiangle_mrad", "optics.camera_length_m"} & set(facts)


def test_describe_reads_the_file_of_velox_that_the_reader_reads(tmp_path, gray):
    """What RosettaSciIO makes of a file, not what the test thinks it makes."""
    metadata = {
        **{key: value for key, value in VELOX.items() if key != "DetectorMetadata"},
        "BinaryResult": {
            "Detector": "HAADF",
            "DetectorIndex": "0",
            "PixelSize": {"width": "2e-11", "height": "2e-11"},
            "Offset": {"x": "0", "y": "0"},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
        },
        "Detectors": {"Detector-0": {"DetectorName": "HAADF", **VELOX["DetectorMetadata"]}},
        "Scan": {**VELOX["Scan"], "FrameTime": "1"},
        "CustomProperties": "",
    }
    text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["Version"] = [json.dumps({"format": "Velox", "version": "1.0"}).encode()]
        group = file.create_group("Data/Image/abc")
        group.create_dataset("Data", data=gray[..., np.newaxis], chunks=True)
        group["Metadata"] = text[:, np.newaxis]
        file.create_group("Displays")
    facts = subject_of(tmp_path / "a.emd").facts
    assert facts["electron_source.voltage_V"].value == 300000
    assert facts["detector.inner_mrad"].value == pytest.approx(64.1)
    assert facts["scan.pixel_size_A"].value == pytest.approx(read_micrograph(tmp_path / "a.emd").pixel_size, rel=1e-5)


def test_describe_reads_the_voltage_in_an_mrc_of_fei(tmp_path, gray):
    write_mrc(tmp_path / "a.mrc", gray.astype(np.float32), 0.45, w24=131072)
    raw = (tmp_path / "a.mrc").read_bytes()
    record = bytearray(131072)
    struct.pack_into("<f", record, 44, 2e-11)
    struct.pack_into("<f", record, 52, 3e5)
    (tmp_path / "a.mrc").write_bytes(raw[:1024] + bytes(record) + raw[1024:])
    facts = subject_of(tmp_path / "a.mrc").facts
    assert facts["electron_source.voltage_V"].value == 300000
    assert facts["scan.pixel_size_A"].value == pytest.approx(0.2)


def test_describe_reads_a_file_of_digital_micrograph(tmp_path, gray):
    microscope = {"Voltage": 80000.0, "Illumination Mode": "TEM", "Emission Current (\u00b5A)": 8.5, "Name": "Titan"}
    write_dm3(tmp_path / "a.dm3", gray, 0.02, "nm", microscope)
    facts = {key: fact.value for key, fact in subject_of(tmp_path / "a.dm3").facts.items()}
    assert facts["electron_source.voltage_V"] == 80000
    assert facts["electron_source.emission_uA"] == 8.5
    assert facts["optics.mode"] == "TEM"
    assert facts["scan.pixel_size_A"] == pytest.approx(0.2)
    assert facts["scan.size_px"] == [50, 40]
