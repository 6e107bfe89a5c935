"""One shard of images."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.jobs.simulate import make_images

with job(f"images {snakemake.wildcards.start}-{snakemake.wildcards.stop}", snakemake.log[0]):
    structures = Path(snakemake.input.structures) if snakemake.input.structures else None
    make_images(
        json.loads(snakemake.params.block),
        Path(snakemake.input.exit_waves),
        Path(snakemake.output.shard),
        structures,
        snakemake.params.device,
    )
