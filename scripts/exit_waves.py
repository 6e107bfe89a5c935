"""One shard of exit waves."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.jobs.simulate import make_exit_waves

with job(f"exit_waves {snakemake.wildcards.start}-{snakemake.wildcards.stop}", snakemake.log[0]):
    make_exit_waves(
        json.loads(snakemake.params.block),
        Path(snakemake.input.structures),
        Path(snakemake.output.shard),
        snakemake.params.device,
    )
