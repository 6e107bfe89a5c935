"""Modulation transfer functions: the parametric form, tables, and what is refused."""

import os

import numpy as np
import pytest
from abtem.mtf import default_mtf_func
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exitwave.config.cameras import MeasuredMtf, Mtf, ParametricMtf
from exitwave.errors import ConfigError
from exitwave.imaging.mtf import check_mtf, modulation, modulation_grid

FREQUENCIES = np.linspace(0, 0.75, 61)


def table(path, rows, header="frequency,mtf"):
    path.write_text("\n".join([header, *(",".join(str(v) for v in row) for row in rows)]) + "\n", encoding="utf-8")
    return MeasuredMtf(file=path)


@given(
    half=st.floats(0.02, 2),
    power=st.floats(0.5, 6),
    floor=st.floats(0, 1),
)
def test_parametric_function_is_that_of_abtem(half, power, floor):
    ours = modulation(ParametricMtf(half=half, power=power, floor=floor), FREQUENCIES)
    np.testing.assert_allclose(ours, default_mtf_func(FREQUENCIES, 1, floor, half / 2, power), rtol=1e-12)


def test_parametric_function_is_one_at_zero_and_half_way_to_the_floor_at_half():
    values = modulation(ParametricMtf(half=0.2, power=3, floor=0.1), np.array([0, 0.2]))
    assert values == pytest.approx([1, 0.55])


def test_a_step_is_not_an_overflow():
    with np.errstate(all="raise"):
        values = modulation(ParametricMtf(half=0.1, power=1000), np.array([0.05, 0.5]))
    assert values == pytest.approx([1, 0])


def test_no_function_is_one():
    assert (modulation(None, FREQUENCIES) == 1).all()


def test_a_table_is_met_at_its_points_and_monotone_between_them(tmp_path):
    f, m = [0, 0.1, 0.25, 0.4, 0.5], [1, 0.8, 0.3, 0.28, 0.1]
    mtf = table(tmp_path / "ccd.csv", zip(f, m, strict=True))
    np.testing.assert_allclose(modulation(mtf, np.array(f)), m)
    assert (np.diff(modulation(mtf, np.linspace(0, 0.5, 501))) <= 0).all()


def test_a_table_is_constant_beyond_its_last_point(tmp_path):
    mtf = table(tmp_path / "ccd.csv", [(0, 1), (0.3, 0.5), (0.5, 0.2)])
    np.testing.assert_allclose(modulation(mtf, np.array([0.5, 0.6, 0.75])), 0.2)


def test_a_dense_table_of_a_function_gives_the_function(tmp_path):
    true = ParametricMtf(half=0.15, power=2, floor=0.05)
    f = np.linspace(0, 0.75, 51)
    mtf = table(tmp_path / "ccd.csv", zip(f, modulation(true, f), strict=True))
    between = np.linspace(0, 0.75, 400)
    np.testing.assert_allclose(modulation(mtf, between), modulation(true, between), atol=1e-3)


def test_one_percent_off_at_zero_is_normalised_away(tmp_path):
    mtf = table(tmp_path / "ccd.csv", [(0, 0.995), (0.25, 0.5), (0.5, 0.2)])
    np.testing.assert_allclose(modulation(mtf, np.array([0, 0.25, 0.5])), np.array([0.995, 0.5, 0.2]) / 0.995)


def test_columns_are_found_by_name_and_a_byte_order_mark_is_no_part_of_it(tmp_path):
    path = tmp_path / "ccd.csv"
    path.write_text("\ufeffmtf, frequency ,source\n1,0,a\n\n0.4,0.5,b\n", encoding="utf-8")
    np.testing.assert_allclose(modulation(MeasuredMtf(file=path), np.array([0, 0.5])), [1, 0.4])


def test_a_table_changed_on_disk_is_read_again(tmp_path):
    path = tmp_path / "ccd.csv"
    mtf = table(path, [(0, 1), (0.5, 0.2)])
    assert modulation_grid(mtf, (8, 8))[4, 0] == pytest.approx(0.2)
    table(path, [(0, 1), (0.5, 0.6)])
    os.utime(path, ns=(0, 10**18))  # clocks of file systems may be too coarse to see the difference
    assert modulation_grid(mtf, (8, 8))[4, 0] == pytest.approx(0.6)


def test_the_grid_has_the_frequencies_of_a_real_transform():
    grid = modulation_grid(ParametricMtf(half=0.2), (6, 9))
    fy, fx = np.fft.fftfreq(6), np.fft.rfftfreq(9)
    expected = 1 / (1 + (fy[:, None] ** 2 + fx**2) / 0.04)
    np.testing.assert_allclose(grid, expected, rtol=1e-6)
    assert not grid.flags.writeable


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "lacks frequency and mtf"),
        ("frequency,value\n0,1\n0.5,0.2\n", "names the columns 'frequency, value' and lacks mtf"),
        ("frequency,mtf\n", "has 0 rows of numbers; allowed: two or more"),
        ("frequency,mtf\n0,1\n0.25,half\n0.5,0.2\n", "has '0.25, half' in row 3; allowed: two numbers"),
        ("frequency,mtf\n0,1\n0.25\n0.5,0.2\n", "in row 3; allowed: two numbers"),
        ("frequency,mtf\n0,1\n0.25,nan\n0.5,0.2\n", "in row 3; allowed: two numbers"),
        ("frequency,mtf\n0.1,1\n0.5,0.2\n", "begins at frequency 0.1; allowed: 0"),
        ("frequency,mtf\n0,1\n0.4,0.3\n", "ends at frequency 0.4; allowed: up to the Nyquist frequency"),
        ("frequency,mtf\n0,1\n0.3,0.3\n0.3,0.2\n0.5,0.2\n", "frequency 0.3 after 0.3; allowed: ascending"),
        ("frequency,mtf\n0,1\n0.3,1.2\n0.5,0.2\n", "has mtf 1.2 at frequency 0.3; allowed: between 0 and 1.05"),
        ("frequency,mtf\n0,1\n0.3,0.2\n0.5,-0.1\n", "has mtf -0.1 at frequency 0.5"),
        ("frequency,mtf\n0,0.97\n0.5,0.2\n", "has mtf 0.97 at frequency 0; allowed: 1 within 1%"),
    ],
)
def test_a_malformed_table_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "ccd.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        check_mtf(MeasuredMtf(file=path))
    text = str(error.value)
    assert text.startswith(f"file: '{path}'")
    assert sentence in text
    assert "\n" not in text
    assert "allowed" in text


def test_a_missing_table_a_folder_and_a_picture_are_refused(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    for name in ("nowhere.csv", "", "picture.png"):
        with pytest.raises(ConfigError, match=r"^file: .*allowed: a CSV file"):
            check_mtf(MeasuredMtf(file=tmp_path / name))


def test_what_can_be_used_passes(tmp_path):
    check_mtf(None)
    check_mtf(ParametricMtf(half=0.1))
    check_mtf(table(tmp_path / "ccd.csv", [(0, 1), (0.5, 0.2)]))


def test_both_forms_are_told_apart_by_their_keys():
    adapter = TypeAdapter(Mtf)
    assert isinstance(adapter.validate_python({"half": 0.1}), ParametricMtf)
    assert isinstance(adapter.validate_python({"file": "ccd.csv"}), MeasuredMtf)
