"""Tables of the report as HTML pages that stand alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1f2933; background: white;
        margin: 1.5rem; }}
h1 {{ font-size: 1.2rem; margin: 0 0 .3rem; }}
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
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</body>
</html>
"""


def write_html(
    path: str | Path,
    title: str,
    note: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str | tuple[str, str]]],
    marks: Sequence[str],
) -> None:
    """Write a table as a HTML page.

    Parameters
    ----------
    path : path
        Page to write; its folder is made.
    title, note : str
        Heading, and what the reader must know.
    columns : sequence of str
        Names of the columns.
    rows : sequence of rows
        Cells as plain text, or as a pair of text and what stands small beside it.
    marks : sequence of str
        How each row is set: "", "strong" or "total".
    """
    lines = [
        f'<tr class="{mark}">{"".join(f"<td>{_cell(cell)}</td>" for cell in row)}</tr>'
        for row, mark in zip(rows, marks, strict=True)
    ]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    page = PAGE.format(title=escape(title), note=escape(note), head=head, body="\n".join(lines))
    path.write_text(page, encoding="utf-8")


def _cell(cell: str | tuple[str, str]) -> str:
    if isinstance(cell, str):
        return escape(cell)
    return f"{escape(cell[0])} <small>{escape(cell[1])}</small>"
