# Functions of the rules in report.smk.

from exitwave.report.figures import figures
from exitwave.study.artifacts import before_the_report, folders_of

FIGURES = figures(STUDY)


def figure_of(wildcards):
    """The figure that wildcards name."""
    return FIGURES[f"{wildcards.stage}/{wildcards.block}/{wildcards.figure}"]
