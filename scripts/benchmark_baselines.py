"""Score the baselines on one benchmark."""

import json
from pathlib import Path

from exitwave.jobs.evaluate import score_baselines
from exitwave.jobs.run import job
from exitwave.study.description import Description
from exitwave.training.kinds import model_from

with job(f"baselines on {snakemake.wildcards.benchmark}", snakemake.log[0]):
    score_baselines(
        Description.parse(snakemake.params.block),
        model_from(json.loads(snakemake.params.model)),
        [Path(path) for path in snakemake.input.manifests],
        Path(snakemake.output.scores),
        Path(snakemake.output.skipped),
        Path(snakemake.output.task),
    )
