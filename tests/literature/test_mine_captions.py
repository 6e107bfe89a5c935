"""What captions say: formulas, elements, techniques, simulated or not, panels; against labels by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from ase.data import chemical_symbols
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from exitwave.errors import LiteratureError
from exitwave.literature.captions import Figure, rows_of, sentences_of, split_panels
from exitwave.literature.formulas import DOUBTFUL, elements_of, find_formulas
from exitwave.literature.names import _materials
from exitwave.literature.plain import latex_text, plain_text
from exitwave.literature.techniques import simulated_of, techniques_of

LABELLED = yaml.safe_load((Path(__file__).parent / "captions.yaml").read_text(encoding="utf-8"))
CAPTIONS = [*LABELLED["tuned"], *LABELLED["held_out"]]


def elements_by_pymatgen(formula):
    """Elements of a formula, its variables and terminations set to numbers."""
    plain = re.sub(r"T[xyz]", "", formula).replace(",", "").replace("(1-x)", "")
    plain = re.sub(r"\d*\.?\d*[-+]?\d*[xyzδ]", "0.5", plain)
    plain = re.sub(r"[-+][\d.]+|/\d", "", plain)
    return {element.symbol for element in Composition(plain).elements}


@dataclass
class Score:
    right: int = 0
    false: set = field(default_factory=set)
    missed: set = field(default_factory=set)

    def add(self, place, found, labelled):
        self.right += len(found & labelled)
        self.false |= {(place, one) for one in found - labelled}
        self.missed |= {(place, one) for one in labelled - found}

    @property
    def precision(self):
        return self.right / (self.right + len(self.false))

    @property
    def recall(self):
        return self.right / (self.right + len(self.missed))


def found_in(text):
    """What all rows of a caption say together."""
    rows = rows_of(Figure("paper", "1", latex_text(text)))
    techniques = {one for row in rows for one in row.technique}
    return (
        {one for row in rows for one in row.formulas},
        {one for row in rows for one in row.elements},
        techniques - {"other"} or {"other"},
        any(row.simulated for row in rows),
    )


def test_there_are_a_hundred_captions_of_all_kinds():
    assert len(CAPTIONS) == 100 == len({caption["text"] for caption in CAPTIONS})
    techniques = [one for caption in CAPTIONS for one in caption["technique"]]
    assert {"STM", "STEM", "HRTEM", "TEM", "AFM", "SEM", "other"} == set(techniques)
    assert min(techniques.count(one) for one in set(techniques)) >= 5
    assert 10 <= sum(caption.get("simulated", False) for caption in CAPTIONS) <= 50
    assert sum("graphene" in caption["text"] for caption in CAPTIONS) >= 4


@pytest.mark.parametrize("part", ["tuned", "held_out"])
def test_what_is_found_is_what_was_labelled_by_hand(part):
    formulas, elements, techniques, simulated = Score(), Score(), Score(), Score()
    for place, caption in enumerate(LABELLED[part]):
        labelled = set(caption["formulas"])
        named = {one for formula in labelled for one in elements_by_pymatgen(formula)} | set(caption.get("also", ()))
        found = found_in(caption["text"])
        formulas.add(place, found[0], labelled)
        elements.add(place, found[1], named)
        techniques.add(place, found[2], set(caption["technique"]))
        simulated.add(place, {found[3]}, {caption.get("simulated", False)})
    for score in (formulas, elements, techniques, simulated):
        assert score.precision >= 0.95, score
        assert score.recall >= 0.9, score


TRAPS = (
    "CC BY 4.0, by C. N. R. Rao and J. S. Kim, University of Co-Op. In this work we follow He et al. and Y. Li.",
    "As shown in Fig. S1, S2 and Table S3, the I-V curve of sample No. 4 at V = 0.5 V, T = 5 K and N = 5 is linear.",
    "The CNN gives NaN; PCA, UV, FFT, BF, PBE, PW91, HSE06 and B3LYP; K points; space groups P4/nmm, Fm-3m, I4/mmm.",
    "Co-workers, Co-authors, Bi-layer and Re-entrant phases; P-type and n-type; B-site cations; PCs and NCs of 5 nm.",
    "At 300 K and 80 kV, (C) and (V) are panels. Be careful: I is the current, U = 2 eV, C_s = 1.2 mm, Cs-corrected.",
    "Six layers in the Bay Area, after Cox: O(N) steps, SU(2) and U(1), SNe Ia. Ca. 20 had Tm = 300 K and Re = 500.",
    "The solvent leads to a shift, as the leading term. He found 10 C and 3 N. A structure of the perovskite type.",
)


@pytest.mark.parametrize("text", TRAPS)
def test_words_units_and_initials_are_no_substances(text):
    assert found_in(text)[:2] == (set(), set())


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("In atoms, As vacancies and He ions", ["In", "As", "He"]),
        ("maps of C, N and Fe", ["C", "N", "Fe"]),
        ("the C 1s and O 1s lines", ["C", "O"]),
        ("$^{13}$C in ¹²C and 57Fe", ["C", "C", "Fe"]),
        ("Fe$^{3+}$, Mn³⁺, Ti4+ and O$^{2-}$ ions", ["Fe", "Mn", "Ti", "O"]),
        ("SiO2/4H-SiC and LiNi1/3Co2/3O2", ["SiO2", "SiC", "LiNi1/3Co2/3O2"]),
        ("Ti–6Al–4V and Al-Cu", ["Ti", "Al", "V", "Al", "Cu"]),
        ("Mo(S,Se)2, (Bi, Sb)2Te3, Ca(OH)2", ["Mo(S,Se)2", "(Bi,Sb)2Te3", "Ca(OH)2"]),
        ("W(110), Si(111) and Au(111)", ["W", "Si", "Au"]),
        ("V$_{Se}$ and E$_F$ in NbSe$_2$:Ta", ["Se", "NbSe2", "Ta"]),
        ("La₂₋ₓSrₓCuO₄ and YBa₂Cu₃O₇₋δ", ["La2-xSrxCuO4", "YBa2Cu3O7-δ"]),
        ("${\\rm La_{0.67} Ca_{0.33} Mn O_3}$", ["La0.67Ca0.33MnO3"]),
        ("\\ce{H2O} and \\ce{^{57}Fe2O3}", ["H2O", "Fe2O3"]),
    ],
)
def test_what_stands_beside_a_symbol_decides(text, formulas):
    assert [one.formula for one in find_formulas(latex_text(text))] == formulas


@pytest.mark.parametrize(
    ("text", "formulas", "elements"),
    [
        ("Tungsten diselenide on Hexagonal Boron Nitride", {"WSe2", "BN"}, {"W", "Se", "B", "N"}),
        ("graphene oxide", set(), {"C", "O"}),
        ("reduced graphenes", {"C"}, {"C"}),
        ("lead halide; a lead film; it leads", {"Pb"}, {"Pb"}),
        ("TiN and tin, STO and YAG", {"TiN", "Sn", "SrTiO3", "Y3Al5O12"}, {"Ti", "N", "Sn", "Sr", "O", "Y", "Al"}),
        ("black-phosphorus flakes", {"P"}, {"P"}),
        ("carbon dioxide, aluminum, sulphur", {"CO2", "Al", "S"}, {"C", "O", "Al", "S"}),
    ],
)
def test_materials_are_known_by_name(text, formulas, elements):
    assert found_in(text)[:2] == (formulas, elements)


def test_formulas_of_names_are_formulas():
    formulas, others = _materials()
    for name, stands in formulas.items():
        for formula in stands:
            assert set(elements_of(formula)) == elements_by_pymatgen(formula), name
    assert all(set(elements) <= set(chemical_symbols) for elements in others.values())


SURE = [one for one in chemical_symbols[1:95] if one not in DOUBTFUL and len(one) == 2]
AMOUNTS = st.one_of(st.just(""), st.integers(2, 19).map(str), st.sampled_from(["0.67", "0.5", "x", "1-x", "3-δ"]))
LOWERED = str.maketrans("0123456789-x", "₀₁₂₃₄₅₆₇₈₉₋ₓ")


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(SURE), AMOUNTS), min_size=2, max_size=5, unique_by=lambda part: part[0]),
    st.sampled_from(["{}", "the {} film", "({})", "{}/Si", "2H-{}", "on {}, as"]),
)
def test_any_compound_is_found_however_it_is_written(parts, around):
    formula = "".join(f"{symbol}{amount}" for symbol, amount in parts)
    latex = "".join(
        f"{symbol}$_{{{amount.replace('δ', chr(92) + 'delta')}}}$" if amount else symbol for symbol, amount in parts
    )
    math = "$\\mathrm{" + latex.replace("$", "") + "}$"
    lowered = "".join(f"{symbol}{amount.translate(LOWERED)}" for symbol, amount in parts)
    for written in (formula, latex, math, lowered):
        found = find_formulas(latex_text(around.format(written)))
        assert found[0].formula == formula
        assert found[0].elements == tuple(symbol for symbol, _ in parts)


@settings(max_examples=300)
@given(st.text(max_size=200) | st.text(alphabet="CSnO2xδ([{}])$_^\\ab,-+. ", max_size=200))
def test_no_text_makes_it_fail(text):
    plain = plain_text(text)
    for row in rows_of(Figure("paper", "", latex_text(text))):
        assert row.technique
        assert set(row.elements) <= set(chemical_symbols)
    for one in find_formulas(plain):
        assert plain[one.start : one.end].startswith((one.formula[:1], "(", "["))
    # Nothing is lost but the blanks between sentences.
    assert "".join("".join(part for _, part in sentences_of(plain)).split()) == "".join(plain.split())


@pytest.mark.parametrize(
    "text",
    [
        "Sn" * 50_000 + "!",
        "(" * 50_000,
        "{" * 50_000,
        "$" * 50_001,
        "\\" * 50_000,
        "Fe, " * 5_000,
        "(a) " * 5_000,
        "\\cite[" * 15_000,
        "\\cite[a]" * 12_000,
    ],
)
def test_long_texts_take_no_longer_than_short_ones_do(text):
    import time

    start = time.process_time()
    rows_of(Figure("paper", "", latex_text(text)))
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("5\\,nm~\\cite{a,b} of \\textbf{MoS$_2$}\\label{x}, see \\ref{y}.", "5 nm of MoS2, see ."),
        ("$V_s = -1.2$ V; 10$^{-3}$ \\AA; na\\\"ive \\'etude \\c{c}a", "V_s=-1.2 V; 10^{-3} Å; naïve étude ça"),
        ("\\SI{20}{nm}, \\textcolor{red}{arrows}, 50 \\% \\& more -- or less", "20 nm, arrows, 50 % & more – or less"),
        ("$\\alpha$-Fe\\textsubscript{2}O\\textsubscript{3}", "α-Fe2O3"),
        ("T$_\\mathrm{c}$ and $T_c$, $90^\\circ$", "T_c and T_c, 90°"),
    ],
)
def test_latex_is_read_as_it_is_printed(source, text):
    assert latex_text(source) == text


def test_own_commands_are_replaced_and_cannot_grow_without_end():
    assert latex_text("\\sto{} on \\film", {"sto": "SrTiO$_3$", "film": "a \\sto\\ film"}) == "SrTiO3 on a SrTiO3 film"
    laughs = {chr(98 + n): f"\\{chr(97 + n)}" * 10 for n in range(12)} | {"a": "ha"}
    with pytest.raises(LiteratureError, match="its macros make more than 1,000,000 characters"):
        latex_text("\\m", laughs)
    assert latex_text("\\a", {"a": "\\a x"}).startswith("x")


@pytest.mark.parametrize(
    ("text", "techniques"),
    [
        ("scanning transmission electron microscopy (STEM)", ["STEM"]),
        ("STEM and TEM images", ["STEM", "TEM"]),
        ("HRTEM, and low-magnification TEM", ["HRTEM", "TEM"]),
        ("high-resolution transmission electron microscopy", ["HRTEM"]),
        ("a TEM00 mode; values are mean ± SEM; the AFM order of MnO", []),
        ("STM and nc-AFM with dI/dV maps", ["STM", "AFM"]),
        ("the stem of a plant, a system, STEM education for STEM students", []),
        ("antiferromagnetic (AFM) phase by magnetic force microscopy", ["AFM"]),
    ],
)
def test_techniques_are_told_apart(text, techniques):
    assert techniques_of(text) == techniques


@pytest.mark.parametrize(
    ("text", "simulated"),
    [
        ("simulated with multislice", True),
        ("from first-principles", True),
        ("under solar-simulated light", None),
        ("grain size calculated from the measured peaks with Scherrer's equation", False),
        ("computed tomography of a pore", None),
        ("measured and calculated", True),
        ("recorded at 80 kV", False),
    ],
)
def test_calculated_is_told_from_measured(text, simulated):
    assert simulated_of(text) is simulated


def test_each_panel_has_what_it_says_and_else_what_is_said_of_all():
    text = (
        "Fig. S3. STM of NbSe2. (a) At 0.5 V. (b–d) Simulated images of TaS2. (e) As in (a), at 1 V. (f) Raman of TaS2."
    )
    rows = rows_of(Figure("2301.00001", "7", text, ("a.png", "b.png")))
    assert [(row.figure, row.panel) for row in rows] == [("S3", "a"), ("S3", "b-d"), ("S3", "e"), ("S3", "f")]
    assert [row.formulas for row in rows] == [("NbSe2",), ("TaS2",), ("NbSe2",), ("TaS2",)]
    assert [row.simulated for row in rows] == [False, True, False, False]
    assert {row.technique for row in rows} == {("STM",)}
    assert {row.graphic for row in rows} == {("a.png", "b.png")}
    assert rows[3].sentence == "Raman of TaS2."
    assert rows[0].caption == text


def test_each_panel_has_its_own_graphic_where_there_are_as_many():
    rows = rows_of(Figure("p", "1", "(a) TEM of Au. (b) SEM of Ag.", ("a.png", "b.png")))
    assert [row.graphic for row in rows] == [("a.png",), ("b.png",)]


@pytest.mark.parametrize(
    "text",
    [
        "STM image (a) and model (b) of TaS2.",
        "(a,b) Fe3O4, (e,f) Rh, (c,d) Si.",
        "Spectra of sample (a).",
        "(i) one, (ii) two",
    ],
)
def test_letters_that_do_not_lead_panels_split_nothing(text):
    assert split_panels(text) == (text, [])


def test_panels_as_in_nature_are_split():
    assert split_panels("Films. a, STEM image. b-d, Maps of Ti. e, Model of a, in grey.")[1] == [
        ("a", "STEM image."),
        ("b-d", "Maps of Ti."),
        ("e", "Model of a, in grey."),
    ]
