"""Substitution, vacancies and antisites: how many, of what, where, and what stays."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from exitwave.errors import StructureError
from exitwave.structures.body import SiteRole, make_body
from exitwave.structures.point_defects import substituted, with_antisites, with_vacancies
from exitwave.structures.volumes import box

seeds = st.integers(0, 2**32 - 1)
fractions = st.floats(0, 1)


def body_of(atoms, repeats=4):
    atoms = atoms * (repeats, repeats, repeats)
    return make_body(atoms.positions, atoms.numbers, box((100, 100, 100)), "made by ASE")


COMPOUND = body_of(bulk("CdSe", "wurtzite", 4.3, c=7.0))
METAL = body_of(bulk("Au", cubic=True))
# Magnetite has 3 Fe to 4 O; only the composition matters here.
OXIDE = replace(COMPOUND, numbers=np.resize(np.array([26, 26, 26, 8, 8, 8, 8], np.uint8), len(COMPOUND)))
TERNARY = replace(COMPOUND, numbers=np.resize(np.array([38, 22, 8, 8, 8], np.uint8), len(COMPOUND)))


def with_adsorbate(body):
    role = body.role.copy()
    role[:20] |= SiteRole.ADSORBATE.value
    return replace(body, role=role)


@given(seed=seeds, fraction=fractions)
def test_substitution_replaces_the_rounded_fraction_of_the_host_and_nothing_else(seed, fraction):
    made = substituted(COMPOUND, "Mn", fraction, np.random.default_rng(seed), host="Cd")
    changed = made.numbers != COMPOUND.numbers
    assert changed.sum() == round(fraction * (COMPOUND.numbers == 48).sum())
    assert np.all(COMPOUND.numbers[changed] == 48)
    assert np.all(made.numbers[changed] == 25)
    assert np.array_equal(made.role, np.where(changed, SiteRole.DOPANT, 0))
    assert np.array_equal(made.positions, COMPOUND.positions)


def test_without_a_host_every_element_but_the_dopant_is_replaced():
    made = substituted(COMPOUND, "Se", 1.0, np.random.default_rng(0))
    assert np.all(made.numbers == 34)
    assert np.array_equal(made.role == SiteRole.DOPANT, COMPOUND.numbers == 48)
    mixed = substituted(COMPOUND, "Te", 0.5, np.random.default_rng(0))
    assert {48, 34} == set(COMPOUND.numbers[mixed.role == SiteRole.DOPANT].tolist())


def test_later_dopants_leave_earlier_ones_and_take_their_fraction_of_the_rest():
    rng = np.random.default_rng(0)
    made = substituted(substituted(METAL, "Ag", 0.5, rng), "Cu", 0.5, rng)
    assert Counter(made.numbers.tolist()) == {79: len(METAL) // 4, 47: len(METAL) // 2, 29: len(METAL) // 4}
    assert np.array_equal(made.role == SiteRole.DOPANT, made.numbers != 79)
    # A host that is named is another matter.
    swapped = substituted(made, "Pd", 1.0, rng, host="Ag")
    assert Counter(swapped.numbers.tolist()) == {79: len(METAL) // 4, 46: len(METAL) // 2, 29: len(METAL) // 4}


@given(seed=seeds, fraction=st.floats(0, 0.8))
def test_dopants_that_trade_places_take_their_role_along(seed, fraction):
    rng = np.random.default_rng(seed)
    doped = substituted(COMPOUND, "Mn", 0.3, rng, host="Cd")
    made = with_antisites(doped, fraction, rng)
    assert np.array_equal((made.role & SiteRole.DOPANT) > 0, made.numbers == 25)
    assert np.array_equal((made.role & SiteRole.ANTISITE) > 0, made.numbers != doped.numbers)
    # Dopants of an element of the crystal itself are told by their role alone; none is lost or made.
    doped = substituted(COMPOUND, "Se", 0.3, rng, host="Cd")
    made = with_antisites(doped, fraction / 2, rng)
    assert ((made.role & SiteRole.DOPANT) > 0).sum() == (doped.role > 0).sum()
    assert np.all(made.numbers[(made.role & SiteRole.DOPANT) > 0] == 34)


@pytest.mark.parametrize(
    "change",
    [
        lambda body, rng: substituted(body, "Ag", 0.1, rng).role == SiteRole.DOPANT,
        lambda body, rng: np.isin(
            np.arange(len(body)), with_vacancies(replace(body, grain=np.arange(256)), 0.1, rng).grain, invert=True
        ),
    ],
    ids=["substituted", "vacancies"],
)
def test_every_atom_is_equally_likely(change):
    rng = np.random.default_rng(5)
    counts = sum(change(METAL, rng).astype(int) for _ in range(400))
    assert counts.sum() == 400 * round(0.1 * len(METAL))
    assert chisquare(counts).pvalue > 1e-3


@given(seed=seeds, fraction=st.floats(0, 0.99))
def test_vacancies_take_out_the_rounded_fraction_and_keep_the_rest_in_order(seed, fraction):
    made = with_vacancies(COMPOUND, fraction, np.random.default_rng(seed))
    gone = round(fraction * len(COMPOUND))
    assert len(made) == len(COMPOUND) - gone
    assert made.details["vacancies"] == gone
    kept = (COMPOUND.positions[:, None] == made.positions).all(axis=-1).any(axis=1)
    assert np.array_equal(COMPOUND.positions[kept], made.positions)
    assert np.array_equal(COMPOUND.numbers[kept], made.numbers)


@pytest.mark.parametrize("body", [COMPOUND, OXIDE, TERNARY], ids=["AB", "A3B4", "ABX3"])
@given(seed=seeds, fraction=st.floats(0, 0.5))
def test_antisites_keep_the_composition_and_put_the_fraction_in_wrong_places(body, seed, fraction):
    made = with_antisites(body, fraction, np.random.default_rng(seed))
    changed = made.numbers != body.numbers
    assert changed.sum() == 2 * round(fraction * len(body) / 2)
    assert np.array_equal(made.role, np.where(changed, SiteRole.ANTISITE, 0))
    assert Counter(made.numbers.tolist()) == Counter(body.numbers.tolist())
    assert np.array_equal(made.positions, body.positions)


def test_all_atoms_of_an_equal_compound_can_trade_places():
    made = with_antisites(COMPOUND, 1.0, np.random.default_rng(0))
    assert np.array_equal(made.numbers, np.where(COMPOUND.numbers == 48, 34, 48))


def test_adsorbates_are_left_alone():
    body = with_adsorbate(COMPOUND)
    rng = np.random.default_rng(2)
    for made in (substituted(body, "Mn", 1.0, rng), with_antisites(body, 0.9, rng), with_vacancies(body, 0.9, rng)):
        assert np.array_equal(made.numbers[:20], body.numbers[:20])
        assert np.all(made.role[:20] == SiteRole.ADSORBATE)


def test_roles_add_up_and_the_given_body_is_not_changed():
    before = COMPOUND.numbers.copy()
    rng = np.random.default_rng(3)
    made = with_antisites(substituted(COMPOUND, "Mn", 0.5, rng, host="Cd"), 0.5, rng)
    assert (made.role == SiteRole.DOPANT | SiteRole.ANTISITE).any()
    assert np.array_equal(COMPOUND.numbers, before)
    assert not COMPOUND.role.any()


def test_the_same_seed_gives_the_same_defects():
    first, second = (
        with_antisites(with_vacancies(COMPOUND, 0.1, rng), 0.2, rng)
        for rng in (np.random.default_rng(9), np.random.default_rng(9))
    )
    assert first.positions.tobytes() == second.positions.tobytes()
    assert first.numbers.tobytes() == second.numbers.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rng: substituted(METAL, "Xx", 0.1, rng), "dopants.element is 'Xx'"),
        (lambda rng: substituted(METAL, "Ag", 0.1, rng, host="Cu"), "dopants.host is 'Cu'.*allowed: Au"),
        (lambda rng: substituted(METAL, "Au", 0.1, rng, host="Au"), "both 'Au'"),
        (lambda rng: substituted(METAL, "Ag", 1.1, rng), "dopants.fraction is 1.1"),
        (lambda rng: with_vacancies(METAL, -0.1, rng), "vacancies is -0.1"),
        (lambda rng: with_vacancies(METAL, 1.0, rng), "takes all 256 atoms"),
        (lambda rng: with_antisites(METAL, 0.1, rng), "Au alone"),
        (lambda rng: with_antisites(COMPOUND, float("nan"), rng), "antisites is nan"),
        (lambda rng: with_antisites(OXIDE, 0.95, rng), "unlike partner"),
    ],
)
def test_impossible_defects_are_refused(change, message):
    with pytest.raises(StructureError, match=message):
        change(np.random.default_rng(0))
