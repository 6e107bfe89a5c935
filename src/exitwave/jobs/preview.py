"""A few items of a block made by the jobs of the workflow, for little: what ``exitwave preview`` shows."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from exitwave.config.structures import Structures
from exitwave.errors import ConfigError
from exitwave.images.kinds import simulation_of
from exitwave.jobs.simulate import make_shard
from exitwave.report.samples import Sample
from exitwave.structures.kinds import crystals_told
from exitwave.study.description import Description, describe
from exitwave.study.member import Member, Study
from exitwave.study.plan import sources_of

log = logging.getLogger(__name__)
STAGES = ("images", "exit_waves", "structures")
"""Stages that a preview can show, in the order in which a name is looked for."""
STRUCTURES = 4
"""Structures made at the most, so that a preview takes seconds."""
EXIT_WAVES_OF_A_FAMILY = 1
"""Structures made at the most where exit waves of each member of a family are shown."""
SECONDS = 5.0
"""Time of one core that the structures of a member may take, by the estimate of their kinds."""
ROWS = 12
"""Members of a family shown at the most."""


def members_called(study: Study, name: str) -> list[Member]:
    """Members of the first stage that has a block or a family of this name; ``images.NAME`` says which stage.

    Raises
    ------
    ConfigError
        If no stage that can be shown has one.
    """
    for stage in STAGES:
        wanted = name.removeprefix(f"{stage}.")
        found = [m for m in study.stage(stage) if wanted in (m.name, m.name.partition("[")[0])]
        if found:
            exact = [m for m in found if m.name == wanted]
            return exact or found
    known = [f"{stage}.{known}" for stage in STAGES for known in _families(study, stage)]
    raise ConfigError(f"{study.source}: no block '{name}' that can be shown; allowed: {', '.join(known)}")


def _families(study: Study, stage: str) -> list[str]:
    return list(dict.fromkeys(member.name.partition("[")[0] for member in study.stage(stage)))


class _Jobs:
    """The jobs of the simulation on the first items of a block, each done once."""

    def __init__(self, folder: Path, seed: int | None) -> None:
        self._folder, self._seed = folder, seed
        self._made: dict[str, Path] = {}

    def shard(self, member: Member, count: int, draws: int = 1) -> Path:
        """Shard of a member with the items of the first structures; of images, so many draws of each."""
        key = f"{member.folder}-{count}-{draws}"
        if key in self._made:
            return self._made[key]
        sources = {stage: self.shard(source, count) for stage, source in sources_of(member).items()}
        # Values of keys that a block does not have are left out.
        description = Description.parse(describe(member)).with_values(per_structure=draws)
        description = replace(description, block=simulation_of(member.block).sketch(description.block))
        if self._seed is not None:
            description = replace(description, seed=self._seed)
        what = f"{count * draws} images" if member.stage == "images" else f"{count} {member.stage.replace('_', ' ')}"
        log.info("%s: %s", member.name, what)
        path = self._made[key] = self._folder / str(len(self._made)) / "shard.zarr.zip"
        make_shard(description, range(count), sources, path, getattr(member.block, "device", "cpu"))
        return path


def make_samples(members: list[Member], number: int, seed: int | None, folder: Path) -> list[Sample]:
    """Make a few items of some members of one stage.

    They are the first items that the workflow would make, with the same draws; only what a kind's sketch of a block
    leaves out is missing, such as most of the thermal configurations.

    Parameters
    ----------
    members : list of Member
        All of one stage.
    number : int
        Structures, exit waves or images of each member.
    seed : int, optional
        Root seed in place of the study's: other draws.
    folder : path
        Where shards are written.

    Returns
    -------
    list of Sample
        One a member.
    """
    jobs = _Jobs(folder, seed)
    samples = []
    for member in members:
        most = EXIT_WAVES_OF_A_FAMILY if member.stage == "exit_waves" and len(members) > 1 else STRUCTURES
        count = min(number, most, member.first().count, max(1, int(SECONDS / _seconds(member))))
        draws = math.ceil(number / count) if member.stage == "images" else 1
        samples.append(Sample(member, jobs.shard(member, count, draws), count))
    return samples


def _seconds(member: Member) -> float:
    """Estimated time for the items of one structure, sketched, with all that they are made from, each made once."""
    kinds = {(made.stage, made.hash): (simulation_of(made.block), made) for made in _chain(member)}
    return sum(kind.cost(replace(made, block=kind.sketch(made.block))).seconds for kind, made in kinds.values())


def _chain(member: Member) -> list[Member]:
    """A member and all that it is made from, some of it several times."""
    return [member, *(made for source in sources_of(member).values() for made in _chain(source))]


def make_preview(study: Study, name: str, output: Path, number: int = 8, seed: int | None = None) -> str:
    """Draw a sheet of what a block, or each member of a family, would give.

    Parameters
    ----------
    study : Study
    name : str
        Block of the stages structures, exit_waves or images, or a family of them.
    output : path
        PNG to write.
    number : int
        Structures, exit waves or images of each member.
    seed : int, optional
        Root seed in place of the study's.

    Returns
    -------
    str
        What the sheet shows, in a sentence.

    Raises
    ------
    ConfigError
        If there is no such block.
    """
    from exitwave.report.preview import draw_preview
    from exitwave.report.style import spread

    members = members_called(study, name)
    shown = [members[place] for place in spread(len(members), ROWS)]
    blocks = [member.first() for member in shown]
    structures = [block for block in blocks if isinstance(block, Structures)]
    for text in crystals_told(structures):
        log.info("%s", text)
    with TemporaryDirectory(prefix="exitwave-preview-") as folder:
        samples = make_samples(shown, number, seed, Path(folder))
        note = _note(samples, len(members))
        draw_preview(study, samples, output, number, note)
    return note


def _note(samples: list[Sample], members: int) -> str:
    """What a sheet shows and what it leaves out."""
    first = samples[0]
    number = f" {first.structures}" if first.structures > 1 else ""
    of = first.member.first()
    text = f"the first{number} of {of.count} {'structures' if isinstance(of, Structures) else 'micrographs'}"
    chain = [first.member, *sources_of(first.member).values()]
    text += "".join(f", {part}" for member in chain for part in _sketched(member))
    if len(samples) < members:
        text += f", {len(samples)} of {members} members"
    return text


def _sketched(member: Member) -> list[str]:
    """What the sketch of a block has less of than the block."""
    sketch = simulation_of(member.block).sketch(member.block)
    values = {key: (getattr(sketch, key), getattr(member.block, key)) for key in type(sketch).model_fields}
    return [f"{key} {new} in place of {old}" for key, (new, old) in values.items() if new != old]
