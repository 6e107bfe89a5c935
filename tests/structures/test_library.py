"""The library of crystals: what is in it, that it is the same everywhere, and that it is kept."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.data import covalent_radii

from exitwave.errors import StructureError
from exitwave.structures import library as module
from exitwave.structures.library import FilterReport, Library, library, predicted_volume
from exitwave.structures.prototypes import chosen, prototypes, structure_of

NewLibrary = Callable[..., Library]

KNOWN = {
    "AB_cF8_225_a_b": "NaCl 5.640 KCl 6.293 LiF 4.026 KBr 6.600 NaBr 5.973 CaO 4.811 SrO 5.160 BaO 5.539 MgO 4.212 "
    "MnO 4.446 NiO 4.177 PbS 5.936 PbSe 6.124 PbTe 6.462 TiC 4.327 TiN 4.242 ZrC 4.698 AgCl 5.549 AgBr 5.775",
    "AB_cF8_216_c_a": "ZnS 5.409 ZnSe 5.668 ZnTe 6.104 CdTe 6.482 GaAs 5.653 GaP 5.451 InP 5.869 InAs 6.058 "
    "InSb 6.479 AlAs 5.661 AlP 5.464 GaSb 6.096 CuCl 5.416 SiC 4.360 BN 3.616",
    "AB2_cF12_225_a_c": "CaF2 5.463 SrF2 5.800 BaF2 6.200 CdF2 5.388 PbF2 5.940 CeO2 5.411",
    "AB_cP2_221_b_a": "CsCl 4.123 CsBr 4.286 CsI 4.567 TlCl 3.834 TlBr 3.970 NiAl 2.887 FeAl 2.909 CuZn 2.950",
    "AB3_cP4_221_a_c": "AlNi3 3.572 AuCu3 3.749 ZrAl3 4.080 FeNi3 3.545 ScAl3 4.100",
    "A2BC4_cF56_227_d_a_e": "Al2MgO4 8.083 Al2ZnO4 8.086 Fe2MgO4 8.390 Al2CoO4 8.105 Fe2ZnO4 8.441 Cr2MgO4 8.333",
    "A_cF4_225_a": "Cu 3.615 Ag 4.086 Au 4.078 Al 4.050 Ni 3.524 Pd 3.891 Pt 3.924 Ir 3.839 Rh 3.803 Pb 4.951",
    "A_cI2_229_a": "Fe 2.866 W 3.165 Mo 3.147 Cr 2.885 V 3.030 Nb 3.300 Ta 3.301 Na 4.291 K 5.328 Ba 5.020",
    "A_cF8_227_a": "Si 5.431 Ge 5.658 C 3.567 Sn 6.489",
}
"""Cubic lattice constants [Å] of compounds at room temperature, by prototype."""


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewLibrary:
    """A library as a new process would make it, from what is kept in a folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(*arguments: object) -> Library:
        module._growing.cache_clear()
        module._known.cache_clear()
        return library(*arguments)  # type: ignore[arg-type]

    return make


def names(found: Library) -> list[tuple[str, str, float]]:
    return [(one.prototype, one.formula, one.crystal.volume) for one in found.crystals]


def test_the_first_crystals_are_of_as_many_prototypes_as_there_are(new: NewLibrary) -> None:
    start = time.perf_counter()
    found = new((), 6, 300.0, 120)
    print(f"120 crystals in {time.perf_counter() - start:.1f} s: {found.report}")
    assert len(found.crystals) == 120
    assert len({one.prototype for one in found.crystals}) >= 115  # a few are of one label
    assert len({one.system for one in found.crystals}) >= 6
    assert not found.complete
    assert found.report.tried < 200
    # The label says the space group, of a few structures in a setting with less symmetry than they have.
    assert sum(int(one.prototype.split("_")[2]) != one.space_group for one in found.crystals) <= 2


@pytest.mark.slow
def test_a_thousand_crystals_of_a_hundred_prototypes_take_less_than_a_minute(new: NewLibrary) -> None:
    start = time.perf_counter()
    found = new((), 6, 600.0, 1000)
    seconds = time.perf_counter() - start
    prototypes_found = {one.prototype for one in found.crystals}
    print(f"{len(found.crystals)} crystals of {len(prototypes_found)} prototypes in {seconds:.1f} s; {found.report}")
    assert len(found.crystals) == 1000
    assert len(prototypes_found) >= 100
    assert seconds < 60
    assert len({element for one in found.crystals for element in one.elements}) > 60


def test_a_library_is_the_same_made_at_once_in_parts_or_read(new: NewLibrary) -> None:
    at_once = new(("NaCl", "Spinel", "Fluorite"), 6, 600.0)
    module._growing.cache_clear()
    in_parts = [library(("NaCl", "Spinel", "Fluorite"), 6, 600.0, number) for number in (2, 5)]
    assert names(in_parts[0]) == names(at_once)[:2]
    assert names(in_parts[1]) == names(at_once)[:5]
    read = new(("NaCl", "Spinel", "Fluorite"), 6, 600.0)
    assert names(read) == names(at_once)
    for one, other in zip(read.crystals, at_once.crystals, strict=True):
        assert one.crystal.fractional.tobytes() == other.crystal.fractional.tobytes()
        assert one.conventional.tobytes() == other.conventional.tobytes()


def test_what_is_kept_is_not_made_again(new: NewLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = names(new(("NaCl",), 4, 600.0))
    tried = []
    honest = module.try_substitution
    monkeypatch.setattr(module, "try_substitution", lambda *given: tried.append(given) or honest(*given))
    assert names(new(("NaCl",), 4, 600.0)) == first
    assert not tried
    (store,) = (tmp_path / "cache").rglob("*.json")
    store.write_text("{")
    assert names(new(("NaCl",), 4, 600.0)) == first
    assert len(tried) == 5
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert names(new(("NaCl",), 4, 600.0)) == first


def test_every_trial_is_accounted_for(new: NewLibrary) -> None:
    found = new(("NaCl", "Perovskite", "Ammonia", "A_cF4_225_a", "Calcite"), 8, 200.0)
    report = found.report
    assert report.tried == 9 * len(chosen(("NaCl", "Perovskite", "Ammonia", "A_cF4_225_a", "Calcite")))
    assert report.passed == len(found.crystals)
    assert report.passed + sum(report.rejected.values()) == report.tried
    assert set(report.rejected) <= set(module.REASONS)
    assert report.rejected["element"] >= 1  # ammonia itself has hydrogen
    assert report.rejected["repeated"] >= 1
    assert str(FilterReport(3, 2, {"close": 1})) == "3 compounds tried, 2 crystals; left out: atoms too close 1"


def test_no_crystal_is_there_twice_and_none_is_improbable(new: NewLibrary) -> None:
    found = new(("NaCl", "Zincblende, Sphalerite", "Fluorite", "Magnesium", "Spinel"), 12, 250.0)
    assert Counter(names(found)).most_common(1)[0][1] == 1
    for one in found.crystals:
        crystal = one.crystal
        assert crystal.volume <= 250
        assert 4 <= crystal.volume / len(crystal.numbers) <= 60
        assert crystal.numbers.max() <= module.HEAVIEST
        assert not one.elements & module.LEFT_OUT
        distance, *pair = crystal.nearest_neighbours()
        assert distance >= 1.1
        assert distance >= 0.72 * covalent_radii[crystal.numbers[pair]].sum()


def test_substitution_keeps_symmetry_and_takes_near_elements(new: NewLibrary) -> None:
    from pymatgen.core import Element

    found = new(("A_cF4_225_a", "Halite"), 10, 600.0)
    assert len(found.crystals) > 8
    assert {one.space_group for one in found.crystals} == {225}
    places = {place: Element(place).mendeleev_no for place in ("Cu", "Na", "Cl")}
    for one in found.crystals:
        hosts = ("Cu",) if one.prototype == "A_cF4_225_a" else ("Na", "Cl")
        for element in one.elements:
            assert min(abs(Element(element).mendeleev_no - places[host]) for host in hosts) <= 6
        assert one.crystal.volume == pytest.approx(abs(np.linalg.det(one.conventional)) / 4)


def test_volumes_follow_the_radii_to_the_accuracy_measured() -> None:
    from pymatgen.core import Composition, Element

    of_label = {prototype.label: prototype for prototype in prototypes()}
    errors = []
    for label, text in KNOWN.items():
        parent, words = structure_of(of_label[label]), text.split()
        counts = parent.composition.get_el_amt_dict()
        cells = int(label.split("_")[1][2:]) / len(parent)
        for formula, constant in zip(words[::2], words[1::2], strict=True):
            amounts = Composition(formula).get_el_amt_dict()
            old, new = (
                sorted(given, key=lambda element, given=given: (given[element], Element(element).X))
                for given in (counts, amounts)
            )
            if old == new:
                continue
            compound = parent.copy()
            compound.replace_species(dict(zip(old, new, strict=True)))
            volume = predicted_volume(compound, parent, module._valences(of_label[label]))
            errors.append(abs((volume * cells) ** (1 / 3) / float(constant) - 1))
    print(f"{len(errors)} compounds: median {np.median(errors):.4f}, 90 % {np.quantile(errors, 0.9):.3f}")
    assert len(errors) > 70
    assert np.median(errors) < 0.03
    assert np.quantile(errors, 0.9) < 0.12


@pytest.mark.parametrize(("name", "near"), [("Flourite", "Fluorite"), ("AB_cF8_225_a_c", "AB_cF8_225_a_b")])
def test_an_unknown_prototype_is_refused_with_names_that_are_near(name: str, near: str) -> None:
    with pytest.raises(StructureError, match=rf"^prototypes: found '{name}'; allowed: names such as .*{near}"):
        library((name,), 0, 600.0, 1)


def test_prototypes_have_their_names() -> None:
    (halite,) = chosen(("halite",))
    assert (halite.label, halite.compound) == ("AB_cF8_225_a_b", "NaCl")
    assert chosen(("B1",)) == chosen(("NaCl",)) == (halite,)
    assert len(prototypes()) > 280


def test_a_library_that_is_kept_needs_no_pymatgen(new: NewLibrary) -> None:
    new(("NaCl",), 2, 600.0)
    code = (
        "import sys; from exitwave.structures import crystals, library; "
        "assert len(library.library(('NaCl',), 2, 600.0).crystals) == 3; "
        "assert 'pymatgen.core' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
