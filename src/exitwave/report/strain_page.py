"""The strain of a scan as one page that stands alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote


def write_strain_page(
    path: Path,
    title: str,
    headline: Mapping[str, str],
    sentences: Sequence[str],
    warnings: Sequence[str],
    pictures: Mapping[str, tuple[Path, str]],
    settings: Mapping[str, str],
    beside: Mapping[str, str],
) -> None:
    """Write the page.

    Parameters
    ----------
    path : path
        HTML to write.
    title : str
        Name of the scan.
    headline : mapping
        The most important numbers by what they are.
    sentences : sequence of str
        What was found.
    warnings : sequence of str
        What makes it doubtful.
    pictures : mapping
        By heading a PNG and what it shows.
    settings : mapping
        What it was made with.
    beside : mapping
        Names of files beside the page by what they are.
    """
    template = files("exitwave.report").joinpath("strain.html").read_text(encoding="utf-8")
    figures = "".join(
        f'<h2>{escape(heading)}</h2><figure><img alt="{escape(heading)}" src="data:image/png;base64,'
        f'{base64.b64encode(picture.read_bytes()).decode()}"><figcaption>{escape(told)}</figcaption></figure>'
        for heading, (picture, told) in pictures.items()
    )
    page = Template(template).substitute(
        title=escape(title),
        headline="".join(
            f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in headline.items()
        ),
        warnings="".join(f'<p class="warning">{escape(told)}</p>' for told in warnings),
        sentences="".join(f"<li>{escape(told)}</li>" for told in sentences),
        figures=figures,
        settings="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in settings.items()),
        files=" ".join(f'<a href="{escape(quote(name))}">{escape(told)}</a>' for told, name in beside.items()),
    )
    path.write_text(page, encoding="utf-8")
