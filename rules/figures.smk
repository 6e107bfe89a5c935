# Functions of the rules in report.smk: what each figure is drawn from, and which figures a study has.

from exitwave.study.plan import label_threshold


def last_simulated():
    """Members of the simulation that nothing else of the study is simulated from."""
    used = {
        source.folder
        for stage in ("exit_waves", "images")
        for member in STUDY.stage(stage)
        for sources in member.upstream.values()
        for source in sources
    }
    stages = ("structures", "exit_waves", "images")
    return [m for stage in stages for m in STUDY.stage(stage) if m.folder not in used]


def tables_of(wildcards):
    member = STUDY.member(f"{wildcards.stage}/{wildcards.block}")
    return [shard.replace(".zarr.zip", ".parquet") for shard in shards(member)]


def histories(wildcards):
    seeds = range(training_of(wildcards).block.seeds)
    return [
        f"results/trainings/{wildcards.training}/seed-{seed}/history.csv"
        for seed in seeds
    ]


def predictions(wildcards):
    """Predictions of the networks of one training on a benchmark."""
    seeds = range(training_of(wildcards).block.seeds)
    folder = f"results/benchmarks/{wildcards.benchmark}/{wildcards.training}"
    return [f"{folder}/seed-{seed}.zarr.zip" for seed in seeds]


def is_real(wildcards):
    return benchmark_of(wildcards).block.kind == "micrographs"


def figure_params(**values):
    """Params of a figure as canonical JSON."""
    return json.dumps(values, sort_keys=True)


def artifacts():
    """Everything that is made before the report."""
    stages = ("structures", "exit_waves", "images")
    made = [
        shard
        for stage in stages
        for member in STUDY.stage(stage)
        for shard in shards(member)
    ]
    made += [
        f"results/{member.folder}/manifest.parquet"
        for member in STUDY.stage("datasets")
    ]
    made += [
        weights for member in STUDY.stage("trainings") for weights in networks(member)
    ]
    made += [
        f"{figures_of(member)}/summary.parquet" for member in STUDY.stage("benchmarks")
    ]
    return made


def figures_of(member):
    return f"results/report/{STUDY_NAME}/{member.folder}"


def final_targets():
    """All figures and tables of the study."""
    figures = [f"{figures_of(m)}/atoms.png" for m in STUDY.stage("structures")]
    figures += [f"{figures_of(m)}/waves.png" for m in STUDY.stage("exit_waves")]
    figures += [f"{figures_of(m)}/contact_sheet.png" for m in STUDY.stage("images")]
    figures += [
        f"{figures_of(m)}/labels.png"
        for m in STUDY.stage("images")
        if "atoms" in m.block.labels
    ]
    figures += [f"{figures_of(m)}/parameters.png" for m in last_simulated()]
    figures += [
        f"{figures_of(m)}/learning_curves.png" for m in STUDY.stage("trainings")
    ]
    for member in STUDY.stage("benchmarks"):
        figures += [
            f"{figures_of(member)}/scores.html",
            f"{figures_of(member)}/scores.png",
        ]
        figures += [
            f"{figures_of(member)}/overlays/{training_folder(training)}.png"
            for training in member.upstream["trainings"]
        ]
    folder = f"results/report/{STUDY_NAME}"
    return figures + [f"{folder}/costs.png", f"{folder}/costs.html"]
