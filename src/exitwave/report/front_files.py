"""What the first page of the report is made from: all that the rules know of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exitwave.report.benchmark_figures import BROWSE, SCORED
from exitwave.report.figure import kind_of
from exitwave.report.figures import FigureOf, figures
from exitwave.study import artifacts
from exitwave.study.doubts import doubts
from exitwave.study.member import Member, Study
from exitwave.study.plan import SIMULATION, items_of

ITEMS = {"structures": "structures", "exit_waves": "exit waves", "images": "images"}
"""What the blocks of a stage of the simulation consist of."""


def front_page_path(study_name: str) -> str:
    """The first page of the report of a study."""
    return f"results/report/{study_name}/index.html"


def front_page_inputs(study: Study, study_name: str) -> list[str]:
    """Files that it is made from."""
    tables = [
        path
        for benchmark in _named(study, "benchmarks")
        for path in (*_tables(benchmark, study_name).values(), artifacts.skipped(benchmark))
    ]
    folder = f"results/report/{study_name}"
    shown = [f"{folder}/{figure.path}" for figure in _pictures(study).values()]
    return [*tables, *map(artifacts.manifest, _named(study, "datasets")), *shown]


def about_front_page(study: Study, study_name: str) -> str:
    """What its job is told, as canonical JSON."""
    pictures = _pictures(study)
    made = [_made(study, stage, pictures.get(stage)) for stage in SIMULATION if study.stage(stage)]
    told = {
        "study": study_name,
        # Without its folder, so that the page is the same wherever the study is run.
        "source": Path(study.source).name,
        "folder": f"results/report/{study_name}",
        # As `make run` names it.
        "report": f"../{'report' if study_name == 'demo' else study_name}.html",
        "made": made,
        "datasets": {member.name: artifacts.manifest(member) for member in _named(study, "datasets")},
        "networks": sum(len(artifacts.weights(training)) for training in study.stage("trainings")),
        "trainings": len(study.stage("trainings")),
        "benchmarks": [_benchmark(study, member, study_name) for member in _named(study, "benchmarks")],
        "doubts": sorted(doubts(study)),
        "chapters": _chapters(study),
    }
    return json.dumps(told, sort_keys=True)


def _named(study: Study, stage: str) -> list[Member]:
    """Blocks of a stage by their names, so that another order of the keys in the config makes nothing run."""
    return sorted(study.stage(stage), key=lambda member: member.name)


def _made(study: Study, stage: str, picture: FigureOf | None) -> dict[str, Any]:
    blocks = {member.name: items_of(member) for member in _named(study, stage)}
    return {
        "what": ITEMS[stage],
        "number": sum(blocks.values()),
        "blocks": list(blocks),
        "picture": picture.path if picture else "",
    }


def _pictures(study: Study) -> dict[str, FigureOf]:
    """The first figure of each stage of the simulation that shows what was made."""
    found: dict[str, FigureOf] = {}
    for _, figure in sorted(figures(study).items()):
        if figure.member.stage in SIMULATION and figure.figure.reads in ("shard", "shards"):
            found.setdefault(figure.member.stage, figure)
    return found


def _tables(benchmark: Member, study_name: str) -> dict[str, str]:
    return {
        "summary": artifacts.summary(benchmark, study_name),
        "differences": artifacts.differences(benchmark, study_name),
        "by": artifacts.breakdown(benchmark, study_name),
        "per_image": artifacts.per_image(benchmark, study_name),
    }


def _benchmark(study: Study, member: Member, study_name: str) -> dict[str, Any]:
    drawn = dict(sorted(figures(study).items()))
    there = {figure.figure.file: path for path, figure in drawn.items() if figure.member.folder == member.folder}
    kind = kind_of(member)
    return {
        "name": member.name,
        "kind": kind,
        "scored": SCORED[kind],
        "skipped": artifacts.skipped(member),
        "tables": _tables(member, study_name),
        "pages": {file: path for file, path in there.items() if "{" not in file},
        "browse": {
            figure.training.name: path
            for path, figure in drawn.items()
            if figure.member.folder == member.folder and figure.figure.file == BROWSE and figure.training
        },
    }


def _chapters(study: Study) -> list[tuple[str, list[tuple[str, str]]]]:
    """Figures and tables by chapter, each with its name and path."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, figure in sorted(figures(study).items()):
        found.setdefault(figure.figure.category, []).append((": ".join(figure.labels.values()), path))
    found["7 Costs"] = [("cost of the stages", "costs.png"), ("table", "costs.html")]
    return sorted(found.items())
