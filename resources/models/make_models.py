"""Pack the networks of config/studies/bundled.yaml with their scores and pictures; from the root of the repository:

make models

which runs the study first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from exitwave.config.models import Segmentation
from exitwave.data.tables import read_table
from exitwave.images.hrtem import SHOWN
from exitwave.report.benchmarks import MISSING, metric_of_summary
from exitwave.report.images import contact_sheet
from exitwave.report.predictions import draw_predictions
from exitwave.study.link import load_study
from exitwave.study.member import Study
from exitwave.study.plan import shard_ranges
from exitwave.training.bundle import save_bundle

STUDY = Path("config/studies/bundled.yaml")
RESULTS = Path("results")
HERE = Path(__file__).parent
FILE = HERE / "particles.safetensors"
CARD = HERE / "README.md"
PICTURED = 24
BEGIN, END = "<!-- scores -->", "<!-- end -->"
"""Around what is written into the card."""
CONVENTIONS = {"outline": "scottlab", "half": "seg_track"}
"""Conventions, the one that is used by default first, each with the micrographs whose experts have followed it."""
COLUMNS = ("f1_pooled", "particles_true", "particles_found", "particle_precision", "particle_recall", "size_distance")
"""Scores shown."""


def main() -> None:
    study = load_study(STUDY)
    summaries = {
        benchmark.name: read_table(RESULTS / "report" / STUDY.stem / benchmark.folder / "summary.parquet")
        for benchmark in study.stage("benchmarks")
    }
    conventions = {}
    for name in CONVENTIONS:
        training = study.members["trainings"][name]
        folders = [RESULTS / training.folder / f"seed-{seed}" for seed in range(training.block.seeds)]
        scores = {name: scores_of(summary, training.name) for name, summary in summaries.items()}
        told = training.source("model").of(Segmentation).target.told()
        conventions[training.name] = (told, folders, {name: found for name, found in scores.items() if found})
    save_bundle(FILE, conventions)
    draw(study)
    table = "\n\n".join(score_table(name, summary) for name, summary in summaries.items())
    card = CARD.read_text(encoding="utf-8")
    before, after = card.split(BEGIN)[0], card.split(END)[1]
    CARD.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    print(f"{FILE}: {FILE.stat().st_size / 1e6:.1f} MB")


def scores_of(summary: pd.DataFrame, training: str) -> dict[str, float]:
    """Scores of the mean prediction of the networks of a training, with their intervals."""
    rows = summary[(summary["kind"] == "ensemble") & (summary["method"] == training)]
    if rows.empty:
        return {}
    names = [score.name for score in metric_of_summary(summary).summary]
    return {name: float(rows[name].iloc[0]) for score in names for name in (score, f"{score}_low", f"{score}_high")}


def score_table(name: str, summary: pd.DataFrame) -> str:
    """Markdown table of the scores on one benchmark: mean predictions of the networks, and baselines."""
    scores = [score for score in metric_of_summary(summary).summary if score.name in COLUMNS]
    first = summary[summary["kind"] == "ensemble"].iloc[0]
    lines = [f"### {name}: {first['images']:.0f} images", ""]
    lines.append("| method | " + " | ".join(f"{score.label}, {score.group}" for score in scores) + " |")
    lines.append("|---" * (len(scores) + 1) + "|")
    for _, row in summary[summary["kind"].isin(["ensemble", "baseline"])].iterrows():
        method = f"**{row['method']}**" if row["kind"] == "ensemble" else str(row["method"]).replace("_", " ")
        cells = []
        for score in scores:
            interval = f" [{row[f'{score.name}_low']:.2f}, {row[f'{score.name}_high']:.2f}]" if score.foremost else ""
            number = f"{row[score.name]:.0f}" if score.whole else f"{row[score.name]:.3f}{interval}"
            cells.append(number if np.isfinite(row[score.name]) else MISSING)
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(study: Study) -> None:
    """What the networks were trained on, and what they make of the micrographs."""
    shards = []
    for images in study.stage("images"):
        start, stop = shard_ranges(images)[0]
        shards.append(RESULTS / images.folder / f"shard-{start:06d}-{stop:06d}.zarr.zip")

    def told(row: Mapping[Any, Any]) -> str:
        return f"defocus {row['defocus'] / 10:.0f} nm, {row['dose']:.0f} e⁻/Å²"

    with TemporaryDirectory() as folder:
        pictures = {name: Path(folder) / f"{name}.png" for name in ("training_images", *CONVENTIONS)}
        contact_sheet(shards, pictures["training_images"], told, SHOWN, PICTURED, "of the bundled networks")
        for name, benchmark_name in CONVENTIONS.items():
            benchmark, training = study.members["benchmarks"][benchmark_name], study.members["trainings"][name]
            made = RESULTS / benchmark.folder / Path(training.folder).name
            paths = [made / f"seed-{seed}.zarr.zip" for seed in range(training.block.seeds)]
            draw_predictions(paths, pictures[name], 0.5, True, f"{benchmark_name}, {name}")
        for name, path in pictures.items():
            # A tenth of the size of a PNG, of which grain is most.
            Image.open(path).convert("RGB").save(HERE / f"{name}.jpg", quality=80)


if __name__ == "__main__":
    main()
