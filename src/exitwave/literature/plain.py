"""Text as it is read: LaTeX, Unicode and raised or lowered letters brought to one way of writing.

Lowered numbers and variables of a formula stand in the line (``MoS2``, ``Al`` ``x``), other lowered letters after ``_``
(``C_s``), raised ones in ``^{}`` (``Fe^{3+}``), so that a charge or a power is never taken for a number of atoms.
"""

from __future__ import annotations

import re
import unicodedata

from exitwave.errors import LiteratureError

NUMBER = r"\d+(?:\.\d+)?"
VARIABLE = r"[xyzδ]"
_OFFSET = rf"(?:[-+](?:{NUMBER})?{VARIABLE}(?![a-zδ]))"
_FRACTION = r"[1235]/[234568](?=[A-Z(]|$)(?![A-Z]['’-])"
_AMOUNT = rf"(?:{NUMBER}{VARIABLE}(?![a-zδ])|{NUMBER}|{VARIABLE}(?![a-zδ]))"
SUBSCRIPT = rf"(?:{NUMBER}\(1-{VARIABLE}\)|{_FRACTION}|{_AMOUNT}{_OFFSET}*)"
"""What may stand lowered after an element: 2, 0.67, x, 1-x, 7-δ, 2(1-x), 1/3."""

LARGEST_TEXT = 1_000_000
"""Characters of one caption; macros that grow beyond are no text."""

_SUBSCRIPT = re.compile(SUBSCRIPT)
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_RAISED_RUN = re.compile(f"[{_RAISED}]+")
_DEPTH = 8
"""Groups within groups that are looked into."""
_LONGEST_OPTION = 100
"""Pieces in square brackets after a command."""

_SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "theta": "θ",
    "kappa": "κ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ",
    "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Sigma": "Σ", "Omega": "Ω",
    "Phi": "Φ", "Psi": "Ψ", "Lambda": "Λ", "AA": "Å", "angstrom": "Å", "times": "×", "cdot": "·", "pm": "±",
    "sim": "~", "approx": "≈", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "prime": "'", "circ": "°",
    "degree": "°", "micro": "μ", "textmu": "μ", "to": "→", "rightarrow": "→", "infty": "∞", "sqrt": "√",
    "hbar": "ħ", "quad": " ", "qquad": " ", "ldots": "...", "dots": "...", "textendash": "–", "ss": "ß", "o": "ø",
    "O": "Ø", "ae": "æ", "l": "ł", "L": "Ł", "textdegree": "°", "space": " ", "par": " ", "newline": " ",
    "textminus": "-", "textasciitilde": "~",
}  # fmt: skip
_DROPPED = frozenset({
    "label", "cite", "citep", "citet", "citealp", "onlinecite", "ref", "autoref", "cref", "Cref", "eqref", "pageref",
    "footnote", "index", "vspace", "hspace", "includegraphics", "color", "textcolor", "url", "href", "phantom",
    "hphantom", "vphantom", "bibitem", "begin", "end",
})  # fmt: skip
"""Commands whose first argument is no text."""
_ACCENTS = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "=": "\u0304", ".": "\u0307"}
_LETTER_ACCENTS = {"c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "r": "\u030a"}
_UPRIGHT = frozenset({"text", "textrm", "textit", "textbf", "mbox", "SI", "qty", "si", "unit"})
"""Commands in whose argument blanks count also within formulas."""
_TOKEN = re.compile(r"\\[a-zA-Z]+\*?\s*|\\.|[{}$^_~&]|---?|``|''|\s+|[^\\{}$^_~&\s`'-]+|.", re.DOTALL)


def lowered(text: str) -> str:
    """Lowered text as it stands in the line."""
    text = _even(text)
    return text if _SUBSCRIPT.fullmatch(text) else f"_{text}" if text else ""


def raised(text: str) -> str:
    """Raised text as it stands in the line."""
    text = _even(text)
    if text in ("'", "''", "′", "°"):
        return text
    return f"^{{{text}}}" if text else ""


def plain_text(text: str) -> str:
    """Unicode brought to the one way of writing, blanks to single spaces."""
    text = _RAISED_RUN.sub(lambda run: raised(unicodedata.normalize("NFKC", run[0])), text)
    return _even(text)


def _even(text: str) -> str:
    # Halves of characters, which JSON and PDF can have and no table can hold, become question marks.
    text = text.encode("utf-8", "replace").decode()
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-").replace("\u200b", "").replace("\u00ad", "")
    return " ".join(text.split())


def shown_text(text: str) -> str:
    """Text as it is shown to a person, without the braces of what is raised."""
    return re.sub(r"\^\{([^{}]*)\}", r"^\1", text)


def latex_text(source: str, macros: dict[str, str] | None = None) -> str:
    """What a piece of LaTeX says.

    Parameters
    ----------
    source : str
        Without comments.
    macros : dict, optional
        Text that commands of the author's own stand for, by name; those with arguments are not known.

    Raises
    ------
    LiteratureError
        If macros make it longer than ``LARGEST_TEXT``.
    """
    return plain_text(_Latex(expanded(source, macros or {})).text())


def expanded(source: str, macros: dict[str, str]) -> str:
    """LaTeX with the author's own commands replaced, those within those too."""
    if not macros:
        return source
    # Blanks after a command stay: what it stands for may end with xspace.
    names = "|".join(sorted(map(re.escape, macros), key=len, reverse=True))
    pattern = re.compile(rf"\\({names})(?![a-zA-Z])(?:\{{\}})?")
    for _ in range(_DEPTH):
        matches = list(pattern.finditer(source))
        if not matches:
            break
        if len(source) + sum(len(macros[match[1]]) for match in matches) > LARGEST_TEXT:
            raise LiteratureError(
                f"its macros make more than {LARGEST_TEXT:,} characters of one caption; allowed: fewer"
            )
        source = pattern.sub(lambda match: f"{{{macros[match[1]]}}}", source)
    return source


class _Latex:
    """A piece of LaTeX, read once from its beginning."""

    def __init__(self, source: str, depth: int = 0, math: bool = False) -> None:
        self.tokens: list[str] = _TOKEN.findall(source)
        self.place = 0
        self.depth = depth
        self.math = math

    def text(self) -> str:
        said: list[str] = []
        while self.place < len(self.tokens):
            said.append(self._next())
        return "".join(said)

    def _next(self) -> str:
        token = self.tokens[self.place]
        self.place += 1
        match token:
            case "{" | "}":
                return ""
            case "$":
                self.math = not self.math
                return ""
            case "_":
                return lowered(self._argument())
            case "^":
                return raised(self._argument())
            case "~" | "&":
                return " "
            case "--":
                return "–"
            case "---":
                return "—"
            case "``" | "''":
                return '"' if not self.math else token
        if token.startswith("\\"):
            return self._command(token[1:].strip() or " ")
        return "" if self.math and token.isspace() else token

    def _command(self, name: str) -> str:
        name = name.removesuffix("*") if len(name) > 1 else name
        if name in _DROPPED:
            self._raw(optional=True)
            self._raw()
            return ""
        if name in ("textsubscript", "textsuperscript"):
            return (lowered if name == "textsubscript" else raised)(self._argument())
        if name in ("frac", "tfrac", "nicefrac", "sfrac"):
            return f"{self._argument()}/{self._argument()}"
        if name in _UPRIGHT:
            self._raw(optional=True)
            said = self._argument(math=False)
            return f"{said} {self._argument(math=False)}" if name in ("SI", "qty") else said
        if name in _ACCENTS or name in _LETTER_ACCENTS:
            said = self._argument()
            accent = _ACCENTS.get(name) or _LETTER_ACCENTS[name]
            return unicodedata.normalize("NFC", said[:1] + accent + said[1:])
        if name in ("(", ")", "[", "]"):
            self.math = name in ("(", "[")
            return ""
        if len(name) == 1 and not name.isalpha():
            return {"!": "", "/": "", "-": ""}.get(name, name if name in "%&_#${}" else " ")
        return _SYMBOLS.get(name, "")

    def _raw(self, optional: bool = False) -> str:
        """The next argument as it is written; an optional one is passed over."""
        while self.place < len(self.tokens) and self.tokens[self.place].isspace():
            self.place += 1
        if self.place >= len(self.tokens):
            return ""
        if optional:
            if not self.tokens[self.place].startswith("["):
                return ""
            for place in range(self.place, min(self.place + _LONGEST_OPTION, len(self.tokens))):
                _, bracket, after = self.tokens[place].partition("]")
                if bracket:
                    self.tokens[place], self.place = after, place + (not after)
                    break
            return ""
        if self.tokens[self.place] != "{":
            token = self.tokens[self.place]
            if token.startswith("\\"):
                self.place += 1
                # A font with what is written in it, as in T_\mathrm{c}.
                group = self.tokens[self.place : self.place + 1] == ["{"] and token[1:].strip() not in _SYMBOLS
                return f"{token}{{{self._raw()}}}" if group else token
            self.tokens[self.place] = token[1:]
            self.place += not token[1:]
            return token[0]
        depth, start = 0, self.place
        while self.place < len(self.tokens):
            depth += {"{": 1, "}": -1}.get(self.tokens[self.place], 0)
            self.place += 1
            if not depth:
                break
        return "".join(self.tokens[start + 1 : self.place - (not depth)])

    def _argument(self, math: bool | None = None) -> str:
        """What the next argument says."""
        source = self._raw()
        if self.depth >= _DEPTH:
            return source
        return _Latex(source, self.depth + 1, self.math if math is None else math).text()
