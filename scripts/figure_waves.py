"""Exit waves of sample structures."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.waves import draw_exit_waves

with job(f"waves {snakemake.wildcards.block}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    draw_exit_waves(Path(snakemake.input.shard), Path(snakemake.output[0]), title=figure["title"])
