"""A study: the resolved config as a graph of blocks with identities, the single source of the workflow.

``load_study`` reads, expands, validates and links; what comes out has every check behind it that
can be made before the first job.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from exitwave.config.block import Block
from exitwave.config.blocks import STAGES
from exitwave.config.families import Families, expand, full_name
from exitwave.config.load import Raw, check_stages, read_yaml, resolve_like, with_base, with_library
from exitwave.config.scale import PAPER, scaled
from exitwave.errors import ConfigError

REFERENCES: dict[str, dict[str, str]] = {
    "structures": {},
    "exit_waves": {"structures": "structures"},
    "images": {"exit_waves": "exit_waves"},
    "datasets": {"images": "images"},
    "models": {},
    "trainings": {"datasets": "datasets", "model": "models"},
    "benchmarks": {"trainings": "trainings", "datasets": "datasets"},
}
"""For each stage, the keys that name blocks of an earlier stage."""

DRAWN_FROM_COUNT = {"datasets"}
"""Stages whose content depends on how many items there are upstream, not only on what they are."""


@dataclass(frozen=True)
class Member:
    """One block after expansion: what it is, what it is made from, and where its artifacts stand."""

    stage: str
    name: str
    block: Any
    upstream: dict[str, list[Member]]
    hash: str
    seed: int = field(repr=False)

    @property
    def folder(self) -> str:
        """Folder below ``results/``; a changed value gives another folder."""
        # File systems allow 255 bytes; the hash tells apart what the name then does not.
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", self.name.replace("=", "-")).strip("_")[:120]
        return f"{self.stage}/{slug}-{self.hash}"

    def source(self, key: str) -> Member:
        """The one block named by ``key``."""
        return self.upstream[key][0]


@dataclass(frozen=True)
class Study:
    """All members of a study, by stage and name."""

    source: str
    seed: int
    members: dict[str, dict[str, Member]]
    scale: str = PAPER

    def stage(self, stage: str) -> list[Member]:
        return list(self.members[stage].values())

    def member(self, folder: str) -> Member:
        """The member whose artifacts stand in ``folder`` (a wildcard of the workflow)."""
        for members in self.members.values():
            for member in members.values():
                if member.folder == folder:
                    return member
        raise ConfigError(f"{self.source}: no block has its artifacts in '{folder}'")


def identity(stage: str, block: Any, upstream: dict[str, list[Member]], seed: int) -> str:
    """Eight hex digits that stand for what a block makes.

    Covers the values of the resolved block that are not those of their defaults, without counts and names of other
    blocks; the identities upstream, the ``VERSION`` of the kind and the root seed. The price of leaving defaults out:
    a changed default must come with a new ``VERSION``, which ``tests/config/test_defaults.py`` sees to.
    """
    left_out = set(block.COUNTS) | set(REFERENCES[stage])
    content: dict[str, Any] = {
        "stage": stage,
        "version": block.VERSION,
        # Without values equal to their defaults, so that a new key changes nothing that was made without it.
        "block": block.model_dump(mode="json", exclude=left_out, exclude_defaults=True),
        "upstream": {key: [m.hash for m in members] for key, members in upstream.items()},
    }
    if stage not in ("models", "benchmarks"):
        content["seed"] = seed
    if stage in ("structures", "images"):
        # A CIF file or an MTF is part of what is made, whatever its name; materials of the library are not files.
        files = [Path(name) for name in block.may_be_files()]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]
        if digests:
            content["files"] = digests
    if stage in DRAWN_FROM_COUNT:
        shares = list(block.images.values()) if isinstance(block.images, dict) else [1.0]
        sources = zip(upstream["images"], shares, strict=True)
        # In the order of names, in which the draw goes too: the order in the file does not matter.
        content["upstream"] = sorted((m.name, m.hash, pool_size(m), share) for m, share in sources)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def structures_of(member: Member) -> Member:
    """The structures block that a member of the simulation stages goes back to."""
    while member.stage != "structures":
        member = member.source({"exit_waves": "structures", "images": "exit_waves"}[member.stage])
    return member


def pool_size(images: Member) -> int:
    """Number of images that an images block gives."""
    return int(structures_of(images).block.count * images.block.per_structure)


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
    from exitwave.config.checks import check_study

    folder = folder or Path()
    raw, own = with_library(with_base(raw, folder, source), folder, source)
    check_stages(raw, source)
    seed = raw.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"{source}: seed: found {seed!r}, allowed: a whole number, 0 or more")
    scale = raw.get("scale", PAPER)
    blocks = {stage: resolve_like(raw.get(stage) or {}, stage, source) for stage in STAGES}
    try:
        blocks = scaled(blocks, scale, REFERENCES)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    members: dict[str, dict[str, Member]] = {}
    families: dict[str, Families] = {}
    for stage in STAGES:
        members[stage], families[stage] = {}, {}
        references = {key: families[target] for key, target in REFERENCES[stage].items()}
        for name, block in blocks[stage].items():
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", str(name)):
                raise ConfigError(f"{source}: {stage}.{name}: allowed in a name: letters, digits, '_', '-' and '.'")
            try:
                expanded = expand(block, references)
            except ConfigError as error:
                raise ConfigError(f"{source}: {stage}.{name}.{error}") from error
            families[stage][name] = {full_name(name, labels): labels for labels in expanded}
            for full, resolved in zip(families[stage][name], expanded.values(), strict=True):
                members[stage][full] = _member(resolved, stage, full, members, seed, source)
    if own is not None:
        members = _needed(members, own, families)
    study = Study(source, seed, members, scale)
    check_study(study)
    return study


def _needed(
    members: dict[str, dict[str, Member]], own: dict[str, set[str]], families: dict[str, Families]
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
            if stage == "benchmarks" and member.block.trainings is None:
                trainings = [m for m in member.upstream["trainings"] if m.name in needed["trainings"]]
                member = replace(member, upstream={**member.upstream, "trainings": trainings})
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
    for key, target in REFERENCES[stage].items():
        value = getattr(block, key, None)
        if value is None:
            names = list(members[target]) if stage == "benchmarks" and key == "trainings" else []
        else:
            names = [value] if isinstance(value, str) else list(value)
        for entry in names:
            if entry not in members[target]:
                known = ", ".join(members[target]) or f"none, since there is no block in {target}"
                raise ConfigError(f"{where}.{key}: '{entry}' is no block of {target}; allowed: {known}")
        upstream[key] = [members[target][entry] for entry in names]
    # A benchmark is the same whichever networks are scored on it.
    own = {key: value for key, value in upstream.items() if not (stage == "benchmarks" and key == "trainings")}
    return Member(stage, name, block, upstream, identity(stage, block, own, seed), seed)


def sentence(error: ValidationError) -> str:
    """First problem of a pydantic error as ``.key: found value; what is allowed``."""
    # Of a union every option complains: the one that came furthest into the value is what was meant.
    problem = max(error.errors(include_url=False), key=lambda problem: len(problem["loc"]))
    first = error.errors(include_url=False)[0]
    if first["loc"][:1] != problem["loc"][:1]:
        problem = first
    path, model = _locate(problem["loc"], error.title)
    message = problem["msg"].removeprefix("Value error, ")
    found = f"found {problem['input']!r}"
    if problem["type"] == "extra_forbidden":
        keys = list(model.model_fields) if model else []
        close = difflib.get_close_matches(str(problem["loc"][-1]), keys, n=1, cutoff=0.7)
        hint = f", perhaps meant as '{close[0]}'" if close else ""
        return f"{path}: unknown key (value {problem['input']!r}){hint}; allowed: {', '.join(keys)}"
    if problem["type"] == "missing":
        return f"{path}: is missing; a value is needed"
    if problem["type"] == "model_type":
        keys = list(model.model_fields) if model else []
        return f"{path}: {found}; allowed: a block with the keys {', '.join(keys)}"
    if problem["type"] == "value_error" and isinstance(problem["input"], dict) and not _TAGS & set(problem["input"]):
        return f"{path}: {message}"
    return f"{path}: {found}; {message[0].lower()}{message[1:]}"


_TAGS = {"uniform", "loguniform", "normal", "choice"}


def _locate(location: tuple[int | str, ...], title: str) -> tuple[str, type[BaseModel] | None]:
    """Path of a problem in the words of the config, and the model that it lies in.

    Tags of unions stand in pydantic's location too, but are no keys of the config.
    """
    model: type[BaseModel] | None = next(m for kinds in STAGES.values() for m in kinds.values() if m.__name__ == title)
    path, inside = "", list(_models(model))
    own_key = -1  # where a key stands that the user has chosen
    for place, key in enumerate(location):
        tagged = next((m for m in inside if key in (m.__name__, *_kinds(m))), None)
        if tagged is not None and (model is None or key not in model.model_fields):
            model = tagged
        elif model is not None and key in model.model_fields:
            path += f".{key}"
            annotation = model.model_fields[str(key)].annotation
            own_key = place + 1 if get_origin(annotation) is dict else -1
            inside = list(_models(annotation))
            model = next((m for m in inside if issubclass(m, Block)), None)
        elif isinstance(key, int):
            path += f"[{key}]"
        elif place and (str(location[place - 1]).startswith("dict[") or place == own_key):
            path += f".{key}"
        elif key in _TAGS and (model is None or key != location[-1]):
            model = next((m for m in inside if key in m.model_fields), None)
        elif place == len(location) - 1 and model is not None and key not in _PLAIN_TAGS:
            path += f".{key}"  # a key that there is not
    return path, model


_PLAIN_TAGS = {"form", "random", "[key]"}
"""Tags of alternatives that are no blocks, and of the keys of mappings."""


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """Values of the key ``kind`` of a block, which tell the alternatives of a key apart."""
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
