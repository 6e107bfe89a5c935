"""Aberrations in Haider's notation, as correctors report them, turned into Krivanek's polar notation.

Uhlemann and Haider (Ultramicroscopy 72 (1998) 109; so do Haider, Uhlemann and Zach, Ultramicroscopy 81 (2000) 163, and
the correctors of CEOS) expand the aberration function in the complex angle ``w = alpha exp(i phi)`` with the conjugate
``w'``::

    chi = 2 pi / lambda Re{ 1/2 w w' C1   + 1/2 w'^2 A1
                          +     w^2 w' B2 + 1/3 w'^3 A2
                          + 1/4 (w w')^2 C3 + w^3 w' S3    + 1/4 w'^4 A3
                          +     w^3 w'^2 B4 + w^4 w' D4    + 1/5 w'^5 A4
                          + 1/6 (w w')^3 C5 + w^4 w'^2 S5  + w^5 w' R5    + 1/6 w'^6 A5 }

with complex coefficients ``X = |X| exp(i theta)``; the angle that a corrector reports is ``theta``, of the number, not
of the pattern, and goes all around for every coefficient. (The papers were not read: the expansion is at second hand,
as later works quote it, and S5 and R5 continue it.) Krivanek's polar notation is, for the same phase::

    chi = 2 pi / lambda sum_nm C_nm alpha^(n+1) / (n+1) cos(m (phi - phi_nm))

A term ``f w^p w'^q X`` has the real part ``f |X| alpha^(p+q) cos((p - q) phi + theta)``. Comparing the two:
``n = p + q - 1``, ``m = |p - q|`` and ``C_nm = (n + 1) f |X|``, so that

- the pure terms (``A``, with p = 0, and ``C``) have f = 1/(n+1) and keep their size: C12 = A1, C30 = C3, ...;
- the mixed ones have f = 1 and do not: C21 = 3 B2, C32 = 4 S3, C41 = 5 B4, C43 = 5 D4, C52 = 6 S5 and C54 = 6 R5;
- the angles are phi_nm = theta / m where q > p (the ``A``) and phi_nm = -theta / m where p > q (the mixed terms).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from exitwave.config.distributions import Choice, LogUniform, Normal, Real, Uniform


class _Term(NamedTuple):
    """Powers of the complex angle and of its conjugate in the term of a coefficient."""

    p: int
    q: int

    @property
    def name(self) -> str:
        """The same term in Krivanek's notation, such as ``21``."""
        return f"{self.p + self.q - 1}{abs(self.p - self.q)}"

    @property
    def factor(self) -> float:
        mixed = self.p != self.q and self.p > 0
        return float(self.p + self.q) if mixed else 1.0

    @property
    def radians(self) -> float:
        """What turns the angle [°] into Krivanek's [rad]."""
        return math.radians(1 / (self.q - self.p))


TERMS = {
    "A1": _Term(0, 2),
    "B2": _Term(2, 1),
    "A2": _Term(0, 3),
    "C3": _Term(2, 2),
    "S3": _Term(3, 1),
    "A3": _Term(0, 4),
    "B4": _Term(3, 2),
    "D4": _Term(4, 1),
    "A4": _Term(0, 5),
    "C5": _Term(3, 3),
    "S5": _Term(4, 2),
    "R5": _Term(5, 1),
    "A5": _Term(0, 6),
}
"""Terms of Haider's notation that the config takes, in the order of the expansion."""

ANGLES = {f"{name}_angle": term for name, term in TERMS.items() if term.p != term.q}
"""Keys of the angles."""

_KRIVANEK = [
    f"{letter}{term.name}" for term in TERMS.values() for letter in ("C", "phi") if letter == "C" or term.p != term.q
]
_REAL: TypeAdapter[Any] = TypeAdapter(Real, config=ConfigDict(allow_inf_nan=False))


def to_krivanek(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace Haider's names in an aberrations block by Krivanek's.

    Parameters
    ----------
    values : mapping
        Coefficients of either notation, each a number or a distribution: Krivanek's ``C12``, ... [Å] and ``phi12``,
        ... [rad], Haider's ``A1``, ... [Å] and ``A1_angle``, ... [°].

    Returns
    -------
    dict
        Krivanek's coefficients only; a distribution is scaled as a whole.

    Raises
    ------
    pydantic.ValidationError
        If a name is unknown or means defocus, a coefficient is given in both notations, an angle has no magnitude, or a
        value is no number or distribution.
    """
    for name, value in values.items():
        if name in ("C1", "C10"):
            raise _refusal(
                name, value, "defocus is no part of aberrations; allowed: the key defocus of the images block"
            )
        if name not in TERMS and name not in ANGLES and name not in _KRIVANEK:
            raise _refusal(name, value, f"unknown key; allowed: {', '.join([*_KRIVANEK, *TERMS, *ANGLES])}")
    converted = {name: value for name, value in values.items() if name in _KRIVANEK}
    for name, term in TERMS.items():
        angle = f"{name}_angle"
        given = [key for key in (name, angle) if key in values]
        twins = [key for key in (f"C{term.name}", f"phi{term.name}") if key in values]
        if given and twins:
            reason = f"the same coefficient as {twins[0]}, which is given too; allowed: one of the two"
            raise _refusal(given[0], values[given[0]], reason)
        if given == [angle]:
            raise _refusal(angle, values[angle], f"an angle without a magnitude; allowed: together with {name}")
        if name in values:
            converted[f"C{term.name}"] = _scaled(name, values[name], term.factor)
        if angle in values:
            converted[f"phi{term.name}"] = _scaled(angle, values[angle], term.radians)
    return converted


def _scaled(name: str, value: Any, factor: float) -> Any:
    """A number or distribution times a factor."""
    try:
        real = _REAL.validate_python(value)
    except ValidationError as error:
        raise _refusal(name, value, error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    if isinstance(real, Uniform):
        return Uniform(uniform=_interval(real.uniform, factor))
    if isinstance(real, Normal):
        mean, deviation = real.normal
        clip = None if real.clip is None else _interval(real.clip, factor)
        return Normal(normal=(mean * factor, deviation * abs(factor)), clip=clip)
    if isinstance(real, LogUniform):
        if factor < 0:
            raise _refusal(
                name, value, "turns its sign between the notations; allowed: any distribution but loguniform"
            )
        return LogUniform(loguniform=_interval(real.loguniform, factor))
    if isinstance(real, Choice):
        return Choice[float](choice=[number * factor for number in real.choice], weights=real.weights)
    return real * factor


def _interval(bounds: tuple[float, float], factor: float) -> tuple[float, float]:
    low, high = sorted(bound * factor for bound in bounds)
    return low, high


def _refusal(name: str, value: Any, reason: str) -> ValidationError:
    """An error at the key itself, so that the sentence about it can name its path in the config."""
    problem = PydanticCustomError("aberration", "{reason}", {"reason": reason})
    return ValidationError.from_exception_data("Aberrations", [{"type": problem, "loc": (name,), "input": value}])
