"""The report shows every figure of a study in its chapter, with its labels and what is said of it."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from exitwave.report.figures import figures
from exitwave.study.link import load_study


def part(page: str, name: str) -> dict[str, Any]:
    """Content of a script of the report."""
    start = re.search(rf'<script id="{name}">\s*var {name} = ', page)
    assert start, name
    content: dict[str, Any] = json.JSONDecoder().raw_decode(page[start.end() :])[0]
    return content


def words(html: str) -> list[str]:
    return unescape(re.sub("<[^>]+>", " ", html)).split()


def test_every_figure_has_its_chapter_labels_and_caption(finished, tmp_path, monkeypatch):
    done = finished.snakemake("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    results, chapters = part(page, "results"), part(page, "categories")
    monkeypatch.chdir(finished.folder)
    of_blocks = figures(load_study("tiny.yaml"))
    assert len(results) == len(of_blocks) + 2  # and the costs
    for path, figure in of_blocks.items():
        file = f"results/report/tiny/{path}"
        assert file in chapters[figure.figure.category]["Other"]
        assert results[file]["labels"] == figure.labels
        assert words(results[file]["caption"]) == figure.figure.caption.split()
