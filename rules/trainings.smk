rule training:
    input:
        manifest=lambda wc: manifest(training_of(wc).source("datasets")),
        shards=lambda wc: sum(
            shards_of_dataset(training_of(wc).source("datasets")).values(), []
        ),
        sources=lambda wc: streamed_shards(training_of(wc)),
        start=lambda wc: start_of(training_of(wc), wc.seed),
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
        mem_mb=lambda wc, attempt: memory_of_training(training_of(wc)) * attempt,
        runtime=lambda wc, attempt: 720 * attempt,
        gpu=lambda wc: int(training_of(wc).block.device == "cuda"),
    params:
        block=lambda wc: describe(training_of(wc)),
        dataset=lambda wc: describe(training_of(wc).source("datasets")),
        model=lambda wc: describe(training_of(wc).source("model")),
        streams=lambda wc: plain(streams(training_of(wc))),
        how=resources_of_training,
    message:
        "training {wildcards.training}, seed {wildcards.seed}"
    script:
        "../scripts/trainings.py"
