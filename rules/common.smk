import json
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from exitwave.jobs.coordinator import take_part
from exitwave.study.load import read_run
from exitwave.report.figures import report_files
from exitwave.study.artifacts import (
    files_of_benchmark,
    manifest,
    manifests_of_benchmark,
    predictions_of_benchmark,
    shard,
    shards,
    shards_of_benchmark,
    shards_of_dataset,
    start_of,
    streamed_shards,
    streams,
)
from exitwave.study.description import describe
from exitwave.study.plan import (
    SIMULATION,
    aim_of_benchmark,
    how_to_train,
    images_of,
    images_of_study,
    memory_of_shard,
    memory_of_table,
    memory_of_training,
    runtime_of_dataset,
    runtime_of_shard,
    runtime_of_table,
    runtime_of_training,
    sources_of,
)
from exitwave.study.scale import PAPER
from exitwave.study.link import study_from
from exitwave.errors import ExitwaveError

ENVIRONMENT = "../envs/exitwave.yaml"

# Jobs read this file too, and a run that was killed may leave some at work.
take_part()


def read_study():
    """The study of this run: --configfile if given, else the demo; --config is laid over it."""
    files = [Path(file) for file in workflow.overwrite_configfiles or []]
    source = files[-1] if files else Path("config/config.yaml")
    try:
        # Snakemake's own reader takes the last of two equal keys, 010 for 8 and 1e3 for text.
        raw = read_run(files or [source], workflow.config_settings.config_args)
        study = study_from(raw, str(source), source.parent)
    except ExitwaveError as error:
        raise WorkflowError(str(error)) from None
    name = source.stem if files else "demo"
    return study, name if study.scale == PAPER else f"{name}-{study.scale}"


STUDY, STUDY_NAME = read_study()
# On a cluster the jobs of these rules are run beside Snakemake: they take seconds, and a job of their own a minute.
BESIDE = images_of_study(STUDY) <= 20_000


def member_of(stage, key):
    """Input or params function: the member whose folder a wildcard names."""
    return lambda wildcards: STUDY.member(f"{stage}/{wildcards[key]}")


def description(stage, key):
    """Params function: what a job must know of its block, as canonical JSON without counts."""
    text = cache(lambda folder: describe(STUDY.member(folder)))
    return lambda wildcards: text(f"{stage}/{wildcards[key]}")


def shard_sources(stage):
    """Input function: shards of the same items of the earlier stages that a job reads."""
    member = member_of(stage, "block")
    return lambda wildcards: [
        shard(source, wildcards.start, wildcards.stop)
        for source in sources_of(member(wildcards)).values()
    ]


def stages_read(stage):
    """Params function: the stages of those shards."""
    member = member_of(stage, "block")
    return lambda wildcards: json.dumps(list(sources_of(member(wildcards))))


def memory_of(stage):
    """Resource function: memory [MB] of a shard."""
    member = member_of(stage, "block")
    return lambda wildcards, attempt: memory_of_shard(member(wildcards)) * attempt


def runtime_of(stage):
    """Resource function: time [min] of a shard."""
    member = member_of(stage, "block")

    def runtime(wildcards, attempt):
        items = int(wildcards.stop) - int(wildcards.start)
        return runtime_of_shard(member(wildcards), items) * attempt

    return runtime


def device_of(block):
    """Device that a block asks for; a core for kinds that compute on nothing else."""
    return (
        "cpu"
        if getattr(block, "engine", "") == "abtem"
        else getattr(block, "device", "cpu")
    )


def gpus_of(stage, key="block"):
    """Resource function: GPUs of a job. Where GPUs are counted (--resources gpu=) there are some, and auto takes them."""
    member = member_of(stage, key)
    wanted = ("cuda", "auto") if "gpu" in workflow.global_resources else ("cuda",)

    def gpus(wildcards):
        block = member(wildcards).block
        return getattr(block, "devices", 1) if device_of(block) in wanted else 0

    return gpus


def chosen_device(stage):
    """Params function: device. Takes ``input`` so that Snakemake does not rerun for a change of it."""
    member = member_of(stage, "block")
    return lambda wildcards, input: device_of(member(wildcards).block)


def training_of(wildcards):
    return STUDY.member(f"trainings/{wildcards.training}")


def dataset_of(wildcards):
    return STUDY.member(f"datasets/{wildcards.dataset}")


def benchmark_of(wildcards):
    return STUDY.member(f"benchmarks/{wildcards.benchmark}")


def resources_of_training(wildcards, input):
    """How it runs. Takes ``input`` so that Snakemake does not rerun for a change of them."""
    return plain(how_to_train(training_of(wildcards)))


def plain(value):
    """Params as canonical JSON."""
    return json.dumps(value, sort_keys=True)


wildcard_constraints:
    block=r"[^/]+",
    training=r"[^/]+",
    benchmark=r"[^/]+",
    start=r"\d+",
    stop=r"\d+",
    seed=r"\d+",
    dataset=r"[^/]+",
    study=r"[^/]+",
