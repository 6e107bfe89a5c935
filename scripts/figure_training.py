"""Learning curves of a training."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.training import draw_training

with job(f"learning curves {snakemake.wildcards.training}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    draw_training([Path(path) for path in snakemake.input.histories], Path(snakemake.output[0]), title=figure["title"])
