"""Images of a benchmark to browse in a browser: prediction, truth, errors and uncertainty by toggles, worst first."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.ensemble import Predictions, open_predictions
from exitwave.benchmark.scoring import metric_of
from exitwave.data.columns import UNITS
from exitwave.data.whole import replace_file
from exitwave.report.browse_layers import CLASSES, Layer, Seen, layers_of, look
from exitwave.report.columns import label_of, short
from exitwave.report.style import round_length

LARGEST_PICTURE = 1000
"""Edge [px] of the pictures at the most."""
FULL_SIZE = 20
"""So many images are shown at that size; of more, pictures shrink so that all together have as many pixels."""
SMALLEST_PICTURE = 256
LARGEST_PAGE = 10_000_000
"""Size of all images with their layers [bytes], above which those with the best scores are left out."""
ENLARGED = 400
"""Edge [px] of pictures up to which single pixels are seen as such."""


def browse_page(
    predictions: Sequence[str | Path],
    path: str | Path,
    threshold: float,
    real: bool = True,
    title: str = "",
    conditions: Sequence[str] = (),
) -> None:
    """Write the page.

    Parameters
    ----------
    predictions : sequence of paths
        Prediction shards of the networks of a training, one a seed; those that have diverged are left out.
    path : path
        HTML to write.
    threshold : float
        Probability from which a pixel is particle, for predictions that do not say it.
    real : bool
        The images are real, and their truth is an expert's.
    title : str
        Names of benchmark and training.
    conditions : sequence of str
        Columns that are told of every image.
    """
    opened = open_predictions(predictions)
    # What no network has predicted has neither a task nor layers.
    layers = layers_of(opened, real) if opened.shards else ()
    order, shown, left_out = _chosen(opened, threshold, conditions)
    template = files("exitwave.report").joinpath("browse.html").read_text(encoding="utf-8")
    notes = [f"The {left_out} images with the best scores are left out, so that the page stays small."] * bool(left_out)
    if not opened.shards:
        notes = ["All networks have diverged, none has predicted anything."]
    page = Template(template).substitute(
        title=escape(title or "Images"),
        about=escape(f"{opened.told}; worst first" if opened.shards else ""),
        toggles="".join(map(_toggle, layers)),
        shown="\n".join(f"body:has(#show-{one.name}:checked) .{one.name} {{ display: block; }}" for one in layers),
        list="".join(_link(number, _named(opened, place), shown[place][1]) for number, place in enumerate(order)),
        note="".join(f"<p>{escape(note)}</p>" for note in notes),
        cards="".join(
            f'<figure class="card" id="image-{number}">{shown[place][0]}</figure>' for number, place in enumerate(order)
        ),
    )
    replace_file(path, lambda unfinished: unfinished.write_text(page, encoding="utf-8"))


def _chosen(
    predictions: Predictions, threshold: float, conditions: Sequence[str]
) -> tuple[list[int], dict[int, tuple[str, str]], int]:
    """Rows of the images that are shown, the worst first; their cards and scores in words; how many are left out."""
    if not predictions.shards:
        return [], {}, 0
    number = len(predictions.table)
    edge = picture_edge(number)
    higher = CLASSES in predictions.task.facts or metric_of(predictions.task, threshold).higher_is_better
    scores, cards = np.full(number, np.nan), {}
    for place in range(number):
        seen = look(predictions, place, threshold, edge)
        scores[place] = seen.score
        cards[place] = _card(predictions.table.iloc[place].to_dict(), conditions, seen), seen.told
    # Numbers that are none come last.
    order = [int(place) for place in np.argsort(scores if higher else -scores, kind="stable")]
    held = np.cumsum([len(cards[place][0]) for place in order])
    kept = max(1, int(np.searchsorted(held, LARGEST_PAGE, side="right")))
    return order[:kept], cards, max(0, number - kept)


def picture_edge(images: int) -> int:
    """Longer edge of the pictures of so many images [px]."""
    return int(max(SMALLEST_PICTURE, LARGEST_PICTURE * min(1.0, np.sqrt(FULL_SIZE / max(1, images)))))


def _named(predictions: Predictions, place: int) -> str:
    return str(predictions.table["image"].iloc[place])


def _card(row: Mapping[Any, Any], conditions: Sequence[str], seen: Seen) -> str:
    """An image with its layers, and what is said of it."""
    height, width = seen.grey.shape
    layers = "".join(f'<div class="layer {layer}">{content}</div>' for layer, content in seen.layers.items())
    small = " small" if max(height, width) <= ENLARGED else ""
    name = escape(str(row["image"]))
    length = round_length(0.3 * seen.width)
    bar = f"{length / 10:g} nm" if seen.unit == "Å" else f"{length:g} Å⁻¹"
    told = ", ".join(f"{label_of(one)} {_short(row[one])} {UNITS.get(one, '')}".rstrip() for one in conditions)
    return (
        f'<div class="room"><div class="stage{small}" style="--ratio: {width / height:.4f}">'
        f'<img alt="{name}" src="{_source(seen.grey)}">{layers}'
        f'<p class="scale" style="width: {100 * length / seen.width:.3f}%">{bar}</p></div></div>'
        f"<figcaption><b>{name}</b> {escape(seen.told)}<span>{escape(told)}</span></figcaption>"
    )


def _short(value: Any) -> str:
    return value if isinstance(value, str) else short(float(value)).replace("-", "−")


def _source(grey: NDArray[np.uint8]) -> str:
    """A picture as data of a page: small ones as they are, larger ones as JPEG."""
    from PIL import Image

    held = io.BytesIO()
    small = max(grey.shape) <= SMALLEST_PICTURE
    if small:
        Image.fromarray(grey).save(held, "PNG", optimize=True)
    else:
        Image.fromarray(grey).save(held, "JPEG", quality=80)
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(held.getvalue()).decode()}"


def _toggle(layer: Layer) -> str:
    checked = " checked" if layer.shown else ""
    chips = "".join(f'<i style="background: {colour}"></i>' for colour in layer.colours)
    return (
        f'<label><input type="checkbox" id="show-{layer.name}" data-key="{layer.key}"{checked}> {escape(layer.title)} '
        f"<kbd>{layer.key}</kbd> <small>{chips}{escape(layer.told)}</small></label>"
    )


def _link(number: int, name: str, told: str) -> str:
    return f'<li><a href="#image-{number}"><b>{escape(name)}</b><span>{escape(told)}</span></a></li>'
