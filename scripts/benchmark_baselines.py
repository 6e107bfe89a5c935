"""Score the baselines on one benchmark."""

import json
from pathlib import Path

from exitwave.jobs.evaluate import score_baselines
from exitwave.jobs.run import job

with job(f"baselines on {snakemake.wildcards.benchmark}", snakemake.log[0]):
    score_baselines(
        json.loads(snakemake.params.block),
        json.loads(snakemake.params.model),
        [Path(path) for path in snakemake.input.manifests],
        Path(snakemake.output.scores),
        Path(snakemake.output.skipped),
        Path(snakemake.output.task),
    )
