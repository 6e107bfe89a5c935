"""First page of the report."""

from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.front_page import write_front_page

with job("first page of the report", snakemake.log[0]):
    write_front_page(snakemake.params.about, Path(snakemake.output[0]))
