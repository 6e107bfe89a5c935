"""A study: the resolved config as a graph of blocks with identities, the single source of the workflow.

``load_study`` reads, expands, validates and links; what comes out has every check behind it that
can be made before the first job.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from exitwave.benchmark.kinds import cases_of
from exitwave.config.benchmarks import Benchmark
from exitwave.config.block import Block
from exitwave.config.kinds import STAGES, made_from
from exitwave.config.problems import sentence
from exitwave.config.trainings import Training
from exitwave.config.yaml_files import Raw, read_yaml
from exitwave.errors import ConfigError
from exitwave.study.families import Families, expand, full_name
from exitwave.study.load import check_stages, resolve_like, with_base, with_library
from exitwave.study.member import Member, Study, identity, pool_size
from exitwave.study.scale import PAPER, scaled


def load_study(path: str | Path) -> Study:
    """Read and validate a config file.

    Raises
    ------
    ConfigError
        One sentence naming the key, the value and what is allowed.
    """
    path = Path(path)
    return study_from(read_yaml(path), str(path), path.parent)


def study_from(raw: Raw, source: str, folder: Path | None = None) -> Study:
    """Build a study from a config as a dictionary; ``folder`` is where a base file is looked for."""
    from exitwave.study.checks import check_study

    folder = folder or Path()
    raw, own = with_library(with_base(raw, folder, source), folder, source)
    check_stages(raw, source)
    seed = raw.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"{source}: seed: found {seed!r}, allowed: a whole number, 0 or more")
    scale = raw.get("scale", PAPER)
    blocks = {stage: resolve_like(raw.get(stage) or {}, stage, source) for stage in STAGES}
    try:
        blocks = scaled(blocks, scale)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    members: dict[str, dict[str, Member]] = {}
    families: dict[str, Families] = {}
    for stage in STAGES:
        members[stage], families[stage] = {}, {}
        for name, block in blocks[stage].items():
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", str(name)):
                raise ConfigError(f"{source}: {stage}.{name}: allowed in a name: letters, digits, '_', '-' and '.'")
            references = {key: families[target] for key, target in made_from(stage, block).items()}
            try:
                expanded = expand(block, references)
            except ConfigError as error:
                raise ConfigError(f"{source}: {stage}.{name}.{error}") from error
            families[stage][name] = {full_name(name, labels): labels for labels in expanded}
            for full, resolved in zip(families[stage][name], expanded.values(), strict=True):
                members[stage][full] = _member(resolved, stage, full, members, seed, source)
    if own is not None:
        members = _needed(members, own, families, seed)
    study = Study(source, seed, members, scale)
    check_study(study)
    return study


def _needed(
    members: dict[str, dict[str, Member]], own: dict[str, set[str]], families: dict[str, Families], seed: int
) -> dict[str, dict[str, Member]]:
    """Members of the blocks that a study speaks of itself, and those that these are made from."""
    needed: dict[str, set[str]] = {stage: set() for stage in STAGES}

    def need(member: Member) -> None:
        needed[member.stage].add(member.name)
        for sources in member.upstream.values():
            for source in sources:
                need(source)

    for stage in STAGES:
        for name in [full for block in own.get(stage, ()) for full in families[stage][block]]:
            member = members[stage][name]
            if isinstance(member.block, Benchmark) and member.block.trainings is None:
                there = [m for name, m in members["trainings"].items() if name in needed["trainings"]]
                trainings = cases_of(member.block).scorable(there)
                upstream = {**member.upstream, "trainings": trainings}
                member = replace(member, upstream=upstream, hash=identity(stage, member.block, upstream, seed))
                members[stage][name] = member
            need(member)
    return {stage: {n: m for n, m in members[stage].items() if n in needed[stage]} for stage in STAGES}


def _member(raw: Raw, stage: str, name: str, members: dict[str, dict[str, Member]], seed: int, source: str) -> Member:
    where = f"{source}: {stage}.{name}"
    kinds = STAGES[stage]
    kind = "" if "" in kinds else raw.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        found = "no kind" if kind is None else f"kind '{kind}'"
        raise ConfigError(f"{where}: found {found}; allowed: kind {' or '.join(kinds)}")
    if stage == "datasets" and isinstance(raw.get("images"), list):
        if not all(isinstance(entry, str) for entry in raw["images"]):
            raise ConfigError(f"{where}.images: found {raw['images']!r}; allowed: a list of images blocks")
        # A list is one pool, of which every image is as likely; a name that there is not is found below.
        pools = {entry: members["images"].get(entry) for entry in raw["images"]}
        raw = {**raw, "images": {entry: pool_size(pool) if pool else 1 for entry, pool in pools.items()}}
    try:
        block = kinds[str(kind)].model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}{sentence(error)}") from error
    upstream: dict[str, list[Member]] = {}
    for key, target in block.MADE_FROM.items():
        value = getattr(block, key)
        if isinstance(block, Benchmark) and value is None:
            upstream[key] = cases_of(block).scorable(list(members[target].values()))
            continue
        # The networks that a training starts from may be those of another study, which stand in a folder.
        if isinstance(block, Training) and key == "start_from" and (value is None or _is_folder(value, members, where)):
            continue
        names = [value] if isinstance(value, str) else list(value)
        for entry in names:
            if entry not in members[target]:
                known = ", ".join(members[target]) or f"none, since there is no block in {target}"
                raise ConfigError(f"{where}.{key}: '{entry}' is no block of {target}; allowed: {known}")
        upstream[key] = [members[target][entry] for entry in names]
        taken = block.TAKES.get(key, (Block,))
        if wrong := [source for source in upstream[key] if not isinstance(source.block, taken)]:
            found = f"'{wrong[0].name}' is of kind {getattr(wrong[0].block, 'kind', target)}"
            known = " or ".join(kind for kind, model in STAGES[target].items() if issubclass(model, taken))
            raise ConfigError(f"{where}.{key}: {found}; allowed: blocks of kind {known}")
    return Member(stage, name, block, upstream, identity(stage, block, upstream, seed), seed)


def _is_folder(start_from: str, members: dict[str, dict[str, Member]], where: str) -> bool:
    """Whether networks to start from stand in a folder, and are none of the study's."""
    if start_from in members["trainings"]:
        return False
    if os.path.isdir(start_from):
        return True
    known = ", ".join(members["trainings"]) or "none"
    raise ConfigError(
        f"{where}.start_from: '{start_from}' is no folder, and no block of trainings above this one; allowed: the "
        f"folder of a network or of a training, or one of {known}"
    )
