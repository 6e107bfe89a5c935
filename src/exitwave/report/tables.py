"""Tables of the report as HTML pages that stand alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from exitwave.data.whole import replace_file

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1f2933; background: white;
        margin: 1.5rem; }}
h1 {{ font-size: 1.2rem; margin: 0 0 .3rem; }}
h2 {{ font-size: 1rem; margin: 1.4rem 0 .3rem; }}
p {{ max-width: 60rem; color: #52606d; margin: .3rem 0 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th {{ text-align: right; vertical-align: bottom; font-weight: 600; border-bottom: 2px solid #1f2933; }}
td {{ text-align: right; border-bottom: 1px solid #e3e7eb; white-space: nowrap; }}
th, td {{ padding: .35rem .8rem; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
tr.strong td {{ font-weight: 600; background: #eef6fb; }}
tr.total td {{ font-weight: 600; border-top: 2px solid #1f2933; border-bottom: 0; }}
small {{ color: #69737d; font-weight: 400; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note}</p>
{tables}
</body>
</html>
"""
TABLE = """<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
"""


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes
    ----------
    columns : sequence of str
        Names of the columns.
    rows : sequence of rows
        Cells as plain text, or as a pair of text and what stands small beside it.
    marks : sequence of str
        How each row is set: "", "strong" or "total".
    heading : str
        What stands above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, str]]]
    marks: Sequence[str]
    heading: str = ""


def write_html(path: str | Path, title: str, note: str, tables: Sequence[Table]) -> None:
    """Write tables as a HTML page.

    Parameters
    ----------
    path : path
        Page to write; its folder is made.
    title, note : str
        Heading, and what the reader must know.
    tables : sequence of Table
    """
    page = PAGE.format(title=escape(title), note=escape(note), tables="\n".join(_table(table) for table in tables))
    replace_file(path, lambda unfinished: unfinished.write_text(page, encoding="utf-8"))


def _table(table: Table) -> str:
    lines = [
        f'<tr class="{mark}">{"".join(f"<td>{_cell(cell)}</td>" for cell in row)}</tr>'
        for row, mark in zip(table.rows, table.marks, strict=True)
    ]
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    heading = f"<h2>{escape(table.heading)}</h2>\n" if table.heading else ""
    return heading + TABLE.format(head=head, body="\n".join(lines))


def _cell(cell: str | tuple[str, str]) -> str:
    if isinstance(cell, str):
        return escape(cell)
    return f"{escape(cell[0])} <small>{escape(cell[1])}</small>"
