include: "figures.smk"


# Every figure and table of a block; which there are, and all that is said of them, is in exitwave.report.figures.
rule figure:
    input:
        lambda wc: figure_of(wc).inputs(wc.study),
    output:
        report(
            "results/report/{study}/{stage}/{block}/{figure}",
            caption="../captions/figure.rst",
            category=lambda wc: figure_of(wc).figure.category,
            labels=lambda wc: figure_of(wc).labels,
        ),
    log:
        "results/logs/report/{study}/{stage}/{block}/{figure}.log",
    benchmark:
        "results/benchmarks_of_jobs/report/{study}/{stage}/{block}/{figure}.tsv"
    wildcard_constraints:
        stage="|".join(STUDY.members),
        figure=r"(?!browse/).+\.(html|png)",
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: figure_of(wc).figure.memory * attempt,
        runtime=lambda wc, attempt: figure_of(wc).figure.minutes * attempt,
    params:
        figure=lambda wc: figure_of(wc).about(),
        # Takes ``input`` so that Snakemake does not rerun for a change of it.
        caption=lambda wc, input: figure_of(wc).figure.caption,
    message:
        "figure: {wildcards.figure} of {wildcards.block}"
    script:
        "../scripts/figure.py"


# Pages that are too large for the report in one file.
use rule figure as page with:
    output:
        "results/report/{study}/{stage}/{block}/{figure}",
    wildcard_constraints:
        stage="|".join(STUDY.members),
        figure=r"browse/.+\.html",
    message:
        "page: {wildcards.figure} of {wildcards.block}"


# What a reader opens first: it leads to all else.
rule front_page:
    input:
        front_page_inputs(STUDY, STUDY_NAME),
    output:
        report(
            front_page_path(STUDY_NAME),
            caption="../captions/front_page.rst",
            category="0 First page",
            labels={"page": "what was made, how good it is, what to look at"},
        ),
    log:
        f"results/logs/report/{STUDY_NAME}/front_page.log",
    benchmark:
        f"results/benchmarks_of_jobs/report/{STUDY_NAME}/front_page.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1500 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        about=lambda wc: about_front_page(STUDY, STUDY_NAME),
    message:
        "first page of the report"
    script:
        "../scripts/front_page.py"


# Reads the benchmark files of all jobs before it; one that is missing makes nothing rerun.
rule figure_costs:
    input:
        before_the_report(STUDY, STUDY_NAME),
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
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wc, attempt: 1000 * attempt,
        runtime=lambda wc, attempt: 10 * attempt,
    params:
        jobs="results/benchmarks_of_jobs",
        folders=json.dumps(folders_of(STUDY)),
    message:
        "figure: cost of the stages"
    script:
        "../scripts/figure_costs.py"
