"""Score one network on one benchmark."""

import json
from pathlib import Path

from exitwave.jobs.evaluate import score_network
from exitwave.jobs.run import job

with job(f"score {snakemake.wildcards.training} on {snakemake.wildcards.benchmark}", snakemake.log[0]):
    datasets = [json.loads(text) for text in json.loads(snakemake.params.datasets)]
    score_network(
        json.loads(snakemake.params.block),
        list(zip(datasets, map(Path, snakemake.input.manifests), strict=True)),
        Path(snakemake.input.weights),
        snakemake.params.training,
        int(snakemake.wildcards.seed),
        snakemake.threads,
        Path(snakemake.output.predictions),
    )
