"""What a figure of a kind is: its file, its words, what it is drawn from and what draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exitwave.study.member import Member, Study

About = Mapping[str, Any]
"""What a figure is told beside its files, as plain JSON: the title, and what its kind adds."""
Draw = Callable[[Sequence[Path], Path, About], None]


def _nothing(study: Study, member: Member) -> dict[str, Any]:
    return {}


def _always(study: Study, member: Member) -> bool:
    return True


@dataclass(frozen=True)
class Figure:
    """A figure of every block of a kind.

    Attributes
    ----------
    file : str
        Its file in the folder of a block in the report; ``{training}`` stands for the folder of a training.
    category : str
        Chapter of the report.
    label : str
        What it is called there.
    caption : str
        What is said of it, in reStructuredText.
    reads : str
        What it is drawn from: the first shard, all shards or the tables of the block, the manifest of a dataset and the
        shards of its images, the histories of its networks, the predictions of the networks of one training and the
        scores of the baselines, the summary of a benchmark, its scores of each image, or its scores in bins of
        conditions and the summary.
    draw : function
        Draws it from these files into its own, told what :meth:`FigureOf.about` says.
    about : function
        What it is told beside the title.
    needed : function
        Whether a member has it.
    last : bool
        Whether only members have it that nothing else of the study is simulated from.
    each_training : bool
        Whether it is drawn for each training that a benchmark scores.
    memory : int
        Memory that it needs [MB].
    minutes : int
        Time that it needs at the most [min].
    """

    file: str
    category: str
    label: str
    caption: str
    reads: Literal[
        "shard", "shards", "tables", "dataset", "histories", "predictions", "summary", "per_image", "breakdown"
    ]
    draw: Draw
    about: Callable[[Study, Member], dict[str, Any]] = _nothing
    needed: Callable[[Study, Member], bool] = _always
    last: bool = False
    each_training: bool = False
    memory: int = 1500
    minutes: int = 10


def kind_of(member: Member) -> str:
    """Kind of a member; of a training, that of its model."""
    if member.stage == "trainings":
        return kind_of(member.source("model"))
    return str(getattr(member.block, "kind", ""))


def made_by(study: Study, member: Member) -> dict[str, Any]:
    """What a figure is told of the kinds behind a member, each as ``STAGE/KIND``."""
    return {"made_by": sorted(_kinds(member))}


def _kinds(member: Member) -> set[str]:
    """Kinds of a member and all that it is made from, each with its stage."""
    sources = [source for members in member.upstream.values() for source in members]
    return {f"{member.stage}/{kind_of(member)}"}.union(*map(_kinds, sources))
