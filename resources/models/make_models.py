"""Pack the networks of bundled.yaml, bundled_disks.yaml and sheets_networks.yaml with their scores and pictures;
from the root:

make models

which runs the three studies first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from exitwave.config.models import Segmentation
from exitwave.config.trainings import Training
from exitwave.data.tables import read_table
from exitwave.images.hrtem import SHOWN
from exitwave.report.benchmarks import MISSING, metric_of_summary
from exitwave.report.images import contact_sheet
from exitwave.report.predictions import draw_predictions
from exitwave.study.link import load_study
from exitwave.study.member import Study
from exitwave.study.plan import shard_ranges
from exitwave.training.bundle import BUNDLED, BUNDLED_ATOMS, BUNDLED_DISKS, save_bundle

RESULTS = Path("results")
HERE = Path(__file__).parent
CARD = HERE / "README.md"
PICTURED = 24
PARTICLES = Path("config/studies/bundled.yaml")
DISKS = Path("config/studies/bundled_disks.yaml")
SHEETS = Path("config/studies/sheets_networks.yaml")
CONVENTIONS = {"outline": "scottlab", "half": "seg_track"}
"""Conventions, the one that is used by default first, each with the micrographs whose experts have followed it."""
FOUND = "Bragg disks, and how surely each is placed"
"""What networks of disks find."""
COLUMNS = "columns"
"""The training whose networks find atomic columns."""
PARTICLE_SCORES = (
    "f1_pooled",
    "particles_true",
    "particles_found",
    "particle_precision",
    "particle_recall",
    "size_distance",
)
DISK_SCORES = ("f1", "accuracy", "position_error", "strain_error", "fit_rms_yy", "fit_rms_xx", "fit_failures")
COLUMN_SCORES = ("f1", "f1_all", "precision", "recall", "rms", "count_error")
"""Scores shown."""
Conventions = dict[str, tuple[str, list[Path], dict[str, dict[str, float]]]]


def main() -> None:
    particles, disks = load_study(PARTICLES), load_study(DISKS)
    told = {name: particles.members["models"][name].of(Segmentation).target.told() for name in CONVENTIONS}
    write_bundle(BUNDLED, particles, PARTICLES, told, PARTICLE_SCORES, "scores")
    draw(particles)
    (training,) = disks.stage("trainings")
    write_bundle(BUNDLED_DISKS, disks, DISKS, {training.name: FOUND}, DISK_SCORES, "scores of disks")
    sheets = load_study(SHEETS)
    write_bundle(BUNDLED_ATOMS, sheets, SHEETS, {COLUMNS: "atomic columns"}, COLUMN_SCORES, "scores of columns")


def write_bundle(
    file: Path, study: Study, config: Path, told: Mapping[str, str], shown: Collection[str], mark: str
) -> None:
    """Pack the trainings of a study, each with what it finds in words, and write its scores into the card."""
    summaries = {
        benchmark.name: read_table(RESULTS / "report" / config.stem / benchmark.folder / "summary.parquet")
        for benchmark in study.stage("benchmarks")
        if told.keys() & {training.name for training in benchmark.upstream["trainings"]}
    }
    conventions: Conventions = {}
    for name, words in told.items():
        training = study.members["trainings"][name]
        folders = [RESULTS / training.folder / f"seed-{seed}" for seed in range(training.of(Training).seeds)]
        scores = {of: scores_of(summary, name) for of, summary in summaries.items()}
        conventions[name] = (words, folders, {of: found for of, found in scores.items() if found})
    save_bundle(file, conventions)
    table = "\n\n".join(score_table(name, summary, shown) for name, summary in summaries.items())
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    card = CARD.read_text(encoding="utf-8")
    before, after = card.split(begin)[0], card.split(end)[1]
    CARD.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def scores_of(summary: pd.DataFrame, training: str) -> dict[str, float]:
    """Scores of the mean prediction of the networks of a training, with their intervals."""
    rows = summary[(summary["kind"] == "ensemble") & (summary["method"] == training)]
    if rows.empty:
        return {}
    names = [score.name for score in metric_of_summary(summary).summary]
    return {name: float(rows[name].iloc[0]) for score in names for name in (score, f"{score}_low", f"{score}_high")}


def score_table(name: str, summary: pd.DataFrame, shown: Collection[str]) -> str:
    """Markdown table of the scores on one benchmark: mean predictions of the networks, and baselines."""
    scores = [score for score in metric_of_summary(summary).summary if score.name in shown]
    first = summary[summary["kind"] == "ensemble"].iloc[0]
    lines = [f"### {name}: {first['images']:.0f} images", ""]
    lines.append(
        "| method | " + " | ".join(", ".join(filter(None, (score.label, score.group))) for score in scores) + " |"
    )
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
