rule images:
    input:
        exit_waves=upstream_shard("images", "block", "exit_waves"),
        structures=structures_for_labels,
    output:
        shard="results/images/{block}/shard-{start}-{stop}.zarr.zip",
        table="results/images/{block}/shard-{start}-{stop}.parquet",
    log:
        "results/logs/images/{block}/shard-{start}-{stop}.log",
    benchmark:
        "results/benchmarks_of_jobs/images/{block}/shard-{start}-{stop}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: (1500 + 30 * items(wc)) * attempt,
        runtime=lambda wc, attempt: (10 + items(wc)) * attempt,
        gpu=lambda wc: int(device_of("images", wc) == "cuda"),
    params:
        block=description("images", "block"),
        # Takes ``input`` so that Snakemake does not rerun for a change of it.
        device=lambda wc, input: device_of("images", wc),
    message:
        "images of structures {wildcards.start} to {wildcards.stop} of {wildcards.block}"
    script:
        "../scripts/images.py"
