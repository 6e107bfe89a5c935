"""Cost of the stages of a study."""

import json
from pathlib import Path

from exitwave.jobs.run import job
from exitwave.report.costs import cost_page, draw_costs, job_files, read_costs

with job(f"costs {snakemake.wildcards.study}", snakemake.log[0]):
    study = snakemake.wildcards.study
    files = job_files(Path(snakemake.params.jobs), json.loads(snakemake.params.folders), study)
    costs = read_costs(files)
    draw_costs(costs, Path(snakemake.output.figure), title=study)
    cost_page(costs, Path(snakemake.output.page), title=study)
