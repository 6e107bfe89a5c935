rule exit_waves:
    input:
        structures=upstream_shard("exit_waves", "block", "structures"),
    output:
        shard="results/exit_waves/{block}/shard-{start}-{stop}.zarr.zip",
        table="results/exit_waves/{block}/shard-{start}-{stop}.parquet",
    log:
        "results/logs/exit_waves/{block}/shard-{start}-{stop}.log",
    benchmark:
        "results/benchmarks_of_jobs/exit_waves/{block}/shard-{start}-{stop}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: (3000 + 50 * items(wc)) * attempt,
        runtime=lambda wc, attempt: (30 + 2 * items(wc)) * attempt,
        gpu=lambda wc: int(device_of("exit_waves", wc) == "cuda"),
    params:
        block=description("exit_waves", "block"),
        # Takes ``input`` so that Snakemake does not rerun for a change of it.
        device=lambda wc, input: device_of("exit_waves", wc),
    message:
        "exit waves {wildcards.start} to {wildcards.stop} of {wildcards.block}"
    script:
        "../scripts/exit_waves.py"
