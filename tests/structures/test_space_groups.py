"""Settings of space groups against the tables of pymatgen, which come from another source than ours of spglib."""

import json
from pathlib import Path

import numpy as np
import pymatgen.symmetry
import pytest
from ase.geometry import cellpar_to_cell
from pymatgen.core.operations import SymmOp

from exitwave.structures.space_groups import (
    Operators,
    parse_operators,
    settings_of_hall,
    settings_of_number,
    settings_of_symbol,
)

CENTRES = {
    "P": [],
    "A": [(0, 1 / 2, 1 / 2)],
    "B": [(1 / 2, 0, 1 / 2)],
    "C": [(1 / 2, 1 / 2, 0)],
    "I": [(1 / 2, 1 / 2, 1 / 2)],
    "F": [(0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)],
    "R": [(2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)],
}
TABLE = json.loads((Path(pymatgen.symmetry.__path__[0]) / "symm_ops.json").read_text())
# Changes of axes that International Tables do not list are written in brackets or as centred cells of primitive groups.
UNLISTED = {"C 1", "A -1", "B -1", "I -1", "C -1", "R 1 2/c 1", "B 1 21 1", "B 1 21/m 1"}
LISTED = [e for e in TABLE if "(" not in e["universal_h_m"] and e["universal_h_m"] not in UNLISTED]


def as_set(rotations, translations):
    places = np.round(np.asarray(translations) * 24).astype(int) % 24
    return {
        (*np.ravel(rotation).round().astype(int), *place) for rotation, place in zip(rotations, places, strict=True)
    }


def of_table(entry):
    operators = [SymmOp.from_xyz_str(text) for text in entry["ncsym"]]
    symbol = entry["universal_h_m"]
    centres = [(0, 0, 0), *([] if symbol.endswith(":R") else CENTRES[symbol[0]])]
    rotations = [o.rotation_matrix for o in operators for _ in centres]
    return as_set(rotations, [o.translation_vector + np.array(c) for o in operators for c in centres])


def of_setting(setting):
    operators = setting.operators()
    return as_set(operators.rotations, operators.translations)


def test_the_table_has_every_setting_once():
    assert len(LISTED) == 527
    assert {entry["number"] for entry in LISTED} == set(range(1, 231))


def test_symbols_and_hall_symbols_lead_to_the_operators_of_the_other_table():
    for entry in LISTED:
        if entry["universal_h_m"] == "C 2 e b":  # a slip of that table: the setting is C 2 m e or C 2 c e
            continue
        expected = of_table(entry)
        found = settings_of_symbol(entry["universal_h_m"])
        # Double glide planes of groups 67 and 68 hide which of two settings is meant.
        assert len(found) == 1 or (len(found) == 2 and entry["number"] in (67, 68)), entry["universal_h_m"]
        assert expected in [of_setting(setting) for setting in found], entry["universal_h_m"]
        assert all(of_setting(setting) == expected for setting in settings_of_hall(entry["hall"])), entry["hall"]
        assert settings_of_hall(entry["hall"])
        assert set(found) <= set(settings_of_number(entry["number"]))


@pytest.mark.parametrize(
    ("written", "hall"),
    [
        ("P 21/n", ["-P 2yn", "-P 2n", "-P 2xn"]),
        ("P2(1)/n", ["-P 2yn", "-P 2n", "-P 2xn"]),
        ("P 1 2_1/n 1", ["-P 2yn"]),
        ("F m 3 m", ["-F 4 2 3"]),
        ("Fm-3m", ["-F 4 2 3"]),
        ("F d -3 m", ["F 4d 2 3 -1d", "-F 4vw 2vw 3"]),
        ("F d -3 m S", ["F 4d 2 3 -1d"]),
        ("Fd-3mZ", ["-F 4vw 2vw 3"]),
        ("F d -3 m (origin choice 2)", ["-F 4vw 2vw 3"]),
        ("R -3 m", ['-R 3 2"', "-P 3* 2"]),
        ("R -3 m H", ['-R 3 2"']),
        ("R-3m:R", ["-P 3* 2"]),
        ("C m c a", ["-C 2ac 2"]),
        ("C m c e", ["-C 2ac 2"]),
        ("A b m 2", ["A 2 -2b"]),
        ("P 7", []),
        ("", []),
    ],
)
def test_ways_of_writing_a_symbol(written, hall):
    assert sorted(setting.hall for setting in settings_of_symbol(written)) == sorted(h.lower() for h in hall)


@pytest.mark.parametrize("text", ["x,y,z", "-X, Y+1/2, -Z+1/2", "1/2-x,z-y,+y", "x-y,x,z+.3333", "x+2/3,y+0.33333,z"])
def test_operators_are_those_that_pymatgen_reads(text):
    ours, theirs = parse_operators([text]), SymmOp.from_xyz_str(text)
    np.testing.assert_array_equal(ours.rotations[0], theirs.rotation_matrix)
    np.testing.assert_allclose(ours.translations[0], theirs.translation_vector, atol=1e-3)


def test_printed_thirds_are_thirds_and_fifths_stay():
    np.testing.assert_array_equal(parse_operators(["x+0.333,y+0.667,z+0.2"]).translations, [[1 / 3, 2 / 3, 0.2]])


@pytest.mark.parametrize("text", ["x,y", "x,y,q", "x,y,x", "2x,y,z", "x,y,z/2", "x;y;z", "", "x,y,z,+1"])
def test_what_is_no_operator_is_refused(text):
    with pytest.raises(ValueError, match=r"^" + text.replace("+", r"\+") + r"$"):
        parse_operators(["x,y,z", text])


def test_a_group_is_closed_and_a_part_of_one_is_not():
    whole = settings_of_symbol("P 4/m")[0].operators()
    assert whole.is_group()
    for left_out in range(len(whole)):
        kept = np.arange(len(whole)) != left_out
        assert not Operators(whole.rotations[kept], whole.translations[kept]).is_group()
    # Twice the same up to a lattice translation is one operator.
    assert len(parse_operators(["x,y,z", "-x,-y,-z", "1-x,-y,-z+1"])) == 2


def test_operators_fit_the_cells_of_their_crystal_system():
    fourfold, hexagonal = settings_of_symbol("P 4")[0].operators(), settings_of_symbol("R -3 m:H")[0].operators()
    rhombohedral = settings_of_symbol("R -3 m:R")[0].operators()
    assert fourfold.fit(cellpar_to_cell([4, 4, 5, 90, 90, 90]))
    assert not fourfold.fit(cellpar_to_cell([4, 4.1, 5, 90, 90, 90]))
    assert not fourfold.fit(cellpar_to_cell([4, 4, 5, 90, 91, 90]))
    assert hexagonal.fit(cellpar_to_cell([4, 4, 30, 90, 90, 120]))
    assert not rhombohedral.fit(cellpar_to_cell([4, 4, 30, 90, 90, 120]))
    assert rhombohedral.fit(cellpar_to_cell([10, 10, 10, 24, 24, 24]))
    assert not hexagonal.fit(cellpar_to_cell([10, 10, 10, 24, 24, 24]))


def test_the_number_of_a_group_is_found_from_its_operators_in_any_setting():
    cell = cellpar_to_cell([4, 5, 6, 90, 95, 90])
    assert [s.operators().group_number(cell) for s in settings_of_symbol("P 1 21/n 1")] == [14]
    cubic = cellpar_to_cell([4, 4, 4, 90, 90, 90])
    assert [s.operators().group_number(cubic) for s in settings_of_number(227)] == [227, 227]
