"""Sum up the scores of one benchmark."""

from pathlib import Path

from exitwave.jobs.evaluate import summarise_benchmark
from exitwave.jobs.run import job
from exitwave.study.description import Description

with job(f"scores on {snakemake.wildcards.benchmark}", snakemake.log[0]):
    summarise_benchmark(
        Description.parse(snakemake.params.block),
        Path(snakemake.input.task),
        Path(snakemake.input.baselines),
        [Path(path) for path in snakemake.input.networks],
        Path(snakemake.output.summary),
        Path(snakemake.output.per_image),
        Path(snakemake.output.by),
        Path(snakemake.output.differences),
    )
