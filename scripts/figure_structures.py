"""Atoms of sample structures."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.structures import draw_structures

with job(f"atoms {snakemake.wildcards.block}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    draw_structures(Path(snakemake.input.shard), Path(snakemake.output[0]), title=figure["title"])
