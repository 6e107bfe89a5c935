"""What the stages of a study cost, from the files that Snakemake's ``benchmark:`` writes for every job."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from exitwave.report.style import BLUE, GREEN, MUTED, ORANGE, figure
from exitwave.report.tables import Table, write_html

STAGES = ("structures", "exit_waves", "images", "datasets", "trainings", "benchmarks")


def job_files(root: str | Path, folders: Collection[str], study: str) -> dict[str, list[Path]]:
    """Benchmark files of a study's own jobs, by stage.

    Parameters
    ----------
    root : path
        Folder that has one folder a stage.
    folders : collection of str
        Names of the folders in which the blocks of the study have their artifacts.
    study : str
        Name of the study.

    Returns
    -------
    dict of lists of paths
        Stages in pipeline order, those without a file left out.
    """
    known = {*folders, study}
    files: dict[str, list[Path]] = {}
    for stage in STAGES:
        for path in sorted((Path(root) / stage).rglob("*.tsv")):
            *parts, name = path.relative_to(Path(root) / stage).with_suffix("").parts
            # Files of a stage stand in the folders of their blocks, or are named after one.
            if not parts or re.search(r"-[0-9a-f]{8}$", name):
                parts.append(name)
            if known.issuperset(parts):
                files.setdefault(stage, []).append(path)
    return files


def read_costs(files: Mapping[str, Sequence[str | Path]]) -> pd.DataFrame:
    """Cost of every job.

    Parameters
    ----------
    files : mapping of sequences of paths
        Benchmark files by stage.

    Returns
    -------
    DataFrame
        One row a job: ``stage``, ``seconds``, ``cpu_seconds`` (NaN where the job was too short to be measured) and
        ``memory``, its largest resident set [MB].
    """
    tables = []
    for stage, paths in files.items():
        for path in paths:
            rows = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
            number = {name: pd.to_numeric(rows[name], errors="coerce") for name in ("s", "cpu_time", "max_rss")}
            content = {"seconds": number["s"], "cpu_seconds": number["cpu_time"], "memory": number["max_rss"]}
            tables.append(pd.DataFrame({"stage": stage, **content}))
    if not tables:
        return pd.DataFrame(columns=["stage", "seconds", "cpu_seconds", "memory"])
    return pd.concat(tables, ignore_index=True)


def draw_costs(costs: pd.DataFrame, path: str | Path, title: str = "") -> None:
    """Draw total time, time of single jobs and memory by stage.

    Parameters
    ----------
    costs : DataFrame
        As from ``read_costs``.
    path : path
        PNG to write.
    title : str
        Name of the study.
    """
    stages = list(dict.fromkeys(costs["stage"]))
    with figure(path, 11.0, 0.42 * max(len(stages), 1) + 1.5) as drawing:
        total, jobs, memory = drawing.subplots(1, 3, sharey=True, width_ratios=[1.15, 1, 1])
        for y, stage in enumerate(stages):
            rows = costs[costs["stage"] == stage]
            minutes = rows["seconds"].sum() / 60
            total.barh(y, minutes, color=BLUE, height=0.62)
            total.annotate(
                _duration(60 * minutes), (minutes, y), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
            jitter = np.linspace(-0.22, 0.22, len(rows)) if len(rows) > 1 else np.zeros(1)
            jobs.plot(rows["seconds"], y + jitter, ls="", marker="o", ms=3.5, color=ORANGE, alpha=0.7, mew=0)
            jobs.plot([rows["seconds"].median()] * 2, [y - 0.3, y + 0.3], color="black", lw=1.6)
            largest = rows["memory"].max() / 1e3
            if np.isfinite(largest):
                memory.barh(y, largest, color=GREEN, height=0.62)
                memory.annotate(
                    f"{largest:.1f}", (largest, y), (4, 0), textcoords="offset points", va="center", fontsize=8
                )
        counts = costs["stage"].value_counts()
        total.set_yticks(range(len(stages)), [f"{stage.replace('_', ' ')} ({counts[stage]})" for stage in stages])
        total.set_ylim(len(stages) - 0.4, -0.6)
        total.set_xlabel("time of all jobs [min]")
        jobs.set_xlabel("time of each job [s], bar: median")
        if len(costs) and costs["seconds"].min() > 0 and costs["seconds"].max() / costs["seconds"].min() > 20:
            jobs.set_xscale("log")
        memory.set_xlabel("largest memory of a job [GB]")
        for axis in (total, jobs, memory):
            axis.grid(axis="x")
            axis.tick_params(axis="both", length=0)
            axis.spines["left"].set_visible(False)
            if axis is not jobs:
                axis.margins(x=0.18)
        if not stages:
            total.text(0.5, 0.5, "no job was measured", ha="center", color=MUTED, transform=total.transAxes)
        drawing.suptitle(f"Cost of the stages{f': {title}' if title else ''} (number of jobs in brackets)", fontsize=11)


def cost_page(costs: pd.DataFrame, path: str | Path, title: str = "") -> None:
    """Write the cost of every stage as a HTML page.

    Parameters
    ----------
    costs : DataFrame
        As from ``read_costs``.
    path : path
        Page to write.
    title : str
        Name of the study.
    """
    rows = [_row(str(stage).replace("_", " "), group) for stage, group in costs.groupby("stage", sort=False)]
    marks = ["" for _ in rows]
    if len(costs):
        rows.append(_row("all", costs))
        marks.append("total")
    columns = [
        "stage",
        "jobs",
        "time of all jobs",
        "processor time",
        "median job [s]",
        "longest job [s]",
        "memory [MB]",
    ]
    note = (
        "As Snakemake measured each job, the start of its interpreter included; jobs run side by side, so that the "
        "study took less by the clock. Jobs of earlier runs count too if this study uses what they made. "
        "Memory is the largest resident set of any job."
    )
    heading = f"Cost of the stages: {title}" if title else "Cost of the stages"
    write_html(path, heading, note, [Table(columns, rows, marks)])


def _row(name: str, costs: pd.DataFrame) -> list[str | tuple[str, str]]:
    memory = costs["memory"].max()
    return [
        name,
        f"{len(costs)}",
        _duration(costs["seconds"].sum()),
        _duration(costs["cpu_seconds"].sum()),
        f"{costs['seconds'].median():.1f}",
        f"{costs['seconds'].max():.1f}",
        f"{memory:.0f}" if np.isfinite(memory) else "–",
    ]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
