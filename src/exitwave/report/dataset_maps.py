"""Maps of the images of a dataset: which are alike, and whether those of a class are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from exitwave.benchmark.angles import angle_histogram
from exitwave.benchmark.embedding import EDGE, LEAST, embedded, principal_components, small
from exitwave.benchmark.neighbours import NEAREST, class_scores, variance_explained
from exitwave.config.models import Preprocessing
from exitwave.data.columns import PIXELS, UNITS, pixel_column
from exitwave.data.preprocess import preprocess
from exitwave.data.selection import always_same
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, row_count
from exitwave.report.columns import label_of
from exitwave.report.patterns import brightness
from exitwave.report.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, SKY, VERMILLION, decimal_ticks, figure, picture
from exitwave.training.atoms import COLUMNS

FloatArray = NDArray[np.float64]

MOST = 600
"""Images on a map: about 15 s for images of 256², and an accuracy that is known to 2 %."""
MOST_CLASSES = 10
"""With a colour of their own."""
CLASSES = ("bravais", "crystal_system", "prototype", "material", "images", "shape")
"""Columns of text that maps are coloured by where no network learns classes, the first that tells groups apart."""
NUMBERS = ("thickness", "specimen_thickness", "dose", "electrons", "defocus")
"""Columns of numbers where there is none, the first that varies."""
WIDE = 10.0
"""Ratio of the largest and the smallest value from which on the logarithm of a number counts."""
_COLOURS, _MARKERS = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY), ("o", "^")
_WIDE = 4.4
"""A map [inch]."""


@dataclass(frozen=True)
class Space:
    """Images as points among features.

    Attributes
    ----------
    name : str
        What images are compared by.
    features : float64 [n, features]
    of : int array [n]
        Places of these images in the sample.
    """

    name: str
    features: FloatArray
    of: NDArray[np.intp]


def draw_dataset_maps(manifest: str | Path, path: str | Path, columns: Sequence[str] = (), title: str = "") -> None:
    """Draw maps of the images of a dataset, a line for each column that they are coloured by.

    Parameters
    ----------
    manifest : path
        Manifest of the dataset.
    path : path
        PNG to write.
    columns : sequence of str
        Columns of text that maps are coloured by; if empty one is chosen.
    title : str
        Name of the dataset.

    Raises
    ------
    ShardError
        If the manifest or a shard is missing or damaged.
    """
    rows = sample(manifest, columns)
    names = list(columns) or chosen_column(rows)
    spaces = spaces_of(rows)
    maps = [embedded(space.features) for space in spaces]
    lines = max(1, len(names))
    with figure(path, _WIDE * len(spaces) + 1.8, (_WIDE + 0.6) * lines + 0.5) as drawing:
        axes = drawing.subplots(lines, len(spaces), squeeze=False)
        for line, name in zip(axes, names or [""], strict=True):
            for axis, space, places in zip(line, spaces, maps, strict=True):
                picture(axis)
                axis.set_title(f"by {space.name}")
                _draw_map(axis, space, places, rows[name] if name else None)
                if name:
                    part = rows.iloc[space.of]
                    axis.set_xlabel(told_of(space.features, part[name], part["group"]))
            if name:
                _draw_key(line, rows[name])
        groups = rows["group"].nunique()
        told = f"{len(rows):,} of {row_count(manifest):,} images, {groups:,} {'group' if groups == 1 else 'groups'}"
        drawing.suptitle(f"Maps of images{f': {title}' if title else ''}   ({told})", fontsize=11)


def sample(manifest: str | Path, columns: Collection[str] = (), most: int = MOST) -> pd.DataFrame:
    """Some images of a manifest, always the same: where they stand, their groups, and what may colour them.

    Parameters
    ----------
    manifest : path
    columns : collection of str
        Columns that are taken beside those that one is chosen from.
    most : int
        Images at most.

    Returns
    -------
    DataFrame
    """
    wanted = ("image_id", "shard", "row", "group", *PIXELS, *CLASSES, *NUMBERS, *columns)
    table = read_table(manifest, wanted)
    return table.iloc[always_same(table["image_id"], most)].reset_index(drop=True)


def spaces_of(rows: pd.DataFrame) -> list[Space]:
    """Images by their pixels, as networks see them, and those with lists of columns by the angles between these."""
    patterns = pixel_column(map(str, rows)) == "reciprocal_sampling"
    pixels = np.empty((len(rows), EDGE, EDGE), np.float32)
    angles: dict[int, FloatArray] = {}
    for path, part in rows.groupby("shard"):
        shard = open_shard(str(path))
        listed = COLUMNS in shard.names()
        for place, row in part["row"].items():
            counts, at = shard.read("counts", row), int(str(place))
            # As they are shown: their disks may be narrower than a median filter.
            pixels[at] = small(brightness(counts) if patterns else preprocess(counts, Preprocessing()))
            if listed and (found := angle_histogram(shard.read(COLUMNS, row)[:, :2], counts.shape)) is not None:
                angles[at] = found
    spaces = [Space("pixels", principal_components(pixels), np.arange(len(rows)))]
    if angles:
        of = np.array(sorted(angles))
        some = "" if len(of) == len(rows) else f", {len(of):,} of the images"
        spaces.append(Space(f"angles between columns{some}", np.stack([angles[at] for at in of.tolist()]), of))
    return spaces


def chosen_column(rows: pd.DataFrame) -> list[str]:
    """The column that maps are coloured by where no network learns classes; none where none is known that varies."""
    for name in CLASSES:
        if name in rows:
            # Of classes of one group alone other groups cannot tell.
            groups = pd.DataFrame({"value": _texts(rows[name]), "group": rows["group"]}).drop_duplicates().dropna()
            if (groups["value"].value_counts() > 1).sum() > 1:
                return [name]
    return [name for name in NUMBERS if name in rows and rows[name].nunique() > 2][:1]


def told_of(features: FloatArray, values: pd.Series, groups: ArrayLike) -> str:
    """What the neighbours of images know of their values, in words."""
    groups = np.asarray(groups, str)
    if _is_number(values):
        numbers = _scale(values)
        there = np.isfinite(numbers)
        explained = variance_explained(features[there], numbers[there], groups[there])
        if explained is None:
            return "neighbours have nothing to tell"
        return f"{NEAREST} neighbours: R² {explained:.2f}".replace("-", "−")
    texts = _texts(values)
    there = texts.notna().to_numpy()
    scores = class_scores(features[there], texts[there].tolist(), groups[there])
    if scores is None:
        return "no two classes have images of several groups"
    some = "" if scores.images == len(values) else f" of {scores.images:,} images"
    return (
        f"{NEAREST} neighbours: accuracy {scores.accuracy:.0%}{some}, most frequent class {scores.majority:.0%}\n"
        f"silhouette {scores.silhouette:.2f}".replace("-", "−")
    )


def _is_number(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values))


def _texts(values: pd.Series) -> pd.Series:
    """Classes as text, missing where there is none."""
    return values.astype(object).where(values.notna() & (values != ""))


def _norm(values: pd.Series) -> Normalize:
    """Colours of numbers, of those that are far apart by their logarithm."""
    low, high = float(values.min()), float(values.max())
    return LogNorm(low, high) if low > 0 and high > WIDE * low else Normalize(low, high)


def _scale(values: pd.Series) -> FloatArray:
    """Numbers as they are coloured, from 0 to 1."""
    return np.ma.filled(np.ma.asarray(_norm(values)(values.to_numpy(np.float64))), np.nan)


def _shown(values: pd.Series) -> dict[str, tuple[str, str]]:
    """Colour and marker of the most frequent classes, in the order of their names."""
    frequent = sorted(_texts(values).value_counts().sort_index(kind="stable").nlargest(MOST_CLASSES).index)
    count = len(_COLOURS)
    return {name: (_COLOURS[i % count], _MARKERS[i // count]) for i, name in enumerate(frequent)}


def _draw_map(axis: Axes, space: Space, places: FloatArray | None, values: pd.Series | None) -> None:
    """Draw a map in the colours of the values of all images of the sample, if there is one."""
    if places is None:
        few = f"{len(space.of)} images are too few for a map" if len(space.of) < LEAST else "all are the same"
        axis.text(0.5, 0.5, few, ha="center", va="center", transform=axis.transAxes)
        return
    axis.set_aspect("equal", "datalim")
    x, y = places.T
    if values is None:
        axis.scatter(x, y, s=12, color=BLUE, linewidths=0)
    elif _is_number(values):
        axis.scatter(x, y, s=12, c=values.iloc[space.of], norm=_norm(values), cmap="viridis", linewidths=0)
    else:
        _draw_classes(axis, places, _texts(values.iloc[space.of]), _shown(values))


def _draw_classes(axis: Axes, places: FloatArray, texts: pd.Series, shown: dict[str, tuple[str, str]]) -> None:
    x, y = places.T
    rest = (~texts.isin(list(shown))).to_numpy()
    axis.scatter(x[rest], y[rest], s=7, color=MUTED, alpha=0.5, linewidths=0)
    for name, (colour, marker) in shown.items():
        own = (texts == name).to_numpy()
        axis.scatter(x[own], y[own], s=14, color=colour, marker=marker, alpha=0.8, linewidths=0)


def _draw_key(line: NDArray[np.object_], values: pd.Series) -> None:
    """What the colours of a line of maps mean."""
    name, unit = label_of(str(values.name)), UNITS.get(str(values.name), "")
    if _is_number(values):
        shades = ScalarMappable(_norm(values), "viridis")
        label = f"{name} [{unit}]" if unit else name
        bar = line[0].figure.colorbar(shades, ax=list(line), label=label, shrink=0.7, pad=0.02)
        if isinstance(shades.norm, LogNorm):
            decimal_ticks(bar.ax.yaxis)
        return
    texts, shown = _texts(values), _shown(values)
    counts = texts.value_counts()
    handles = [
        Line2D([], [], ls="", marker=marker, color=colour, label=f"{one}: {counts[one]}")
        for one, (colour, marker) in shown.items()
    ]
    for word, number in (("other", counts.sum() - counts[list(shown)].sum()), ("none", texts.isna().sum())):
        if number:
            handles.append(Line2D([], [], ls="", marker=".", color=MUTED, label=f"{word}: {number}"))
    line[-1].legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), title=f"{name}, images")
