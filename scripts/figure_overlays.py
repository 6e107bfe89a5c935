"""Predictions of a training over the images of a benchmark."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.predictions import draw_predictions

with job(f"overlays {snakemake.wildcards.benchmark} {snakemake.wildcards.training}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    draw_predictions(
        [Path(shard) for shard in snakemake.input.predictions],
        Path(snakemake.output[0]),
        figure["threshold"],
        real=figure["real"],
        title=figure["title"],
    )
