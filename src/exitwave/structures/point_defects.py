"""Point defects: substituted atoms, vacancies and antisites, at random places; adsorbates are left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from exitwave.errors import StructureError
from exitwave.structures.body import Body, SiteRole

IntArray = NDArray[np.int64]


def substituted(body: Body, element: str, fraction: float, rng: np.random.Generator, host: str | None = None) -> Body:
    """The body with a fraction of its atoms, rounded to whole atoms, replaced by those of another element.

    Parameters
    ----------
    body : Body
        What is doped.
    element : str
        Chemical symbol of the dopant.
    fraction : float
        Fraction of the host's atoms, of those there are at present: of two dopants of 0.5 for the same host the
        second takes half of what the first has left.
    rng : Generator
        Chooses the atoms.
    host : str, optional
        Element that is replaced; by default every other than the dopant, and no atom that is a dopant already. The
        element that is named is replaced wherever it is, be it a dopant itself.

    Returns
    -------
    Body
        The replaced atoms have the role ``DOPANT``.

    Raises
    ------
    StructureError
        If an element is unknown, the host is the dopant or not in the body, or the fraction is not within 0 and 1.
    """
    _check_fraction(fraction, "dopants.fraction")
    number = _atomic_number(element, "dopants.element")
    own = _own_atoms(body)
    if host is None:
        # Else a later dopant would take from an earlier one, and less of that be there than asked for.
        sites = own[(body.numbers[own] != number) & ((body.role[own] & SiteRole.DOPANT) == 0)]
    else:
        if _atomic_number(host, "dopants.host") == number:
            raise StructureError(f"dopants.element and dopants.host are both '{host}'; allowed: two elements")
        sites = own[body.numbers[own] == _atomic_number(host, "dopants.host")]
        if len(sites) == 0:
            raise StructureError(
                f"dopants.host is '{host}', of which there is no atom; allowed: {', '.join(_symbols(body, own))}"
            )
    chosen = rng.choice(sites, size=round(fraction * len(sites)), replace=False)
    numbers, role = body.numbers.copy(), body.role.copy()
    numbers[chosen] = number
    role[chosen] |= SiteRole.DOPANT.value
    return replace(body, numbers=numbers, role=role)


def with_vacancies(body: Body, fraction: float, rng: np.random.Generator) -> Body:
    """The body without a fraction of its atoms, rounded to whole atoms.

    Parameters
    ----------
    body : Body
        What loses atoms.
    fraction : float
        Fraction of its atoms, of all elements alike.
    rng : Generator
        Chooses the atoms.

    Returns
    -------
    Body
        The rest in their order; ``vacancies`` in its details is the number of atoms that are gone.

    Raises
    ------
    StructureError
        If the fraction is not within 0 and 1, or no atom would be left.
    """
    _check_fraction(fraction, "vacancies")
    own = _own_atoms(body)
    number = round(fraction * len(own))
    if len(own) > 0 and number == len(own):
        raise StructureError(
            f"vacancies is {fraction:g}, which takes all {number} atoms of an object; allowed: less, so that one stays"
        )
    keep = np.ones(len(body), dtype=bool)
    keep[rng.choice(own, size=number, replace=False)] = False
    return body.kept(keep).with_details(vacancies=body.details.get("vacancies", 0) + number)


def with_antisites(body: Body, fraction: float, rng: np.random.Generator) -> Body:
    """The body with pairs of unlike atoms, anywhere in it, that have traded places.

    Parameters
    ----------
    body : Body
        What is disordered.
    fraction : float
        Fraction of the atoms that are in a wrong place; rounded to whole pairs.
    rng : Generator
        Chooses the pairs.

    Returns
    -------
    Body
        The traded atoms have the role ``ANTISITE``, and a dopant takes its role ``DOPANT`` along; the composition is
        the same.

    Raises
    ------
    StructureError
        If the fraction is not within 0 and 1, the body is of one element, or one element is so much of it that there
        are not as many pairs.
    """
    _check_fraction(fraction, "antisites")
    pool = _own_atoms(body)
    wanted = round(fraction * len(pool) / 2)
    if wanted == 0:
        return body
    symbols = _symbols(body, pool)
    if len(symbols) == 1:
        raise StructureError(f"antisites is {fraction:g} for a crystal of {symbols[0]} alone; allowed: 0")
    pairs: list[IntArray] = []
    while wanted > 0:
        # Atoms are paired at random; the like pairs go back into the pool until there are enough unlike ones.
        shuffled = rng.permutation(pool)
        candidates = shuffled[: len(pool) // 2 * 2].reshape(-1, 2)
        unlike = candidates[body.numbers[candidates[:, 0]] != body.numbers[candidates[:, 1]]][:wanted]
        pairs.append(unlike)
        wanted -= len(unlike)
        pool = pool[~np.isin(pool, unlike)]
        if wanted > 0 and len(np.unique(body.numbers[pool])) < 2:
            raise StructureError(
                f"antisites is {fraction:g}, but only {2 * sum(map(len, pairs))} atoms found an unlike partner; "
                "allowed: a fraction for which each atom has one"
            )
    first, second = np.concatenate(pairs).T
    numbers, role = body.numbers.copy(), body.role.copy()
    numbers[first], numbers[second] = body.numbers[second], body.numbers[first]
    # A bit that only one of a pair has changes sides when it is flipped in both.
    moving = (role[first] ^ role[second]) & SiteRole.DOPANT.value
    role[first] = role[first] ^ moving | SiteRole.ANTISITE.value
    role[second] = role[second] ^ moving | SiteRole.ANTISITE.value
    return replace(body, numbers=numbers, role=role)


def _own_atoms(body: Body) -> IntArray:
    """Indices of the atoms that are not of adsorbates."""
    return np.flatnonzero((body.role & SiteRole.ADSORBATE) == 0)


def _symbols(body: Body, atoms: IntArray) -> list[str]:
    from ase.data import chemical_symbols

    return [chemical_symbols[number] for number in np.unique(body.numbers[atoms])]


def _atomic_number(symbol: str, key: str) -> int:
    from ase.data import atomic_numbers

    number: int = atomic_numbers.get(symbol, 0)
    if number == 0:
        raise StructureError(f"{key} is '{symbol}'; allowed: a chemical symbol such as 'Ge'")
    return number


def _check_fraction(fraction: float, key: str) -> None:
    if not 0 <= fraction <= 1:
        raise StructureError(f"{key} is {fraction:g}; allowed: from 0 to 1")
