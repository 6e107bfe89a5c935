"""Papers in HTML, as of ar5iv, and in XML, as of JATS. No entity is resolved, no DTD read, nothing fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree, html

from exitwave.errors import LiteratureError
from exitwave.literature.captions import Figure, with_parts, without_label
from exitwave.literature.metadata import ARXIV
from exitwave.literature.plain import latex_text, lowered, plain_text, raised

_NO_TEXT = frozenset({"script", "style", "annotation", "annotation-xml", "object-id", "xref-group", "label", "graphic"})
_XLINK = "{http://www.w3.org/1999/xlink}href"
_DEEPEST = 200
"""Elements within elements of a caption."""


def read_markup(path: Path) -> Iterator[Figure]:
    """Figures of a paper in HTML or JATS.

    Raises
    ------
    LiteratureError
        If it is neither, declares entities of its own, or is not whole.
    """
    content = path.read_bytes()
    # Entities can stand for files and addresses, or for themselves a billion times. UTF-16 has NUL between letters.
    if b"<!ENTITY" in content.replace(b"\0", b""):
        raise LiteratureError(f"{path} declares entities of its own; allowed: XML and HTML without <!ENTITY")
    head = content[:4096].lower()
    if path.suffix.lower() in (".xml", ".nxml") and b"<html" not in head:
        yield from _jats(path, content)
    else:
        yield from _html(path, content)


def _jats(path: Path, content: bytes) -> Iterator[Figure]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise LiteratureError(f"{path} is no whole XML ({error.msg}); allowed: JATS, as of PubMed Central") from error
    figures = list(_named(root, "fig"))
    if not figures and next(_named(root, "article"), None) is None:
        raise LiteratureError(f"{path} is XML of {_name(root)}; allowed: article of JATS")
    paper = _jats_paper(root) or path.stem
    licence = next((_link(one) for one in _named(root, "license") if _link(one)), "")
    for count, figure in enumerate(figures, 1):
        caption = next(_named(figure, "caption"), None)
        if caption is None:
            continue
        label = " ".join("".join(_said(one) for one in _own(figure, "label")).split())
        graphics = tuple(dict.fromkeys(link for one in _named(figure, "graphic") if (link := _link(one))))
        number = without_label(f"{label} ")[0] or str(count)
        yield Figure(paper, number, plain_text(_said(caption)), graphics, licence)


def _jats_paper(root: Any) -> str:
    found = {one.get("pub-id-type"): (one.text or "").strip() for one in _named(root, "article-id")}
    return next((found[kind] for kind in ("arxiv", "doi", "pmcid", "pmc", "pmid") if found.get(kind)), "")


def _html(path: Path, content: bytes) -> Iterator[Figure]:
    encoding = None if re.search(rb"charset", content[:4096], re.IGNORECASE) else "utf-8"
    root = html.document_fromstring(content, html.HTMLParser(no_network=True, huge_tree=False, encoding=encoding))
    links = [
        link for one in root.iter("link", "base", "meta") for link in (one.get("href"), one.get("content")) if link
    ]
    named = [path.stem, *(link for link in links if "arxiv" in link.lower() or "ar5iv" in link.lower())]
    paper = next((found[0] for one in reversed(named) if (found := ARXIV.search(one))), path.stem)
    licence = next((one.get("href", "") for one in root.iter("a", "link") if one.get("rel") == "license"), "")
    outer = (one for one in root.iter("figure") if next(one.iterancestors("figure"), None) is None)
    figures = [one for one in outer if "ltx_table" not in (one.get("class") or "")]
    for count, figure in enumerate(figures, 1):
        said: dict[bool, list[str]] = {True: [], False: []}
        for caption in figure.iter("figcaption"):
            said[next(caption.iterancestors("figure")) is figure].append(plain_text(_said(caption)))
        text = with_parts(" ".join(said[True]), said[False])
        if text:
            graphics = tuple(dict.fromkeys(link for one in figure.iter("img", "object") if (link := _source(one))))
            yield Figure(paper, without_label(text)[0] or str(count), text, graphics, licence)


def _source(image: Any) -> str:
    link = str(image.get("src") or image.get("data") or "")
    return "" if link.startswith("data:") else link


def _said(element: Any, depth: int = 0) -> str:
    """Text of an element, its formulas as LaTeX says them."""
    name = _name(element)
    if not name or depth > _DEEPEST:
        return ""
    if name == "math" and (latex := element.get("alttext")):
        return latex_text(f"${latex}$")
    if name == "tex-math":
        found = re.search(r"\\begin\{document\}(.*)\\end\{document\}", element.text or "", re.DOTALL)
        return latex_text(found[1] if found else element.text or "")
    if name == "alternatives":
        # The same thing several times.
        first = [one for one in element if _name(one) in ("tex-math", "math")][:1]
        return "".join(_said(one, depth + 1) for one in first)
    children = list(element)
    if name in ("msub", "msup", "msubsup") and len(children) >= 2:
        base, *shifted = (_said(one, depth + 1).strip() for one in children)
        ways = {"msub": (lowered,), "msup": (raised,), "msubsup": (lowered, raised)}[name]
        return base + "".join(way(one) for way, one in zip(ways, shifted, strict=False))
    parts = [element.text or ""]
    for child in children:
        if _name(child) not in _NO_TEXT:
            parts.append(_said(child, depth + 1))
        parts.append(child.tail or "")
    text = "".join(parts)
    if name in ("sub", "sup"):
        return (lowered if name == "sub" else raised)(text)
    if name in ("mi", "mn", "mo", "mrow", "math", "mtext"):
        return text.strip()
    return f"{text} " if name in ("p", "title", "br", "div") else text


def _name(element: Any) -> str:
    """Name without namespace; empty for comments and entities."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _named(element: Any, name: str) -> Iterator[Any]:
    return (one for one in element.iter() if _name(one) == name)


def _own(element: Any, name: str) -> Iterator[Any]:
    return (one for one in element if _name(one) == name)


def _link(element: Any) -> str:
    return str(element.get(_XLINK) or element.get("href") or "")
