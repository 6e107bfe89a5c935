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
        # A third attempt goes on where the second has stopped, within what most clusters allow for a job: a day.
        runtime=lambda wc, attempt: runtime_of_training(training_of(wc))
        * min(attempt, 2),
        gpu=gpus_of("trainings", "training"),
        # The devices of a network are those of one machine.
        nodes=1,
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
