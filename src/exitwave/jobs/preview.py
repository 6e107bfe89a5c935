"""A few items of a block made by the jobs of the workflow, for little: what ``exitwave preview`` shows."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exitwave.errors import ConfigError
from exitwave.jobs.simulate import make_exit_waves, make_images, make_structures
from exitwave.report.samples import Sample
from exitwave.study.member import Member, Study
from exitwave.study.plan import describe

log = logging.getLogger(__name__)
STAGES = ("images", "exit_waves", "structures")
"""Stages that a preview can show, in the order in which a name is looked for."""
STRUCTURES = 4
"""Structures made at the most, so that a preview takes seconds."""
WAVES_OF_A_FAMILY = 1
"""Structures made at the most where exit waves of each member of a family are shown."""
PHONONS = 2
"""Thermal configurations simulated at the most."""
WAVE_PIXELS = 2.5e6
"""Pixels of all exit waves together, above which fewer structures are made."""
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

    def structures(self, member: Member, count: int) -> Path:
        """Shard of the first structures."""

        def make(description: dict[str, Any], output: Path) -> None:
            make_structures(description, 0, count, output)

        return self._once(member, f"{count} structures", {}, make)

    def exit_waves(self, member: Member, count: int, **changes: Any) -> Path:
        """Shard of their exit waves."""
        structures = self.structures(member.source("structures"), count)

        def make(description: dict[str, Any], output: Path) -> None:
            make_exit_waves(description, structures, output, member.block.device)

        changes = {"frozen_phonons": _phonons(member), **changes}
        return self._once(member, f"exit waves of {count} structures", changes, make)

    def images(self, member: Member, count: int, draws: int) -> Path:
        """Shard of images, so many of each structure."""
        waves = self.exit_waves(member.source("exit_waves"), count, thickness_series=None)
        structures = self.structures(member.origin(), count) if member.block.labels else None

        def make(description: dict[str, Any], output: Path) -> None:
            make_images(description, waves, output, structures)

        return self._once(member, f"{count * draws} images", {"per_structure": draws}, make)

    def _once(
        self, member: Member, what: str, changes: dict[str, Any], make: Callable[[dict[str, Any], Path], None]
    ) -> Path:
        description = json.loads(describe(member))
        description["block"] |= changes
        if self._seed is not None:
            description["seed"] = self._seed
        key = f"{member.folder}-{what}"
        if key not in self._made:
            log.info("%s: %s", member.name, what)
            path = self._folder / str(len(self._made)) / "shard.zarr.zip"
            make(description, path)
            self._made[key] = path
        return self._made[key]


def make_samples(members: list[Member], number: int, seed: int | None, folder: Path) -> list[Sample]:
    """Make a few items of some members of one stage.

    They are the first items that the workflow would make, with the same draws; only the thermal configurations are
    fewer.

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
        most = WAVES_OF_A_FAMILY if member.stage == "exit_waves" and len(members) > 1 else STRUCTURES
        count = min(number, most, member.origin().block.count)
        phonons = 0
        if member.stage == "structures":
            shard = jobs.structures(member, count)
        else:
            waves = member if member.stage == "exit_waves" else member.source("exit_waves")
            phonons = _phonons(waves)
            pixels = max(1, phonons) * (member.origin().block.field_of_view / waves.block.sampling) ** 2
            count = min(count, max(1, int(WAVE_PIXELS / pixels)))
            if member.stage == "exit_waves":
                shard = jobs.exit_waves(member, count)
            else:
                shard = jobs.images(member, count, math.ceil(number / count))
        samples.append(Sample(member, shard, count, phonons))
    return samples


def _phonons(waves: Member) -> int:
    return min(PHONONS, int(waves.block.frozen_phonons))


def preview(study: Study, name: str, output: Path, number: int = 8, seed: int | None = None) -> str:
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
    with TemporaryDirectory(prefix="exitwave-preview-") as folder:
        samples = make_samples(shown, number, seed, Path(folder))
        note = _note(samples, len(members))
        draw_preview(study, samples, output, number, note)
    return note


def _note(samples: list[Sample], members: int) -> str:
    """What a sheet shows and what it leaves out."""
    first = samples[0]
    stage = first.member.stage
    number = f" {first.structures}" if first.structures > 1 else ""
    text = f"the first{number} of {first.member.origin().block.count} structures"
    if stage != "structures":
        waves = first.member if stage == "exit_waves" else first.member.source("exit_waves")
        if waves.block.frozen_phonons:
            text += f", {first.phonons} of {waves.block.frozen_phonons} thermal configurations"
    if len(samples) < members:
        text += f", {len(samples)} of {members} members"
    return text
