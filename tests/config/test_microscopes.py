"""Microscope presets: their optics make sense, and a block's own keys win."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from exitwave.config.distributions import bounds
from exitwave.config.images import Hrtem
from exitwave.config.microscopes import energy_of, focal_spread, microscope_names, with_microscope
from exitwave.config.problems import sentence
from exitwave.electron import wavelength
from exitwave.errors import ConfigError

BLOCK = {"kind": "hrtem", "exit_waves": "waves", "pixel_size": 0.4, "size": 64, "dose": 100}


def block(microscope: str, **keys: Any) -> Hrtem:
    return Hrtem.model_validate({**BLOCK, "microscope": microscope, **keys})


def information_limit(hrtem: Hrtem, energy: float) -> float:
    """Distance [Å] at which focal spread and vibration leave exp(-2) of the linear transfer."""
    length = wavelength(energy)

    def damping(k: float) -> float:
        return (math.pi * length * hrtem.focal_spread * k**2) ** 2 / 2 + 2 * (math.pi * hrtem.vibration * k) ** 2

    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if damping(middle) < 2 else (low, middle)
    return 1 / low


def test_names_are_those_of_the_documentation():
    described = Hrtem.model_fields["microscope"].description
    assert microscope_names() == ["team_0_5", "uncorrected_300kv", "corrected_80kv"]
    assert all(name in described for name in microscope_names())


@pytest.mark.parametrize(
    ("name", "energy", "limit"),
    [("team_0_5", 300e3, 0.5), ("uncorrected_300kv", 300e3, 1.1), ("corrected_80kv", 80e3, 1.5)],
)
def test_information_limit_is_that_of_such_instruments(name, energy, limit):
    # 0.5 Å was the TEAM project's goal and result; 1.0-1.2 Å are typical of uncorrected field emission instruments at
    # 300 kV, and graphene's 1.42 Å is about what 80 kV reaches without monochromator.
    assert energy_of(name) == energy
    assert information_limit(block(name), energy) == pytest.approx(limit, rel=0.05)


def test_uncorrected_microscope_is_about_scherzer_defocus_with_a_point_resolution_of_2_angstrom():
    hrtem = block("uncorrected_300kv")
    length = wavelength(300e3)
    assert hrtem.aberrations.C30 == 1.2e7
    assert hrtem.defocus.normal[0] == pytest.approx(math.sqrt(4 / 3 * 1.2e7 * length), rel=2e-3)
    assert 0.66 * 1.2e7**0.25 * length**0.75 == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("name", "limit"), [("team_0_5", 0.5), ("corrected_80kv", 1.46)])
def test_corrected_microscopes_are_about_the_optimum_of_phase_contrast(name, limit):
    # Lichte's defocus 3/4 C3 (lambda g)² and Scherzer's sqrt(4/3 C3 lambda) are the same there.
    length, g = wavelength(energy_of(name)), 1 / limit
    spherical, defocus = 64 / (27 * length**3 * g**4), 16 / (9 * length * g**2)
    assert 0.75 * spherical * (length * g) ** 2 == pytest.approx(math.sqrt(4 / 3 * spherical * length))
    hrtem = block(name)
    sign = math.copysign(1, hrtem.aberrations.C30.normal[0])
    assert hrtem.aberrations.C30.normal[0] == pytest.approx(sign * spherical, rel=0.03)
    assert hrtem.defocus.normal[0] == pytest.approx(sign * defocus, abs=8)


@pytest.mark.parametrize("name", microscope_names())
def test_directions_of_aberrations_are_unknown(name):
    aberrations = block(name).aberrations
    for key in type(aberrations).model_fields:
        if key.startswith("phi") and bounds(getattr(aberrations, f"C{key[3:]}")) != (0, 0):
            low, high = bounds(getattr(aberrations, key))
            assert high - low == pytest.approx(2 * math.pi / int(key[-1]))


def test_focal_spread_adds_the_three_instabilities_in_squares():
    # 1 mm, 1 eV of standard deviation at 300 kV: Cc s/E is 33.3 Å before the relativistic factor of 1.2269.
    width = 2 * math.sqrt(2 * math.log(2))
    assert focal_spread(1e7, 300e3, width, 0, 0) == pytest.approx(1e7 / 300e3 * 1.5870867 / 1.2935434, rel=1e-5)
    assert focal_spread(1e7, 300e3, 0, 0, 1e-6) == pytest.approx(20)
    parts = [focal_spread(1e7, 80e3, *part) for part in ((1, 0, 0), (0, 2e-6, 0), (0, 0, 1e-6))]
    assert focal_spread(1e7, 80e3, 1, 2e-6, 1e-6) == pytest.approx(math.hypot(*parts))


def test_keys_of_the_block_win_over_those_of_the_microscope():
    own = block("team_0_5", defocus={"uniform": [0, 9]}, focal_spread=15, aberrations={"C30": 0, "C12": 7})
    preset = block("team_0_5")
    assert (own.defocus.uniform, own.focal_spread, own.aberrations.C30, own.aberrations.C12) == ((0, 9), 15, 0, 7)
    assert own.aberrations.phi12 == preset.aberrations.phi12 != 0
    assert own.aberrations.C21 == preset.aberrations.C21
    assert own.vibration == preset.vibration != 0


def test_haider_names_of_the_block_win_with_their_angle():
    own = block("team_0_5", aberrations={"A1": 5, "B2": 2, "B2_angle": 90}).aberrations
    assert (own.C12, own.phi12, own.C21) == (5, 0, 6)
    assert own.phi21 == pytest.approx(-math.pi / 2)


def test_block_without_a_microscope_is_left_as_it_is():
    assert with_microscope(BLOCK) == BLOCK
    assert Hrtem.model_validate(BLOCK).focal_spread == 0


@pytest.mark.parametrize("name", microscope_names())
def test_block_written_out_and_read_again_is_the_same(name):
    written = block(name, aberrations={"A1": {"normal": [0, 3], "clip": [0, 9]}})
    assert Hrtem.model_validate(written.model_dump(mode="json")) == written


def test_unknown_microscope_is_refused_with_the_names_there_are():
    with pytest.raises(ValidationError) as caught:
        block("titan")
    assert sentence(caught.value) == (
        ".microscope: found 'titan'; allowed: team_0_5, uncorrected_300kv, corrected_80kv"
    )
    with pytest.raises(ConfigError, match="microscope: found 'titan'; allowed: team_0_5, "):
        energy_of("titan")


def test_every_number_has_its_source_beside_it():
    from importlib.resources import files

    text = (files("exitwave.config") / "microscopes.yaml").read_text("utf-8")
    assert list(yaml.safe_load(text)) == microscope_names()
    tags = ("[A]", "[TEAM]", "[L]", "[S]", "[2]", "[assumed]", "likewise")
    section, covered = "", False
    for line in text.splitlines():
        if line and not line.startswith(("#", " ")):
            section, covered = line, False
        key, _, comment = line.partition("#")
        if any(character.isdigit() for character in key.partition(":")[2]) and "_angle" not in key and section != line:
            covered = covered or "likewise" in comment
            known = "energy:" in key or covered or any(tag in comment for tag in tags)
            assert known, line
