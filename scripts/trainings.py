"""Train one network."""

import json
from pathlib import Path

from exitwave.jobs.learn import train_network
from exitwave.jobs.run import job

with job(f"{snakemake.wildcards.training} seed {snakemake.wildcards.seed}", snakemake.log[0]):
    train_network(
        json.loads(snakemake.params.block),
        json.loads(snakemake.params.dataset),
        json.loads(snakemake.params.model),
        Path(snakemake.input.manifest),
        int(snakemake.wildcards.seed),
        json.loads(snakemake.params.how),
        Path(snakemake.output.weights).parent,
        json.loads(snakemake.params.streams),
    )
