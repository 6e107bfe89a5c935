"""Scans of every format, and files that are no scan."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
import zarr

from exitwave.benchmark.probes import parts
from exitwave.benchmark.scans import calibrated, open_scan
from exitwave.electron import wavelength
from exitwave.errors import ScanError
from scan_writers import (
    write_blo,
    write_dm4,
    write_mib,
    write_old_py4dstem,
    write_py4dstem,
    write_rosetta,
    write_zspy,
)


def as_hspy(path, data, **options):
    write_rosetta(path, data, "hspy", **options)


def as_emd(path, data):
    write_rosetta(path, data, "emd")


def as_zarr(path, data):
    zarr.create_array(str(path), data=data, chunks=(2, 2, *data.shape[2:]))


def as_hdf5(path, data):
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/frames", data=data)


CALIBRATED = {
    "a.hspy": as_hspy,
    "a.zspy": write_zspy,
    "a.emd": as_emd,
    "a.h5": write_py4dstem,
    "old.h5": write_old_py4dstem,
    "a.dm4": write_dm4,
}
PLAIN = {
    "a.npy": np.save,
    "a.zarr": as_zarr,
    "plain.hdf5": as_hdf5,
    "a.mib": write_mib,
    "a.blo": write_blo,
}


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 200, (3, 4, 20, 20)).astype(np.uint16)


def written(path, data, write):
    write(path, data.astype(np.uint8) if path.suffix == ".blo" else data)
    return path


@pytest.mark.parametrize("name", [*CALIBRATED, *PLAIN])
def test_every_format_gives_the_same_patterns_in_parts(tmp_path, data, name):
    scan = open_scan(written(tmp_path / name, data, {**CALIBRATED, **PLAIN}[name]))
    assert scan.shape == data.shape
    for rows, columns in ((slice(1, 3), slice(1, 4)), (slice(0, 1), slice(0, 1)), (slice(None), slice(None))):
        patterns = scan.patterns(rows, columns)
        assert patterns.dtype == np.float32
        np.testing.assert_array_equal(patterns, data[rows, columns].reshape(-1, 20, 20))


@pytest.mark.parametrize("name", CALIBRATED)
def test_formats_with_a_calibration_tell_it(tmp_path, data, name):
    scan = open_scan(written(tmp_path / name, data, CALIBRATED[name]))
    assert scan.reciprocal_sampling == pytest.approx(0.02)
    assert scan.step == pytest.approx(5.0)
    assert scan.told == ()
    assert scan.uncalibrated == ""


@pytest.mark.parametrize("name", PLAIN)
def test_formats_without_a_calibration_say_so(tmp_path, data, name):
    scan = open_scan(written(tmp_path / name, data, PLAIN[name]))
    assert scan.reciprocal_sampling is None
    assert "calibra" in scan.uncalibrated
    given = calibrated(scan, 0.03, 7.0)
    assert (given.reciprocal_sampling, given.step, given.uncalibrated) == (0.03, 7.0, "")
    with pytest.raises(ScanError, match=r"found 30 1/Å; allowed: 1e-05 to 1 1/Å"):
        calibrated(scan, 30.0, None)


def test_axes_of_the_detector_are_known_by_their_units(tmp_path, data):
    # Digital Micrograph may put the scan last.
    write_dm4(tmp_path / "a.dm4", np.moveaxis(data, (0, 1), (2, 3)), ("1/nm", "1/nm", "nm", "nm"), (0.2, 0.2, 0.5, 0.5))
    scan = open_scan(tmp_path / "a.dm4")
    assert scan.shape == data.shape
    np.testing.assert_array_equal(scan.patterns(slice(1, 2), slice(0, 3)), data[1, :3])


@pytest.mark.parametrize(
    ("unit", "size"),
    [("1/nm", 0.1), ("nm^-1", 0.1), ("1/Å", 1.0), ("A^-1", 1.0), ("$A^{-1}$", 1.0), ("nm⁻¹", 0.1), ("1 / Å", 1.0)],
)
def test_reciprocal_units_are_read_whichever_way_they_are_written(tmp_path, data, unit, size):
    as_hspy(tmp_path / "a.hspy", data, units=("nm", "nm", unit, unit), scales=(1, 1, 0.05, 0.05))
    assert open_scan(tmp_path / "a.hspy").reciprocal_sampling == pytest.approx(0.05 * size)


def test_angles_are_no_reciprocal_lengths_without_an_energy(tmp_path, data):
    angles = {"units": ("nm", "nm", "mrad", "mrad"), "scales": (1, 1, 0.4, 0.4)}
    as_hspy(tmp_path / "a.hspy", data, **angles)
    scan = open_scan(tmp_path / "a.hspy")
    assert scan.reciprocal_sampling is None
    assert "mrad, which says nothing without the energy" in scan.uncalibrated
    expected = 0.4e-3 / wavelength(300e3)
    assert open_scan(tmp_path / "a.hspy", energy=300e3).reciprocal_sampling == pytest.approx(expected)
    as_hspy(tmp_path / "b.hspy", data, energy=300.0, **angles)
    told = open_scan(tmp_path / "b.hspy")
    assert told.energy == 300e3
    assert told.reciprocal_sampling == pytest.approx(expected)


@pytest.mark.parametrize(
    ("units", "scales", "told"),
    [
        (("nm", "nm", "px", "px"), (1, 1, 1, 1), "no calibration"),
        (("nm", "nm", "1/Å", "1/Å"), (1, 1, 1, 1), "reciprocal pixel of 1 1/Å"),
        (("nm", "nm", "nm", "nm"), (1, 1, 1, 1), "'nm', which is no reciprocal length"),
        (("nm", "nm", "1/nm", "1/nm"), (1, 1, 0.2, 0.3), "0.3 1/nm x 0.2 1/nm in its patterns, which are not square"),
    ],
)
def test_calibrations_that_cannot_be_right_are_not_taken(tmp_path, data, units, scales, told):
    as_hspy(tmp_path / "a.hspy", data, units=units, scales=scales)
    scan = open_scan(tmp_path / "a.hspy")
    assert scan.reciprocal_sampling is None
    assert told in scan.uncalibrated


@pytest.mark.parametrize("name", ["a.npy", "a.blo"])
def test_of_a_file_that_is_cut_off_the_patterns_that_are_there_are_read(tmp_path, data, name):
    path = written(tmp_path / name, data, PLAIN[name])
    path.write_bytes(path.read_bytes()[: -2 * 400 * (2 if name == "a.npy" else 1) - 20])
    scan = open_scan(path)
    assert scan.shape == data.shape
    assert scan.told == ("is cut off: it has 9 of 12 patterns",)
    np.testing.assert_array_equal(scan.patterns(slice(0, 2)), data[:2].reshape(-1, 20, 20))
    with pytest.raises(ScanError, match=rf"{name} ends before pattern 12 of 12"):
        scan.patterns(slice(2, 3))


def test_a_camera_that_has_not_recorded_all_frames_is_told(tmp_path, data):
    write_mib(tmp_path / "a.mib", data[:2], wanted=12)
    scan = open_scan(tmp_path / "a.mib")
    assert scan.shape == (2, 4, 20, 20)
    assert scan.told == ("has 8 whole frames in whole lines of 12 that were to be recorded",)


@pytest.mark.parametrize("name", ["a.hspy", "a.h5", "a.dm4", "a.emd"])
def test_a_file_that_cannot_be_read_when_it_is_cut_off_is_named(tmp_path, data, name):
    path = written(tmp_path / name, data, CALIBRATED[name])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ScanError, match=rf"{name} cannot be read: \w+") as caught:
        open_scan(path)
    assert "\n" not in str(caught.value)


def test_a_stack_of_patterns_becomes_a_scan_of_a_given_shape(tmp_path, data):
    np.save(tmp_path / "a.npy", data.reshape(12, 20, 20))
    assert open_scan(tmp_path / "a.npy").shape == (1, 12, 20, 20)
    scan = open_scan(tmp_path / "a.npy", scan_shape=(3, 4))
    np.testing.assert_array_equal(scan.patterns(slice(1, 3), slice(2, 4)), data[1:3, 2:4].reshape(-1, 20, 20))
    longer = open_scan(tmp_path / "a.npy", scan_shape=(4, 4))
    assert longer.told[0] == "has 12 patterns of the 4 x 4 that were asked for"
    with pytest.raises(ScanError, match="ends before pattern 16"):
        longer.patterns(slice(3, 4))
    with pytest.raises(ScanError, match="holds 12 patterns, which are not the 2 x 2"):
        open_scan(tmp_path / "a.npy", scan_shape=(2, 2))


def two(path):
    with h5py.File(path, "w") as file:
        file["one"] = file["two"] = np.zeros((2, 2, 20, 20))


REFUSED = {
    "missing.hspy": (lambda path: None, "does not exist"),
    "a.xyz": (lambda path: path.write_bytes(b"1"), "unknown format '.xyz'; allowed: .blo"),
    "image.npy": (lambda path: np.save(path, np.zeros((20, 20))), "holds no scan .arrays: 20 x 20.; allowed: one of 4"),
    "small.npy": (lambda path: np.save(path, np.zeros((2, 2, 8, 8))), "patterns of 8 x 8 px; allowed: 16 px or more"),
    "complex.npy": (lambda path: np.save(path, np.zeros((2, 2, 20, 20), complex)), "values of type complex128"),
    "two.h5": (two, "holds 2 arrays of 4 dimensions"),
    "garbage.hspy": (lambda path: path.write_bytes(b"no scan at all"), "cannot be read"),
    "objects.npy": (lambda path: np.save(path, np.array([[{}]])), "values of type object"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_hold_no_scan_are_named(tmp_path, name):
    write, told = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(ScanError, match=told) as caught:
        open_scan(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize("chunks", [(1, 1), (3, 3), (2, 50), (50, 2), (50, 50)])
@pytest.mark.parametrize("most", [1, 7, 40, 10**6])
def test_parts_hold_every_position_once_and_not_too_many(tmp_path, chunks, most):
    np.save(tmp_path / "a.npy", np.zeros((9, 11, 16, 16), np.uint8))
    scan = open_scan(tmp_path / "a.npy")
    object.__setattr__(scan, "chunks", chunks)
    seen = np.zeros((9, 11), int)
    for rows, columns in parts(scan, slice(1, 9), slice(0, 10), most * 16 * 16 * 4):
        seen[rows, columns] += 1
        assert (rows.stop - rows.start) * (columns.stop - columns.start) <= most
    assert (seen[1:9, 0:10] == 1).all()
    assert seen.sum() == 80


def test_parts_follow_the_chunks_of_the_file(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(8, 12, 16, 16), chunks=(4, 4, 16, 16), dtype="uint8")
    found = list(parts(open_scan(tmp_path / "a.zarr"), slice(None), slice(None), 32 * 1024))
    assert all(rows.start % 4 == rows.stop % 4 == columns.start % 4 == columns.stop % 4 == 0 for rows, columns in found)
    assert len(found) == 4


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA"), reason="no such limit here")
def test_a_scan_larger_than_memory_is_read_in_parts(tmp_path):
    path = tmp_path / "large.npy"
    # A hole on the disk, 4 GB to whoever reads all of it.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (64, 128, 512, 512)}
        )
        start = file.tell()
    os.truncate(path, start + math.prod((64, 128, 512, 512, 2)))
    code = f"""
import resource
from exitwave.benchmark.probes import parts
from exitwave.benchmark.scans import open_scan
resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**29))
scan = open_scan({str(path)!r})
print(sum(len(scan.patterns(*part)) for part in list(parts(scan, slice(None), slice(None), 2**26))[::40]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 200


def test_signals_of_hyperspy_beside_a_scan_do_no_harm(tmp_path, data):
    as_hspy(tmp_path / "a.hspy", data)
    with h5py.File(tmp_path / "a.hspy", "a") as file:
        file.copy(file["Experiments/scan"], file["Experiments"], "image")
        group = file["Experiments/image"]
        del group["data"], group["axis-0"], group["axis-1"]
        group["data"] = data[0, 0]
        for old, new in (("axis-2", "axis-0"), ("axis-3", "axis-1")):
            group.move(old, new)
    assert open_scan(tmp_path / "a.hspy").shape == data.shape
