"""Score one network on one benchmark."""

import json
from pathlib import Path

from exitwave.jobs.evaluate import score_network
from exitwave.jobs.run import job
from exitwave.study.description import Description
from exitwave.training.kinds import model_from

with job(f"score {snakemake.wildcards.training} on {snakemake.wildcards.benchmark}", snakemake.log[0]):
    score_network(
        Description.parse(snakemake.params.block),
        model_from(json.loads(snakemake.params.model)),
        [Path(path) for path in snakemake.input.manifests],
        Path(snakemake.input.weights),
        snakemake.params.training,
        int(snakemake.wildcards.seed),
        snakemake.threads,
        Path(snakemake.output.predictions),
    )
