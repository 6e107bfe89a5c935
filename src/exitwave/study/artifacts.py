"""Where the artifacts of a study stand: paths below the folder of a run."""

from __future__ import annotations

from typing import Any

from exitwave.config.trainings import Training
from exitwave.study.description import describe
from exitwave.study.member import Member, Study
from exitwave.study.plan import SIMULATION, shard_ranges, sources_of


def shard(member: Member, start: int | str, stop: int | str) -> str:
    """Shard of a member of the simulation stages with the items of structures ``start`` ... ``stop - 1``."""
    return f"results/{member.folder}/shard-{int(start):06d}-{int(stop):06d}.zarr.zip"


def shards(member: Member) -> list[str]:
    """All shards of a member of the simulation stages."""
    return [shard(member, start, stop) for start, stop in shard_ranges(member)]


def tables(member: Member) -> list[str]:
    """Metadata tables of a member of the simulation stages, one beside each shard."""
    return [path.replace(".zarr.zip", ".parquet") for path in shards(member)]


def manifest(dataset: Member) -> str:
    """Manifest of a dataset."""
    return f"results/{dataset.folder}/manifest.parquet"


def shards_of_dataset(dataset: Member) -> dict[str, list[str]]:
    """Shards of images that a dataset is drawn from, by the name of their block."""
    return {images.name: shards(images) for images in dataset.upstream["images"]}


def streams(training: Member) -> dict[str, dict[str, Any]]:
    """What a training draws images from while it goes on, in plain values; nothing if it does not.

    By the identity of each images block its description, as ``images``, and as ``folders`` pairs of each stage that is
    read and the folder of its shards, the one first that the block names.
    """
    if not training.of(Training).streaming:
        return {}
    return {
        images.hash: {
            "images": describe(images),
            "folders": [[stage, f"results/{source.folder}"] for stage, source in sources_of(images).items()],
        }
        for images in training.source("datasets").upstream["images"]
    }


def streamed_shards(training: Member) -> list[str]:
    """Shards that a training draws images from while it goes on."""
    if not training.of(Training).streaming:
        return []
    sources = [s for images in training.source("datasets").upstream["images"] for s in sources_of(images).values()]
    return sorted({path for source in sources for path in shards(source)})


def start_of(training: Member, seed: int | str) -> list[str]:
    """Weights that a network of a training starts from; nothing where these are random."""
    if "start_from" in training.upstream:
        return [weights(training.source("start_from"))[int(seed)]]
    found = [str(file) for file in training.of(Training).started_from()]
    return found[:1] if len(found) == 1 else found[int(seed) : int(seed) + 1]


def weights(training: Member) -> list[str]:
    """Weights of all networks of a training."""
    return [f"{folder}/weights.safetensors" for folder in _networks(training)]


def histories(training: Member) -> list[str]:
    """Histories of all networks of a training, an epoch a row."""
    return [f"{folder}/history.csv" for folder in _networks(training)]


def predictions(benchmark: Member, training: Member) -> list[str]:
    """Predictions of the networks of one training on the images of a benchmark."""
    seeds = range(training.of(Training).seeds)
    return [f"results/{benchmark.folder}/{name_in_paths(training)}/seed-{seed}.zarr.zip" for seed in seeds]


def predictions_of_benchmark(benchmark: Member) -> list[str]:
    """Predictions of all networks that a benchmark scores."""
    return [path for training in benchmark.upstream["trainings"] for path in predictions(benchmark, training)]


def files_of_benchmark(benchmark: Member) -> list[str]:
    """Files of a benchmark that no job makes, such as micrographs: a changed one scores again."""
    return benchmark.files


def manifests_of_benchmark(benchmark: Member) -> list[str]:
    """Tables of the images of a benchmark: those of its scan, and the manifests of its datasets."""
    scan = [path for images in benchmark.upstream.get("images", ()) for path in tables(images)]
    return scan + [manifest(dataset) for dataset in _datasets_of(benchmark)]


def shards_of_benchmark(benchmark: Member) -> list[str]:
    """Shards of the images of a benchmark: of its scan, and of its datasets."""
    scan = [path for images in benchmark.upstream.get("images", ()) for path in shards(images)]
    datasets = _datasets_of(benchmark)
    return scan + [path for dataset in datasets for paths in shards_of_dataset(dataset).values() for path in paths]


def baselines(benchmark: Member) -> str:
    """Scores of the classical methods on the images of a benchmark."""
    return f"results/{benchmark.folder}/baselines.parquet"


def summary(benchmark: Member, study_name: str) -> str:
    """Scores of all methods on a benchmark; of the networks of one study."""
    return f"results/report/{study_name}/{benchmark.folder}/summary.parquet"


def per_image(benchmark: Member, study_name: str) -> str:
    """Scores of all methods on each image of a benchmark."""
    return f"results/report/{study_name}/{benchmark.folder}/per_image.parquet"


def breakdown(benchmark: Member, study_name: str) -> str:
    """Scores of all methods on a benchmark in bins of conditions."""
    return f"results/report/{study_name}/{benchmark.folder}/by.parquet"


def before_the_report(study: Study, study_name: str) -> list[str]:
    """Everything of a study that is made before its report."""
    made = [path for stage in SIMULATION for member in study.stage(stage) for path in shards(member)]
    made += [manifest(dataset) for dataset in study.stage("datasets")]
    made += [path for training in study.stage("trainings") for path in weights(training)]
    return made + [summary(benchmark, study_name) for benchmark in study.stage("benchmarks")]


def folders_of(study: Study) -> list[str]:
    """Names of the folders of all members, each once."""
    return sorted({name_in_paths(member) for stage in study.members for member in study.stage(stage)})


def name_in_paths(member: Member) -> str:
    """Name of the folder of a member, without that of its stage."""
    return member.folder.partition("/")[2]


def _datasets_of(benchmark: Member) -> list[Member]:
    return [dataset for key in ("datasets", "tuned_on") for dataset in benchmark.upstream.get(key, ())]


def _networks(training: Member) -> list[str]:
    seeds = range(training.of(Training).seeds)
    return [f"results/trainings/{name_in_paths(training)}/seed-{seed}" for seed in seeds]
