# exitwave: structures -> exit waves -> images and labels -> datasets -> training -> benchmark -> report.
# Another study: snakemake --cores 8 --configfile config/studies/real_patches.yaml

from snakemake.utils import min_version

min_version("9.0")


include: "rules/common.smk"
include: "rules/simulation.smk"
include: "rules/datasets.smk"
include: "rules/trainings.smk"
include: "rules/benchmarks.smk"
include: "rules/report.smk"


report: "captions/workflow.rst"


localrules:
    all,
    simulate,


rule all:
    default_target: True
    input:
        report_files(STUDY, STUDY_NAME),
        [f"results/report/{STUDY_NAME}/catalog.parquet"]
        if STUDY.stage("images")
        else [],


onstart:
    from snakemake.logging import logger
    from exitwave.jobs.coordinator import coordinate
    from exitwave.study.doubts import doubts
    from exitwave.study.sharding import sharding_doubts

    try:
        coordinate()
    except ExitwaveError as error:
        raise WorkflowError(str(error)) from None
    for doubt in [*doubts(STUDY), *sharding_doubts(STUDY)]:
        logger.warning(f"{STUDY.source}: {doubt}")
    # On a cluster the GPU is on the node of the job, and cannot be looked for here.
    if workflow.local_exec and any(
        getattr(member.block, "device", "cpu") == "cuda"
        for stage in ("exit_waves", "images", "trainings")
        for member in STUDY.stage(stage)
    ):
        from exitwave.hardware import resolve_device

        resolve_device("cuda")


onerror:
    from snakemake.logging import logger
    from exitwave.jobs.run import MORE_MEMORY

    # What kills a job leaves it no time to say so.
    texts = [
        Path(file).read_text(encoding="utf-8", errors="replace") for file in log
    ]
    if any("Signals.SIGKILL" in text for text in texts):
        logger.error(
            f"A job was killed, as the system does where memory is short; {MORE_MEMORY}"
        )


# Only the simulation: every image shard of the study.
rule simulate:
    input:
        [shard for member in STUDY.stage("images") for shard in shards(member)],
