"""What is made of all images of a folder of results together: histograms, sizes and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exitwave.benchmark.sizes import PERCENTS, Percentiles, percentiles
from exitwave.data.whole import replace_file
from exitwave.jobs.results_table import (
    ALL_IMAGES,
    ALL_SIZES,
    CHECKSUM,
    DIAMETER,
    EDGE,
    FILES,
    HISTOGRAMS,
    IMAGES,
    KEY,
    PARTICLES,
    SUMMARY,
    as_texts,
    panel_file,
    records,
)
from exitwave.report.segmented_page import Entry, Panel, Summary, write_page
from exitwave.report.segmented_sizes import draw_sizes, size_histogram, told_percentiles


def write_summary(folder: Path, images: pd.DataFrame, particles: pd.DataFrame) -> None:
    """Write histograms, sizes and the page of a folder of results; nothing where there is no image.

    Parameters
    ----------
    folder : path
    images, particles : DataFrame
        Its tables, as text.
    """
    if not len(images):
        return
    whole = _whole_diameters(images, particles)
    every = np.concatenate(list(whole.values()))
    sizes = percentiles(list(whole.values()), np.random.default_rng(0))
    number, cut = (int(images[name].astype(int).sum()) for name in ("particles", "particles cut by edge"))
    _write_histograms(folder / HISTOGRAMS, images, whole, every)
    joint = _joint(images, number, cut, sizes)
    replace_file(folder / ALL_IMAGES, lambda path: pd.DataFrame([as_texts(joint)]).to_csv(path, index=False))
    unfinished = folder / f".unfinished_{ALL_SIZES}"
    draw_sizes(every, sizes, cut, f"{len(images)} images", unfinished)
    histogram = unfinished.read_bytes()
    unfinished.replace(folder / ALL_SIZES)

    settings = list(images.columns)[list(images.columns).index(CHECKSUM) + 1 :]
    shared = [name for name in settings if images[name].nunique() == 1]
    different = [name for name in settings if name not in shared]
    entries = [_entry(folder, row, different) for row in records(images)]
    warned = int((images["warnings"] != "").sum())
    headline = {
        "images": f"{len(images):,}",
        "with warnings": f"{warned:,}",
        "particles": f"{number:,}",
        **{f"D{p}": f"{value:.3g} nm" for p, value in zip(PERCENTS, sizes.values, strict=True) if np.isfinite(value)},
        "of the area": f"{100 * joint['area fraction']:.3g} %",
    }
    notes = [
        f"{told_percentiles(sizes)}: of {sizes.number:,} particles." if sizes.number else "There is no whole particle.",
        f"{cut:,} more are cut by the edge of an image, or by what is left out of it: they are counted, but not "
        "measured in these sizes.",
        "Diameters are those of discs of the same area. D10, D50 and D90 are by number. Intervals cover 95 % of "
        "bootstrap resamples of the images and of the particles in them.",
        "Numbers are those of the tables. Point at a particle for its diameter; click on an image to enlarge it.",
    ]
    files = {
        "all particles (CSV)": PARTICLES,
        "images (CSV)": IMAGES,
        "histograms (CSV)": HISTOGRAMS,
        "sizes": ALL_SIZES,
    }
    summary = Summary(headline, histogram, notes, {name: images[name].iloc[0] for name in shared}, files)
    page = folder / f".unfinished_{SUMMARY}"
    write_page(page, summary, entries)
    page.replace(folder / SUMMARY)


def _whole_diameters(images: pd.DataFrame, particles: pd.DataFrame) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Diameters of the particles that nothing cuts [nm], of each image."""
    whole = particles[particles[EDGE] == "False"]
    found = {
        (str(path), str(page)): rows[DIAMETER].to_numpy(np.float64)
        for (path, page), rows in whole.astype({DIAMETER: float}).groupby(KEY, sort=False)
    }
    return {(path, page): found.get((path, page), np.zeros(0)) for path, page in images[KEY].to_numpy().tolist()}


def _write_histograms(
    path: Path,
    images: pd.DataFrame,
    whole: Mapping[tuple[str, str], NDArray[np.float64]],
    every: NDArray[np.float64],
) -> None:
    """Write the numbers of the histograms, of each image and of all."""
    tables = []
    names = [{"file": "all images"}, *records(images[["file", *KEY]])]
    for name, diameters in zip(names, [every, *whole.values()], strict=True):
        edges, numbers = size_histogram(diameters)
        bins = {"from [nm]": edges[:-1].round(6), "to [nm]": edges[1:].round(6), "particles": numbers}
        tables.append(pd.DataFrame(bins).assign(**name))
    joined = pd.concat(tables, ignore_index=True)
    columns = ["file", *KEY, "from [nm]", "to [nm]", "particles"]
    replace_file(path, lambda unfinished: joined.reindex(columns=columns).to_csv(unfinished, index=False))


def _joint(images: pd.DataFrame, number: int, cut: int, sizes: Percentiles) -> dict[str, float | int]:
    """What the table of images says, of all of them."""
    shares, left_out = images["area fraction"].astype(float), images["left out"].astype(float)
    pixels = images["width [px]"].astype(float) * images["height [px]"].astype(float) * (1 - left_out)
    area = float((pixels * images["pixel size [nm]"].astype(float) ** 2).sum())
    covered = float((pixels * images["pixel size [nm]"].astype(float) ** 2 * shares).sum())
    return {
        "images": len(images),
        "particles": number,
        "particles cut by edge": cut,
        **{
            f"D{percent}{end} [nm]": values[place]
            for place, percent in enumerate(PERCENTS)
            for end, values in (("", sizes.values), (" low", sizes.low), (" high", sizes.high))
        },
        "area fraction": covered / area if area else 0.0,
        "number density [um^-2]": number / area * 1e6 if area else 0.0,
    }


def _entry(folder: Path, row: Mapping[str, str], different: list[str]) -> Entry:
    """What the page says of an image."""
    facts = {"particles": row["particles"], "cut by edge": row["particles cut by edge"]}
    for percent in PERCENTS:
        value, low, high = (row[f"D{percent}{end} [nm]"] for end in ("", " low", " high"))
        interval = f" ({float(low):.3g} to {float(high):.3g})" if low else ""
        facts[f"D{percent} [nm]"] = f"{float(value):.3g}{interval}" if value else ""
    facts["area [%]"] = f"{100 * float(row['area fraction']):.3g}"
    facts["per µm²"] = f"{float(row['number density [um^-2]']):.0f}"
    facts["left out [%]"] = f"{100 * float(row['left out']):.3g}"
    facts["unlikeness"] = f"{float(row['unlikeness']):.2f}" if row["unlikeness"] else ""
    facts["pixel [nm]"] = row["pixel size [nm]"]
    facts |= {name: row[name] for name in different}
    brief = f"{row['particles']} particles, {row['particles cut by edge']} of them cut by an edge"
    brief += f"; D50 {facts['D50 [nm]']} nm" if facts["D50 [nm]"] else ""
    names = {what: f"{row['name']}{end}" for what, end in FILES.items()}
    title = row["file"] if row["page"] == "1" else f"{row['file']}, frame {row['page']}"
    held = panel_file(folder, row["name"])
    panel = Panel(**json.loads(held.read_text(encoding="utf-8"))) if held.exists() else None
    there = {what: name for what, name in names.items() if (folder / name).exists()}
    return Entry(title, brief, facts, row["warnings"], there, panel)
