"""Sheets of what a block would give, before it is made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import imread, imsave
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from exitwave.config.images import MicrographFields, RealSpaceImages
from exitwave.config.models import MaskTarget
from exitwave.data.columns import UNITS
from exitwave.data.shards import Shard, open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.report.conditions import drawn_columns, in_full
from exitwave.report.figure import kind_of
from exitwave.report.figures import FigureOf, figures_of_kind, mask_shown
from exitwave.report.images import mask_line, stored_mask
from exitwave.report.patterns import pattern_panels
from exitwave.report.samples import Panels, Sample
from exitwave.report.style import ORANGE, figure, grey_range, outline, picture, scale_bar, wrapped
from exitwave.study.member import Member, Study

CAPTION_LINES = 5
CAPTION_SIZE = 6.5
"""Of type [pt]."""
HIGHEST_FREQUENCY = 1.0
"""Of the power spectra shown [1/Å]; beyond it there is only noise."""
LABEL_LENGTH = 28
"""Characters of the label of a row."""
PANELS = {"diffraction": pattern_panels}
"""How images of a kind are shown; of all others their power spectra are shown with them."""


def draw_preview(study: Study, samples: Sequence[Sample], path: Path, number: int, note: str) -> None:
    """Draw a few items of a block, or of each member of a family: images on a sheet, others by their figure.

    Parameters
    ----------
    study : Study
    samples : sequence of Sample
        All of one stage; one a member.
    path : path
        PNG to write.
    number : int
        Images shown of each member.
    note : str
        What is shown and what is not.
    """
    if samples[0].member.stage == "images":
        panels = PANELS.get(kind_of(samples[0].member), _real_space_panels)
        _draw_images(samples, path, number, panels(samples, mask_shown(study, samples[0].member)), note)
        return
    with TemporaryDirectory(prefix="exitwave-preview-") as folder:
        pages: list[NDArray[Any]] = []
        for sample in samples:
            page, title = Path(folder) / f"{len(pages)}.png", f"{sample.member.name}\n{note}"
            own = _figure_of(study, sample.member)
            about = json.loads(own.about()) | {"title": title, "number": sample.structures}
            own.figure.draw([sample.shard], page, about)
            pages.append(imread(page)[..., :3])
        width = max(page.shape[1] for page in pages)
        padded = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=1.0) for p in pages]
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, np.concatenate(padded))


def _figure_of(study: Study, member: Member) -> FigureOf:
    """The first figure of a member that is drawn from a shard."""
    kinds = figures_of_kind(member.stage, kind_of(member))
    return FigureOf(next(figure for figure in kinds if figure.reads == "shard"), study, member)


def _draw_images(samples: Sequence[Sample], path: Path, number: int, panels: Panels, note: str) -> None:
    tables = [read_table(table_path(sample.shard)) for sample in samples]
    # Draw by draw, so that the structures come one after another.
    tables = [table.sort_values(["draw", "item"], kind="stable").head(number) for table in tables]
    numbers = [
        in_full(kind_of(sample.member), row, drawn_columns(sample.member.block))
        for sample, table in zip(samples, tables, strict=True)
        for row in table.to_dict("records")
    ]
    constant = {text for text in numbers[0] if all(text in other for other in numbers)}
    family = len(samples) > 1
    labels = row_labels([sample.member.name for sample in samples])
    columns = number if family else min(4, len(tables[0]))
    lines = sum(math.ceil(len(table) / columns) for table in tables)
    panel = min(2.9, max(1.75, 12.0 / columns))
    width = int(panel * 72 / (0.6 * CAPTION_SIZE))
    captions = [_caption([text for text in texts if text not in constant], width) for texts in numbers]
    tall = max(caption.count("\n") + 1 for caption in captions) * 1.45 * CAPTION_SIZE / 72
    below = wrap(
        ", ".join([panels.told[0], *sorted(constant), panels.told[1]]), int(columns * panel * 72 / (0.55 * 7.5))
    )
    height = lines * (panel + tall + 0.08) + 0.75 + 0.14 * len(below)
    with figure(path, columns * panel + 0.3, height) as drawing:
        axes = drawing.subplots(lines, columns, squeeze=False)
        for axis in axes.flat:
            picture(axis)
            axis.set_visible(False)
        place, line = 0, 0
        for sample, table in zip(samples, tables, strict=True):
            shard = open_shard(sample.shard)
            for position, index in enumerate(table.index):
                axis = axes[line + position // columns, position % columns]
                axis.set_visible(True)
                panels.draw(axis, shard, int(index), table.loc[index].to_dict())
                axis.set_xlabel(captions[place], fontsize=CAPTION_SIZE, linespacing=1.3, loc="left", labelpad=3)
                if family and position == 0:
                    axis.set_ylabel(labels[sample.member.name], fontsize=8)
                place += 1
            line += math.ceil(len(table) / columns)
        name = samples[0].member.name.partition("[")[0] if family else samples[0].member.name
        drawing.suptitle(f"Preview of images: {name}\n{note}", fontsize=10)
        drawing.legend(
            handles=panels.legend, ncols=max(1, len(panels.legend)), loc="outside lower center",
            title="\n".join(below), title_fontsize=7.5,
        )  # fmt: skip


def _real_space_panels(samples: Sequence[Sample], target: MaskTarget | None) -> Panels:
    """Images of the specimen, with the outlines of a mask and their power spectra."""
    block = samples[0].member.of(RealSpaceImages)

    def draw(axes: Axes, shard: Shard, place: int, row: Mapping[Any, Any]) -> None:
        _panel(axes, shard.read("counts", place), float(row["pixel_size"]))
        if target is not None:
            outline(axes, stored_mask(shard, place, target), ORANGE)

    shape = f"{block.size}² pixels of {block.pixel_size:g} Å"
    spectrum = f"inset: power spectrum up to {min(HIGHEST_FREQUENCY, 0.5 / block.pixel_size):.3g} Å⁻¹"
    drawn = isinstance(block, MicrographFields)
    return Panels(draw, (shape, spectrum), [] if target is None else [mask_line(target, drawn)])


def _panel(axes: Axes, counts: NDArray[np.uint32], pixel_size: float) -> None:
    low, high = grey_range(counts)
    axes.imshow(counts, cmap="gray", interpolation="antialiased", vmin=low, vmax=high)
    scale_bar(axes, pixel_size, counts.shape)
    inset = axes.inset_axes((0.69, 0.69, 0.31, 0.31))
    inset.set(xticks=[], yticks=[])
    for spine in inset.spines.values():
        spine.set(visible=True, color="white", linewidth=0.8)
    power = log_power(counts)
    edge = counts.shape[0]
    kept = min(edge, 2 * round(HIGHEST_FREQUENCY * edge * pixel_size))
    power = power[(edge - kept) // 2 : (edge + kept) // 2, (edge - kept) // 2 : (edge + kept) // 2]
    inset.imshow(power, cmap="gray", interpolation="antialiased", vmin=np.percentile(power, 2), vmax=power.max())


def log_power(image: NDArray[Any]) -> NDArray[np.float64]:
    """Logarithm of the power spectrum of an image, frequency 0 in the middle and left out.

    Parameters
    ----------
    image : array [y, x]

    Returns
    -------
    float64 [y, x]
        Frequencies up to the Nyquist frequency; a Hann window keeps the edges of the image out of it.
    """
    # Cut off as the grey values are, lest a few hot pixels cover all else.
    values = np.clip(image, *grey_range(image))
    values = (values - values.mean()) * np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.fftshift(np.fft.fft2(values))) ** 2
    smooth = gaussian_filter(power, 0.7, mode="wrap")
    logarithm: NDArray[np.float64] = np.log(np.maximum(smooth, np.finfo(float).tiny))
    return logarithm


def _caption(texts: Sequence[str], width: int) -> str:
    """Numbers of one image in a few lines."""
    lines = wrapped(texts, width)
    return "\n".join([*lines[: CAPTION_LINES - 1], "…"] if len(lines) > CAPTION_LINES else lines)


def row_labels(names: Sequence[str]) -> dict[str, str]:
    """Label of each member of a family: the axes in which they differ, one a line."""
    axes = {name: name.partition("[")[2].rstrip("]").split(",") for name in names}
    common = set.intersection(*(set(parts) for parts in axes.values()))
    return {
        name: "\n".join(_cut(_with_unit(part), LABEL_LENGTH) for part in parts if part not in common)
        for name, parts in axes.items()
    }


def _with_unit(axis: str) -> str:
    """An axis such as ``dose=100`` with the unit of what it is named after."""
    key, _, value = axis.partition("=")
    unit = UNITS.get(key.rpartition(".")[2], "")
    return f"{axis} {unit}" if unit and any(digit in value for digit in "0123456789") else axis


def _cut(text: str, length: int) -> str:
    """A text cut off after some characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
