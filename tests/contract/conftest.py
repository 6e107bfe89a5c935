"""A tiny study with every kind of every stage, and its shards made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from every_kind import ROOT, every_kind
from exitwave.data.shards import Shard, open_shard
from exitwave.jobs.simulate import make_shard
from exitwave.study.description import Description, describe
from exitwave.study.link import study_from
from exitwave.study.member import Member, Study
from exitwave.study.plan import sources_of


class Made:
    """Shards of a study, each made once."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study, self.root, self._folder = study, ROOT, folder

    def shard(self, member: Member, start: int = 0, stop: int = 4) -> Path:
        """Shard of some items of a block of the simulation."""
        path = self._folder / f"{start}-{stop}" / member.folder / "shard.zarr.zip"
        if not path.exists():
            sources = {stage: self.shard(source, start, stop) for stage, source in sources_of(member).items()}
            make_shard(Description.parse(describe(member)), range(start, stop), sources, path)
        return path

    def open(self, member: Member, start: int = 0, stop: int = 4) -> Shard:
        return open_shard(self.shard(member, start, stop))


@pytest.fixture
def new_made(tmp_path: Path) -> Callable[[Study], Made]:
    """Shards of a study of one's own."""
    return lambda study: Made(study, tmp_path / "made")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    study = every_kind(tmp_path_factory.mktemp("micrographs"))
    return Made(study_from(study, "examples.yaml"), tmp_path_factory.mktemp("contract"))
