from exitwave.config.study import pool_size


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
    return sorted({shard for member in waves for shard in shards(member)})


rule training:
    input:
        manifest=lambda wc: f"results/{training_of(wc).source('datasets').folder}/manifest.parquet",
        shards=lambda wc: [
            shard
            for images in training_of(wc).source("datasets").upstream["images"]
            for shard in shards(images)
        ],
        exit_waves=streamed_waves,
    output:
        weights="results/models/{training}/seed-{seed}/weights.safetensors",
        network="results/models/{training}/seed-{seed}/network.json",
        history="results/models/{training}/seed-{seed}/history.csv",
    log:
        "results/logs/models/{training}/seed-{seed}.log",
    benchmark:
        "results/benchmarks_of_jobs/trainings/{training}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: lambda wc: training_of(wc).block.threads
    resources:
        mem_mb=memory_of_training,
        runtime=lambda wc, attempt: 720 * attempt,
        gpu=lambda wc: int(training_of(wc).block.device == "cuda"),
    params:
        block=lambda wc: describe(training_of(wc)),
        dataset=lambda wc: describe(training_of(wc).source("datasets")),
        model=lambda wc: describe(training_of(wc).source("model")),
        streams=lambda wc: json.dumps(streams(wc), sort_keys=True),
        how=how_to_train,
    message:
        "training {wildcards.training}, seed {wildcards.seed}"
    script:
        "../scripts/trainings.py"
