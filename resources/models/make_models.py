"""Pack the networks of config/studies/bundled.yaml with their scores and pictures; from the root of the repository:

make models

which runs the study first.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from exitwave.benchmark.kinds import scoring_of
from exitwave.config.benchmarks import Benchmark, MicrographBenchmark
from exitwave.config.models import Segmentation
from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.data.shards import read_table
from exitwave.images.hrtem import SHOWN
from exitwave.report.images import contact_sheet
from exitwave.report.predictions import draw_predictions
from exitwave.study.link import load_study
from exitwave.study.member import Study
from exitwave.study.plan import shard_ranges
from exitwave.training.bundle import save_bundle
from exitwave.training.kinds import task_from

STUDY = Path("config/studies/bundled.yaml")
RESULTS = Path("results")
HERE = Path(__file__).parent
FILE = HERE / "particles.safetensors"
CARD = HERE / "README.md"
PICTURED = 24


def main() -> None:
    study = load_study(STUDY)
    summaries = {
        benchmark.name: read_table(RESULTS / "report" / STUDY.stem / "benchmarks" / benchmark.name / "summary.parquet")
        for benchmark in study.stage("benchmarks")
    }
    conventions = {}
    for training in study.stage("trainings"):
        folders = [RESULTS / training.folder / f"seed-{seed}" for seed in range(training.block.seeds)]
        scores = {name: scores_of(summary, training.name) for name, summary in summaries.items()}
        told = training.source("model").of(Segmentation).target.told()
        conventions[training.name] = (told, folders, {name: found for name, found in scores.items() if found})
    save_bundle(FILE, conventions)
    draw(study)
    table = "\n\n".join(score_table(name, summary) for name, summary in summaries.items())
    card = CARD.read_text(encoding="utf-8")
    CARD.write_text(
        re.sub(r"(<!-- scores -->\n).*?(\n<!-- end -->)", lambda found: found[1] + table + found[2], card, flags=re.S),
        encoding="utf-8",
    )
    print(f"{FILE}: {FILE.stat().st_size / 1e6:.1f} MB")


def scores_of(summary: pd.DataFrame, training: str) -> dict[str, float]:
    """Scores of the mean prediction of the networks of a training, with their intervals."""
    rows = summary[(summary["kind"] == "ensemble") & (summary["method"] == training)]
    if rows.empty:
        return {}
    names = [score.name for score in metric_of(summary).summary]
    return {name: float(rows[name].iloc[0]) for score in names for name in (score, f"{score}_low", f"{score}_high")}


def metric_of(summary: pd.DataFrame) -> Any:
    task = task_from(json.loads(summary["task"].iloc[0]))
    return scoring_of(task.model).metric(task, Benchmark.model_fields["threshold"].default)


def score_table(name: str, summary: pd.DataFrame) -> str:
    """Markdown table of the scores on one benchmark: mean predictions of the networks, and baselines."""
    scores = metric_of(summary).summary
    first = summary[summary["kind"] == "ensemble"].iloc[0]
    lines = [f"### {name}: {first['images']:.0f} images", ""]
    lines.append("| method | " + " | ".join(score.label for score in scores) + " |")
    lines.append("|---" * (len(scores) + 1) + "|")
    for _, row in summary[summary["kind"].isin(["ensemble", "baseline"])].iterrows():
        method = f"**{row['method']}**" if row["kind"] == "ensemble" else str(row["method"]).replace("_", " ")
        cells = [
            f"{row[score.name]:.3g} [{row[f'{score.name}_low']:.2g}, {row[f'{score.name}_high']:.2g}]"
            if score.of_rules or row["kind"] == "ensemble"
            else "–"
            for score in scores
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(study: Study) -> None:
    """What the networks were trained on, and what they make of the micrographs."""
    shards = []
    for images in study.stage("images"):
        assert isinstance(images.origin().block, NanoparticlesOnSubstrate)
        start, stop = shard_ranges(images)[0]
        shards.append(RESULTS / images.folder / f"shard-{start:06d}-{stop:06d}.zarr.zip")

    def told(row: Any) -> str:
        return f"defocus {row['defocus'] / 10:.0f} nm, {row['dose']:.0f} e⁻/Å²"

    contact_sheet(shards, HERE / "training_images.png", told, SHOWN, PICTURED, "simulated training images")
    for benchmark in study.stage("benchmarks"):
        if isinstance(benchmark.block, MicrographBenchmark):
            for training in benchmark.upstream["trainings"]:
                folder = RESULTS / benchmark.folder / Path(study.members["trainings"][training.name].folder).name
                paths = [folder / f"seed-{seed}.zarr.zip" for seed in range(training.block.seeds)]
                title = f"{benchmark.name}, {training.name}"
                path = HERE / f"{benchmark.name}_{training.name}.png"
                draw_predictions(paths, path, benchmark.block.threshold, True, title)


if __name__ == "__main__":
    main()
