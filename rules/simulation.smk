# One shape of rule for the stages whose kinds make items in shards: structures, exit waves and images.

for stage in SIMULATION:

    rule:
        name:
            stage
        input:
            shards=shard_sources(stage),
        output:
            shard=f"results/{stage}/{{block}}/shard-{{start}}-{{stop}}.zarr.zip",
            table=f"results/{stage}/{{block}}/shard-{{start}}-{{stop}}.parquet",
        log:
            f"results/logs/{stage}/{{block}}/shard-{{start}}-{{stop}}.log",
        benchmark:
            f"results/benchmarks_of_jobs/{stage}/{{block}}/shard-{{start}}-{{stop}}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=memory_of(stage),
            runtime=runtime_of(stage),
            gpu=gpus_of(stage),
        params:
            block=description(stage, "block"),
            sources=stages_read(stage),
            device=chosen_device(stage),
        message:
            "{rule} {wildcards.start} to {wildcards.stop} of {wildcards.block}"
        script:
            "../scripts/simulation.py"
