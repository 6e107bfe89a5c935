import json
from pathlib import Path

from snakemake.exceptions import WorkflowError

from exitwave.benchmark.kinds import cases_of
from exitwave.study.load import read_yaml
from exitwave.report.figures import report_files
from exitwave.study.artifacts import shard, shards
from exitwave.study.description import describe
from exitwave.study.plan import (
    SIMULATION,
    memory_of_shard,
    runtime_of_shard,
    sources_of,
)
from exitwave.study.scale import PAPER
from exitwave.study.member import pool_size
from exitwave.study.link import study_from
from exitwave.errors import ExitwaveError

ENVIRONMENT = "../envs/exitwave.yaml"


def read_study():
    """The study of this run: --configfile if given, else the demo; keys of --config are laid over it."""
    files = [Path(f) for f in workflow.overwrite_configfiles or []]
    try:
        # Refuses a key given twice, of which Snakemake's own reader takes the last.
        contents = [read_yaml(file) for file in files or [Path("config/config.yaml")]]
        source = files[-1] if files else Path("config/config.yaml")
        raw = config if files else {**contents[0], **config}
        study = study_from(json.loads(json.dumps(raw)), str(source), source.parent)
    except ExitwaveError as error:
        raise WorkflowError(str(error)) from None
    name = source.stem if files else "demo"
    return study, name if study.scale == PAPER else f"{name}-{study.scale}"


STUDY, STUDY_NAME = read_study()


def member_of(stage, key):
    """Input or params function: the member whose folder a wildcard names."""
    return lambda wildcards: STUDY.member(f"{stage}/{wildcards[key]}")


def description(stage, key):
    """Params function: what a job must know of its block, as canonical JSON without counts."""
    return lambda wildcards: describe(member_of(stage, key)(wildcards))


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


def device_of(stage, wildcards):
    """Device that a block asks for; a core for kinds that compute on nothing else."""
    return getattr(member_of(stage, "block")(wildcards).block, "device", "cpu")


def gpus_of(stage):
    """Resource function: GPUs of a job."""
    return lambda wildcards: int(device_of(stage, wildcards) == "cuda")


def chosen_device(stage):
    """Params function: device. Takes ``input`` so that Snakemake does not rerun for a change of it."""
    return lambda wildcards, input: device_of(stage, wildcards)


def training_folder(member):
    return member.folder.removeprefix("trainings/")


def dataset_shards(wildcards):
    """Image shards of a dataset by the name of their images block."""
    member = member_of("datasets", "dataset")(wildcards)
    return {images.name: shards(images) for images in member.upstream["images"]}


def training_of(wildcards):
    return STUDY.member(f"trainings/{wildcards.training}")


def how_to_train(wildcards, input):
    """Device, precision and threads. Takes ``input`` so that Snakemake does not rerun for a change of them."""
    block = training_of(wildcards).block
    return json.dumps(
        {"device": block.device, "precision": block.precision, "threads": block.threads}
    )


def benchmark_of(wildcards):
    return STUDY.member(f"benchmarks/{wildcards.benchmark}")


def micrograph_files(wildcards):
    """Files of a benchmark that no job makes, such as micrographs: a changed one scores again."""
    block = benchmark_of(wildcards).block
    return cases_of(block).files(block)


def benchmark_datasets(wildcards):
    return benchmark_of(wildcards).upstream.get("datasets", [])


def benchmark_manifests(wildcards):
    return [
        f"results/{dataset.folder}/manifest.parquet"
        for dataset in benchmark_datasets(wildcards)
    ]


def benchmark_shards(wildcards):
    return [
        path
        for dataset in benchmark_datasets(wildcards)
        for images in dataset.upstream["images"]
        for path in shards(images)
    ]


def aim_of_benchmark(wildcards):
    """Params function: a models block with the kind and target of the networks that a benchmark scores."""
    member = benchmark_of(wildcards)
    aim = cases_of(member.block).aim(member.upstream["trainings"])
    return json.dumps({"stage": "models", "block": aim}, sort_keys=True)


def benchmark_scores(wildcards):
    """Scores of every network on a benchmark."""
    return [
        f"results/benchmarks/{wildcards.benchmark}/{training_folder(training)}/seed-{seed}.zarr.zip"
        for training in benchmark_of(wildcards).upstream["trainings"]
        for seed in range(training.block.seeds)
    ]


wildcard_constraints:
    block=r"[^/]+",
    training=r"[^/]+",
    benchmark=r"[^/]+",
    start=r"\d+",
    stop=r"\d+",
    seed=r"\d+",
    dataset=r"[^/]+",
    study=r"[^/]+",


def memory_of_training(wildcards, attempt):
    """Memory [MB]: counts, images and masks; those of two more epochs, and exit waves, if they are streamed."""
    training = training_of(wildcards)
    dataset = training.source("datasets")
    families = dataset.upstream["images"]
    images = dataset.block.size or sum(map(pool_size, families))
    megapixels = 1e-6 * images * families[0].block.size**2
    streamed = 2200 + 10 * megapixels if training.block.streaming else 0
    return int(4000 + 14 * megapixels + streamed) * attempt


def streams(wildcards):
    """Images blocks that a training draws from while it goes on, by identity, with the folder of their exit waves."""
    training = training_of(wildcards)
    if not training.block.streaming:
        return {}
    return {
        images.hash: {
            "images": json.loads(describe(images)),
            "exit_waves": f"results/{images.source('exit_waves').folder}",
        }
        for images in training.source("datasets").upstream["images"]
    }


def streamed_waves(wildcards):
    """Shards of the exit waves that a training draws images from while it goes on."""
    training = training_of(wildcards)
    if not training.block.streaming:
        return []
    waves = [
        m.source("exit_waves") for m in training.source("datasets").upstream["images"]
    ]
    return sorted({path for member in waves for path in shards(member)})
