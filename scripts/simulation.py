"""One shard of structures, exit waves or images."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description

start, stop = int(snakemake.wildcards.start), int(snakemake.wildcards.stop)
with job(f"{snakemake.rule} {start}-{stop}", snakemake.log[0]):
    sources = json.loads(snakemake.params.sources)
    make_shard(
        Description.parse(snakemake.params.block),
        range(start, stop),
        dict(zip(sources, map(Path, snakemake.input.shards), strict=True)),
        Path(snakemake.output.shard),
        snakemake.params.device,
    )
