"""Contact sheet of images with their labels."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.images import contact_sheet

with job(f"contact sheet {snakemake.wildcards.block}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    shards = [Path(shard) for shard in snakemake.input.shards]
    contact_sheet(shards, Path(snakemake.output[0]), figure["label_threshold"], title=figure["title"])
