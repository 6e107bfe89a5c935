rule dataset:
    input:
        lambda wc: sum(shards_of_dataset(dataset_of(wc)).values(), []),
    output:
        manifest="results/datasets/{dataset}/manifest.parquet",
        fingerprint="results/datasets/{dataset}/fingerprint.json",
    log:
        "results/logs/datasets/{dataset}.log",
    benchmark:
        "results/benchmarks_of_jobs/datasets/{dataset}.tsv"
    localrule: BESIDE
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: memory_of_table(images_of(dataset_of(wc))) * attempt,
        runtime=lambda wc, attempt: runtime_of_dataset(dataset_of(wc)) * attempt,
    params:
        block=description("datasets", "dataset"),
        shards=lambda wc: plain(shards_of_dataset(dataset_of(wc))),
    message:
        "dataset {wildcards.dataset}"
    script:
        "../scripts/datasets.py"


# Every image of the study with its full history, for queries: exitwave catalog.
rule catalog:
    input:
        [shard for member in STUDY.stage("images") for shard in shards(member)],
    output:
        table="results/report/{study}/catalog.parquet",
    log:
        "results/logs/catalog/{study}.log",
    benchmark:
        "results/benchmarks_of_jobs/datasets/catalog/{study}.tsv"
    localrule: BESIDE
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: memory_of_table(images_of_study(STUDY)) * attempt,
        runtime=lambda wc, attempt: runtime_of_table(images_of_study(STUDY)) * attempt,
    message:
        "catalog of all images"
    script:
        "../scripts/catalog.py"
