"""One figure or table of the report."""

from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.figures import draw_figure

with job(f"{snakemake.wildcards.figure} of {snakemake.wildcards.block}", snakemake.log[0]):
    draw_figure(snakemake.params.figure, [Path(file) for file in snakemake.input], Path(snakemake.output[0]))
