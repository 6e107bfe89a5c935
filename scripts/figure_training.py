"""Learning curves of a training."""

import json
from pathlib import Path

import pandas as pd

from exitwave.jobs.run import job
from exitwave.report.training import learning_curves

with job(f"learning curves {snakemake.wildcards.training}", snakemake.log[0]):
    figure = json.loads(snakemake.params.figure)
    histories = {seed: pd.read_csv(path) for seed, path in enumerate(snakemake.input.histories)}
    learning_curves(histories, Path(snakemake.output[0]), title=figure["title"])
