"""What can be laid over an image of a benchmark: prediction, truth, errors and uncertainty, of each kind of models."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exitwave.benchmark.ensemble import Predictions
from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.scoring import metric_of
from exitwave.benchmark.segmentation import EMPTY_FRACTION
from exitwave.config.atoms import Atoms
from exitwave.config.disks import Disks
from exitwave.config.models import Regression, Segmentation
from exitwave.config.reconstruction import Autoencoder, SuperResolution
from exitwave.report.benchmarks import number_told
from exitwave.report.segmented_page import heat, ring_path
from exitwave.report.style import GREEN, ORANGE, SKY, VERMILLION

CLASSES = "classes"
"""Fact of tasks that name a class: of these there is nothing to lay over an image."""
TINT = 0.42
"""Opacity of what is missed or false."""
_MAPS = (Regression, Autoencoder, SuperResolution)
"""Models whose answers are maps of numbers, of which truth and prediction are shown in the same colours."""
_GREYS = ("#000000", "#808080", "#ffffff")
MARK = 4.0
"""Half of the width of a mark at a column or disk, in hundredths of the picture's edge."""


@dataclass(frozen=True)
class Layer:
    """Something that is laid over images by a toggle.

    Attributes
    ----------
    name : str
        Class of its elements.
    title : str
        On its button.
    key : str
        Letter that switches it.
    told : str
        What its colours mean.
    colours : tuple of str
    shown : bool
        Whether it is on at first.
    """

    name: str
    title: str
    key: str
    told: str
    colours: tuple[str, ...]
    shown: bool


@dataclass(frozen=True)
class Seen:
    """An image with what is laid over it.

    Attributes
    ----------
    grey : uint8 array [H, W]
        Its picture.
    layers : mapping of str
        SVG or image elements by the name of their layer.
    score : float
        By which images are sorted; NaN where the score says nothing.
    told : str
        The score in words.
    width : float
        Of the image, in its unit.
    unit : str
        Å, or 1/Å of a diffraction pattern.
    """

    grey: NDArray[np.uint8]
    layers: Mapping[str, str]
    score: float
    told: str
    width: float
    unit: str


def layers_of(predictions: Predictions, real: bool) -> tuple[Layer, ...]:
    """Layers of a kind of models; of one network there is no uncertainty."""
    expert = ("Expert", "E") if real else ("Truth", "T")
    match predictions.task.model:
        case Segmentation():
            found: tuple[Layer, ...] = (
                Layer("truth", *expert, f"{expert[0].lower()}'s outline" if real else "outline", (SKY,), True),
                Layer("prediction", "Prediction", "P", "outline", (ORANGE,), True),
                Layer("errors", "Errors", "R", "missed, false", (SKY, ORANGE), False),
            )
        case Regression():
            colours = ("#440154", "#21918c", "#fde725")
            found = (
                Layer("truth", *expert, "map, from least to most", colours, False),
                Layer("prediction", "Prediction", "P", "map, in the same colours", colours, True),
                Layer("errors", "Errors", "R", "too small, too large", ("#2166ac", "#b2182b"), False),
            )
        case Autoencoder() | SuperResolution():
            found = (
                Layer("truth", *expert, "image that was asked for", _GREYS, False),
                Layer("prediction", "Prediction", "P", "image that was made", _GREYS, True),
                Layer("errors", "Errors", "R", "too dark, too bright", ("#2166ac", "#b2182b"), False),
            )
        case Atoms() | Disks():
            found = (
                Layer("truth", *expert, "places", (SKY,), True),
                Layer("prediction", "Prediction", "P", "places", (GREEN,), True),
                *(
                    [Layer("errors", "Errors", "R", "missed, false", (ORANGE, VERMILLION), True)]
                    if isinstance(predictions.task.model, Atoms)
                    else []
                ),
            )
        case _ if CLASSES in predictions.task.facts:
            return ()
        case model:
            raise TypeError(f"there are no layers of {type(model).__name__}")
    if len(predictions.shards) > 1 and not isinstance(predictions.task.model, Disks):
        told = "standard deviation over the networks"
        if isinstance(predictions.task.model, _MAPS):
            told = f"{told}, up to the largest of an image"
        found += (Layer("uncertainty", "Uncertainty", "U", told, ("#420a68", "#dd513a", "#fcffa4"), False),)
    return found


def look(predictions: Predictions, place: int, threshold: float, edge: int) -> Seen:
    """An image of a benchmark with its layers.

    Parameters
    ----------
    predictions : Predictions
        Of the networks of a training; their mean is shown.
    place : int
        Row of the image.
    threshold : float
        From which value on what is predicted is found.
    edge : int
        Longer edge of the picture [px] at the most.
    """
    image, truth = predictions.image(place), predictions.truth(place)
    stack = np.stack([shard.read(f"prediction/{place}").astype(np.float64) for shard in predictions.shards])
    mean, row = stack.mean(axis=0), predictions.table.iloc[place]
    pixel = float(row["pixel_size"])
    threshold = predictions.threshold(threshold)
    metric = metric_of(predictions.task, threshold)
    size = _size(image, edge)
    spread = stack.std(axis=0) if len(stack) > 1 and stack.ndim == 3 else None
    layers: dict[str, str] = {}
    match predictions.task.model:
        case Segmentation():
            layers = _of_masks(mean >= threshold, truth.astype(bool), size)
            score, told = _score(metric, mean, truth.astype(bool), pixel)
            if truth.mean() < EMPTY_FRACTION:
                score, told = float("nan"), f"no particle, {100 * (mean >= threshold).mean():.2g} % false"
        case model if isinstance(model, _MAPS):
            layers = _of_maps(
                mean, truth.astype(np.float64), size, "viridis" if isinstance(model, Regression) else "gray"
            )
            score, told = _score(metric, mean, truth.astype(np.float64), pixel)
            spread = None if spread is None else spread / max(float(np.nanmax(spread)), 1e-12) / 2
        case Atoms():
            layers = _of_columns(mean, truth, threshold, pixel, size)
            score, told = _score(metric, mean, truth, pixel)
        case Disks() as model:
            from exitwave.benchmark.disks import disks_of
            from exitwave.report.patterns import brightness, strong_reflections

            found, true = disks_of(mean, threshold, model.target.gamma), truth[strong_reflections(truth)[0]]
            scale = size[0] / image.shape[1]
            layers = {
                "truth": _rings(true[:, :2], scale, size, SKY),
                "prediction": _crosses(found[:, :2], scale, size, GREEN),
            }
            score, told = _score(metric, mean, truth, pixel)
            image, spread = brightness(image), None
        case _:
            names = (*predictions.task.facts[CLASSES], "another")
            own, named = int(truth[0]), int(np.argmax(mean))
            score = float(mean[own])
            told = f"{names[own]} taken for {names[named]}, {mean[named]:.2f} sure"
            if own == named:
                told = f"{names[own]}, {score:.2f} sure"
    if spread is not None:
        layers["uncertainty"] = _picture(heat(spread, (max(1, size[0] // 2), max(1, size[1] // 2))))
    unit = "1/Å" if isinstance(predictions.task.model, Disks) else "Å"
    return Seen(_grey(image, size), layers, score, told, image.shape[1] * pixel, unit)


def _score(metric: Metric, prediction: NDArray[Any], truth: NDArray[Any], pixel: float) -> tuple[float, str]:
    """Score of an image, and in words."""
    scores = metric.of_image(prediction, truth, pixel)
    first = metric.summary[0]
    value = float(scores[first.of])
    told = f"{first.of.replace('_', ' ').upper() if len(first.of) < 4 else first.label} {number_told(value)}"
    if metric.unit:
        told = f"{told} {metric.unit}"
    if "particles_true" in scores:
        told = f"{told}, {scores['particles_matched']:.0f} of {scores['particles_true']:.0f} particles"
    return value, told


def _size(image: NDArray[Any], edge: int) -> tuple[int, int]:
    """Width and height of the picture of an image."""
    scale = min(1.0, edge / max(image.shape))
    return max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))


def _grey(image: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    from exitwave.report.segmented_overlay import grey_levels

    values = np.asarray(image, np.float32)
    grey = grey_levels(values, np.zeros(values.shape, bool))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))


def _of_masks(predicted: NDArray[np.bool_], mask: NDArray[np.bool_], size: tuple[int, int]) -> dict[str, str]:
    """Outlines of two masks, and where only one of them holds."""
    missed, false = mask & ~predicted, predicted & ~mask
    kinds = np.zeros(mask.shape, np.uint8)
    kinds[missed], kinds[false] = 1, 2
    return {
        "truth": _outlines(mask, size, SKY),
        "prediction": _outlines(predicted, size, ORANGE),
        "errors": _picture(_indexed(kinds, size, ("#000000", SKY, ORANGE), (0.0, TINT, TINT))),
    }


def _outlines(mask: NDArray[np.bool_], size: tuple[int, int], colour: str) -> str:
    from PIL import Image

    from exitwave.benchmark.outlines import find_outlines

    share = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    small = np.asarray(share) >= 0.5
    polygons = find_outlines(small.astype(np.int32)).get(1, [])
    path = "".join(ring_path(ring, 1.0) for polygon in polygons for ring in polygon)
    return _svg(f'<path d="{path}" stroke="{colour}"/>' if path else "", size)


def _of_maps(mean: NDArray[Any], truth: NDArray[Any], size: tuple[int, int], scale: str) -> dict[str, str]:
    """Two maps in the same colours of a ``scale``, and their difference."""
    known = np.isfinite(truth)
    low, high = np.percentile(truth[known], [0, 99.8]) if known.any() else (0.0, 1.0)
    span = max(float(high - low), 1e-12)
    wrong = np.where(known, mean - truth, 0.0)
    limit = max(float(np.percentile(np.abs(wrong), 99.5)), 1e-12)
    return {
        "truth": _picture(_mapped((np.where(known, truth, low) - low) / span, scale, size)),
        "prediction": _picture(_mapped((mean - low) / span, scale, size)),
        "errors": _picture(_mapped(wrong / (2 * limit) + 0.5, "RdBu_r", size)),
    }


def _of_columns(
    mean: NDArray[Any], truth: NDArray[Any], threshold: float, pixel: float, size: tuple[int, int]
) -> dict[str, str]:
    """Marks at true and at found columns, and at those that are missed or false."""
    from exitwave.benchmark.atoms import judge, places_of

    judged, scale = judge(places_of(mean, threshold, pixel), truth, pixel), size[0] / mean.shape[-1]
    missed, false = judged.true[judged.is_missed()], judged.found[judged.is_false()]
    return {
        "truth": _rings(judged.true, scale, size, SKY),
        "prediction": _crosses(judged.found, scale, size, GREEN),
        "errors": _rings(missed, scale, size, ORANGE, 1.6) + _crosses(false, scale, size, VERMILLION, 1.6),
    }


def _rings(places: NDArray[Any], scale: float, size: tuple[int, int], colour: str, larger: float = 1.0) -> str:
    """Circles at places, x and y [px], of which the first pixel is centred at 0."""
    radius = larger * _mark(places, scale, size)
    drawn = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" stroke="{colour}"/>' for x, y in _drawn(places, scale)
    )
    return _svg("".join(drawn), size)


def _crosses(places: NDArray[Any], scale: float, size: tuple[int, int], colour: str, larger: float = 1.0) -> str:
    half = larger * _mark(places, scale, size)
    path = "".join(
        f"M{x - half:.1f},{y:.1f}h{2 * half:.1f}M{x:.1f},{y - half:.1f}v{2 * half:.1f}"
        for x, y in _drawn(places, scale)
    )
    return _svg(f'<path d="{path}" stroke="{colour}"/>' if path else "", size)


def _mark(places: NDArray[Any], scale: float, size: tuple[int, int]) -> float:
    """Half of the width of a mark [px], the smaller the more of them there are."""
    room = np.sqrt(size[0] * size[1] / max(1, len(places)))
    return float(min(0.3 * room, MARK / 100 * max(size)))


def _drawn(places: NDArray[Any], scale: float) -> Sequence[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (np.asarray(places, np.float64) + 0.5) * scale]


def _svg(content: str, size: tuple[int, int]) -> str:
    return f'<svg viewBox="0 0 {size[0]} {size[1]}">{content}</svg>'


def _picture(png: str) -> str:
    return f'<img alt="" src="data:image/png;base64,{png}">'


def _mapped(share: NDArray[Any], name: str, size: tuple[int, int]) -> str:
    """Shares of a colour scale as a PNG of few colours."""
    import matplotlib

    levels = np.clip(np.nan_to_num(share) * 64, 0, 63).astype(np.uint8)
    table = matplotlib.colormaps[name](np.linspace(0, 1, 64))
    colours = ["#{:02x}{:02x}{:02x}".format(*np.round(255 * colour[:3]).astype(int)) for colour in table]
    return _indexed(levels, size, colours, (1.0,) * 64)


def _indexed(
    values: NDArray[np.uint8], size: tuple[int, int], colours: Sequence[str], opacities: Sequence[float]
) -> str:
    """Numbers of colours [H, W] as a PNG, base64."""
    from PIL import Image

    picture = Image.fromarray(values).resize(size, Image.Resampling.NEAREST)
    indexed = Image.fromarray(np.asarray(picture), "P")
    indexed.putpalette(bytes(int(colour[at : at + 2], 16) for colour in colours for at in (1, 3, 5)))
    held = io.BytesIO()
    transparency = bytes(round(255 * opacity) for opacity in opacities)
    indexed.save(held, "PNG", transparency=transparency, optimize=True)
    return base64.b64encode(held.getvalue()).decode()
