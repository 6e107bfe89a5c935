"""Values that look like those of another unit are told before anything runs, and no others."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.study.doubts import doubts
from exitwave.study.link import load_study

ROOT = Path(__file__).resolve().parents[2]
STUDIES = [ROOT / "config/config.yaml", *sorted(ROOT.glob("config/studies/*.yaml"))]
GOLD = "structures.gold"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_that_comes_along_is_doubted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert doubts(load_study(path)) == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (f"{GOLD}.particles.radius", 1.5, ["radius: 1.5 is read as 1.5 Å", "write 1.5 nm as 15"]),
        (f"{GOLD}.particles.radius", {"uniform": [0.8, 1.2]}, ["radius: 1.2 is read as 1.2 Å", "1.2 nm as 12"]),
        (f"{GOLD}.substrate.thickness", 1.5, ["substrate.thickness: 1.5 is read as 1.5 Å", "1.5 nm as 15"]),
        ("images.noisy.defocus", -5, ["defocus: -5 is read as -5 Å", "-5 nm as -50 and -5 µm as -5e+04"]),
        ("images.noisy.defocus", {"normal": [0, 5]}, ["defocus: 5 is read as 5 Å"]),
        ("images.noisy.aberrations.C30", 1.2, ["C30: 1.2 is read as 1.2 Å", "1.2 µm as 1.2e+04 and 1.2 mm as 1.2e+07"]),
        ("images.noisy.aberrations", {"C3": -13}, ["C30: -13 is read as -13 Å", "-13 µm as -1.3e+05"]),
        (
            "images.noisy.aberrations",
            {"C12": 20, "phi12": {"uniform": [0, 360]}},
            ["phi12: 360 is read as 360 rad", "360 ° as 6.283"],
        ),
        ("images.noisy.objective_aperture", 0.012, ["objective_aperture: 0.012 is read as 0.012 mrad", "rad as 12"]),
        ("images.noisy.focal_spread", 1.0, ["focal_spread: 1 is read as 1 Å", "1 nm as 10"]),
        ("images.noisy.dose", 5e6, ["dose: 5e+06 is read as 5e+06 e⁻/Å²", "e⁻/nm² as 5e+04"]),
    ],
)
def test_a_value_of_another_unit_is_told_in_both(changed: Any, key: str, value: Any, words: list[str]) -> None:
    told = doubts(changed((key, value)))
    assert len(told) == 1
    assert told[0].startswith(".".join(key.split(".")[:2]))
    for word in words:
        assert word in told[0]


LIBRARY = {"kind": "crystals", "count": 2, "prototypes": ["NaCl"]}
MATRICES = {"kind": "scattering_matrix", "structures": "library", "rms_displacement_of_others": 0.08}
CBED = {"kind": "diffraction", "exit_waves": "bloch", "semiangle": 4, "dose": 1e5}
SCAN = {"start": -50, "columns": 2}
STACK = {
    "kind": "multilayer",
    "count": 1,
    "field_of_view": 24,
    "layers": [{"width": 90}],
    "thickness": 40,
    "scan": SCAN,
}
DIFFRACTION = (
    ("structures.library", LIBRARY),
    ("structures.stack", STACK),
    ("exit_waves.bloch", MATRICES),
    ("images.cbed", CBED),
)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("exit_waves.bloch.thickness", 40, ["thickness: 40 is read as 40 Å", "40 nm as 400"]),
        ("exit_waves.bloch.thickness_step", 2, ["thickness_step: 2 is read as 2 Å", "2 nm as 20"]),
        ("exit_waves.bloch.rms_displacements", {"Na": 8, "Cl": 0.08}, ["8 is read as 8 Å", "8 pm as 0.08"]),
        ("exit_waves.bloch.rms_displacement_of_others", 7, ["7 is read as 7 Å, more than 0.5 Å", "7 pm as 0.07"]),
        ("exit_waves.bloch.s_max", 0.5, ["s_max: 0.5 is read as 0.5 1/Å", "0.5 1/nm as 0.05"]),
        (
            "images.cbed.background",
            {"weight": 0.1, "width": 1.2},
            ["width: 1.2 is read as 1.2 1/Å", "1.2 1/nm as 0.12"],
        ),
        (
            "structures.library.orientations",
            {"mistilt": {"uniform": [0, 0.017]}},
            ["mistilt: 0.017", "0.017 rad as 17"],
        ),
        ("structures.stack.mistilt", {"magnitude": [0.007, 0.077]}, ["mistilt.magnitude: 0.077", "0.077 rad as 77"]),
        ("structures.stack.lattice_constant", 0.56, ["lattice_constant: 0.56 is read as 0.56 Å", "0.56 nm as 5.6"]),
    ],
)
def test_a_value_of_diffraction_of_another_unit_is_told_in_both(
    changed: Any, key: str, value: Any, words: list[str]
) -> None:
    assert doubts(changed(*deepcopy(DIFFRACTION))) == []
    told = doubts(changed(*deepcopy(DIFFRACTION), (key, value)))
    assert len(told) == 1
    assert told[0].startswith(".".join(key.split(".")[:2]))
    for word in words:
        assert word in told[0]


def test_steps_in_reciprocal_space_in_1_nm_are_doubted(changed: Any) -> None:
    told = doubts(
        changed(
            *deepcopy(DIFFRACTION[:3]),
            ("exit_waves.bloch.semiangle", 20),
            ("exit_waves.bloch.g_max", 2.2),
            ("exit_waves.bloch.thickness", 60),
            ("exit_waves.bloch.tilt_step", 0.217),
            ("images.cbed", {**CBED, "semiangle": 20, "reciprocal_sampling": 0.217}),
        )
    )
    assert len(told) == 2
    assert "tilt_step: 0.217 is read as 0.217 1/Å, more than 0.1 1/Å; write 0.217 1/nm as 0.0217" in told[0]
    assert "reciprocal_sampling: 0.217 is read as 0.217 1/Å" in told[1]


def test_the_dose_of_a_pattern_is_no_dose_of_an_area(changed: Any) -> None:
    assert doubts(changed(*deepcopy(DIFFRACTION), ("images.cbed.dose", 1e8))) == []


def test_a_field_in_nm_is_doubted_whatever_else_is_in_nm(changed: Any) -> None:
    told = doubts(
        changed(
            (f"{GOLD}.field_of_view", 5.12),
            (f"{GOLD}.particles", {"radius": 0.9, "minimum_gap": 1.5}),
            (f"{GOLD}.substrate.thickness", 1.0),
            ("exit_waves.thermal.sampling", 0.04),
            ("images.noisy.pixel_size", 0.08),
        )
    )
    keys = {sentence.partition(":")[0].rpartition(".")[2] for sentence in told}
    assert keys == {"radius", "field_of_view", "thickness"}


def test_values_that_are_none_are_not_doubted(changed: Any) -> None:
    assert doubts(changed(("images.noisy.defocus", 0), ("images.noisy.aberrations", {"C30": 0}))) == []


def test_members_of_a_family_are_doubted_once(changed: Any) -> None:
    told = doubts(changed(("images.noisy.defocus", 3), ("images.noisy.dose", {"matrix": [100, 200]})))
    assert len(told) == 1


def test_doubts_are_shown_with_the_plan(raw: Any, tmp_path: Path) -> None:
    raw["images"]["noisy"]["aberrations"]["C30"] = 1.2
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    for options in ([], ["--plan"]):
        shown = CliRunner().invoke(app, ["config", "show", *options, str(path)])
        assert shown.exit_code == 0, shown.output
        assert "warning: images.noisy.aberrations.C30: 1.2 is read as 1.2 Å" in shown.output
