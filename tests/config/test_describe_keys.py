"""Keys of sidecars: what they take, what they refuse and in which words, and that each has its place on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exitwave.config.experiment import REQUIRED, Experiment, nested
from exitwave.config.problems import sentence
from exitwave.study.docs import fill_metadata

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metadata.md"


def refused(**groups):
    with pytest.raises(ValidationError) as error:
        Experiment.model_validate(groups)
    return sentence(error.value, Experiment)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"electron_source": {"voltage_V": 80}}, "electron_source.voltage_V: found 80; allowed: 1000 to 3000000"),
        ({"electron_source": {"voltage_V": 80}}, "80 kV is 80000"),
        ({"electron_source": {"voltage_V": "80 kV"}}, "found '80 kV'; allowed: a number"),
        ({"electron_source": {"voltage_kV": 80}}, "unknown key (value 80), perhaps meant as 'voltage_V'"),
        ({"electron_source": {"emission_uA": 0}}, "emission_uA: found 0; allowed: above 0"),
        ({"scan": {"pixel_size_A": True}}, "pixel_size_A: found True; allowed: a number"),
        ({"scan": {"pixel_size_A": float("nan")}}, "a finite number"),
        ({"scan": {"size_px": [512]}}, "size_px[1]: is missing"),
        ({"scan": {"size_px": [512, 51.5]}}, "size_px[1]: found 51.5; allowed: a whole number"),
        ({"pixel_size_A": 0.1}, "allowed: scan.pixel_size_A"),
        ({"licence": "MIT"}, "allowed: provenance.licence"),
        ({"sample": "gold"}, "sample: found 'gold'; allowed: a block with the keys formula"),
        ({"sample": {"formula": "MoXx2"}}, "found 'MoXx2'; allowed: a formula of elements"),
        ({"sample": {"formula": "gold"}}, "allowed: a formula of elements"),
        ({"sample": {"zone_axis": [1, 1]}}, "zone_axis"),
        ({"optics": {"mode": "SEM"}}, "optics.mode: found 'SEM'; allowed: 'TEM', 'STEM' or 'STM'"),
        ({"optics": {"semiangle_mrad": 25000}}, "500 or less"),
        ({"optics": {"camera_length_m": 115}}, "100 or less"),
        ({"optics": {"aberrations": {"C30": 3}}}, "unknown key C30; allowed: C12_A, phi12_rad"),
        ({"detector": {"inner_mrad": 200, "outer_mrad": 80}}, "an outer angle above the inner one"),
        ({"optics": {"mode": "TEM"}, "stm": {"bias_V": 1}}, "stm is given, but optics.mode is TEM"),
        ({"optics": {"mode": "STM"}, "electron_source": {"voltage_V": 2e5}}, "optics.mode is STM"),
        ({"acquired": "2026-03-31"}, "ISO 8601 with the time zone"),
        ({"acquired": "2026-03-31T14:05:00"}, "ISO 8601 with the time zone"),
        ({"acquired": 2026}, "ISO 8601 with the time zone"),
        ({"operator": "Jane Doe"}, "an ORCID"),
        ({"operator": "0000-0002-1825-0079"}, "whose last digit is a checksum"),
        ({"provenance": {"licence": "CC BY 4.0"}}, "such as CC-BY-4.0"),
        ({"provenance": {"licence": "CC-BY-40"}}, "a name of SPDX"),
        ({"provenance": {"doi": "https://doi.org/10.1000/182"}}, "without an address"),
        ({"provenance": {"sha256": "abc"}}, "64 hexadecimal digits"),
        ({"provenance": {"creator": ""}}, "creator"),
    ],
)
def test_describe_refuses_what_cannot_be_in_one_sentence(groups, words):
    told = refused(**groups)
    assert words in told
    assert "\n" not in told


def test_describe_takes_what_can_be():
    whole = {
        "sample": {"formula": "La0.67Ca0.33MnO3", "zone_axis": [0, 0, 0, 1], "thickness_A": 120},
        "instrument": {"serial": 3147},
        "optics": {"mode": "STEM", "defocus_A": 0, "aberrations": {"C30_A": 1.2e7, "phi12_rad": 0}},
        "scan": {"pixel_size_A": 1, "size_px": [512, 256], "rotation_deg": 0},
        "detector": {"inner_mrad": 0, "outer_mrad": 20},
        "stm": None,
        "acquired": "2026-03-31T14:05:00+02:00",
        "operator": "https://orcid.org/0000-0002-1825-0097",
        "provenance": {"licence": "cc-by-4.0", "creator": None},
    }
    found = Experiment.model_validate(whole)
    assert set(REQUIRED) <= set(found.given())
    assert found.given()["provenance.licence"] == "CC-BY-4.0"
    assert found.given()["operator"] == "0000-0002-1825-0097"
    assert found.given()["instrument.serial"] == "3147"
    assert "provenance.creator" not in found.given()
    assert found.given()["optics.defocus_A"] == 0
    assert Experiment.model_validate(nested(found.given())) == found


@given(st.integers(0, 10**15 - 1))
def test_describe_finds_a_digit_of_an_orcid_that_is_wrong(number):
    # ISO/IEC 7064, MOD 11-2: the sum of digits times powers of 2, the check digit times 1, is 1 modulo 11.
    digits = f"{number:015d}"
    check = (1 - sum(int(digit) * 2 ** (15 - place) for place, digit in enumerate(digits))) % 11
    for last in "0123456789X":
        text = f"{digits[:4]}-{digits[4:8]}-{digits[8:12]}-{digits[12:]}{last}"
        right = last == "0123456789X"[check]
        assert (Experiment.model_validate({"operator": text}).operator == text) if right else refused(operator=text)


def test_describe_has_every_key_on_its_page():
    text = PAGE.read_text(encoding="utf-8")
    assert fill_metadata(text) == text, "run `make docs-keys`"
    for name, field in Experiment.model_fields.items():
        for key in getattr(field.annotation, "model_fields", {}):
            assert f"| `{name}.{key}` |" in text
