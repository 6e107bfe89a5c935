"""What figures and tables say of items, in words."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from exitwave.config.block import Block, Column, PositiveReal
from exitwave.config.distributions import Real
from exitwave.report import crystals, nanoparticles
from exitwave.report.columns import is_bookkeeping, label_of
from exitwave.report.conditions import drawn_columns, in_a_line, in_full
from exitwave.report.hrtem import describe_conditions
from exitwave.report.preview import row_labels
from exitwave.report.style import wrapped


class Scan(Block):
    jitter: Real = 0.0


class Convolved(Block):
    """A kind of images that no figure has words for."""

    COLUMNS = {
        "dose": Column("e⁻/Å²", redrawn=True),
        "probe_sigma": Column("Å", redrawn=True),
        "jitter": Column("px", redrawn=True),
        "place_x": Column("Å", redrawn=True),
        "mean_counts": Column("counts/px", redrawn=True),
        "exponent": Column(),
    }
    kind: Literal["convolved"] = "convolved"
    dose: PositiveReal = 100.0
    probe_sigma: PositiveReal = 0.5
    exponent: float = 1.7
    scan: Scan = Scan()


BLOCK = Convolved.model_validate({"dose": {"loguniform": [10, 1e4]}, "scan": {"jitter": {"uniform": [0, 0.3]}}})
ROW = {"dose": 1234.5, "probe_sigma": 0.512, "jitter": 0.1, "place_x": 3.0, "mean_counts": 4.0, "exponent": 1.7}


def test_conditions_of_a_kind_without_words_are_its_drawn_columns():
    assert drawn_columns(BLOCK) == {"dose": "e⁻/Å²", "probe_sigma": "Å", "jitter": "px"}
    assert in_full("convolved", ROW, drawn_columns(BLOCK)) == ["dose 1234 e⁻/Å²", "probe sigma 0.51 Å", "jitter 0.1 px"]


def test_above_a_small_picture_stands_what_varies():
    columns = drawn_columns(BLOCK, varying=True)
    assert in_a_line("convolved", ROW, columns) == "dose 1234 e⁻/Å², jitter 0.1 px"


def test_no_line_ends_between_a_number_and_its_unit():
    lines = wrapped(["exponent 1.7", "probe sigma 0.39 Å", "dose 10989 e⁻/Å²"], 34)
    assert [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines] == [
        "exponent 1.7, probe sigma 0.39 Å,",
        "dose 10989 e⁻/Å²",
    ]


def test_a_kind_with_words_of_its_own_uses_them():
    row = {"defocus": 120.0, "dose": 300.0}
    assert in_a_line("hrtem", row, {}) == describe_conditions(row)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "item 3"),
        ({"formula": "Au"}, "item 3: Au"),
        ({"formula": "Au", "zone_axis": "1 1 0", "zone_axis_tilt": 0.0}, "item 3: Au\nalong [1 1 0]"),
        (
            {"formula": "Si", "zone_axis": "1 1 -1", "zone_axis_tilt": 1.26, "thickness": 41.7},
            "item 3: Si\nalong [1 1 -1], 1.3° off\n42 Å thick",
        ),
        ({"formula": "Si", "zone_axis": "", "thickness": float("nan")}, "item 3: Si"),
    ],
)
def test_crystals_are_told_by_what_their_row_has(more, words):
    assert crystals.describe({"item": 3, **more}) == words


def test_nanoparticles_are_told_by_number_shape_and_substrate(samples):
    none, two = samples.structure_rows([0, 2]).to_dict("records")
    assert nanoparticles.describe(none) == "item 0: no particles\na-C, 10 Å"
    assert nanoparticles.describe(two) == (
        "item 1: 2 particles of Au\nsphere, radius 6 to 8 Å, 1 planar defect\na-C, 11 Å"
    )
    assert nanoparticles.describe_beside(two) == "item 1\n2 particles, substrate 11 Å"


@pytest.mark.parametrize(
    "name",
    ["item", "seed", "structure_id", "images_hash", "abtem_version", "offset_x", "place_y", "split", "particles"],
)
def test_columns_that_say_where_an_item_comes_from_are_bookkeeping(name):
    assert is_bookkeeping(name)


@pytest.mark.parametrize("name", ["dose", "radius_mean", "zone_axis", "folder", "particle_fraction", "drift_x"])
def test_columns_that_say_what_an_item_is_are_not(name):
    assert not is_bookkeeping(name)


def test_names_of_coefficients_stay_as_they_are():
    assert [label_of(name) for name in ("C12", "phi12", "focal_spread")] == ["C12", "phi12", "focal spread"]


def test_rows_of_a_family_are_told_with_units() -> None:
    names = [
        f"noisy[dose={dose},defocus=uniform:0..100,detector.kind=ideal,coherence={how}]"
        for dose, how in ((100, "envelope"), (200, "quadrature"))
    ]
    assert row_labels(names) == {
        names[0]: "dose=100 e⁻/Å²\ncoherence=envelope",
        names[1]: "dose=200 e⁻/Å²\ncoherence=quadrature",
    }
    assert row_labels(["a[energy=200000]", "a[energy=80000]"])["a[energy=80000]"] == "energy=80000 eV"


def test_an_stm_image_is_told_by_material_bias_height_and_noise():
    row = {"formula": "MoS2", "bias": -0.5, "tip_height": 4.0, "corrugation": 0.05}
    row |= {"height_noise": 0.003, "slow_noise": 0.004, "line_noise": 0.0}
    assert in_a_line("stm", row, {}) == "MoS2, −0.50 V, 4.00 Å, range 5 pm, noise 0.5 pm"
    of_a_file = row | {"bias": np.nan, "corrugation": np.nan, "height_noise": 0.0, "slow_noise": 0.0}
    assert in_a_line("stm", of_a_file, {}) == "MoS2, 4.00 Å"
