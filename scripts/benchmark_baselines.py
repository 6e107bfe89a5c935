"""Score the classical baselines on one benchmark."""

import json
from pathlib import Path

from exitwave.jobs.evaluate import score_baselines
from exitwave.jobs.run import job

with job(f"baselines on {snakemake.wildcards.benchmark}", snakemake.log[0]):
    datasets = [json.loads(text) for text in json.loads(snakemake.params.datasets)]
    score_baselines(
        json.loads(snakemake.params.block),
        list(zip(datasets, map(Path, snakemake.input.manifests), strict=True)),
        Path(snakemake.output.scores),
        Path(snakemake.output.skipped),
    )
