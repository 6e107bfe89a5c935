"""Reading config files: one base file, a library, blocks that are ``like`` another.

All of this works on plain dictionaries; validation comes after it, in ``study.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path

from exitwave.config.kinds import STAGES
from exitwave.config.merge import merge
from exitwave.config.yaml_files import Raw, parse_yaml, read_yaml
from exitwave.errors import ConfigError


def read_run(files: Sequence[Path], settings: Iterable[str] = ()) -> Raw:
    """Read what a run of the workflow is given: files, each laid over those before it, and settings over all of them.

    Parameters
    ----------
    files : sequence of Path
        Config files.
    settings : iterable of str
        ``KEY=VALUE`` with a top-level key and its value in YAML, such as ``seed=3`` or
        ``images={noisy: {dose: 300}}``. Mappings are merged key by key.

    Raises
    ------
    ConfigError
        As `read_yaml`; for a setting it names the key.
    """
    layers = [read_yaml(path) for path in files]
    for setting in settings:
        key, _, value = setting.partition("=")
        layers.append({key: parse_yaml(value, f"--config {key}")})
    raw: Raw = reduce(merge, layers)
    return raw


def with_base(raw: Raw, folder: Path, source: str) -> Raw:
    """Lay a study over its base file, if it names one (relative to ``folder``)."""
    if "base" not in raw:
        return raw
    path = folder / str(raw["base"])
    base = read_yaml(path)
    if "base" in base:
        raise ConfigError(f"{source}: base {path} has a base itself; allowed: one base file, to rule out circles")
    merged: Raw = merge(base, {key: value for key, value in raw.items() if key != "base"})
    return merged


def with_library(raw: Raw, folder: Path, source: str) -> tuple[Raw, dict[str, set[str]] | None]:
    """Lay a study over its library, if it names one (relative to ``folder``).

    Returns
    -------
    tuple
        The study with all blocks of the library, and the names of the blocks by stage that the study speaks of itself;
        none without a library. Of the others only those are to be made that these are made from.
    """
    if "library" not in raw:
        return raw, None
    path = folder / str(raw["library"])
    library = read_yaml(path)
    for key in ("base", "library"):
        if key in library:
            raise ConfigError(f"{source}: library {path} has a {key} itself; allowed: none, to rule out circles")
    study = {key: value for key, value in raw.items() if key != "library"}
    own = {stage: set(map(str, study[stage])) for stage in STAGES if isinstance(study.get(stage), dict)}
    merged: Raw = merge(library, study)
    return merged, own


def resolve_like(blocks: Raw, stage: str, source: str) -> Raw:
    """Replace ``like: other`` in each block by the keys of the other block of the same stage."""

    def resolve(name: str, seen: tuple[str, ...]) -> Raw:
        if name in seen:
            raise ConfigError(f"{source}: {stage}.{name}: circular reference {' -> '.join([*seen, name])}")
        if name not in blocks:
            raise ConfigError(
                f"{source}: {stage}.{seen[-1]}.like: found '{name}', which is no block of {stage}; "
                f"allowed: {', '.join(blocks)}"
            )
        block = blocks[name]
        if not isinstance(block, dict):
            raise ConfigError(f"{source}: {stage}.{name}: found {block!r}, allowed: a mapping of keys to values")
        if "like" not in block:
            return block
        merged: Raw = merge(resolve(str(block["like"]), (*seen, name)), {k: v for k, v in block.items() if k != "like"})
        return merged

    return {name: resolve(name, ()) for name in blocks}


def check_stages(raw: Raw, source: str) -> None:
    """Refuse a top-level key that is neither ``seed`` nor ``scale`` nor a stage."""
    for key, value in raw.items():
        if key not in {"seed", "scale", *STAGES}:
            allowed = ", ".join(["seed", "base", *STAGES, "library", "scale"])
            raise ConfigError(f"{source}: {key}: unknown key; allowed: {allowed}")
        if key in STAGES and not isinstance(value, dict):
            raise ConfigError(f"{source}: {key}: found {value!r}, allowed: a mapping of block names to blocks")
