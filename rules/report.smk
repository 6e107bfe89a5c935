include: "figures.smk"


rule figure_structures:
    input:
        shard=lambda wc: shard_files(member_of("structures", "block")(wc))[0],
    output:
        report(
            "results/report/{study}/structures/{block}/atoms.png",
            caption="../captions/structures.rst",
            category="1 Structures",
            labels={"block": "{block}", "figure": "atoms"},
        ),
    log:
        "results/logs/report/{study}/structures/{block}/atoms.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/structures/{block}/atoms.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        figure=lambda wc: figure_params(title=member_of("structures", "block")(wc).name),
    message:
        "figure: atoms of {wildcards.block}"
    script:
        "../scripts/figure_structures.py"


rule figure_waves:
    input:
        shard=lambda wc: shard_files(member_of("exit_waves", "block")(wc))[0],
    output:
        report(
            "results/report/{study}/exit_waves/{block}/waves.png",
            caption="../captions/waves.rst",
            category="2 Exit waves",
            labels={"block": "{block}", "figure": "phase and amplitude"},
        ),
    log:
        "results/logs/report/{study}/exit_waves/{block}/waves.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/exit_waves/{block}/waves.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        figure=lambda wc: figure_params(title=member_of("exit_waves", "block")(wc).name),
    message:
        "figure: exit waves of {wildcards.block}"
    script:
        "../scripts/figure_waves.py"


rule figure_images:
    input:
        shards=lambda wc: shard_files(member_of("images", "block")(wc)),
    output:
        report(
            "results/report/{study}/images/{block}/contact_sheet.png",
            caption="../captions/images.rst",
            category="3 Images and labels",
            labels={"block": "{block}", "figure": "contact sheet"},
        ),
    log:
        "results/logs/report/{study}/images/{block}/contact_sheet.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/images/{block}/contact_sheet.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        figure=lambda wc: figure_params(
            title=member_of("images", "block")(wc).name,
            label_threshold=label_threshold(STUDY, member_of("images", "block")(wc)),
        ),
    message:
        "figure: contact sheet of {wildcards.block}"
    script:
        "../scripts/figure_images.py"


rule figure_labels:
    input:
        shard=lambda wc: shard_files(member_of("images", "block")(wc))[0],
    output:
        report(
            "results/report/{study}/images/{block}/labels.png",
            caption="../captions/labels.rst",
            category="3 Images and labels",
            labels={"block": "{block}", "figure": "masks by phase and by atoms"},
        ),
    log:
        "results/logs/report/{study}/images/{block}/labels.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/images/{block}/labels.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        figure=lambda wc: figure_params(
            title=member_of("images", "block")(wc).name,
            label_threshold=label_threshold(STUDY, member_of("images", "block")(wc)),
        ),
    message:
        "figure: labels of {wildcards.block}"
    script:
        "../scripts/figure_labels.py"


rule figure_parameters:
    input:
        tables=tables_of,
    output:
        report(
            "results/report/{study}/{stage}/{block}/parameters.png",
            caption="../captions/parameters.rst",
            category="4 Drawn parameters",
            labels={"block": "{block}", "figure": "histograms"},
        ),
    log:
        "results/logs/report/{study}/{stage}/{block}/parameters.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/{stage}/{block}/parameters.tsv"
    wildcard_constraints:
        stage="structures|exit_waves|images",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        figure=lambda wc: figure_params(
            title=STUDY.member(f"{wc.stage}/{wc.block}").name
        ),
    message:
        "figure: parameters of {wildcards.block}"
    script:
        "../scripts/figure_parameters.py"


rule figure_training:
    input:
        histories=histories,
    output:
        report(
            "results/report/{study}/trainings/{training}/learning_curves.png",
            caption="../captions/training.rst",
            category="5 Trainings",
            labels={"training": "{training}", "figure": "learning curves"},
        ),
    log:
        "results/logs/report/{study}/trainings/{training}/learning_curves.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/trainings/{training}/learning_curves.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        figure=lambda wc: figure_params(title=training_of(wc).name),
    message:
        "figure: learning curves of {wildcards.training}"
    script:
        "../scripts/figure_training.py"


rule figure_scores:
    input:
        summary="results/report/{study}/benchmarks/{benchmark}/summary.parquet",
    output:
        page=report(
            "results/report/{study}/benchmarks/{benchmark}/scores.html",
            caption="../captions/scores.rst",
            category="6 Benchmarks",
            labels={"benchmark": "{benchmark}", "figure": "table of scores"},
        ),
        figure=report(
            "results/report/{study}/benchmarks/{benchmark}/scores.png",
            caption="../captions/scores.rst",
            category="6 Benchmarks",
            labels={"benchmark": "{benchmark}", "figure": "F1 with intervals"},
        ),
    log:
        "results/logs/report/{study}/benchmarks/{benchmark}/scores.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/benchmarks/{benchmark}/scores.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        figure=lambda wc: figure_params(title=benchmark_of(wc).name, real=is_real(wc)),
    message:
        "figure: scores on {wildcards.benchmark}"
    script:
        "../scripts/figure_scores.py"


rule figure_overlays:
    input:
        predictions=predictions,
    output:
        report(
            "results/report/{study}/benchmarks/{benchmark}/overlays/{training}.png",
            caption="../captions/overlays.rst",
            category="6 Benchmarks",
            labels={"benchmark": "{benchmark}", "figure": "predictions of {training}"},
        ),
    log:
        "results/logs/report/{study}/benchmarks/{benchmark}/overlays/{training}.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/benchmarks/{benchmark}/overlays/{training}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 2000 * attempt,
        runtime=lambda wc, attempt: 20 * attempt,
    params:
        figure=lambda wc: figure_params(
            title=f"{benchmark_of(wc).name}, network {training_of(wc).name}",
            real=is_real(wc),
            threshold=benchmark_of(wc).block.threshold,
        ),
    message:
        "figure: predictions of {wildcards.training} on {wildcards.benchmark}"
    script:
        "../scripts/figure_overlays.py"


# Reads the benchmark files of all jobs before it; one that is missing makes nothing rerun.
rule figure_costs:
    input:
        artifacts(),
    output:
        figure=report(
            "results/report/{study}/costs.png",
            caption="../captions/costs.rst",
            category="7 Costs",
            labels={"figure": "cost of the stages"},
        ),
        page=report(
            "results/report/{study}/costs.html",
            caption="../captions/costs.rst",
            category="7 Costs",
            labels={"figure": "table"},
        ),
    log:
        "results/logs/report/{study}/costs.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/costs.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        jobs="results/benchmarks_of_jobs",
        folders=json.dumps(
            sorted(
                member.folder.partition("/")[2]
                for stage in STUDY.members
                for member in STUDY.stage(stage)
            )
        ),
    message:
        "figure: cost of the stages"
    script:
        "../scripts/figure_costs.py"
