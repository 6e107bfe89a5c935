"""What a figure was made with, and whether it was measured or calculated."""

from __future__ import annotations

import re
from typing import Literal, get_args

Technique = Literal["STM", "STEM", "HRTEM", "TEM", "AFM", "SEM", "other"]
TECHNIQUES: tuple[Technique, ...] = get_args(Technique)

_NOT_MEANT = re.compile(
    r"""
    (?:±|mean|error\ bars?[^.]*?)\s(?:\+/-\s)?\(?SEM\b | \bTEM_?\{?00 | \bTEM[ -](?:mode|cell|wave|polari)
    | \bAFM[ ](?:ground|order|state|phase|coupling|interaction|exchange|spin|insulator|N.el)\w*
    | \bSTEM[ -](?:educat|field|student|disciplin|career|subject|learn|major|topic|course|workforce|degree)\w*
    | \bAFM[:,=][ ]?antiferro\w* | antiferromagnetic[ ]\(AFM\)
    """,
    re.VERBOSE,
)
_ANTIFERROMAGNETIC = re.compile(r"antiferromagn|ferromagnetic \(FM\)|\bFM\b", re.IGNORECASE)

# In this order, and what one has taken the next ones do not see: an HRTEM image is not one of TEM beside.
_WRITTEN: dict[Technique, str] = {
    "STEM": r"""
        \b(?:4D-?|[A-Z]{2,4}-)?STEM\b | (?i:scanning[ -]transmission[ -]electron)
        | \b(?:i?DPC|[HLM]AADF|ADF|ABF)\b
        | (?i:annular[ -](?:dark|bright)[ -]field) | (?i:Z-contrast) | (?i:ptychogra)
        """,
    "HRTEM": r"""
        \b(?:AC-?)?HR-?(?:TEM|EM)\b
        | (?i:high[ -]resolution[ ](?:\(HR\)[ ])?(?:transmission[ -]electron[ -]\w+|TEM\b))
        | (?i:aberration[ -]corrected[ ](?:HR)?(?:transmission[ -]electron|TEM\b))
        | (?i:phase[ -]contrast[ ](?:TEM\b|transmission)) | (?i:\blattice[ ]image) | (?i:exit[ -]wave)
        | (?i:focal[ -]series)
        """,
    "SEM": r"""
        \b(?:FE-?|FIB-|E)?SEM\b | (?i:scanning[ -]electron[ ]micro) | \bEBSD\b
        | (?i:secondary[ -]electron[ ](?:image|micrograph))
        """,
    "TEM": r"""
        \b(?:[A-Z]{1,3}-?|cryo-?|Cryo-?)?TEM\b | (?i:(?<!scanning[ ])transmission[ -]electron[ ]micro)
        | \bSAED\b | (?i:selected[ -]area[ ](?:electron[ ])?diffraction) | \bCBED\b
        | (?i:convergent[ -]beam[ ]electron)
        """,
    "STM": r"""
        \b(?:[A-Z]{2}-)?STM\b | (?i:tunnell?ing[ -](?:electron[ ])?(?:micro|spectro)) | \bSTS\b | \bdI/dV\b
        """,
    "AFM": r"""
        \b(?:nc-?|NC-?|[cC]-?)?AFM\b | (?i:atomic[ -]force) | \b(?:KPFM|MFM|PFM|EFM)\b
        | (?i:(?:probe|magnetic|response|electrostatic)[ -]force[ -]micro)
        """,
}
_PATTERNS = tuple((technique, re.compile(pattern, re.VERBOSE)) for technique, pattern in _WRITTEN.items())

_NEEDED: dict[Technique, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "STEM": (("STEM", "DPC", "ADF", "ABF"), ("scanning", "annular", "z-contrast", "ptychogra")),
    "HRTEM": (("HR",), ("high", "aberration", "phase", "lattice image", "exit", "focal")),
    "SEM": (("SEM", "EBSD"), ("scanning", "secondary")),
    "TEM": (("TEM", "SAED", "CBED"), ("transmission", "selected", "convergent")),
    "STM": (("STM", "STS", "dI/dV"), ("tunnel",)),
    "AFM": (("AFM", "KPFM", "MFM", "PFM", "EFM"), ("force",)),
}
"""What a text must have, as written or in any case, for a pattern to be tried: that is ten times as fast."""

_NOT_SIMULATED = re.compile(
    r"""
    solar[ -]simulat\w*(?:[ ]light)? | simulated[ ](?:sun|solar|body|light|sea|gastric|AM)\w*
    | computed[ ](?:tomogra|X-ray)\w* | (?:calculat|comput)ed[ ](?:directly[ ])?(?:from|by|using|with|over|for[ ]each)\b
      [^.;]{0,60}?\b(?:Scherrer|measur|experiment|image|data|spectr|pattern|FFT|intensit|peak|fit)\w*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SIMULATED = re.compile(
    r"""
    \b(?:simulat\w+ | calculat(?:ed|ion|ions) | comput(?:ed|ational|ations?) | theoretical\w*
    | (?:first|1st)[ -]principles | ab[ -]initio | density[ -]functional | multislice | bloch[ -]waves?
    | molecular[ ]dynamics | monte[ -]carlo | tight[ -]binding | phase[ -]field | nudged[ ]elastic
    | relaxed[ ]geometry)\b
    | (?-i:\b(?:DFP?T|LDA|GGA|PBE|VASP)\b)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MEASURED = re.compile(r"\b(?:experiment\w*|measured|acquired|recorded|as[ -]taken)\b", re.IGNORECASE)


def techniques_of(text: str) -> list[Technique]:
    """Techniques that a text names, in the order of ``TECHNIQUES``; none where it names none of them."""
    rest, low = _NOT_MEANT.sub(" ", text) if "EM" in text or "AFM" in text else text, text.lower()
    found = set()
    for technique, pattern in _PATTERNS:
        written, anyhow = _NEEDED[technique]
        if not (any(word in text for word in written) or any(word in low for word in anyhow)):
            continue
        if technique == "AFM" and _ANTIFERROMAGNETIC.search(rest) and "orce" not in rest:
            continue
        rest, number = pattern.subn(" ", rest)
        if number:
            found.add(technique)
    return [technique for technique in TECHNIQUES if technique in found]


def simulated_of(text: str) -> bool | None:
    """Whether a text speaks of something calculated; None where it does not say how it was made."""
    if _SIMULATED.search(text) and _SIMULATED.search(_NOT_SIMULATED.sub(" ", text)):
        return True
    return False if _MEASURED.search(text) else None
