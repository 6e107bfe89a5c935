"""Join the metadata of all images of a study."""

from pathlib import Path

from exitwave.jobs.learn import make_catalog
from exitwave.jobs.run import job

with job("catalog", snakemake.log[0]):
    make_catalog(list(snakemake.input), Path(snakemake.output.table))
