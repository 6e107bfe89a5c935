"""Scales of a study: the same conditions with fewer and smaller items, to try a study before it is paid for.

All of this works on plain dictionaries before families are expanded, so that names say what is made. What is not of the
type that a key takes is left as it is, for the validation that comes after.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from exitwave.config.block import Block
from exitwave.config.crystals import Crystals
from exitwave.config.kinds import STAGES, made_from, model_of
from exitwave.config.structures import Structures
from exitwave.config.yaml_files import Raw
from exitwave.errors import ConfigError
from exitwave.study.families import axis_label, matrix_axes

PAPER, LAPTOP = "paper", "laptop"
SCALES = (PAPER, LAPTOP)
"""``paper``: as written; ``laptop``: about a sixteenth of the items, and at most two of whatever is repeated."""
FACTOR = 1 / 16
FEWEST_STRUCTURES, MOST_STRUCTURES = 12, 64
FEWEST = 8
"""Size of a dataset below which none is made smaller."""
COARSEST = 0.4
"""[Å] Pixel up to which waves and images are made coarser; 1.25 1/Å at its Nyquist frequency."""
UNEVEN = 3
"""No share of at most 64 structures is this many away from its part of them, by the sequence that splits them."""

Count = Callable[[int], int]


def scaled(blocks: Mapping[str, Raw], scale: Any) -> dict[str, Raw]:
    """Blocks of all stages at a scale.

    Parameters
    ----------
    blocks : mapping
        For each stage its blocks by name, matrices not expanded.
    scale : str
        One of ``SCALES``.

    Raises
    ------
    ConfigError
        If there is no such scale.
    """
    if scale not in SCALES:
        raise ConfigError(f"scale: found {scale!r}; allowed: {' or '.join(SCALES)}")
    if scale == PAPER:
        return dict(blocks)
    least = _smallest_share(blocks["datasets"])
    changed = {
        stage: {name: _with(block, stage, least) for name, block in members.items()}
        for stage, members in blocks.items()
    }
    _coarsen(changed)
    changed["datasets"] = _datasets(blocks["datasets"], _pools(blocks), _pools(changed))
    _rename(blocks, changed)
    return changed


def _smallest_share(datasets: Raw) -> float:
    """Smallest share of a split."""
    shares = [1.0]
    for block in datasets.values():
        held = [block.get(key, STAGES["datasets"][""].model_fields[key].default) for key in ("validation", "test")]
        if all(isinstance(share, int | float) for share in held):
            shares += [share for share in (*held, 1 - sum(held)) if share > 0]
    return min(shares)


def _fewest_structures(model: type[Block], least: float) -> int:
    """So many that some fall into every split.

    A sequence of n covers any share above 1.9 / n. Crystals lie where their prototypes do, as if drawn at random: of n
    none falls into a share s with a probability of exp(-n s), which is a hundredth at 4.6.
    """
    return max(FEWEST_STRUCTURES, math.ceil((4.6 if issubclass(model, Crystals) else 1.9) / least))


def _with(block: Raw, stage: str, least: float) -> Raw:
    """A block with whole numbers cut to what its kind has on a laptop; defaults are written out for that."""
    model = model_of(stage, block)
    if model is None:  # reported when the study is linked
        return block
    rules: dict[str, Count] = {key: lambda n, most=most: most for key, most in model.LAPTOP.items()}  # type: ignore[misc]
    if issubclass(model, Structures):
        fewest = _fewest_structures(model, least)
        rules["count"] = lambda n: max(fewest, min(MOST_STRUCTURES, round(n * FACTOR)))
    if not str(block.get("encoder", "resnet")).startswith("resnet"):
        rules.pop("encoder_depth", None)  # other encoders are not made at every depth
    result = dict(block)
    for key, rule in rules.items():
        value = block.get(key, model.model_fields[key].get_default())
        if isinstance(value, int | dict):
            result[key] = _smaller(value, rule)
    return result


def _smaller(value: Any, rule: Count, most: float = math.inf) -> Any:
    """A count, or a matrix of counts, made smaller; those of a matrix stay different from each other."""
    if _is_count(value):
        return int(min(value, rule(value), most))
    if isinstance(value, dict) and set(value) == {"matrix"} and isinstance(value["matrix"], list):
        counts = sorted({entry for entry in value["matrix"] if _is_count(entry)})
        new: dict[int, int] = {}
        last = -1
        for count in counts:
            last = new[count] = int(min(max(min(count, rule(count)), last + 1), most))
        return {"matrix": [new[entry] if _is_count(entry) else entry for entry in value["matrix"]]}
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _coarsen(blocks: dict[str, Raw]) -> None:
    """Double all pixels, so that images have a quarter of them, if every block allows it."""
    from exitwave.waves.grid import MINIMUM_GRID

    for block in blocks["exit_waves"].values():
        sampling = block.get("sampling")
        for name in _named(block.get("structures")):
            edge = blocks["structures"].get(name, {}).get("field_of_view")
            if not _is_length(sampling) or not _is_length(edge) or 2 * sampling > COARSEST + 1e-9:
                return
            pixels = edge / (2 * sampling)
            if pixels < MINIMUM_GRID or abs(pixels / 2 - round(pixels / 2)) > 1e-6:
                return
    for block in blocks["images"].values():
        # Coarser waves hold smaller apertures, and larger pixels of a camera more counts.
        camera = block.get("detector", {"kind": "ideal"})
        is_ideal = isinstance(camera, dict) and camera.get("kind") == "ideal"
        if {"objective_aperture", "microscope"} & set(block) or not is_ideal:
            return
        if not _is_count(block.get("size")) or block["size"] % 64 or not _is_length(block.get("pixel_size")):
            return
        # Pixels of others are whole multiples of those of their waves, which have been looked at.
        if "exit_waves" not in made_from("images", block).values() and 2 * block["pixel_size"] > COARSEST + 1e-9:
            return
    for block in blocks["exit_waves"].values():
        block["sampling"] *= 2
    for block in blocks["images"].values():
        block["pixel_size"] *= 2
        block["size"] //= 2


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


class _Pool(NamedTuple):
    """Images that a block of images gives, of which its family has several."""

    structures: dict[str, int]
    per_structure: int
    members: int

    @property
    def images(self) -> int:
        return min(self.structures.values()) * self.per_structure


def _pools(blocks: Mapping[str, Raw]) -> dict[str, _Pool]:
    """Pool of every block of images that can be counted."""
    pools = {}
    for name, block in blocks["images"].items():
        chain, found = [block], {}
        links = list(_upstream(blocks, "images", block))
        while links:
            stage, source = links.pop()
            link = blocks[stage].get(source, {})
            chain.append(link)
            if stage == "structures":
                found[source] = link
            links += _upstream(blocks, stage, link)
        counts = {origin: min(_counts(link.get("count")), default=0) for origin, link in found.items()}
        per_structure = min(_counts(block.get("per_structure", 1)), default=0)
        if counts and min(counts.values()) > 0 and per_structure > 0:
            members = math.prod(len(values) for link in chain for values in _axes(link).values())
            pools[name] = _Pool(counts, per_structure, members)
    return pools


def _upstream(blocks: Mapping[str, Raw], stage: str, block: Raw) -> Iterator[tuple[str, str]]:
    """Stage and name of the blocks that a block is made from."""
    for key, target in made_from(stage, block).items():
        yield from ((target, name) for name in _named(block.get(key)))


def _counts(value: Any) -> list[int]:
    values = value.get("matrix", []) if isinstance(value, dict) else [value]
    return [entry for entry in values if _is_count(entry)]


def _sources(images: Any, pools: Mapping[str, _Pool]) -> list[tuple[_Pool, float]]:
    """Pools that a dataset draws from, each with its share of the draw; none if one cannot be counted."""
    names = _named(images)
    if not all(name in pools for name in names):
        return []
    if isinstance(images, dict) and "matrix" not in images:
        shares = [share for share in images.values() if _is_length(share)]
        return [(pools[name], share / sum(shares)) for name, share in zip(names, shares, strict=False)]
    if isinstance(images, list):
        total = sum(pools[name].images * pools[name].members for name in names)
        return [(pools[name], pools[name].images / total) for name in names]
    return [(pools[name], 1.0) for name in names]


def _datasets(blocks: Raw, before: Mapping[str, _Pool], after: Mapping[str, _Pool]) -> Raw:
    """Datasets with sizes, limits and strata in proportion to the images that are left.

    One proportion for all of them, the smallest, so that what has the same size still has.
    """
    sources = {
        name: (_sources(block.get("images"), before), _sources(block.get("images"), after))
        for name, block in blocks.items()
    }
    counted = {name: (old, new) for name, (old, new) in sources.items() if old and new}
    images, structures = 1.0, 1.0
    for name, (old, new) in counted.items():
        if isinstance(blocks[name]["images"], list):
            images = min(images, sum(p.images * p.members for p, _ in new) / sum(p.images * p.members for p, _ in old))
        for (pool, _), (fewer, _) in zip(old, new, strict=True):
            if not isinstance(blocks[name]["images"], list):
                images = min(images, fewer.images / pool.images)
            structures = min(structures, *(n / pool.structures[origin] for origin, n in fewer.structures.items()))
    rules: dict[str, Count] = {
        "size": lambda n: max(FEWEST, math.floor(n * images)),
        "structure": lambda n: max(FEWEST_STRUCTURES, math.ceil(n * structures)),
        "column": lambda n: max(FEWEST, math.ceil(n * images)),
    }
    result = {name: dict(block) for name, block in blocks.items()}
    for name, (_, new) in counted.items():
        block = result[name]
        if "size" in block:
            block["size"] = _smaller(block["size"], rules["size"], _most(block, new))
        if isinstance(block.get("limit"), dict):
            block["limit"] = {
                column: _smaller(value, rules["structure" if column in ("structure", "structure_id") else "column"])
                for column, value in block["limit"].items()
            }
    return result


def _most(block: Raw, sources: list[tuple[_Pool, float]]) -> float:
    """Size for which every source has enough, whichever of its structures are kept for the test."""
    test = block.get("test", STAGES["datasets"][""].model_fields["test"].default)
    rest = 1 - test if isinstance(test, int | float) else 0.0
    left = [(min(pool.structures.values()) * rest - UNEVEN) * pool.per_structure for pool, _ in sources]
    return max(2.0, min((n - 1) / share for n, (_, share) in zip(left, sources, strict=True)))


def _named(value: Any) -> list[str]:
    """Names of blocks in a reference, without what singles out a member."""
    if isinstance(value, str):
        return [value.partition("[")[0]]
    if isinstance(value, dict):
        value = value["matrix"] if set(value) == {"matrix"} else list(value)
    return [name for entry in value for name in _named(entry)] if isinstance(value, list) else []


def _axes(block: Raw) -> dict[str, list[str]]:
    """Labels of a block's own matrices, by axis."""
    try:
        return {axis: [axis_label(axis, v) for v in values] for axis, (_, values) in matrix_axes(block).items()}
    except ConfigError:  # reported with its place when families are expanded
        return {}


def _rename(blocks: Mapping[str, Raw], changed: dict[str, Raw]) -> None:
    """Let references to single members follow the labels that have changed."""
    renamed: dict[tuple[str, str], dict[str, str]] = {}
    for stage, members in changed.items():
        for name, block in members.items():
            labels = renamed[stage, name] = {}
            for key, target in made_from(stage, block).items():
                for source in _named(block.get(key)):
                    labels |= renamed.get((target, source), {})
                if key in block:
                    members[name][key] = _follow(block[key], target, renamed)
            old, new = _axes(blocks[stage][name]), _axes(block)
            for axis in old.keys() & new.keys():
                labels |= dict(zip(old[axis], new[axis], strict=False))


def _follow(value: Any, stage: str, renamed: Mapping[tuple[str, str], Mapping[str, str]]) -> Any:
    if isinstance(value, str) and value.endswith("]"):
        name, _, labels = value[:-1].partition("[")
        known = renamed.get((stage, name), {})
        return f"{name}[{','.join(known.get(label, label) for label in labels.split(','))}]"
    if isinstance(value, list):
        return [_follow(entry, stage, renamed) for entry in value]
    if isinstance(value, dict):
        return {_follow(key, stage, renamed): _follow(entry, stage, renamed) for key, entry in value.items()}
    return value
