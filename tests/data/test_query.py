import re
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exitwave.data.columns import UNITS
from exitwave.data.query import check_condition, select
from exitwave.errors import DatasetError

NUMBERS = ["dose", "defocus", "substrate_thickness"]
numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 2))
columns = st.sampled_from(NUMBERS)
comparisons = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
# pandas takes a comparison of two constants for a number, so one side has a column.
terms = st.one_of(
    columns,
    columns.map(lambda c: f"abs({c})"),
    st.builds(lambda a, op, b: f"({a} {op} {b})", columns, st.sampled_from(["+", "-", "*"]), numbers),
)
simple = st.one_of(
    st.builds(lambda a, op, b: f"{a} {op} {b}", terms, comparisons, terms | numbers.map(str)),
    st.builds(lambda name, m: f"{name} == '{m}'", st.just("material"), st.sampled_from(["Au", "CdSe", "Pt"])),
    st.builds(lambda low, c, high: f"{low} < {c} <= {high}", numbers, columns, numbers),
    st.builds(lambda c, op, found: f"{c} {op} {found}", columns, st.sampled_from(["in", "not in"]), st.lists(numbers)),
    st.builds(lambda op: f"material {op} ['Au', 'Pt']", st.sampled_from(["in", "not in"])),
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a}) and ({b})", inner, inner),
        st.builds(lambda a, b: f"({a}) or ({b})", inner, inner),
        inner.map(lambda a: f"not ({a})"),
    ),
    max_leaves=4,
)


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 8))
    values = {name: draw(st.lists(numbers, min_size=rows, max_size=rows)) for name in NUMBERS}
    materials = draw(st.lists(st.sampled_from(["Au", "CdSe"]), min_size=rows, max_size=rows))
    return pd.DataFrame({**values, "material": materials})


@settings(max_examples=50)
@given(tables(), conditions)
def test_conditions_select_the_rows_that_pandas_selects(table, condition):
    expected = table.eval(condition, engine="python")
    np.testing.assert_array_equal(select(table, condition), np.broadcast_to(expected, len(table)))


def test_a_missing_value_fulfils_no_comparison_but_unequal():
    table = pd.DataFrame({"objective_aperture": [10.0, np.nan]})
    assert select(table, "objective_aperture > 5").tolist() == [True, False]
    assert select(table, "not objective_aperture > 5").tolist() == [False, True]


def test_an_empty_table_gives_an_empty_selection():
    assert select(pd.DataFrame({"dose": pd.Series(dtype=float)}), "dose > 1").shape == (0,)


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os').system('true') == 0",
        "dose.__class__ == 1",
        "(lambda: 1)() == 1",
        "[d for d in dose] == 1",
        "abs(dose, key=1) == 1",
        "open('x') == 1",
        "dose[0] == 1",
        "dose is 3",
        "dose ** 999999999 > 1",
        "9 ** 9 ** 9 ** 9 > dose",
        "dose << 10 ** 9 > 1",
        "dose % 2 == 0",
        "dose in dose",
        "dose in [dose]",
        "dose in range(10)",
        "dose in [x for x in (1,)]",
        "dose in [1, 'Au']",
        "material in [1]",
        "material in 'Au'",
        "dose in {1: 2}",
        "dose in [*(1, 2)]",
        "'x' * 1000000000000 == material",
        "material * 1000000 == 'Au'",
        "material + 'x' == 'Aux'",
        "-material == 'Au'",
        "abs(material) == 1",
        "material == 3",
        "dose < 'Au'",
        "material == 'Au' or 'CdSe'",
        "dose and defocus > 1",
        "not dose",
        "dose > 1 and [d for d in (1,)]",
        "(dose > 1) == (defocus > 1)",
        "(dose > 1) + 1 > 1",
        "dose > 1j",
        "material == b'Au'",
        "dose == ...",
        "dose > await_ if dose else 1",
        "abs(*[dose]) > 1",
        "abs(**{}) > 1",
        "abs.__class__ == 1",
        "dose.values.tofile('x') == 1",
        "print(dose) > 1",
        "globals()['os'] == 1",
        "(yield) == 1",
        "dose @ dose > 1",
        "~dose > 1",
        "1e308 * 10 / 0 > dose",
        "f'{dose}' == '1'",
        "(dose := 3) == 3",
        "dose == None",
    ],
)
def test_anything_but_a_condition_is_refused(condition):
    with pytest.raises(DatasetError, match="; allowed: comparisons of columns") as caught:
        check_condition(condition)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["__builtins__", "__class__", "__import__", "T", "columns", "self", "os"])
def test_names_of_python_are_no_columns(name):
    with pytest.raises(DatasetError, match=f"unknown column '{name}'"):
        check_condition(f"{name} == 1")


LONG = {
    "not " * 2000 + "dose > 1": "nested too deeply",
    "-" * 9000 + "1 > dose": "nested too deeply",
    "(" * 3000 + "dose" + ")" * 3000 + " > 1": "no expression",
    "+".join(["1"] * 4000) + " > dose": "nested too deeply",
    "dose" + ".real" * 1900 + " > 1": "nested too deeply",
    "abs(" * 150 + "dose" + ")" * 150 + " > 1": "nested too deeply",
    "dose > " + "9" * 4500: "no expression",
    "dose > " + "9" * 4000: "cannot be evaluated",
    "dose > 1 or " * 1000 + "dose > 1": "12008 characters",
    "dose > " + "1" * 1_000_000: "1000007 characters",
    "dose > (" + "dose, " * 1000 + ")": "dose, dose",
    "material == '" + "x" * 9000: "no expression",
}


@pytest.mark.parametrize("condition", LONG, ids=lambda text: text[:20])
def test_what_is_too_long_or_too_deep_is_refused_at_once_and_not_repeated_in_full(condition):
    start = time.perf_counter()
    with pytest.raises(DatasetError, match=LONG[condition]) as caught:
        check_condition(condition)
    assert time.perf_counter() - start < 0.5
    assert len(str(caught.value)) < 800
    assert "\n" not in str(caught.value)


def test_a_long_list_of_conditions_is_none_too_deep():
    table = pd.DataFrame({"dose": np.arange(30_000.0)})
    start = time.perf_counter()
    found = select(table, " or ".join(f"dose == {value}" for value in range(0, 500)))
    assert time.perf_counter() - start < 2
    assert found.sum() == 500
    assert select(table, f"dose in {list(range(1000))}").sum() == 1000


PIECES = """
dose defocus material abs open eval exec __import__ print os sys lambda : for in if else not and or is ( ) [ ] { } , .
+ - * / ** % @ ~ < <= == != >= > := = 1 2.5 1e9 1j 'Au' b'x' f'{dose}' None True ... yield await async \\ ; #
dose.__class__ abs( open('x') ['os'] 'x'*9 __import__('os').system('true') exec('1/0') eval('dose') f"{exec('1')}"
"""
EXECUTION = {"exec", "open", "import", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "ctypes.dlopen"}
watched: list[str] | None = None


def watch(event, args):
    if watched is not None and event in EXECUTION:
        watched.append(event)


@pytest.fixture(scope="module")
def audit():
    """Python reports what is executed, opened or imported; such a hook cannot be taken away again, only be silent."""
    select(pd.DataFrame({"dose": [1.0]}), "dose in [1]")  # what is imported at first use
    sys.addaudithook(watch)


@given(st.lists(st.sampled_from(PIECES.split()), max_size=12).map(" ".join) | st.text(max_size=40))
@settings(max_examples=500, deadline=None)
@example("__import__('os').system('true') == 1")
@example("dose > 1 and exec('1/0')")
def test_random_text_is_a_condition_or_refused_in_a_sentence_and_executes_nothing(audit, text):
    global watched
    table = pd.DataFrame({"dose": [1.0, 2.0], "defocus": [0.0, np.nan], "material": ["Au", "CdSe"]})
    found = sentence = None
    watched = executed = []
    try:
        found = select(table, text)
    except DatasetError as error:
        sentence = str(error)
    finally:
        watched = None
    assert executed == []
    if sentence is None:
        assert found.dtype == bool
        assert found.shape == (2,)
    else:
        assert re.fullmatch(r"found .*; allowed: .*", sentence)


def test_the_watch_sees_what_is_executed(audit):
    global watched
    watched = executed = []
    try:
        eval("1 + 1")
    finally:
        watched = None
    assert executed == ["exec"]


@pytest.mark.parametrize("condition", ["", "dose >", "dose = 3", "import os", "dose > 1; dose < 3", "\0"])
def test_what_is_no_expression_is_refused(condition):
    with pytest.raises(DatasetError, match="which is no expression; allowed"):
        check_condition(condition)


@pytest.mark.parametrize("condition", ["dose", "dose + 1", "3", "'Au'", "abs(dose)", "-dose", "dose > 1 or 'Au'"])
def test_what_is_neither_true_nor_false_is_refused(condition):
    with pytest.raises(DatasetError, match="not true or false for each image"):
        check_condition(condition)


def test_an_unknown_column_is_refused_with_those_there_are():
    with pytest.raises(DatasetError, match=r"unknown column 'doze' in 'doze > 1'; allowed: perhaps dose, or") as caught:
        check_condition("doze > 1")
    assert all(name in str(caught.value) for name in UNITS)
    with pytest.raises(DatasetError, match=r"'roughness' in .*allowed: perhaps .*substrate_roughness.*, or any"):
        check_condition("roughness > 1")


def test_columns_of_a_table_that_the_vocabulary_has_not_can_be_named():
    table = pd.DataFrame({"split": ["train", "test"], "row": [3, 4], "material": [np.nan, np.nan]})
    assert select(table, "split == 'train' and row < 4").tolist() == [True, False]
    assert select(table, "material == 'Au'").tolist() == [False, False]
    assert select(table, "material not in ['Au']").tolist() == [True, True]


def test_a_condition_may_be_folded_over_lines():
    table = pd.DataFrame({"dose": [1.0, 2.0, 3.0]})
    assert select(table, " dose > 1\nand dose < 3\n").tolist() == [False, True, False]


def test_every_column_can_be_named_in_a_condition():
    for name in UNITS:
        check_condition(f"{name} == {name}")
