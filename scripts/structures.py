"""One shard of structures."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.jobs.simulate import make_structures

with job(f"structures {snakemake.wildcards.start}-{snakemake.wildcards.stop}", snakemake.log[0]):
    make_structures(
        json.loads(snakemake.params.block),
        int(snakemake.wildcards.start),
        int(snakemake.wildcards.stop),
        Path(snakemake.output.shard),
    )
