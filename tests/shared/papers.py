"""Small papers in every format that `exitwave mine` reads, each with the same three figures."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

LATEX = r"""
\documentclass{article}
\newcommand{\sto}{SrTiO$_3$}
\graphicspath{{pictures/}}
\begin{document}
% \begin{figure}\includegraphics{no}\caption{Commented out, of UO$_2$}\end{figure}
\begin{figure}
  \includegraphics[width=\columnwidth]{stem}
  \caption[Short]{\label{one}(a) HAADF-STEM image of \sto{} at 200\,kV~\cite{x}. (b) Simulated image, $t=20$ nm.}
\end{figure}
\input{parts/second}
\begin{figure}
  \begin{subfigure}{0.5\textwidth}\includegraphics{tem.png}\caption{TEM image of gold}\end{subfigure}
  \begin{subfigure}{0.5\textwidth}\includegraphics{sem.jpg}\caption{SEM image of Fe$_3$O$_4$}\end{subfigure}
  \caption{Particles.}
\end{figure}
\end{document}
"""
SECOND = (
    r"\begin{figure*}\includegraphics{plot.pdf}\caption{STM topographs of Bi$_{2}$Se$_{3}$, {braces {and} all}.}"
    r"\end{figure*}"
)

HTML = """<!DOCTYPE html><html><head><title>x</title><link rel="canonical" href="https://arxiv.org/abs/2301.00001"></head>
<body><a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY</a>
<figure id="S1.F1" class="ltx_figure"><img src="stem.png"><figcaption><span>Figure 1: </span>(a) HAADF-STEM image of
<math alttext="\\mathrm{SrTiO}_{3}"><semantics><mi>S</mi><annotation>no</annotation></semantics></math> at 200 kV.
(b) Simulated image.</figcaption></figure>
<figure class="ltx_figure"><img src="https://example.org/plot.png"><figcaption>Figure 2: STM topographs of
Bi<sub>2</sub>Se<sub>3</sub>.</figcaption></figure>
<figure class="ltx_table"><figcaption>Table 1: UO<sub>2</sub></figcaption></figure>
<figure class="ltx_figure"><figure><img src="tem.png"><figcaption>(a) TEM image of gold</figcaption></figure>
<figure><img src="sem.jpg"><figcaption>(b) SEM image of Fe<sub>3</sub>O<sub>4</sub></figcaption></figure>
<figcaption>Figure 3: Particles.</figcaption></figure></body></html>
"""

JATS = """<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) v1.2//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"><front><article-meta>
<article-id pub-id-type="doi">10.1000/xyz</article-id>
<permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/"/></permissions></article-meta></front>
<body><fig id="f1"><label>Figure 1</label><caption><title>Films.</title><p>(a) HAADF-STEM image of
<mml:math><mml:msub><mml:mi>SrTiO</mml:mi><mml:mn>3</mml:mn></mml:msub></mml:math> at 200 kV. (b) Simulated image.</p>
</caption><graphic xlink:href="stem.png"/></fig>
<fig id="f2"><label>Fig. 2</label><caption><p>STM topographs of Bi<sub>2</sub>Se<sub>3</sub>.</p></caption>
<alternatives><graphic xlink:href="plot"/></alternatives></fig>
<fig id="f3"><caption><p>(a) TEM image of gold. (b) SEM image of
<inline-formula><tex-math>\\begin{document}$Fe_3O_4$\\end{document}</tex-math></inline-formula>.</p></caption>
<graphic xlink:href="tem.png"/><graphic xlink:href="sem.jpg"/></fig></body></article>
"""

PAGE = (
    "Some text of the paper, in which Fig. 1 shows much of interest.",
    "Figure 1. (a) HAADF-STEM image of SrTiO3 at 200 kV, recorded along the",
    "zone axis. (b) Simulated image.",
    "Fig. 2: STM topographs of Bi2Se3.",
    "FIG. 3. Particles. (a) TEM image of gold. (b) SEM image of Fe3O4 parti-",
    "cles after annealing.",
    "And the text goes on here, with UO2 that is not in any caption at all.",
)


def picture(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 50)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def latex_files() -> dict[str, bytes]:
    return {
        "main.tex": LATEX.encode(),
        "parts/second.tex": SECOND.encode(),
        "pictures/stem.png": picture(),
        "pictures/tem.png": picture(1),
        "sem.jpg": b"no image",
    }


def write_latex(folder: Path) -> Path:
    for name, content in latex_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes] | None = None, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in (latex_files() if files is None else files).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pdf_bytes(lines: tuple[str, ...] = PAGE) -> bytes:
    """A page of text, a line below another."""
    shown = "".join(f"({line.replace('(', chr(92) + '(').replace(')', chr(92) + ')')}) Tj T*\n" for line in lines)
    content = f"BT /F1 9 Tf 12 TL 40 780 Td\n{shown}ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream",
    )
    written, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n" % number + one + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table
    return written + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def metadata_line(paper: str = "2301.00001", title: str = "On graphene", abstract: str = "STM of graphene.") -> bytes:
    content = {"id": paper, "title": title, "abstract": f"  {abstract}\n", "license": "https://example.org/by"}
    return json.dumps(content).encode() + b"\n"


def write_papers(folder: Path) -> None:
    """A file of each format."""
    folder.mkdir(exist_ok=True)
    (folder / "papers.jsonl").write_bytes(metadata_line() + metadata_line("cond-mat/0301001", "Primes", "We prove."))
    (folder / "paper.tex").write_text(LATEX)
    (folder / "paper.html").write_text(HTML)
    (folder / "paper.xml").write_text(JATS)
    (folder / "paper.pdf").write_bytes(pdf_bytes())
    write_tar(folder / "paper.tar", mode="w")
    write_tar(folder / "paper.tgz")
    (folder / "single.gz").write_bytes(gzip.compress(LATEX.encode()))
