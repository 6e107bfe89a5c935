"""Figures of a study: which there are of each kind of each stage, what they are drawn from and what is said of them.

The table is all that the rules know of figures. What draws is imported by the job that draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exitwave.config.images import Hrtem, MicrographFields
from exitwave.config.models import MaskTarget, Segmentation
from exitwave.report import benchmark_figures, dataset_figures, diffraction_figures, sheet_figures
from exitwave.report.conditions import drawn_columns, in_a_line
from exitwave.report.figure import About, Figure, kind_of, made_by
from exitwave.study import artifacts
from exitwave.study.member import Member, Study
from exitwave.study.plan import SECONDS_OF_A_JOB, SIMULATION, StagePlan

_BYTES_OF_A_FIGURE = 5e5


@dataclass(frozen=True)
class FigureOf:
    """A figure of one member of a study.

    Attributes
    ----------
    figure : Figure
    study : Study
    member : Member
    training : Member, optional
        The training whose predictions it shows.
    """

    figure: Figure
    study: Study
    member: Member
    training: Member | None = None

    @property
    def path(self) -> str:
        """Its path in the folder of a study in the report."""
        return f"{self.member.folder}/{self.figure.file.format(training=self._training)}"

    @property
    def labels(self) -> dict[str, str]:
        """How the report lists it."""
        stage = self.member.stage
        # A chapter is one table, whose figures share the first column.
        whose = stage.removesuffix("s") if stage in ("trainings", "benchmarks") else "block"
        name = artifacts.name_in_paths(self.member)
        return {whose: name, "figure": self.figure.label.format(training=self._training)}

    def inputs(self, study_name: str) -> list[str]:
        """Files that it is drawn from."""
        match self.figure.reads:
            case "shard":
                return artifacts.shards(self.member)[:1]
            case "shards":
                return artifacts.shards(self.member)
            case "tables":
                return artifacts.tables(self.member)
            case "dataset":
                shards = artifacts.shards_of_dataset(self.member).values()
                return [artifacts.manifest(self.member), *(path for paths in shards for path in paths)]
            case "histories":
                return artifacts.histories(self.member)
            case "summary":
                return [artifacts.summary(self.member, study_name)]
            case "per_image":
                return [artifacts.per_image(self.member, study_name)]
            case "predictions":
                assert self.training is not None
                return [*artifacts.predictions(self.member, self.training), artifacts.baselines(self.member)]
            case "breakdown":
                return [artifacts.breakdown(self.member, study_name), artifacts.summary(self.member, study_name)]

    def about(self) -> str:
        """What its job is told, as canonical JSON."""
        name = self.member.name
        return json.dumps(
            {
                "stage": self.member.stage,
                "kind": kind_of(self.member),
                "file": self.figure.file,
                "title": name if self.training is None else f"{name}, network {self.training.name}",
                **self.figure.about(self.study, self.member),
            },
            sort_keys=True,
        )

    @property
    def _training(self) -> str:
        return "" if self.training is None else artifacts.name_in_paths(self.training)


# --- which figures a study has ----------------------------------------------------------------


def figures_of_kind(stage: str, kind: str) -> tuple[Figure, ...]:
    """Figures of a kind: its own, and those of all kinds of its stage unless it has its own in their place."""
    own = FIGURES.get((stage, kind), ())
    names = {figure.file for figure in own}
    return own + tuple(figure for figure in FIGURES.get((stage, ""), ()) if figure.file not in names)


def figure_of_kind(stage: str, kind: str, file: str) -> Figure:
    """The figure of a kind that has this file."""
    return next(figure for figure in figures_of_kind(stage, kind) if figure.file == file)


def figures(study: Study) -> dict[str, FigureOf]:
    """All figures of the blocks of a study, by their path in its folder in the report."""
    last = {member.folder for member in last_simulated(study)}
    found = [
        figure
        for stage in study.members
        for member in study.stage(stage)
        for figure in _figures_of(study, member, member.folder in last)
    ]
    return {figure.path: figure for figure in found}


def _figures_of(study: Study, member: Member, last: bool) -> Iterator[FigureOf]:
    for figure in figures_of_kind(member.stage, kind_of(member)):
        if (figure.last and not last) or not figure.needed(study, member):
            continue
        if figure.each_training:
            yield from (FigureOf(figure, study, member, training) for training in member.upstream["trainings"])
        else:
            yield FigureOf(figure, study, member)


def last_simulated(study: Study) -> list[Member]:
    """Members of the simulation that nothing else of the study is simulated from."""
    members = [member for stage in SIMULATION for member in study.stage(stage)]
    used = {source.folder for member in members for sources in member.upstream.values() for source in sources}
    return [member for member in members if member.folder not in used]


def report_files(study: Study, study_name: str) -> list[str]:
    """All figures and tables in the report of a study."""
    folder = f"results/report/{study_name}"
    return [f"{folder}/{path}" for path in (*figures(study), "costs.png", "costs.html")]


def plan_of_report(study: Study) -> StagePlan:
    """What a run does beside the blocks of a study: figures, costs, the catalog, and the rule ``all`` of Snakemake."""
    drawn = len(figures(study)) + 1 + bool(study.stage("images"))
    return StagePlan("report", "figures, catalog", "report", drawn + 1, drawn, _BYTES_OF_A_FIGURE, SECONDS_OF_A_JOB)


def mask_shown(study: Study, images: Member) -> MaskTarget | None:
    """What counts as particle in the masks of images that are shown.

    It is the target of the first network trained on them that learns masks, or else that of a network by default. Kinds
    of images without masks have none.
    """
    if not isinstance(images.block, Hrtem | MicrographFields):
        return None
    models = [
        training.source("model").block
        for training in study.stage("trainings")
        if images in training.source("datasets").upstream["images"]
    ]
    return next((model.target for model in models if isinstance(model, Segmentation)), MaskTarget())


# --- what figures are told --------------------------------------------------------------------


def _mask(study: Study, images: Member) -> dict[str, Any]:
    target = mask_shown(study, images)
    return {"target": target.model_dump(mode="json") if target else None}


def _columns(study: Study, images: Member) -> dict[str, Any]:
    # As pairs, whose order JSON keeps.
    return {"columns": list(drawn_columns(images.block, varying=True).items())}


def _has_two_masks(study: Study, images: Member) -> bool:
    return "atoms" in images.of(Hrtem).labels and getattr(mask_shown(study, images), "by", "") in MaskTarget.LEAST


# --- what draws -------------------------------------------------------------------------------


def draw_figure(about: str, files: Sequence[Path], path: Path) -> None:
    """Draw one figure.

    Parameters
    ----------
    about : str
        As from :meth:`FigureOf.about`.
    files : sequence of paths
        Files that it is drawn from.
    path : path
        File to write.
    """
    told = json.loads(about)
    figure_of_kind(told["stage"], told["kind"], told["file"]).draw(files, path, told)


def _structures(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.structures import draw_structures

    draw_structures(files[0], path, n=about.get("number", 4), title=about["title"])


def _nanoparticles(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.nanoparticles import ORDER, describe
    from exitwave.report.structures import draw_structures

    draw_structures(files[0], path, describe, ORDER, about.get("number", 4), about["title"])


def _plane_waves(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report import crystals, nanoparticles
    from exitwave.report.waves import draw_exit_waves

    of_particles = "structures/nanoparticles_on_substrate" in about["made_by"]
    describe = nanoparticles.describe_beside if of_particles else crystals.describe
    order = nanoparticles.ORDER if of_particles else ("item",)
    draw_exit_waves(files[0], path, describe, order, about.get("number", 3), about["title"])


def _contact_sheet(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.images import contact_sheet

    def describe(row: Mapping[Any, Any]) -> str:
        return in_a_line(about["kind"], row, dict(about.get("columns", ())))

    contact_sheet(files, path, describe, _target(about), title=about["title"])


def _target(about: About) -> MaskTarget | None:
    return MaskTarget.model_validate(about["target"]) if about.get("target") else None


def _labels(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.labels import draw_labels

    target = _target(about)
    assert target is not None  # the figure is drawn of images with masks
    draw_labels(files[0], path, target, title=about["title"])


def _parameters(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report import (
        crystals,
        diffraction,
        monolayers,
        multilayers,
        nanoparticles,
        probe_scans,
        probes,
        waves,
    )
    from exitwave.report.parameters import parameter_histograms

    told = {
        "structures/crystals": diffraction.TOLD_OF_CRYSTALS,
        "structures/multilayer": multilayers.TOLD,
        "structures/monolayer": monolayers.TOLD,
        "exit_waves/probe": probes.TOLD,
        "exit_waves/scan": probe_scans.TOLD,
        "exit_waves/scattering_matrix": diffraction.TOLD_OF_MATRICES,
        "images/diffraction": diffraction.TOLD_OF_PATTERNS,
        "structures/files": crystals.TOLD,
        "structures/nanoparticles_on_substrate": nanoparticles.TOLD,
        "exit_waves/plane_wave": waves.TOLD,
    }
    parameter_histograms(files, path, [told[kind] for kind in about["made_by"] if kind in told], about["title"])


def _learning_curves(files: Sequence[Path], path: Path, about: About) -> None:
    from exitwave.report.training import draw_training

    draw_training(files, path, title=about["title"])


# --- the table --------------------------------------------------------------------------------


_PARAMETERS = Figure(
    "parameters.png",
    "4 Parameters and maps",
    "histograms",
    "Simulated: distributions of all parameters that vary, as they were drawn. Parameters of particles and structures "
    "count once each, those of images once an image.",
    reads="tables",
    draw=_parameters,
    about=made_by,
    last=True,
)

FIGURES: dict[tuple[str, str], tuple[Figure, ...]] = {
    ("structures", ""): (
        Figure(
            "atoms.png",
            "1 Structures",
            "atoms",
            "Simulated: atoms of sample structures of the first shard, seen from the side and from above; far atoms "
            "are paler.",
            reads="shard",
            draw=_structures,
        ),
        _PARAMETERS,
    ),
    ("structures", "nanoparticles_on_substrate"): (
        Figure(
            "atoms.png",
            "1 Structures",
            "atoms",
            "Simulated: atoms of sample structures, from the fewest to the most and largest particles of the first "
            "shard, seen from the side and from above. The cell is periodic sideways, so that a particle may continue "
            "at the opposite edge; far atoms are paler.",
            reads="shard",
            draw=_nanoparticles,
        ),
    ),
    ("exit_waves", ""): (_PARAMETERS,),
    ("exit_waves", "plane_wave"): (
        Figure(
            "waves.png",
            "2 Exit waves",
            "phase and amplitude",
            "Simulated: phase and amplitude of exit waves, of the whole structure refocused to the middle of the model "
            "and of its particles alone in focus, for the first thermal configuration. Phases that reach π are drawn "
            "in cyclic colours; that of the whole structure is counted from its mean.\n\n"
            "If a thickness series was asked for: intensity of the direct beam and of all that is scattered against "
            "depth, means over thermal configurations.",
            reads="shard",
            draw=_plane_waves,
            about=made_by,
        ),
    ),
    ("images", ""): (
        Figure(
            "contact_sheet.png",
            "3 Images and labels",
            "contact sheet",
            "Simulated: images as they are counted, each in its own grey range, evenly spread over the block, with the "
            "conditions that were drawn for each.",
            reads="shards",
            draw=_contact_sheet,
            about=_columns,
        ),
        _PARAMETERS,
    ),
    ("images", "hrtem"): (
        Figure(
            "contact_sheet.png",
            "3 Images and labels",
            "contact sheet",
            "Simulated: images as they are counted by the camera, each in its own grey range, evenly spread over the "
            "block, with the outlines of the labels that a network learns from. Labels are made from the particles' "
            "exit wave in focus or from their atoms, and are the same whatever the optics and the dose.",
            reads="shards",
            draw=_contact_sheet,
            about=_mask,
        ),
        Figure(
            "labels.png",
            "3 Images and labels",
            "two masks compared",
            "Simulated: particles by the map that networks learn from, such as the smoothed phase of their exit wave, "
            "and by their projected atoms, with where the two differ; below, how well they agree at each threshold of "
            "the map.",
            reads="shard",
            draw=_labels,
            about=_mask,
            needed=_has_two_masks,
        ),
    ),
    ("images", "micrographs"): (
        Figure(
            "contact_sheet.png",
            "3 Images and labels",
            "contact sheet",
            "Experimental: fields cut from micrographs, each in its own grey range, evenly spread over the block, with "
            "the outlines of the masks that were drawn by hand.",
            reads="shards",
            draw=_contact_sheet,
            about=_mask,
        ),
    ),
    ("trainings", ""): (
        Figure(
            "learning_curves.png",
            "5 Trainings",
            "learning curves",
            "Networks trained and validated on simulated images alone, which share no structure. The epoch kept is "
            "that of the smallest validation loss; scores are over all validation images.",
            reads="histories",
            draw=_learning_curves,
            memory=1000,
        ),
    ),
    **dataset_figures.FIGURES,
    **benchmark_figures.FIGURES,
    **diffraction_figures.FIGURES,
    **sheet_figures.FIGURES,
}
"""Figures by stage and kind; without a kind those of every kind of the stage."""
