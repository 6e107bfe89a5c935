"""The report shows every figure of a study in its chapter, with its labels and what is said of it."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from typing import Any
from urllib.parse import unquote

from exitwave.data.tables import read_table
from exitwave.report.figures import figures
from exitwave.study.link import load_study
from pages import Page, in_browser


def part(page: str, name: str) -> dict[str, Any]:
    """Content of a script of the report."""
    start = re.search(rf'<script id="{name}">\s*var {name} = ', page)
    assert start, name
    content: dict[str, Any] = json.JSONDecoder().raw_decode(page[start.end() :])[0]
    return content


def words(html: str) -> list[str]:
    return unescape(re.sub("<[^>]+>", " ", html)).split()


def test_the_first_page_and_the_pages_it_leads_to_are_whole(finished):
    folder = finished.results / "report/tiny"
    first = Page(folder / "index.html")
    first.check()
    for link in first.links:
        assert link == "../tiny.html" or (folder / unquote(link)).is_file(), link
    browsed = [link for link in first.links if "/browse/" in link]
    assert len(set(browsed)) == 3
    for link in set(browsed):
        Page(folder / unquote(link)).check()
    table = read_table(finished.one("report/tiny/benchmarks/micrographs-*/summary.parquet"))
    best = table[table["kind"] == "network"]["f1_pooled"].max()
    assert f"{best:.3f}" in first.words


def test_a_browser_follows_the_first_page_to_the_images(finished, tmp_path):
    shutil.copytree(finished.results / "report/tiny", tmp_path / "tiny")
    told = in_browser(
        tmp_path / "tiny/index.html",
        """
        const box = element => element.getBoundingClientRect();
        const parts = [...document.querySelectorAll(".screen > *")];
        return {
          screen: Math.max(...parts.map(part => box(part).bottom)) <= innerHeight,
          whole: [...document.images].every(image => image.complete && image.naturalWidth),
          browse: [...document.querySelectorAll(".look a")].map(a => a.getAttribute("href"))
            .find(path => path.includes("/browse/")),
        };
        """,
    )
    assert told["screen"]
    assert told["whole"]
    page = tmp_path / "tiny" / unquote(told["browse"])
    shown = in_browser(page, "return [...document.images].every(image => image.complete && image.naturalWidth);")
    assert shown is True


def test_every_figure_has_its_chapter_labels_and_caption(finished, tmp_path, monkeypatch):
    done = finished.snakemake("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    results, chapters = part(page, "results"), part(page, "categories")
    monkeypatch.chdir(finished.folder)
    of_blocks = figures(load_study("tiny.yaml"))
    in_one_file = {path: figure for path, figure in of_blocks.items() if figure.figure.in_report}
    assert len(results) == len(in_one_file) + 3  # and the costs and the first page
    assert min(chapters) == "0 First page"  # the menu is sorted
    for path, figure in in_one_file.items():
        file = f"results/report/tiny/{path}"
        assert file in chapters[figure.figure.category]["Other"]
        assert results[file]["labels"] == figure.labels
        assert words(results[file]["caption"]) == figure.figure.caption.split()
