"""Units of length, as programs write them in image files."""

from __future__ import annotations

import unicodedata

_PREFIXES = {
    ("p", "pico"): 1e-2,
    ("n", "nano"): 1e1,
    ("u", "\u03bc", "micro"): 1e4,
    ("m", "milli"): 1e7,
    ("", ""): 1e10,
}
LENGTH_UNITS = {
    **{f"{prefix}m": size for (*symbols, _), size in _PREFIXES.items() for prefix in symbols},
    **{f"{word}met{end}": size for (*_, word), size in _PREFIXES.items() for end in ("er", "re", "ers", "res")},
    **dict.fromkeys(("micron", "microns"), 1e4),
    **dict.fromkeys(("a", "å", "aa", "ang", "angstrom", "angstroms", "ångström", "ångströms", "ångstrom"), 1.0),
}
"""Length units [Å]. Centimetre and inch are left out: in image files they are the resolution of a printer."""

NO_UNITS = frozenset({"", "px", "pixel", "pixels", "<undefined>", "none"})
"""What files without a calibration have for a unit."""


def length_of(unit: str) -> float | None:
    """Length of a unit [Å], whichever way programs write it; None of one that is no known length."""
    # Berkeley EMD writes n_m, ImageJ code points in digits.
    for variant, plain in (("\\u00B5", "\u00b5"), ("\\u00C5", "\u00c5"), ("_", "")):
        unit = unit.replace(variant, plain)
    # Micro and ångström each have two code points, of which this leaves one.
    return LENGTH_UNITS.get(unicodedata.normalize("NFKC", unit).strip().lower().rstrip("."))
