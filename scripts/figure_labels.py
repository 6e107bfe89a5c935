"""Masks of particles by phase and by atoms, compared."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.labels import draw_labels

with job(f"labels {snakemake.wildcards.block}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    draw_labels(
        Path(snakemake.input.shard), Path(snakemake.output[0]), figure["label_threshold"], title=figure["title"]
    )
