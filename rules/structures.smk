rule structures:
    output:
        shard="results/structures/{block}/shard-{start}-{stop}.zarr.zip",
        table="results/structures/{block}/shard-{start}-{stop}.parquet",
    log:
        "results/logs/structures/{block}/shard-{start}-{stop}.log",
    benchmark:
        "results/benchmarks_of_jobs/structures/{block}/shard-{start}-{stop}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: (1000 + 20 * items(wc)) * attempt,
        runtime=lambda wc, attempt: (10 + items(wc) // 4) * attempt,
    params:
        block=description("structures", "block"),
    message:
        "structures {wildcards.start} to {wildcards.stop} of {wildcards.block}"
    script:
        "../scripts/structures.py"
