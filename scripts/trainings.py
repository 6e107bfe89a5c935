"""Train one network."""

import json
from pathlib import Path

from exitwave.jobs.learn import train_network
from exitwave.jobs.run import job
from exitwave.study.description import Description
from exitwave.training.streaming import ImagesSource

with job(f"{snakemake.wildcards.training} seed {snakemake.wildcards.seed}", snakemake.log[0]):
    streams = {
        identity: (Description.parse(stream["images"]), {stage: Path(p) for stage, p in stream["folders"]})
        for identity, stream in json.loads(snakemake.params.streams).items()
    }
    train_network(
        Description.parse(snakemake.params.block).with_values(**json.loads(snakemake.params.how)),
        Description.parse(snakemake.params.dataset),
        Description.parse(snakemake.params.model),
        Path(snakemake.input.manifest),
        int(snakemake.wildcards.seed),
        Path(snakemake.output.weights).parent,
        {key: ImagesSource(images.block, images.seed, folders) for key, (images, folders) in streams.items()},
        next(map(Path, snakemake.input.start), None),
        Path(snakemake.log[0]).with_suffix(""),
    )
