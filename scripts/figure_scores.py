"""Table and forest plot of the scores on a benchmark."""

import json
from pathlib import Path

from exitwave.data.shards import read_table
from exitwave.jobs.run import job
from exitwave.report.benchmarks import forest_plot, score_page

with job(f"scores {snakemake.wildcards.benchmark}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    summary = read_table(snakemake.input.summary)
    data = "Real micrographs with expert masks." if figure["real"] else "Held-out simulated images."
    score_page(summary, Path(snakemake.output.page), data, title=figure["title"])
    forest_plot(summary, Path(snakemake.output.figure), data, title=figure["title"])
