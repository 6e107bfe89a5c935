rule benchmark_network:
    input:
        weights="results/trainings/{training}/seed-{seed}/weights.safetensors",
        network="results/trainings/{training}/seed-{seed}/network.json",
        files=lambda wc: files_of_benchmark(benchmark_of(wc)),
        manifests=lambda wc: manifests_of_benchmark(benchmark_of(wc)),
        shards=lambda wc: shards_of_benchmark(benchmark_of(wc)),
    output:
        predictions="results/benchmarks/{benchmark}/{training}/seed-{seed}.zarr.zip",
        scores="results/benchmarks/{benchmark}/{training}/seed-{seed}.parquet",
    log:
        "results/logs/benchmarks/{benchmark}/{training}/seed-{seed}.log",
    benchmark:
        "results/benchmarks_of_jobs/benchmarks/{benchmark}/{training}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: lambda wc: benchmark_of(wc).block.threads
    resources:
        mem_mb=lambda wc, attempt: 4000 * attempt,
        runtime=lambda wc, attempt: 60 * attempt,
    params:
        block=lambda wc: describe(benchmark_of(wc)),
        model=lambda wc: plain(aim_of_benchmark(benchmark_of(wc))),
        training=lambda wc: STUDY.member(f"trainings/{wc.training}").name,
    message:
        "score {wildcards.training}, seed {wildcards.seed}, on {wildcards.benchmark}"
    script:
        "../scripts/benchmark_network.py"


rule benchmark_baselines:
    input:
        files=lambda wc: files_of_benchmark(benchmark_of(wc)),
        manifests=lambda wc: manifests_of_benchmark(benchmark_of(wc)),
        shards=lambda wc: shards_of_benchmark(benchmark_of(wc)),
    output:
        scores="results/benchmarks/{benchmark}/baselines.parquet",
        skipped="results/benchmarks/{benchmark}/skipped.csv",
        task="results/benchmarks/{benchmark}/task.json",
    log:
        "results/logs/benchmarks/{benchmark}/baselines.log",
    benchmark:
        "results/benchmarks_of_jobs/benchmarks/{benchmark}/baselines.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 3000 * attempt,
        runtime=lambda wc, attempt: 30 * attempt,
    params:
        block=lambda wc: describe(benchmark_of(wc)),
        model=lambda wc: plain(aim_of_benchmark(benchmark_of(wc))),
    message:
        "baselines on {wildcards.benchmark}"
    script:
        "../scripts/benchmark_baselines.py"


# The table holds the networks of one study; another study with the same benchmark has its own.
rule benchmark_summary:
    input:
        baselines="results/benchmarks/{benchmark}/baselines.parquet",
        task="results/benchmarks/{benchmark}/task.json",
        networks=lambda wc: predictions_of_benchmark(benchmark_of(wc)),
    output:
        summary="results/report/{study}/benchmarks/{benchmark}/summary.parquet",
        per_image="results/report/{study}/benchmarks/{benchmark}/per_image.parquet",
        by="results/report/{study}/benchmarks/{benchmark}/by.parquet",
        differences="results/report/{study}/benchmarks/{benchmark}/differences.parquet",
    log:
        "results/logs/benchmarks/{study}/{benchmark}/summary.log",
    benchmark:
        "results/benchmarks_of_jobs/benchmarks/{study}/{benchmark}/summary.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 20 * attempt,
    params:
        block=lambda wc: describe(benchmark_of(wc)),
    message:
        "scores on {wildcards.benchmark}"
    script:
        "../scripts/benchmark_summary.py"
