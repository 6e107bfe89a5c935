"""Histograms of the drawn parameters."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.parameters import parameter_histograms

with job(f"parameters {snakemake.wildcards.block}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    tables = [Path(table) for table in snakemake.input.tables]
    parameter_histograms(tables, Path(snakemake.output[0]), title=figure["title"])
