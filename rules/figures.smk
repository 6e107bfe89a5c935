# Functions of the rules in report.smk.

from exitwave.report.figures import figures
from exitwave.report.front_files import (
    about_front_page,
    front_page_inputs,
    front_page_path,
)
from exitwave.study.artifacts import before_the_report, folders_of

FIGURES = figures(STUDY)


def figure_of(wildcards):
    """The figure that wildcards name."""
    path = f"{wildcards.stage}/{wildcards.block}/{wildcards.figure}"
    if path not in FIGURES:
        raise WorkflowError(f"{path}: found no such figure of {STUDY.source}")
    return FIGURES[path]
