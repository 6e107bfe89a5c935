rule dataset:
    input:
        lambda wc: [shard for paths in dataset_shards(wc).values() for shard in paths],
    output:
        manifest="results/datasets/{dataset}/manifest.parquet",
        fingerprint="results/datasets/{dataset}/fingerprint.json",
    log:
        "results/logs/datasets/{dataset}.log",
    benchmark:
        "results/benchmarks_of_jobs/datasets/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 20 * attempt,
    params:
        block=description("datasets", "dataset"),
        shards=lambda wc: json.dumps(dataset_shards(wc), sort_keys=True),
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
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 20 * attempt,
    message:
        "catalog of all images"
    script:
        "../scripts/catalog.py"
