"""Sidecars of images of one's own: written, kept, checked, and read wherever a pixel is asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from exitwave.benchmark import sidecars
from exitwave.benchmark.facts import Fact
from exitwave.benchmark.micrographs import files, read_benchmark
from exitwave.benchmark.readers import open_micrographs, read_micrograph
from exitwave.benchmark.scans import open_scan
from exitwave.benchmark.sidecars import read_sidecar
from exitwave.cli import app
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.images import MicrographFields
from exitwave.electron import wavelength
from exitwave.errors import MicrographError, ScanError
from exitwave.jobs import describe
from exitwave.jobs.apply import find_images
from exitwave.jobs.describe import Description, describe_file, write_sidecar
from exitwave.jobs.strain import measure_strain
from exitwave.jobs.strain_how import Measuring
from micrograph_writers import write_dm3, write_mrc
from scan_writers import write_rosetta
from strained_scan import RADIUS, SAMPLING, strained_scan

GRAY = np.random.default_rng(4).integers(0, 255, (40, 50)).astype(np.uint8)
LICENCE = "provenance:\n  licence: MIT\n"


def png(path):
    Image.fromarray(GRAY).save(path)
    return path


def beside(path, text):
    place = path.with_name(f"{path.name}.meta.yaml")
    place.write_text(text, encoding="utf-8")
    return place


def run(*words):
    return CliRunner().invoke(app, ["describe", *map(str, words)])


def mrc(path, pixel=0.45):
    write_mrc(path, GRAY.astype(np.float32), pixel)
    return path


# --- writing ----------------------------------------------------------------------------------


def test_describe_prints_what_it_would_write_and_writes_what_it_prints(tmp_path):
    path = tmp_path / "a.dm3"
    write_dm3(path, GRAY, 0.02, "nm", {"Voltage": 80000.0, "Illumination Mode": "TEM", "Name": 'A "B": #C'})
    shown = run(path)
    assert shown.exit_code == 0
    assert not path.with_name("a.dm3.meta.yaml").exists()
    assert "provenance.licence (SPDX name, such as CC-BY-4.0)" in shown.stderr
    assert "not known: sample.formula" in shown.stderr
    done = run(path, "--write")
    assert done.exit_code == 0, done.output
    text = path.with_name("a.dm3.meta.yaml").read_text("utf-8")
    assert text == shown.stdout
    # As any reader of YAML reads it.
    content = yaml.safe_load(text)
    assert content["electron_source"] == {"voltage_V": 80000}
    assert content["instrument"] == {"model": 'A "B": #C'}
    assert content["optics"] == {"mode": "TEM"}
    assert content["scan"]["size_px"] == [50, 40]
    assert content["scan"]["pixel_size_A"] == pytest.approx(0.2)
    assert content["provenance"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_micrograph(path).pixel_size == pytest.approx(0.2)
    assert run(path, "--write").stdout.strip().endswith("nothing to add to its sidecar")
    assert path.with_name("a.dm3.meta.yaml").read_text("utf-8") == text


def test_describe_never_overwrites_what_a_person_wrote(tmp_path):
    path = mrc(tmp_path / "a.mrc")
    mine = (
        "# of gold\nscan:\n    # from the lattice\n    pixel_size_A: 0.5   # not 0.45\noperator: 0000-0002-1825-0097\n"
    )
    place = beside(path, mine + LICENCE)
    done = run(path, "--write")
    assert done.exit_code == 0, done.output
    assert "has scan.pixel_size_A 0.45 (calibration of the file), but a.mrc.meta.yaml says 0.5" in done.stderr
    text = place.read_text("utf-8")
    assert [line for line in text.splitlines() if line in (mine + LICENCE).splitlines()] == (
        mine + LICENCE
    ).splitlines()
    said = read_sidecar(place)
    assert (said.scan.pixel_size_A, said.scan.size_px, said.provenance.licence) == (0.5, (50, 40), "MIT")
    assert said.provenance.source == "a.mrc"


@pytest.mark.parametrize(
    "text", ["scan: {pixel_size_A: 0.45}\n", "{optics: {mode: TEM}}\n", "optics:\n  mode: TEM\n..."]
)
def test_describe_leaves_a_sidecar_alone_to_which_it_cannot_add(tmp_path, text):
    path = mrc(tmp_path / "a.mrc")
    place = beside(path, text)
    done = run(path, "--write")
    assert done.exit_code == 1
    assert "cannot be added to; allowed: each group on a line of its own" in done.stderr
    assert place.read_text("utf-8") == text


def test_describe_leaves_no_half_of_a_sidecar(tmp_path, monkeypatch):
    path = mrc(tmp_path / "a.mrc")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "full")))
    done = CliRunner().invoke(app, ["describe", str(path), "--write"])
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["a.mrc"]


def test_describe_goes_on_with_the_others(tmp_path):
    mrc(tmp_path / "b.mrc")
    (tmp_path / "a.mrc").write_bytes(b"nothing")
    png(tmp_path / "c.png")
    beside(tmp_path / "c.png", "scan:\n  pixel_size_nm: 3\n")
    done = run(tmp_path, "--write")
    assert done.exit_code == 1
    assert (tmp_path / "b.mrc.meta.yaml").is_file()
    assert not (tmp_path / "a.mrc.meta.yaml").exists()
    told = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(told) == 2
    assert "perhaps meant as 'pixel_size_A'" in told[1]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(min_size=1, max_size=30),
    pixel=st.floats(0.01, 1e4),
    kept=st.sets(st.sampled_from(["sample.name", "scan.pixel_size_A", "scan.size_px", "provenance.source"])),
)
def test_describe_writes_any_text_and_number_so_that_it_is_read_again(tmp_path, name, pixel, kept):
    from exitwave.benchmark.facts import _text

    path = tmp_path / "a.png"
    beside(path, "").unlink()
    found = {
        "sample.name": _text(name),
        "scan.pixel_size_A": pixel,
        "scan.size_px": (5, 7),
        "provenance.source": "a.png",
    }
    found = {key: value for key, value in found.items() if value is not None}
    facts = {key: Fact(value, "a\nb: # c") for key, value in found.items()}
    first = {key: fact for key, fact in facts.items() if key in kept}
    write_sidecar(Description(path, first, (), ()))
    added = tuple(key for key in facts if key not in first)
    write_sidecar(Description(path, facts, added, ()))
    assert read_sidecar(path.with_name("a.png.meta.yaml")).given() == found


# --- checking ---------------------------------------------------------------------------------


def whole(path, pixel=0.45):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = f"optics:\n  mode: TEM\nscan:\n  pixel_size_A: {pixel}\n  size_px: [50, 40]\n"
    return beside(path, text + LICENCE + f"  sha256: {digest}\n")


WRONG = {
    "not YAML": ("optics: [\n", "not valid YAML"),
    "empty": ("", "found nothing, allowed: a mapping of keys to values"),
    "a list": ("- 1\n", "found list, allowed: a mapping"),
    "binary": (b"\xff\xfe\0", "not valid YAML"),
    "twice": ("scan:\n  frames: 1\n  frames: 2\n", "key 'frames' is given twice"),
    "unknown": ("camera: Ceta\n", "camera: unknown key (value 'Ceta'); allowed: sample, instrument"),
    "unit": ("scan:\n  pixel_size_nm: 0.045\n", "scan.pixel_size_nm: unknown key"),
    "type": ("scan:\n  pixel_size_A: 0.45 Å\n", "scan.pixel_size_A: found '0.45 Å'; allowed: a number [Å]"),
    "kV": ("electron_source:\n  voltage_V: 300\n", "300 kV is 300000"),
    "size": ("scan:\n  size_px: [40, 50]\n", "scan.size_px is 40 x 50, but the file has 50 x 40"),
    "lacking": (LICENCE, "lacks optics.mode (TEM, STEM or STM), scan.pixel_size_A"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_describe_checks_a_folder_and_says_each_fault_in_one_sentence(tmp_path, text, words):
    (tmp_path / "below").mkdir()
    right = [mrc(tmp_path / "a.mrc"), mrc(tmp_path / "below" / "c.mrc")]
    for path in right:
        whole(path)
    wrong = mrc(tmp_path / "b.mrc")
    beside(wrong, "").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run("--check", tmp_path)
    assert done.exit_code == 1
    (told,) = done.stderr.splitlines()
    assert told.startswith(f"wrong: {wrong}.meta.yaml")
    assert words in told
    assert "2 sidecars are right, 1 wrong; 0 images have none" in done.stdout


def test_describe_checks_what_is_gone_changed_and_not_described(tmp_path):
    changed, gone, plain = mrc(tmp_path / "changed.mrc"), tmp_path / "gone.tif", png(tmp_path / "plain.png")
    whole(changed)
    mrc(changed, 0.4501)
    beside(gone, LICENCE)
    beside(tmp_path / "plain", LICENCE)
    beside(tmp_path / ".hidden.tif", "optics: [")
    done = run("--check", tmp_path)
    assert done.exit_code == 1
    told = "\n".join(done.stderr.splitlines())
    assert f"{changed}.meta.yaml: provenance.sha256 is not that of changed.mrc, which has changed since" in told
    assert f"{gone}.meta.yaml describes gone.tif, which is not there; allowed: a file" in told
    assert "describes plain, which is not there, perhaps meant as plain.png.meta.yaml" in told
    assert len(done.stderr.splitlines()) == 3
    assert f"{plain}: no sidecar" in done.stdout
    # The same is told to who describes it once more.
    assert "which has changed since" in run(changed).stderr


def test_describe_is_content_with_images_without_sidecars_and_with_other_calibrations(tmp_path):
    whole(mrc(tmp_path / "a.mrc"), pixel=0.48)
    png(tmp_path / "b.png")
    done = run("--check", tmp_path)
    assert done.exit_code == 0, done.output
    assert "has scan.pixel_size_A 0.45 (calibration of the file), but a.mrc.meta.yaml says 0.48" in done.stderr
    assert run("--check", tmp_path / "gone").exit_code == 1


def test_describe_checks_the_others_whatever_happens_with_one(tmp_path, monkeypatch):
    for name in "ab":
        whole(mrc(tmp_path / f"{name}.mrc"))
    subject_of = describe.subject_of

    def failing(path):
        if path.name == "a.mrc":
            raise RuntimeError("of a\nlibrary")
        return subject_of(path)

    monkeypatch.setattr(describe, "subject_of", failing)
    done = run("--check", tmp_path)
    assert done.exit_code == 1
    assert "a.mrc cannot be described: RuntimeError: of a library" in done.stderr
    assert "1 sidecars are right, 1 wrong" in done.stdout


# --- reading ----------------------------------------------------------------------------------


def test_describe_gives_the_pixel_between_call_and_file(tmp_path):
    path = mrc(tmp_path / "a.mrc")
    assert (read_micrograph(path).pixel_size, read_micrograph(path).pixel_from) == (pytest.approx(0.45), "file")
    beside(path, "optics:\n  mode: TEM\n")
    assert read_micrograph(path).pixel_from == "file"
    beside(path, "scan:\n  pixel_size_A: 0.6\n")
    found = read_micrograph(path)
    assert (found.pixel_size, found.pixel_from) == (0.6, "sidecar")
    assert found.warnings == ("has a pixel of 0.45 Å, but a.mrc.meta.yaml says 0.6 Å, which is used",)
    beside(path, "scan:\n  pixel_size_A: 0.4541\n")
    assert read_micrograph(path).warnings == ()
    beside(path, "scan: [")
    with pytest.raises(MicrographError, match="not valid YAML"):
        read_micrograph(path)
    found = read_micrograph(path, 0.7)
    assert (found.pixel_size, found.pixel_from, found.warnings) == (0.7, "given", ())


def test_describe_speaks_of_one_image_of_a_file(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(GRAY)
        file.write(GRAY[:36, :36])
    beside(path, "scan:\n  pixel_size_A: 0.3\n  size_px: [50, 40]\n")
    assert read_micrograph(path, page=1).pixel_size == 0.3
    with pytest.raises(MicrographError, match="has no pixel size"):
        read_micrograph(path, page=2)
    beside(path, "scan:\n  pixel_size_A: 0.3\n")
    with pytest.raises(MicrographError, match=r"images of 2 sizes; allowed: with scan\.size_px"):
        read_micrograph(path, page=1)


def test_describe_is_read_once_for_a_file_of_many_images(tmp_path, monkeypatch):
    path = tmp_path / "a.mrc"
    write_mrc(path, np.stack([GRAY.astype(np.float32)] * 3), 0.45)
    beside(path, "scan:\n  pixel_size_A: 0.3\n")
    read, calls = sidecars.read_sidecar, []
    monkeypatch.setattr(sidecars, "read_sidecar", lambda place: calls.append(place) or read(place))
    file = open_micrographs(path)
    assert [file.read(None, page).pixel_size for page in (1, 2, 3)] == [0.3] * 3
    assert len(calls) == 1


def test_describe_makes_no_image_of_a_sidecar(tmp_path):
    path = png(tmp_path / "a.png")
    beside(path, LICENCE)
    assert find_images([tmp_path]) == [path]


def test_describe_is_read_by_atoms_and_told_in_its_table(tmp_path):
    yy, xx = np.mgrid[:60, :60]
    image = (200 * np.cos(np.pi * xx / 10) ** 2 * np.cos(np.pi * yy / 10) ** 2).astype(np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    beside(path, "scan:\n  pixel_size_A: 0.25\n")
    for number, (more, source, distance) in enumerate([((), "sidecar", 2.5), (("--pixel-size", "0.3"), "given", 3.0)]):
        output = tmp_path / f"{number}"
        done = CliRunner().invoke(app, ["atoms", str(path), "--without-networks", "--output", str(output), *more])
        assert done.exit_code == 0, done.output
        (row,) = pd.read_csv(output / "images.csv").to_dict("records")
        assert row["pixel_size_from"] == source
        assert row["nearest"] == pytest.approx(distance, rel=0.02)


def test_describe_calibrates_pictures_of_benchmarks_and_trainings(tmp_path):
    png(tmp_path / "a.png")
    Image.fromarray((GRAY > 128).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    (tmp_path / "index.csv").write_text("image,mask\na.png,mask.png\n")
    block = MicrographFields(kind="micrographs", path=tmp_path, pixel_size=0.8, size=32)
    place = beside(tmp_path / "a.png", "scan:\n  pixel_size_A: 0.7\n")
    (found,), skipped = read_benchmark(tmp_path)
    assert (found.pixel_size, len(skipped)) == (0.7, 0)
    # A sidecar that changes makes scores and fields anew.
    assert str(place) in files(MicrographBenchmark(kind="micrographs", path=tmp_path))
    assert str(place) in block.may_be_files()
    beside(tmp_path / "a.png", "scan:\n  pixel_size_A: 0\n")
    with pytest.raises(MicrographError, match=r"pixel_size_A: found 0; allowed: 0\.01 or more"):
        read_benchmark(tmp_path)


# --- scans ------------------------------------------------------------------------------------


def test_describe_gives_a_stack_of_patterns_its_scan(tmp_path):
    path = tmp_path / "scan.npy"
    np.save(path, np.ones((6, 32, 32), np.float32))
    beside(
        path,
        "optics:\n  semiangle_mrad: 2\nelectron_source:\n  voltage_V: 2.0e5\n"
        "scan:\n  pixel_size_A: 20\n  size_px: [3, 2]\ndetector:\n  reciprocal_pixel_per_A: 0.02\n",
    )
    scan = open_scan(path)
    assert scan.shape == (2, 3, 32, 32)
    assert (scan.step, scan.reciprocal_sampling, scan.energy, scan.semiangle) == (20, 0.02, 2e5, 2)
    assert (scan.step_from, scan.sampling_from) == ("sidecar", "sidecar")
    assert open_scan(path, scan_shape=(3, 2)).shape == (3, 2, 32, 32)
    beside(path, "scan:\n  size_px: [3, 3]\n")
    with pytest.raises(ScanError, match="size_px is 3 x 3, but the file has 6 patterns"):
        open_scan(path)
    beside(path, "scan:\n  size: 3\n")
    with pytest.raises(ScanError, match="perhaps meant as 'size_px'"):
        open_scan(path)


def test_describe_and_a_scan_that_contradict_each_other(tmp_path):
    path = tmp_path / "scan.hspy"
    write_rosetta(path, np.ones((2, 3, 32, 32), np.uint16), "hspy", energy=200.0)
    found = {key: fact.value for key, fact in describe_file(path).values.items()}
    assert found["scan.pixel_size_A"] == pytest.approx(5)
    assert found["scan.size_px"] == [3, 2]
    assert found["electron_source.voltage_V"] == 2e5
    assert found["detector.reciprocal_pixel_per_A"] == pytest.approx(0.02)
    beside(path, "electron_source:\n  voltage_V: 8.0e4\nscan:\n  pixel_size_A: 6\n")
    scan = open_scan(path)
    assert (scan.energy, scan.step, scan.sampling_from) == (8e4, 6, "file")
    assert scan.told == (
        "has electrons of 2e+05 eV, but scan.hspy.meta.yaml says 8e+04 eV, which is used",
        "has a step of 5 Å, but scan.hspy.meta.yaml says 6 Å, which is used",
    )
    beside(path, "scan:\n  size_px: [2, 3]\n")
    with pytest.raises(ScanError, match="size_px is 2 x 3, but the file has 3 x 2"):
        open_scan(path)


def test_describe_gives_strain_all_that_it_needs(tmp_path, monkeypatch):
    from exitwave.jobs import strain_results

    for name in ("draw_strain", "draw_quality", "draw_lattice"):
        monkeypatch.setattr(strain_results, name, lambda *given: Path(given[-1]).write_bytes(b""))
    path = tmp_path / "scan.npy"
    patterns = strained_scan(3, 4).patterns.astype(np.uint16)
    np.save(path, patterns.reshape(12, *patterns.shape[2:]))
    with pytest.raises(ScanError, match=r"or optics.semiangle_mrad in scan.npy.meta.yaml"):
        measure_strain(path, tmp_path / "none", Measuring(workers=1))
    semiangle = 1e3 * RADIUS * SAMPLING * wavelength(2e5)
    beside(
        path,
        f"optics:\n  semiangle_mrad: {semiangle:.6f}\nelectron_source:\n  voltage_V: 2.0e5\nscan:\n  pixel_size_A: 20\n"
        f"  size_px: [4, 3]\ndetector:\n  reciprocal_pixel_per_A: {SAMPLING}\n",
    )
    told = measure_strain(path, tmp_path / "strain", Measuring(workers=1))
    assert f"{SAMPLING:.4g} 1/Å, from scan.npy.meta.yaml; step of the scan: 20 Å, from scan.npy.meta.yaml." in told[-1]
    told = measure_strain(path, tmp_path / "given", Measuring(workers=1, step=30, semiangle=semiangle))
    assert "step of the scan: 30 Å, as given" in told[-1]
