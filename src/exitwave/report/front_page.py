"""The first page of the report: what was made, how good it is, and what to look at, in one screen."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from exitwave.benchmark.breakdown import NONE
from exitwave.benchmark.paired import BETTER
from exitwave.benchmark.summary import selected_images
from exitwave.data.columns import UNITS
from exitwave.data.tables import read_table
from exitwave.data.whole import replace_file
from exitwave.errors import ShardError
from exitwave.report.benchmarks import interval_told, method_name, metric_of_summary, number_told, sort_methods
from exitwave.report.columns import label_of
from exitwave.report.differences import brief_verdict

ROWS = 9
"""Rows of the table of scores at the most; of every benchmark at least one."""
WORST = 3
"""Images named of each benchmark."""
LEAST_IMAGES = 5
"""Images of a bin of conditions below which its score says little."""
PICTURE = (480, 240)
"""Width and height of the small pictures [px]."""

Benchmark = Mapping[str, Any]
"""What the job is told of a benchmark, with its tables read."""


def write_front_page(about: str, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    about : str
        As of :func:`exitwave.report.front_files.about_front_page`; its paths are below the working directory.
    path : path
        HTML to write.

    Raises
    ------
    ShardError
        If a table or a picture cannot be read.
    """
    told = json.loads(about)
    benchmarks = [
        {**one, "tables": {name: read_table(file) for name, file in one["tables"].items()}}
        for one in told["benchmarks"]
    ]
    template = files("exitwave.report").joinpath("front.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        study=escape(told["study"]),
        source=escape(told["source"]),
        counts="".join(
            f"<div><b>{escape(number)}</b><span>{escape(what)}</span></div>" for what, number in counts(told).items()
        ),
        pictures="".join(_pictures(told)),
        scores=_table(benchmarks),
        look="".join(f"<li>{line}</li>" for line in _look(told, benchmarks)),
        report=escape(quote(told["report"])),
        where=escape(f"{told['folder']}/index.html"),
        chapters="".join(
            f"<h3>{escape(chapter)}</h3><ul>{''.join(f'<li>{_link(file, name)}</li>' for name, file in of)}</ul>"
            for chapter, of in told["chapters"]
        ),
    )
    replace_file(path, lambda unfinished: unfinished.write_text(page, encoding="utf-8"))


# --- what was made ----------------------------------------------------------------------------


def counts(told: Mapping[str, Any]) -> dict[str, str]:
    """Numbers of what was made, by what it is."""
    numbers = {made["what"]: f"{made['number']:,}" for made in told["made"]}
    for name, manifest in told["datasets"].items():
        splits = read_table(manifest, {"split"})["split"].value_counts()
        parts = [f"{splits[split]:,}" for split in ("train", "validation", "test") if split in splits]
        numbers[f"{name}: train, validation, test"] = " + ".join(parts)
    if len(told["datasets"]) > 2:  # else there is no room for so many
        numbers = {what: number for what, number in numbers.items() if not what.endswith("test")}
        numbers["datasets"] = f"{len(told['datasets'])}"
    if told["networks"]:
        trainings = f"networks of {told['trainings']} training{'' if told['trainings'] == 1 else 's'}"
        numbers[trainings] = f"{told['networks']:,}"
    return numbers


def _pictures(told: Mapping[str, Any]) -> Iterator[str]:
    """A small picture of each stage, that leads to the whole."""
    for made in told["made"]:
        if made["picture"]:
            source = _small(Path(told["folder"], made["picture"]))
            blocks = made["blocks"]
            more = f" and {len(blocks) - 1} more" if len(blocks) > 1 else ""
            picture = f'<img alt="{escape(made["what"])}" src="{source}">'
            name = escape(f"{made['what']}: {blocks[0]}{more}")
            yield f'<a href="{escape(quote(made["picture"]))}">{picture}<span>{name}</span></a>'


def _small(path: Path) -> str:
    """The upper left of a figure, so much smaller that its width fits, as data of a page."""
    from PIL import Image

    try:
        with Image.open(path) as figure:
            width, height = PICTURE
            tall = round(figure.height * width / figure.width)
            small = figure.convert("RGB").resize((width, tall), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError) as error:  # of a PNG whose parts are spoilt
        raise ShardError(f"{path}: cannot be read ({error}); delete it and run again") from error
    held = io.BytesIO()
    small.crop((0, 0, width, min(tall, height))).save(held, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}"


# --- how good it is ---------------------------------------------------------------------------


def score_rows(benchmark: Benchmark, most: int) -> tuple[list[dict[str, str]], int]:
    """Trainings of a benchmark, the best first, beside the best baseline.

    Parameters
    ----------
    benchmark : mapping
    most : int
        Trainings told at the most.

    Returns
    -------
    rows : list of dict
        ``method``, ``score``, its ``interval``, ``baseline`` with its own, and in ``words`` how they differ; ``good``
        tells whether the training is better.
    left : int
        Trainings that are not told.
    """
    summary, differences = benchmark["tables"]["summary"], benchmark["tables"]["differences"]
    methods = sort_methods(summary)
    name = metric_of_summary(summary).summary[0].name
    networks = [row for row in methods if row["kind"] == "network"]
    rules = [row for row in methods if row["kind"] == "baseline" and np.isfinite(row[name])]
    against = {}
    if "second_kind" in differences:
        of_rules = differences[differences["second_kind"] == "baseline"]
        against = {row["first"]: row for row in of_rules.to_dict("records")}
    rows = []
    for network in networks[:most]:
        pair = against.get(network["method"])
        words = "no baseline" if not rules else "all networks have diverged"
        if pair is not None:
            words = brief_verdict(pair)
        rows.append(
            {
                "method": method_name(network),
                "score": number_told(network[name]),
                "interval": interval_told(network, name),
                "baseline": f"{method_name(rules[0])} {number_told(rules[0][name])}" if rules else "",
                "of_baseline": interval_told(rules[0], name) if rules else "",
                "words": words,
                "good": "good" if pair is not None and pair["verdict"] == BETTER else "",
            }
        )
    return rows, len(networks) - len(rows)


def _table(benchmarks: list[dict[str, Any]]) -> str:
    """Scores of all benchmarks."""
    if not benchmarks:
        return "<p>No benchmark was asked for: nothing has been scored.</p>"
    lines = []
    for one in benchmarks:
        summary = one["tables"]["summary"]
        rows, left = score_rows(one, max(1, ROWS // len(benchmarks)))
        more = f"; {_link(one['pages']['scores.html'], f'{left} more')}" if left else ""
        score = metric_of_summary(summary).summary[0].label
        head = f"<b>{_link(one['pages']['scores.html'], one['name'])}</b>"
        about = f"{escape(score)}, {summary['images'].max()} images. {escape(one['scored'])}{more}"
        for place, row in enumerate(rows):
            first = f'<th scope="rowgroup" rowspan="{len(rows)}">{head}<small>{about}</small></th>' if not place else ""
            rule = f"<td rowspan={len(rows)}>{escape(row['baseline'])} <small>{row['of_baseline']}</small></td>"
            lines.append(
                f"<tr>{first}<td>{escape(row['method'])}</td>"
                f"<td class=number><b>{row['score']}</b> <small>{row['interval']}</small></td>{'' if place else rule}"
                f'<td class="words {row["good"]}">{escape(row["words"])}</td></tr>'
            )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("benchmark", "training", "score", "best baseline", "beside it")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


# --- what to look at --------------------------------------------------------------------------


def _look(told: Mapping[str, Any], benchmarks: list[dict[str, Any]]) -> Iterator[str]:
    """Warnings, the worst images, the condition with the lowest score, and trainings compared, as HTML."""
    for warning in warnings(told, benchmarks):
        yield f'<span class="warning">{escape(warning)}</span>'
    for one in benchmarks:
        name, pages = one["name"], one["pages"]
        network = best_training(one)
        if network is None:
            continue
        worst = ", ".join(f"{image} ({number_told(score, 2)})" for image, score in worst_images(one).items())
        browse = one["browse"].get(network["method"])
        if browse and not worst:
            yield _link(browse, f"images and predictions of {name}")
        if worst:
            head = f"worst images of {name}"
            yield f"{_link(browse, head) if browse else escape(head)}: {escape(worst)}"
        condition = weakest_condition(one)
        if condition:
            yield f"{_link(pages['conditions.png'], f'conditions of {name}')}: {escape(condition)}"
        if "failure_maps.png" in pages:
            yield f"{_link(pages['failure_maps.png'], f'failure maps of {name}')}: score against two conditions"
        if words := compared(one):
            yield f"{_link(pages['differences.html'], f'trainings on {name}')}: {escape(words)}"
    if not benchmarks:
        yield "contact sheets and histograms of what was drawn, below"


def warnings(told: Mapping[str, Any], benchmarks: list[dict[str, Any]]) -> list[str]:
    """What makes results doubtful, in words."""
    found = list(told["doubts"])
    lost: dict[str, int] = {}
    for one in benchmarks:
        summary = one["tables"]["summary"]
        for row in summary[summary["diverged"] > 0].to_dict("records"):
            lost[str(row["method"])] = max(lost.get(str(row["method"]), 0), int(row["diverged"]))
        skipped = _skipped(one["skipped"])
        if len(skipped):
            first, were = skipped.iloc[0], "file was" if len(skipped) == 1 else "files were"
            found.append(f"{one['name']}: {len(skipped)} {were} skipped: {first['file']}: {first['reason']}")
        groups = int(summary["groups"].max()) if "groups" in summary else 0
        if groups == 1:
            found.append(f"{one['name']}: all images are of one structure or group, so that scores have no interval")
    diverged = (f"{name}: {number} network{'' if number == 1 else 's'} diverged" for name, number in lost.items())
    return [*diverged, *found]


def _skipped(path: str) -> pd.DataFrame:
    """Files that a benchmark could not use, with reasons."""
    try:
        return pd.read_csv(path, dtype=str)[["file", "reason"]]
    except (OSError, ValueError, KeyError) as error:
        raise ShardError(f"{path}: cannot be read ({error}); delete it and run again") from error


def best_training(benchmark: Benchmark) -> dict[str, Any] | None:
    """Row of the best training of a benchmark that has scores; none if all have diverged."""
    rows = sort_methods(benchmark["tables"]["summary"])
    return next((row for row in rows if row["kind"] == "network" and row["images"]), None)


def worst_images(benchmark: Benchmark) -> dict[str, float]:
    """Scores of the images on which the best training is worst, by their names.

    Of several networks the score is that of their mean prediction.
    """
    network, per_image = best_training(benchmark), benchmark["tables"]["per_image"]
    metric = metric_of_summary(benchmark["tables"]["summary"])
    of = metric.summary[0].of
    if network is None or of not in per_image:
        return {}
    own = per_image[per_image["method"] == network["method"]]
    kind = "ensemble" if (own["kind"] == "ensemble").any() else "network"
    own = own[(own["kind"] == kind) & own[of].notna()]
    own = own[selected_images(own, metric)].sort_values(of, ascending=metric.higher_is_better, kind="stable")
    if own[of].nunique() < 2:  # no image is worse than others
        return {}
    return {str(row["image"]): float(row[of]) for row in own.head(WORST).to_dict("records")}


def weakest_condition(benchmark: Benchmark) -> str:
    """Where the best training is worst, in words; empty without conditions."""
    network, by = best_training(benchmark), benchmark["tables"]["by"]
    if network is None or "by" not in by:
        return ""
    metric = metric_of_summary(benchmark["tables"]["summary"])
    name = metric.summary[0].name
    own = by[(by["kind"] == "network") & (by["method"] == network["method"]) & (by["images"] >= LEAST_IMAGES)]
    own = own[own[name].notna() & (own["label"] != NONE)].sort_values(
        name, ascending=metric.higher_is_better, kind="stable"
    )
    if own.empty:
        return ""
    row = own.iloc[0].to_dict()
    where = f"{label_of(str(row['by']))} {row['label']} {UNITS.get(str(row['by']), '')}".rstrip()
    score = f"{number_told(row[name])} {interval_told(row, name)}".rstrip()
    told = f"worst at {where}: {score}, of all images {number_told(network[name])}"
    return f"none stands out; {told}" if row[f"{name}_low"] <= network[name] <= row[f"{name}_high"] else told


def compared(benchmark: Benchmark) -> str:
    """How the best training differs from the second one, in words; empty where there is one."""
    differences = benchmark["tables"]["differences"]
    if "second_kind" not in differences:
        return ""
    rows = differences[differences["second_kind"] == "network"].to_dict("records")
    if not rows:
        return ""
    more = f"; {len(rows) - 1} more pairs" if len(rows) > 1 else ""
    return f"{rows[0]['first']} against {rows[0]['second']}: {brief_verdict(rows[0])}{more}"


def _link(path: str, name: str) -> str:
    return f'<a href="{escape(quote(path))}">{escape(name)}</a>'
