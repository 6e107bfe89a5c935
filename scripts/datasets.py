"""Draw one dataset."""

import json
from pathlib import Path

from exitwave.jobs.learn import make_dataset
from exitwave.jobs.run import job
from exitwave.study.description import Description

with job(f"dataset {snakemake.wildcards.dataset}", snakemake.log[0]):
    make_dataset(
        Description.parse(snakemake.params.block),
        json.loads(snakemake.params.shards),
        Path(snakemake.output.manifest),
        Path(snakemake.output.fingerprint),
    )
