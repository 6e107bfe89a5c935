"""What a job is told of a block, as text in the params of a rule."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from exitwave.config.block import Block
from exitwave.config.kinds import model_of
from exitwave.study.member import Member

B = TypeVar("B", bound=Block)


@dataclass(frozen=True)
class Description:
    """A block as a job sees it.

    Attributes
    ----------
    stage, name, hash : str
    seed : int
        Root seed of the study.
    block : Block
        Without what counts: amounts and resources are those of their defaults, and mean nothing.
    """

    stage: str
    name: str
    hash: str
    seed: int
    block: Block

    @classmethod
    def parse(cls, text: str) -> Description:
        """Read what :func:`describe` has written."""
        content: dict[str, Any] = json.loads(text)
        raw = content.pop("block")
        model = model_of(content["stage"], raw)
        if model is None:
            raise ValueError(f"{content['stage']} has no kind {raw.get('kind')}")
        counts = {key: 1 for key in model.COUNTS if model.model_fields[key].is_required()}
        return cls(**content, block=model.model_validate({**raw, **counts}))

    def plain(self, defaults: bool = True) -> dict[str, Any]:
        """In plain values, without counts; without values equal to their ``defaults`` if these are not wanted."""
        block = self.block.model_dump(mode="json", exclude=set(self.block.COUNTS), exclude_defaults=not defaults)
        return {"stage": self.stage, "name": self.name, "hash": self.hash, "seed": self.seed, "block": block}

    def of(self, kind: type[B]) -> B:
        """The block, known to be of a kind, or of one of the kinds of a stage."""
        if not isinstance(self.block, kind):
            raise TypeError(f"{self.stage}.{self.name} is {type(self.block).__name__}, not {kind.__name__}")
        return self.block

    def with_values(self, **values: Any) -> Description:
        """With other values of some keys, those that there are."""
        known = {key: value for key, value in values.items() if key in type(self.block).model_fields}
        return replace(self, block=self.block.model_copy(update=known))


def describe(member: Member) -> str:
    """A block as a job sees it, as canonical JSON.

    Snakemake makes again what was made with other text. So counts are left out, and values that come back by
    themselves: neither a raised count nor a key that a newer version adds makes anything again.
    """
    description = Description(member.stage, member.name, member.hash, member.seed, member.block)
    text = json.dumps(description.plain(defaults=False), sort_keys=True)
    # A default that is written out stands against the preset of a microscope, which would come back in its place.
    if Description.parse(text).plain() == description.plain():
        return text
    return json.dumps(description.plain(), sort_keys=True)
