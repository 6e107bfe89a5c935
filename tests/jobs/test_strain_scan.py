"""``exitwave strain``: from a scan to maps and a page, gone on with, and what is wrong with a scan named."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from correlators import ONE_MAP, Correlator
from exitwave.benchmark.scan_parts import Box
from exitwave.benchmark.scan_strain import EMPTY, GOOD, NOT_READ, SATURATED
from exitwave.cli import app
from exitwave.config.disks import Disks
from exitwave.config.models import Segmentation
from exitwave.data.whole import sealed, unsealed
from exitwave.electron import wavelength
from exitwave.errors import ScanError, TrainingError
from exitwave.jobs import strain, strain_folder, strain_results, strain_worker
from exitwave.jobs.strain import measure_strain
from exitwave.jobs.strain_how import Given, Measuring
from exitwave.training.kinds import task_of
from exitwave.training.networks import load_network, save_network
from scan_writers import write_rosetta
from strained_scan import RADIUS, SAMPLING, SIZE, STRAIN, TURN, strained_scan

LEFT = Box((0, 3), (0, 4))
"""The half that is not strained."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(strain, "PART", 6)


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """Pictures take most of the time."""
    if "pictures" not in request.fixturenames:
        for name in ("draw_strain", "draw_quality", "draw_lattice"):
            monkeypatch.setattr(strain_results, name, lambda *given: Path(given[-1]).write_bytes(b""))


@pytest.fixture
def pictures():
    """Pictures are drawn."""


@pytest.fixture
def how(tmp_path):
    return correlation(tmp_path)


def small():
    return strained_scan(4, 6)


def correlation(folder, **more):
    np.save(folder / "probe.npy", small().probe)
    return Measuring(probe=folder / "probe.npy", reference=LEFT, workers=1, **more)


def scan_of(folder, patterns=None, name="scan.npy"):
    np.save(folder / name, small().patterns.astype(np.uint16) if patterns is None else patterns)
    return folder / name


def arrays(folder):
    with np.load(folder / "strain.npz") as file:
        return {name: file[name] for name in file.files}


def test_strain_of_a_scan_is_measured_and_written_in_every_form(tmp_path, pictures):
    write_rosetta(
        tmp_path / "scan.hspy",
        small().patterns.astype(np.uint16),
        "hspy",
        units=("nm", "nm", "1/nm", "1/nm"),
        scales=(1, 1, 10 * SAMPLING, 10 * SAMPLING),
    )
    out, told = tmp_path / "out", []
    found = measure_strain(tmp_path / "scan.hspy", out, correlation(tmp_path), lambda *done: told.append(done))
    maps = arrays(out)
    assert (maps["trust"] == GOOD).all()
    for name, expected in (("e_xx", STRAIN[0, 0]), ("e_yy", STRAIN[1, 1]), ("e_xy", STRAIN[0, 1]), ("rotation", TURN)):
        assert maps[name][:, :3].mean() == pytest.approx(0, abs=3e-4)
        # On disks of few pixels that all lie alike on them, rims are off by a tenth of a pixel.
        assert maps[name][:, 3:].mean() == pytest.approx(expected, abs=2.5e-3)
    assert told[0] == (0, 24)
    assert told[-1] == (24, 24)
    assert [done for done, _ in told] == sorted(done for done, _ in told)

    names = ("e_xx", "e_yy", "e_xy", "rotation", "error", "residual", "disks", "trust")
    assert {path.name for path in out.iterdir()} == {
        *(f"{name}.tif" for name in names),
        *("strain.npz", "strain.png", "quality.png", "patterns.png", "summary.html", "strain.json"),
        *("disks.parquet", "disks.h5", ".lattices.npz"),
    }
    for name in ("e_xx", "rotation", "trust"):
        with tifffile.TiffFile(out / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.asarray(), maps[name].astype(file.asarray().dtype))
            assert file.imagej_metadata["unit"] == "nm"
            assert file.pages[0].tags["XResolution"].value == (1, 1)

    disks = pd.read_parquet(out / "disks.parquet")
    assert list(disks.columns) == ["row", "column", "x", "y", "weight", "deviation", "h", "k"]
    one = disks[(disks["row"] == 2) & (disks["column"] == 5)].dropna(subset=["h"])
    origin, g1, g2 = ([maps[f"{name}_{axis}"][2, 5] for axis in "xy"] for name in ("origin", "g1", "g2"))
    expected = np.array(origin) + np.outer(one["h"].astype(float), g1) + np.outer(one["k"].astype(float), g2)
    assert np.abs(expected - one[["x", "y"]]).to_numpy().max() < 0.2
    assert len(one) == maps["on_lattice"][2, 5]
    # The direct beam is 0, 0.
    assert one.loc[one["weight"].idxmax(), ["h", "k"]].tolist() == [0, 0]

    assert "24 patterns were measured" in found[0]
    assert found[1] == "Strain is trusted at 24 of 24 positions (100 %)."
    assert re.search(r"the median of 12 positions of the part 0:3,0:4: g1 0\.34\d+ 1/Å \(spacing 2\.9\d+ Å\)", found[2])
    assert "e_xx is along x of the patterns" in found[3]
    page = (out / "summary.html").read_text(encoding="utf-8")
    assert all(text.split(":")[0] in page for text in found[1:])
    assert not re.search(r"https?://|url\(|@import|fetch\(", page)
    assert page.count("data:image/png;base64,") == 3


def test_disks_are_kept_as_points_of_py4dstem(tmp_path, how):
    measure_strain(scan_of(tmp_path), tmp_path / "out", how)
    disks = pd.read_parquet(tmp_path / "out/disks.parquet")
    with h5py.File(tmp_path / "out/disks.h5") as file:
        assert file.attrs["emd_group_type"] == "file"
        assert file["braggvectors_root/braggvectors"].attrs["python_class"] == "BraggVectors"
        points = file["braggvectors_root/braggvectors/_v_uncal/data"]
        assert points.shape == (4, 6)
        for row, column in ((0, 0), (3, 5), (2, 4)):
            there = disks[(disks["row"] == row) & (disks["column"] == column)]
            # Its x counts rows of pixels.
            np.testing.assert_allclose(points[row, column]["qx"], there["y"], rtol=1e-6)
            np.testing.assert_allclose(points[row, column]["qy"], there["x"], rtol=1e-6)


def test_py4dstem_reads_these_points(tmp_path, how):
    py4dstem = pytest.importorskip("py4DSTEM")
    measure_strain(scan_of(tmp_path), tmp_path / "out", how)
    vectors = py4dstem.read(str(tmp_path / "out/disks.h5"))
    disks = pd.read_parquet(tmp_path / "out/disks.parquet")
    there = disks[(disks["row"] == 2) & (disks["column"] == 5)]
    found = vectors.get_vectors(2, 5, center=False, ellipse=False, pixel=False, rotate=False)
    np.testing.assert_allclose(found.qx, there["y"], rtol=1e-6)
    assert vectors.calibration.get_origin() is not None


class Killed(BaseException):
    """Nothing can react to it, as to the end of a process."""


@pytest.mark.parametrize("place", ["measuring", "writing", "joining"])
def test_a_call_that_is_killed_is_gone_on_with(tmp_path, how, monkeypatch, place):
    scan, out, whole = scan_of(tmp_path), tmp_path / "out", tmp_path / "whole"
    measure_strain(scan, whole, how)
    owner, name = {
        "measuring": (strain_worker.Worker, "measure"),
        "writing": (strain_folder, "replace_file"),
        "joining": (strain_folder._BraggVectors, "add"),
    }[place]
    original, calls = getattr(owner, name), []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            measure_strain(scan, out, how)
    again, told = [], []
    original_measure = strain_worker.Worker.measure
    monkeypatch.setattr(strain_worker.Worker, "measure", lambda *given: again.append(1) or original_measure(*given))
    measure_strain(scan, out, how, lambda *done: told.append(done))
    assert len(again) == {"measuring": 2, "writing": 3, "joining": 0}[place]
    if again:
        assert told[0] == (24 - 6 * len(again), 24)
    for name, values in arrays(whole).items():
        np.testing.assert_array_equal(arrays(out)[name], values)
    assert pd.read_parquet(out / "disks.parquet").equals(pd.read_parquet(whole / "disks.parquet"))
    assert [path.name for path in out.glob(".*")] == [".lattices.npz"]


def test_another_reference_and_axis_need_no_disk_to_be_found_again(tmp_path, how, monkeypatch):
    scan, out = scan_of(tmp_path), tmp_path / "out"
    measure_strain(scan, out, how)
    before = arrays(out)
    monkeypatch.setattr(strain, "_measure", lambda *given: pytest.fail("disks were there"))
    found = measure_strain(scan, out, replace(how, reference=Box((3, 6), (0, 4)), axis="g1"))
    after = arrays(out)
    assert found[0] == "All disks were there already; maps and pictures are new."
    np.testing.assert_array_equal(after["g1_x"], before["g1_x"])
    assert after["e_xx"][:, 3:].mean() == pytest.approx(0, abs=3e-4)
    # What was longer than the reference is the reference now.
    assert after["rotation"][:, :3].mean() == pytest.approx(-TURN, abs=2.5e-3)
    g1 = after["reference"][:, 0]
    assert float(after["axis"]) == pytest.approx(math.atan2(g1[1], g1[0]))
    assert f"along g1, which is {math.degrees(after['axis']):.2f}° from x" in found[3]


def test_results_made_otherwise_are_refused_and_replaced_only_when_told_so(tmp_path, how):
    scan, out = scan_of(tmp_path), tmp_path / "out"
    measure_strain(scan, out, how)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ScanError, match=r"made otherwise \(fit: disks, now map\); allowed: another --output, or"):
        measure_strain(scan, out, replace(how, fit="map"))
    other = scan_of(tmp_path, strained_scan(4, 6, seed=1).patterns.astype(np.uint16))
    with pytest.raises(ScanError, match=r"made otherwise \(scan checksum: "):
        measure_strain(other, out, how)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    measure_strain(other, out, replace(how, overwrite=True))
    assert (out / "disks.parquet").read_bytes() != before["disks.parquet"]
    assert {path.name for path in out.iterdir()} == set(before)
    # Nothing of before stands beside settings of a call that comes to no end.
    with pytest.raises(ScanError, match="reference"):
        measure_strain(scan, out, replace(how, overwrite=True, reference=Given((0.9, 0.9), 90)))
    assert not {"summary.html", "strain.npz", "strain.png", "e_xx.tif"} & {path.name for path in out.iterdir()}


def test_a_folder_with_other_files_is_not_written_to(tmp_path, how):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(ScanError, match=r"out holds other files, such as notes.txt; allowed: a new folder"):
        measure_strain(scan_of(tmp_path), tmp_path / "out", replace(how, overwrite=True))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_several_processes_measure_the_same(tmp_path, how):
    scan = scan_of(tmp_path)
    measure_strain(scan, tmp_path / "one", how)
    measure_strain(scan, tmp_path / "two", replace(how, workers=2))
    for name, values in arrays(tmp_path / "one").items():
        np.testing.assert_array_equal(arrays(tmp_path / "two")[name], values)


def test_what_cannot_be_used_is_named_and_the_map_says_where(tmp_path, how, caplog):
    patterns = small().patterns.astype(np.float32)
    patterns[0, 1] = np.nan
    patterns[1, 2] = 0
    patterns[2, 3, :20] = np.inf
    zarr.create_array(str(tmp_path / "scan.zarr"), data=patterns, chunks=(1, 1, SIZE, SIZE))
    (tmp_path / "scan.zarr/c/3/5/0/0").write_bytes(b"damaged")
    found = measure_strain(tmp_path / "scan.zarr", tmp_path / "out", how)
    trust = arrays(tmp_path / "out")["trust"]
    expected = np.zeros((4, 6), np.uint8)
    expected[[0, 1, 2], [1, 2, 3]], expected[3, 5] = EMPTY, NOT_READ
    np.testing.assert_array_equal(trust, expected)
    assert "trusted at 20 of 24 positions (83.3 %); the others: cannot be read: 1, empty, or not finite: 3" in found[1]
    assert np.isnan(arrays(tmp_path / "out")["e_xx"][expected > 0]).all()
    assert "scan.zarr has no calibration of its patterns: strain needs none" in caplog.text
    assert re.search(r"g1 11\.\d+ px", found[2])


def test_of_a_file_that_is_cut_off_the_rest_is_measured(tmp_path, how, caplog):
    scan = scan_of(tmp_path)
    scan.write_bytes(scan.read_bytes()[: -2 * SIZE * SIZE * 5 + 100])
    measure_strain(scan, tmp_path / "out", how)
    assert "scan.npy is cut off: it has 19 of 24 patterns" in caplog.text
    trust = arrays(tmp_path / "out")["trust"].ravel()
    assert (trust[:19] == GOOD).all()
    assert (trust[19:] == NOT_READ).all()
    assert "is cut off: it has 19 of 24 patterns" in (tmp_path / "out/summary.html").read_text(encoding="utf-8")


def test_saturated_patterns_have_strain_that_is_not_trusted(tmp_path, how, caplog):
    patterns = np.minimum(small().patterns, 4095)
    patterns[:, 5:] = np.minimum(8 * small().patterns[:, 5:], 4095)
    patterns[:, :5] = small().patterns[:, :5] / 2
    measure_strain(scan_of(tmp_path, patterns.astype(np.uint16)), tmp_path / "out", how)
    maps = arrays(tmp_path / "out")
    assert (maps["trust"][:, 5:] == SATURATED).all()
    assert (maps["trust"][:, :5] == GOOD).all()
    assert np.isfinite(maps["e_xx"][:, 5:]).all()
    assert "is saturated in some patterns, at 4095 counts" in caplog.text


def test_a_beam_stop_is_named_and_strain_comes_from_the_other_disks(tmp_path, how, caplog):
    patterns = strained_scan(4, 6, counts=20000.0).patterns.copy()
    rows, columns = np.ogrid[:SIZE, :SIZE]
    patterns[..., np.hypot(rows - 32, columns - 32) < RADIUS + 2] = 0
    measure_strain(scan_of(tmp_path, patterns.astype(np.uint16)), tmp_path / "out", how)
    maps = arrays(tmp_path / "out")
    assert "shows no direct beam at (3" in caplog.text
    assert (maps["trust"] == GOOD).mean() > 0.95
    assert np.nanmean(maps["e_xx"][:, 3:]) == pytest.approx(STRAIN[0, 0], abs=1e-3)


def test_a_scan_of_vacuum_has_no_lattice(tmp_path, how):
    patterns = np.random.default_rng(0).poisson(small().probe, (4, 6, SIZE, SIZE)).astype(np.uint16)
    with pytest.raises(ScanError, match="no lattice was found in 24 patterns"):
        measure_strain(scan_of(tmp_path, patterns), tmp_path / "out", how)


def test_a_part_of_the_scan_may_be_the_probe_or_a_disk_of_a_semiangle(tmp_path, how):
    patterns = small().patterns.copy()
    patterns[:2, :2] = small().probe
    scan = scan_of(tmp_path, patterns.astype(np.uint16))
    vacuum = replace(how, probe=None, vacuum=Box((0, 2), (0, 2)), reference=Box((0, 3), (2, 4)))
    measure_strain(scan, tmp_path / "vacuum", vacuum)
    trust = arrays(tmp_path / "vacuum")["trust"]
    assert (trust[:2, :2] != GOOD).all()
    assert (trust[2:] == GOOD).all()
    angle = 1e3 * RADIUS * SAMPLING * wavelength(200e3)
    disk = replace(vacuum, vacuum=None, semiangle=angle, energy=200e3, reciprocal_sampling=SAMPLING)
    measure_strain(scan, tmp_path / "disk", disk)
    for folder in ("vacuum", "disk"):
        assert arrays(tmp_path / folder)["e_xx"][2:, 3:].mean() == pytest.approx(STRAIN[0, 0], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"probe": None}, "found none for its probe; allowed: one of --probe FILE"),
        ({"semiangle": 2.0}, "found --probe and --semiangle for its probe"),
        ({"probe": None, "semiangle": 2.0}, "does not say what --semiangle needs besides; give --energy"),
        ({"reference": Box((0, 7), (0, 4))}, "--reference: found 0:7,0:4; allowed: x from 0 to 6 and y from 0 to 4"),
        ({"probe": None, "vacuum": Box((3, 3), (0, 4))}, "--vacuum: found 3:3,0:4; allowed"),
        ({"reference": Given((0.3, 0.3), 90)}, "needs the reciprocal pixel, which .*scan.npy does not say"),
        ({"probe": Path("gone.tif")}, "gone.tif does not exist"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(tmp_path, how, change, told):
    with pytest.raises(ScanError, match=told):
        measure_strain(scan_of(tmp_path), tmp_path / "out", replace(how, **change))


def test_a_probe_of_another_size_is_refused(tmp_path, how):
    np.save(tmp_path / "probe.npy", np.pad(small().probe, 32))
    with pytest.raises(ScanError, match=r"probe.npy has 128 x 128 px, and the patterns of the scan have 64 x 64"):
        measure_strain(scan_of(tmp_path), tmp_path / "out", how)


@pytest.fixture
def network(tmp_path, monkeypatch):
    """Folder of a network that is not trained, and correlates what it sees once it is loaded."""
    model = Disks(kind="disks", width=2, depth=2)
    task = task_of(model, {})
    info = {"validation": {"validation_threshold": 0.1}, "data": {"target": {"disk_radius": {"min": 2.0, "max": 4.0}}}}
    save_network(tmp_path / "network", task.build(), task, pixel_size=1.0, info=info)
    original = strain_worker.load_networks

    def loaded(path):
        return [replace(one, module=Correlator(), task=ONE_MAP) for one in original(path)]

    monkeypatch.setattr(strain_worker, "load_networks", loaded)
    return tmp_path / "network"


def test_networks_find_disks_in_a_scan(tmp_path, how, network, caplog):
    out = tmp_path / "out"
    networks = replace(how, model=network, device="cpu")
    measure_strain(scan_of(tmp_path), out, networks)
    maps = arrays(out)
    assert (maps["trust"] == GOOD).all()
    assert maps["e_xx"][:, 3:].mean() == pytest.approx(STRAIN[0, 0], abs=1e-3)
    settings = json.loads((out / "strain.json").read_text())
    assert settings["threshold"] == 0.1
    assert settings["weights"].startswith("sha256:")
    assert "radius" not in caplog.text
    with pytest.raises(ScanError, match=r"made otherwise \(threshold: 0.1, now 0.2\)"):
        measure_strain(tmp_path / "scan.npy", out, replace(networks, threshold=0.2))


def test_disks_that_a_network_does_not_know_are_told(tmp_path, how, network, caplog):
    text = (network / "network.json").read_text()
    for least, most, told in (
        (8.0, 9.0, "the networks know 8 to 9 px"),
        (0.5, 1.7, "blocks of 2 x 2 pixels are added"),
    ):
        content = unsealed(json.loads(text))
        content["info"]["data"]["target"]["disk_radius"] = {"min": least, "max": most}
        (network / "network.json").write_text(json.dumps(sealed(content)))
        measure_strain(scan_of(tmp_path), tmp_path / str(most), replace(how, model=network))
        assert told in caplog.text


def test_networks_that_do_something_else_are_refused(tmp_path, how, network, monkeypatch):
    other = replace(load_network(network), task=task_of(Segmentation(kind="segmentation"), {}))
    monkeypatch.setattr(strain_worker, "load_networks", lambda path: [other])
    with pytest.raises(TrainingError, match=r"network: holds networks of kind segmentation; allowed: .* kind disks"):
        measure_strain(scan_of(tmp_path), tmp_path / "out", replace(how, model=network))


def run(*arguments):
    return CliRunner().invoke(app, ["strain", *map(str, arguments)])


def test_the_command_tells_what_it_found_and_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scan_of(tmp_path)
    correlation(tmp_path)
    given = ("--probe", "probe.npy", "--correlation", "--workers", 1, "--reciprocal-sampling", SAMPLING)
    done = run("scan.npy", *given, "--reference", "0:3,0:4", "--axis", "-20.5", "--step", 8)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[-1] == "results in scan_strain; look at scan_strain/summary.html"
    assert "at -20.50° from x of the patterns (to the right) towards y (down)" in done.stdout
    assert re.search(
        r"e_xx: median -?0\.\d+ %, 90 % of the positions within .* in the reference it scatters by 0\.0", done.stdout
    )
    known = run("scan.npy", *given, "--reference", "0.3438,0.3675,91", "--axis", "g2")
    assert known.exit_code == 0, known.output
    assert "relative to the lattice of 0.3438 1/Å, 0.3675 1/Å and 91°: g1 0.3438 1/Å" in known.stdout
    alone = run("scan.npy", *given)
    assert "So its zero means nothing; give --reference with an unstrained part." in alone.stdout


def test_a_model_and_correlation_are_not_both_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("scan.npy", "--probe", "probe.npy", "--correlation", "--model", "mine")
    assert str(done.exception) == "found --model mine and --correlation; allowed: one of the two"


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--reference", "0-4,0-6", "--reference: found '0-4,0-6'; allowed: X0:X1,Y0:Y1, a part of the scan, or LENGTH"),
        ("--reference", "0.3,0.3,200", "allowed: X0:X1"),
        ("--vacuum", "0:4", "--vacuum: found '0:4'; allowed: X0:X1,Y0:Y1"),
        ("--axis", "g3", "--axis: found 'g3'; allowed: an angle in degrees, g1 or g2"),
        ("--scan-shape", "8", "--scan-shape: found '8'; allowed: COLUMNSxROWS"),
    ],
)
def test_options_that_say_nothing_are_named(tmp_path, option, value, told):
    done = run(scan_of(tmp_path), option, value)
    assert done.exit_code == 1
    assert told in str(done.exception)


def test_a_line_of_positions_is_measured_too(tmp_path, how, pictures):
    scan = scan_of(tmp_path, small().patterns[0].astype(np.uint16))
    measure_strain(scan, tmp_path / "out", replace(how, reference=Box((0, 3), (0, 1))))
    assert arrays(tmp_path / "out")["e_xx"].shape == (1, 6)


def test_a_scan_larger_than_memory_is_measured(tmp_path):
    """A quarter of what it takes as numbers of single precision is allowed, beside what the program itself takes."""
    edge, rows, columns = 128, 64, 128
    path = tmp_path / "large.npy"
    header = {"descr": "<u2", "fortran_order": False, "shape": (rows, columns, edge, edge)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
    size = columns * edge * edge * 2
    # Most of it is a hole on the disk, without a count.
    os.truncate(path, start + rows * size)
    row = np.zeros((columns, edge, edge), np.uint16)
    row[:, 32:96, 32:96] = np.resize(small().patterns[:, :3].reshape(-1, SIZE, SIZE), (columns, SIZE, SIZE))
    with path.open("r+b") as file:
        file.seek(start + 5 * size)
        file.write(row.tobytes())
    np.save(tmp_path / "probe.npy", np.pad(small().probe, 32))
    code = f"""
import re, resource
from pathlib import Path
from exitwave.jobs.strain import measure_strain
from exitwave.jobs.strain_how import Measuring
import exitwave.report.strain_figures, scipy.ndimage, scipy.fft, pyarrow.parquet, matplotlib.pyplot
held = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
most = held + {4 * edge * edge * rows * columns // 4}
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
folder = Path({str(tmp_path)!r})
how = Measuring(probe=folder / "probe.npy", workers=1)
print(*measure_strain(folder / "large.npy", folder / "out", how), sep="\\n")
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "trusted at 128 of 8,192 positions" in done.stdout
