"""Values that look like those of another unit are told before anything runs, and no others."""

from __future__ import annotations

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
