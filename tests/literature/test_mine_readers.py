"""Papers of every format: the same figures, bad files in one sentence, nothing fetched, nothing written outside."""

from __future__ import annotations

import gzip
import io
import json
import re
import socket
import tarfile
import tracemalloc
from contextlib import contextmanager

import pytest

from exitwave.errors import LiteratureError
from exitwave.literature import archives
from exitwave.literature.captions import rows_of
from exitwave.literature.metadata import read_lines
from exitwave.literature.pdf import captions_of
from exitwave.literature.sources import find_sources, read_source
from papers import HTML, JATS, LATEX, latex_files, metadata_line, pdf_bytes, write_latex, write_papers, write_tar


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever asks for an address fails."""

    def refuse(*_, **__):
        raise AssertionError("something was asked for from the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def read(path):
    """Figures, and sentences on what was left out."""
    told = []
    return list(read_source(path, told.append)), told


def seen(path):
    """What the rows of the three figures say."""
    figures, _ = read(path)
    rows = [row for figure in figures for row in rows_of(figure)]
    return [(row.figure, row.panel, *row.technique, row.simulated, *row.formulas) for row in rows]


@contextmanager
def memory():
    """Most bytes that the body has taken, once it has ended."""
    tracemalloc.start()
    peak = 0
    try:
        yield lambda: peak
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


SAME = [
    ("1", "a", "STEM", False, "SrTiO3"),
    ("1", "b", "STEM", True, "SrTiO3"),
    ("2", "", "STM", False, "Bi2Se3"),
    ("3", "a", "TEM", False, "Au"),
    ("3", "b", "SEM", False, "Fe3O4"),
]


@pytest.mark.parametrize("name", ["folder", "paper.tar", "paper.tgz", "paper.xml", "paper.pdf"])
def test_every_format_gives_the_same_figures(tmp_path, name):
    write_papers(tmp_path)
    write_latex(tmp_path / "folder")
    assert seen(tmp_path / name) == SAME


def test_html_gives_the_same_figures_with_parts_as_panels(tmp_path):
    (tmp_path / "paper.html").write_text(HTML)
    assert seen(tmp_path / "paper.html") == SAME


def test_names_licences_and_graphics_come_along(tmp_path):
    write_papers(tmp_path)
    latex, _ = read(write_latex(tmp_path / "2301.00002v3"))
    assert {figure.paper for figure in latex} == {"2301.00002v3"}
    assert [figure.graphics for figure in latex] == [
        ("pictures/stem.png",),
        ("plot.pdf",),
        ("pictures/tem.png", "sem.jpg"),
    ]
    html, _ = read(tmp_path / "paper.html")
    assert {(figure.paper, figure.licence) for figure in html} == {
        ("2301.00001", "https://creativecommons.org/licenses/by/4.0/")
    }
    assert html[1].graphics == ("https://example.org/plot.png",)
    jats, _ = read(tmp_path / "paper.xml")
    assert {(figure.paper, figure.licence) for figure in jats} == {
        ("10.1000/xyz", "https://creativecommons.org/licenses/by/4.0/")
    }
    assert [figure.graphics for figure in jats] == [("stem.png",), ("plot",), ("tem.png", "sem.jpg")]


def test_a_tar_of_many_papers_has_them_apart(tmp_path):
    files = {f"230{n}.00001/{name}": content for n in (1, 2) for name, content in latex_files().items()}
    figures, _ = read(write_tar(tmp_path / "many.tar.gz", files))
    assert [figure.paper for figure in figures] == ["2301.00001"] * 3 + ["2302.00001"] * 3
    assert figures[0].graphics == ("2301.00001/pictures/stem.png",)


def test_one_compressed_file_is_a_paper_as_arxiv_has_it(tmp_path):
    (tmp_path / "2301.00001.gz").write_bytes(gzip.compress(LATEX.encode()))
    assert [figure.paper for figure in read(tmp_path / "2301.00001.gz")[0]] == ["2301.00001"] * 2


def test_metadata_has_a_row_for_each_paper(tmp_path):
    write_papers(tmp_path)
    figures, told = read(tmp_path / "papers.jsonl")
    assert [(one.paper, one.number, one.caption) for one in figures] == [
        ("2301.00001", "", "On graphene. STM of graphene."),
        ("cond-mat/0301001", "", "Primes. We prove."),
    ]
    assert told == []


def test_sources_are_found_in_folders_and_counted_once(tmp_path):
    write_papers(tmp_path / "all")
    write_latex(tmp_path / "all" / "sub" / "2301.00001")
    (tmp_path / "all" / "sub" / "2301.00001" / "figure.pdf").write_bytes(pdf_bytes())
    (tmp_path / "all" / "paper.tex").unlink()
    (tmp_path / "all" / ".hidden.xml").write_text(JATS)
    (tmp_path / "all" / "notes.txt").write_text("no paper")
    found = [one.path.relative_to(tmp_path).as_posix() for one in find_sources([tmp_path / "all", tmp_path / "all"])]
    names = ["paper.html", "paper.pdf", "paper.tar", "paper.tgz", "paper.xml", "papers.jsonl", "single.gz"]
    assert found == [*(f"all/{name}" for name in names), "all/sub/2301.00001"]


# --- bad input --------------------------------------------------------------------------------


def test_bad_lines_of_metadata_are_told_and_the_others_go_on(tmp_path):
    lines = [
        metadata_line("2301.00001"),
        metadata_line("2301.00002")[:40] + b"\n",
        b"\xff\xfe" + metadata_line("2301.00003"),
        metadata_line("2301.00004").replace(b"graphene", b"gr\xe4phene"),
        b"[1, 2]\n",
        b'{"id": "2301.00005"}\n',
        b'{"id": 7, "title": "x"}\n',
        b"[" * 100_000 + b"\n",
        b"\n",
        metadata_line("2301.00006").rstrip(b"\n"),
    ]
    (tmp_path / "papers.json").write_bytes(b"".join(lines))
    figures, told = read(tmp_path / "papers.json")
    assert [figure.paper for figure in figures] == ["2301.00001", "2301.00006"]
    assert len(told) == 7
    assert f"{tmp_path / 'papers.json'}: the line at byte {len(lines[0])} is cut off or no JSON, and left out" in told
    assert sum("has a byte that is no UTF-8" in one for one in told) == 2
    assert all(one.count("\n") == 0 and len(one) < 300 for one in told)


def test_a_line_without_end_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("exitwave.literature.metadata.LONGEST_LINE", 1000)
    (tmp_path / "a.jsonl").write_bytes(b"x" * 5500 + b"\n" + metadata_line() + b"y" * 2500)
    figures, told = read(tmp_path / "a.jsonl")
    assert len(figures) == 1
    assert len(told) == 2
    assert "longer than 1,000 bytes" in told[0]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b"nothing\n", "has no line with a paper"),
        ("a.jsonl", b"", "has no line with a paper"),
        ("a.xml", JATS[:400].encode(), "is no whole XML"),
        ("a.xml", b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><article>&x;</article>", "declares entities"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY x 'y'>]><article>&x;</article>".encode("utf-16"), "declares entities"),
        ("a.xml", b"<article><fig><caption>&other;</caption></fig></article>", "is no whole XML"),
        ("a.xml", b"<note>x</note>", "is XML of note; allowed: article of JATS"),
        ("a.html", b"", "cannot be read"),
        ("a.tar", b"no archive at all" * 100, "is cut off or damaged"),
        ("a.tgz", write_tar, "is cut off or damaged"),
        ("a.gz", gzip.compress(b"plain text", mtime=0), "is no archive and no LaTeX"),
        ("a.docx", b"x", "ends in '.docx'; allowed: .bz2"),
    ],
)
def test_a_bad_file_gives_one_sentence(tmp_path, name, content, sentence):
    path = tmp_path / name
    if callable(content):
        content(path)
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.write_bytes(content)
    with pytest.raises(LiteratureError) as error:
        read(path)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [600, 1024, 2048, 3000, -1024, -512])
def test_an_archive_that_ends_early_is_never_taken_for_a_whole_one(tmp_path, keep):
    path = write_tar(tmp_path / "a.tar", {f"{n}.tex": LATEX.encode() for n in range(5)}, "w")
    content = path.read_bytes().rstrip(b"\0")
    whole = content + bytes(-len(content) % 512)
    path.write_bytes(whole[:keep])
    with pytest.raises(LiteratureError, match="is cut off"):
        read(path)


def test_members_that_lead_out_of_an_archive_and_links_are_left_out(tmp_path):
    path = tmp_path / "a.tar"
    files = {"main.tex": LATEX.encode(), "../out.tex": SECRET, "/root.tex": SECRET, "b/../../c.tex": SECRET}
    write_tar(path, files, "w")
    with tarfile.open(path, "a") as archive:
        for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "main.tex"), (tarfile.FIFOTYPE, "")):
            member = tarfile.TarInfo(f"link{kind.decode()}.tex")
            member.type, member.linkname = kind, target
            archive.addfile(member)
    figures, told = read(path)
    assert len(figures) == 2
    assert len(told) == 6
    assert sum("leads out of the archive" in one for one in told) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["a.tar"]


SECRET = rb"\begin{figure}\includegraphics{x}\caption{A secret of UO$_2$}\end{figure}"


def test_links_out_of_a_folder_are_not_followed(tmp_path):
    (tmp_path / "secret.tex").write_bytes(SECRET)
    folder = write_latex(tmp_path / "paper")
    (folder / "link.tex").symlink_to(tmp_path / "secret.tex")
    (folder / "main.tex").write_text(LATEX.replace("parts/second", "../secret"))
    figures, told = read(folder)
    assert not any("UO2" in figure.caption for figure in figures)
    assert "link.tex leads out of its folder" in told[0]


def test_an_archive_cannot_unpack_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_ARCHIVE", 3_000_000)
    path = write_tar(tmp_path / "bomb.tgz", {"main.tex": LATEX.encode(), "zeros.bin": bytes(20_000_000)})
    assert path.stat().st_size < 50_000
    with pytest.raises(LiteratureError, match="more than 3,000,000 bytes unpacked"):
        read(path)


def test_a_header_of_an_archive_cannot_fill_the_memory(tmp_path):
    path = tmp_path / "header.tgz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("main.tex")
        member.pax_headers = {"comment": "x" * 50_000_000}
        archive.addfile(member, io.BytesIO())
    with memory() as peak, pytest.raises(LiteratureError, match="before a member"):
        read(path)
    assert peak() < 20e6


def test_latex_of_absurd_size_or_shape_is_refused_or_read_in_time(tmp_path):
    (tmp_path / "a.tex").write_bytes(b"x" * 16_000_001)
    with pytest.raises(LiteratureError, match="16,000,001 bytes of LaTeX"):
        read(tmp_path / "a.tex")
    for content in (
        "\\begin{figure}" * 100_000,
        "\\graphicspath{" + "{ } " * 50_000,
        "%" * 100_000,
        "\\input{a}" * 20_000,
    ):
        (tmp_path / "b.tex").write_text(content)
        assert read(tmp_path / "b.tex") == ([], [])


def test_bytes_that_are_no_utf8_are_told_and_read_as_latin1(tmp_path):
    (tmp_path / "a.tex").write_bytes("\\begin{figure}\\caption{Moiré of graphene}\\end{figure}".encode("latin-1"))
    figures, told = read(tmp_path / "a.tex")
    assert figures[0].caption == "Moiré of graphene"
    assert re.search(r"a\.tex: byte 27 is no UTF-8; it is read as Latin-1", told[0])


def test_what_laughs_a_billion_times_is_one_figure_that_is_left_out(tmp_path):
    macros = "".join(f"\\newcommand{{\\{chr(98 + n)}}}{{{(chr(92) + chr(97 + n)) * 10}}}" for n in range(12))
    good = "\\begin{figure}\\caption{STM of graphene}\\end{figure}"
    (tmp_path / "a.tex").write_text(f"\\def\\a{{ha}}{macros}\\begin{{figure}}\\caption{{\\m}}\\end{{figure}}{good}")
    figures, told = read(tmp_path / "a.tex")
    assert [figure.caption for figure in figures] == ["STM of graphene"]
    assert "figure 1 is left out: its macros make more than" in told[0]


def test_text_of_a_page_gives_its_captions():
    lines = [
        "Fig. 1 shows text",
        "",
        "Fig. 1. Films of gold.",
        "And text.",
        "",
        "Figure 2: Lines that go",
        "on",
        "",
        "x",
    ]
    assert list(captions_of("\n".join(lines))) == ["Fig. 1. Films of gold. And text.", "Figure 2: Lines that go on"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pdf_bytes(()), "has no text, as scans have none"),
        (pdf_bytes()[:300], "a.pdf"),
        (b"no pdf", "a.pdf cannot be read"),
    ],
)
def test_a_bad_pdf_gives_one_sentence(tmp_path, content, sentence):
    (tmp_path / "a.pdf").write_bytes(content)
    with pytest.raises(LiteratureError, match=sentence) as error:
        read(tmp_path / "a.pdf")
    assert "\n" not in str(error.value)


def test_memory_does_not_grow_with_the_number_of_lines(tmp_path):
    path = tmp_path / "many.jsonl"

    def peak(count):
        with path.open("wb") as file:
            for number in range(count):
                content = {"id": f"{number:09}", "title": "On primes", "abstract": f"We prove {number}."}
                file.write(json.dumps(content).encode() + b"\n")
        with memory() as found:
            assert sum(1 for _ in read_lines(path, lambda _: None)) == count
        return found()

    assert peak(5_000) < 1.2 * peak(500) + 50_000


def test_reading_goes_on_at_any_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(metadata_line(f"2301.{number:05}") for number in range(9)))
    whole = list(read_lines(path, lambda _: None))
    for place, (_, following) in enumerate(whole, 1):
        assert list(read_lines(path, lambda _: None, following)) == whole[place:]
