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
        weights="results/trainings/{training}/seed-{seed}/weights.safetensors",
        network="results/trainings/{training}/seed-{seed}/network.json",
        history="results/trainings/{training}/seed-{seed}/history.csv",
    log:
        "results/logs/trainings/{training}/seed-{seed}.log",
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
