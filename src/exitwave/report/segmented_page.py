"""Segmented micrographs as one page that stands alone: images to browse, layers to switch, tables and histogram."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.outlines import Polygon
from exitwave.data.strips import Rows, strips
from exitwave.report.segmented_overlay import COLOURS, FILLED, number_size

LARGEST_PICTURE = 1200
"""Edge [px] of the picture of an image on the page, where there are few."""
FULL_SIZE = 40
"""So many images are shown at that size; of more, pictures shrink so that all together have as many pixels."""
SMALLEST_PICTURE = 240
LARGEST_PAGE = 60_000_000
"""Size of all pictures [bytes], above which further images are in the table alone."""
MOST_UNCERTAIN = 0.5
"""Largest standard deviation that probabilities can have: end of the colour scale."""


@dataclass(frozen=True)
class Panel:
    """The picture of an image and what is laid over it.

    Attributes
    ----------
    width, height : int
        Of the picture [px], in which all of it is measured.
    image : str
        JPEG, base64.
    uncertainty : str
        PNG with transparency, base64; empty where there was one network.
    particles : str
        SVG of outlines and numbers.
    """

    width: int
    height: int
    image: str
    uncertainty: str
    particles: str


@dataclass(frozen=True)
class Entry:
    """What the page says of an image.

    Attributes
    ----------
    title : str
    brief : str
        A line below its picture.
    facts : mapping
        Cells of the table by heading, the same headings for every image.
    warnings : str
        Empty where there is none.
    files : mapping
        Names of files beside the page by what they are.
    panel : Panel, optional
        None where its picture is lost.
    """

    title: str
    brief: str
    facts: Mapping[str, str]
    warnings: str
    files: Mapping[str, str]
    panel: Panel | None


@dataclass(frozen=True)
class Summary:
    """What the page says of all images.

    Attributes
    ----------
    headline : mapping
        The most important numbers by what they are.
    histogram : bytes
        PNG.
    notes : sequence of str
        Sentences about the numbers.
    settings : mapping
        Those that all images share.
    files : mapping
        As of an entry.
    """

    headline: Mapping[str, str]
    histogram: bytes
    notes: Sequence[str]
    settings: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)


def make_panel(
    grey: NDArray[np.uint8],
    spread: Rows | None,
    outlines: Mapping[int, Sequence[Polygon]],
    colours: NDArray[np.uint8],
    places: Mapping[int, tuple[float, float, float]],
    pixel_size: float,
) -> Panel:
    """Make the picture of an image for the page.

    Parameters
    ----------
    grey : uint8 array [H, W]
        The image, as of `exitwave.report.segmented_overlay.grey_levels`.
    spread : Rows [H, W], optional
        Standard deviation of the probability over the networks.
    outlines : mapping
        As of `exitwave.benchmark.outlines.find_outlines`.
    colours, places
        As of `exitwave.report.segmented_overlay.draw_overlay`.
    pixel_size : float
        Pixel [Å].
    """
    from PIL import Image

    scale = min(1.0, LARGEST_PICTURE / max(grey.shape))
    height, width = (max(1, round(edge * scale)) for edge in grey.shape)
    picture = Image.fromarray(grey).resize((width, height), Image.Resampling.BOX)
    shapes, numbers = [], []
    for number, polygons in outlines.items():
        x, y, diameter = places[number]
        rings = "".join(ring_path(ring, scale) for polygon in polygons for ring in polygon)
        told = f"{number}: {diameter * pixel_size / 10:.3g} nm"
        shapes.append(f'<path class="c{colours[number]}" d="{rings}"><title>{told}</title></path>')
        # Letters of a page can be enlarged without end.
        size = number_size(number, diameter * scale, min(width, height), smallest=2)
        numbers.append(f'<text x="{x * scale:.0f}" y="{y * scale:.0f}" font-size="{size}">{number}</text>')
    particles = f'<g class="shapes">{"".join(shapes)}</g><g class="numbers">{"".join(numbers)}</g>'
    return Panel(width, height, jpeg(picture), heat(spread, (width // 2, height // 2)), particles)


def write_page(path: Path, summary: Summary, entries: Sequence[Entry]) -> None:
    """Write the page.

    Parameters
    ----------
    path : path
        HTML to write.
    summary : Summary
    entries : sequence of Entry
    """
    edge = picture_edge(len(entries))
    cards, held, unseen = [], 0, 0
    for place, entry in enumerate(entries):
        card = _card(place, entry, edge)
        if held + len(card) > LARGEST_PAGE:
            card, unseen = _card(place, entry, None), unseen + 1
        held += len(card)
        cards.append(card)
    notes = list(summary.notes)
    if edge < LARGEST_PICTURE:
        notes.append(f"Pictures of so many images are at most {edge} pixels wide; overlays have every pixel.")
    if unseen:
        notes.append(f"{unseen} images have no picture here, so that the page stays small; see their overlays.")
    uncertain = any(entry.panel is not None and entry.panel.uncertainty for entry in entries)
    warned = sum(bool(entry.warnings) for entry in entries)
    template = files("exitwave.report").joinpath("segmented.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        colours="".join(f".c{place}{{fill:{text};stroke:{text}}}" for place, text in enumerate(COLOURS)),
        filled=FILLED,
        heat=", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in heat_colours()[::51, :3]),
        headline="".join(
            f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in summary.headline.items()
        ),
        histogram=base64.b64encode(summary.histogram).decode(),
        notes="".join(f"<li>{escape(note)}</li>" for note in notes),
        settings="".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in summary.settings.items()
        ),
        files=_links(summary.files),
        uncertainty="" if uncertain else "disabled",
        uncertainty_told="" if uncertain else "one network: there is no uncertainty",
        warned=f"only with warnings ({warned})",
        warned_disabled="" if warned else "disabled",
        head="".join(
            f'<th scope="col">{escape(name)}</th>' for name in ("image", *(entries[0].facts if entries else ()))
        ),
        rows="".join(_row(place, entry) for place, entry in enumerate(entries)),
        cards="".join(cards),
    )
    path.write_text(page, encoding="utf-8")


def picture_edge(images: int) -> int:
    """Edge of the pictures of so many images [px]."""
    return int(max(SMALLEST_PICTURE, LARGEST_PICTURE * min(1.0, np.sqrt(FULL_SIZE / max(1, images)))))


def _card(place: int, entry: Entry, edge: int | None) -> str:
    """An image with its layers, and what is said of it; without an edge, no picture."""
    stage = '<p class="lost">no picture</p>'
    if entry.panel is not None and edge is not None:
        panel = entry.panel
        heat = f'<img class="heat" alt="" src="data:image/png;base64,{panel.uncertainty}">' if panel.uncertainty else ""
        stage = (
            f'<div class="stage" tabindex="0" role="button" aria-label="enlarge {escape(entry.title)}" '
            f'data-width="{panel.width}" data-height="{panel.height}">'
            f'<img class="base" alt="{escape(entry.title)}" width="{panel.width}" height="{panel.height}" '
            f'src="data:image/jpeg;base64,{_shrunk(panel.image, edge)}">{heat}'
            f'<svg viewBox="0 0 {panel.width} {panel.height}">{panel.particles}</svg></div>'
        )
    warnings = f'<p class="warning">Warning: {escape(entry.warnings)}</p>' if entry.warnings else ""
    return (
        f'<figure class="card{" warned" if entry.warnings else ""}" id="image-{place}">{stage}<figcaption>'
        f"<h3>{escape(entry.title)}</h3>{warnings}<p class=facts>{escape(entry.brief)}</p>"
        f"<p class=files>{_links(entry.files)}</p></figcaption></figure>"
    )


def _row(place: int, entry: Entry) -> str:
    cells = "".join(f"<td>{escape(text)}</td>" for text in entry.facts.values())
    mark = f' <abbr title="{escape(entry.warnings)}">warning</abbr>' if entry.warnings else ""
    name = f'<th scope="row"><a href="#image-{place}">{escape(entry.title)}</a>{mark}</th>'
    return f"<tr{' class=warned' if entry.warnings else ''}>{name}{cells}</tr>"


def _links(files: Mapping[str, str]) -> str:
    return " ".join(f'<a href="{escape(quote(name))}">{escape(told)}</a>' for told, name in files.items())


def ring_path(ring: NDArray[np.float64], scale: float) -> str:
    """A ring in the pixels of the picture, without corners that cannot be seen there."""
    corners = np.round(ring[:-1] * (2 * scale)) / 2
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in corners.tolist()) + "Z"


def jpeg(picture: Any) -> str:
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=80)
    return base64.b64encode(held.getvalue()).decode()


def _shrunk(image: str, edge: int) -> str:
    """A JPEG whose longer edge is at most so long."""
    from PIL import Image

    if edge >= LARGEST_PICTURE:
        return image
    picture = Image.open(io.BytesIO(base64.b64decode(image)))
    if max(picture.size) <= edge:
        return image
    picture.thumbnail((edge, edge), Image.Resampling.BOX)
    return jpeg(picture)


def heat_colours() -> NDArray[np.uint8]:
    """Colours of the uncertainty [256, 4], clear where there is none."""
    import matplotlib

    colours = np.round(255 * matplotlib.colormaps["inferno"](np.arange(256))).astype(np.uint8)
    colours[:, 3] = np.clip(np.arange(256) * 3, 0, 230)
    return colours


def heat(spread: Rows | None, size: tuple[int, int]) -> str:
    """Uncertainty as a PNG."""
    from PIL import Image

    if spread is None:
        return ""
    # Few levels pack well and look the same.
    levels = np.empty(spread.shape, np.uint8)
    for rows in strips(spread.shape):
        levels[rows] = np.clip(spread[rows] * (32 / MOST_UNCERTAIN), 0, 31)
    small = Image.fromarray(levels).resize((max(1, size[0]), max(1, size[1])), Image.Resampling.BOX)
    picture = Image.fromarray(np.asarray(small), "P")
    colours = heat_colours()[::8]
    picture.putpalette(colours[:, :3].tobytes())
    held = io.BytesIO()
    picture.save(held, "PNG", transparency=colours[:, 3].tobytes(), optimize=True)
    return base64.b64encode(held.getvalue()).decode()
