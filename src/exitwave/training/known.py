"""Which networks there are, known without PyTorch, whose import takes seconds.

What is known stands in ``networks.json``, which :mod:`exitwave.training.survey` makes.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from importlib.resources import files
from typing import Any, get_args

from exitwave.config.models import Classification, Network, PixelNetwork
from exitwave.errors import TrainingError

FILE = "networks.json"
RESIDUAL = "residual"
"""The architecture that has an encoder of its own (:mod:`exitwave.training.residual`)."""
ARCHITECTURES: tuple[str, ...] = tuple(
    name for name in get_args(PixelNetwork.model_fields["architecture"].annotation) if name != RESIDUAL
)
"""Those of segmentation-models-pytorch."""
DEPTHS = (3, 4, 5)
"""Numbers of stages that an encoder may be asked for."""
IMPOSSIBLE = "impossible"
"""Part of the record: of encoders of segmentation-models-pytorch the depths that each architecture cannot have."""
CLASSIFIERS = "classifiers"
"""Part of the record: names of networks of timm."""
WORK = "work"
"""Part of the record: parameters, operations and values (:mod:`exitwave.training.costs`) of the usual networks."""


@cache
def _record() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((files(__package__) / FILE).read_text("utf-8"))
    return record


def name_of(model: Network) -> str:
    """What a network is built of, as the record names it: unet/resnet18/5."""
    return "/".join(str(part) for part in model.parts().values())


def recorded_work(model: Network) -> tuple[int, float, float] | None:
    """Parameters, operations and values of a network; none of those that are not in the record."""
    found: list[Any] | None = _record()[WORK].get(name_of(model))
    return None if found is None else (found[0], found[1], found[2])


def check_network(model: Network) -> None:
    """Refuse an encoder that there is not, or not with this architecture and depth.

    Raises
    ------
    TrainingError
    """
    encoders: dict[str, dict[str, list[int]]] = _record()[IMPOSSIBLE]
    if isinstance(model, PixelNetwork) and model.architecture != RESIDUAL:
        name, architecture, depth = model.encoder, model.architecture, model.encoder_depth
        if name not in encoders:
            raise _unknown(name, "an encoder of segmentation-models-pytorch", list(encoders))
        if depth in encoders[name].get(architecture, ()):
            raise TrainingError(
                f"encoder {name} cannot be used with architecture {architecture} and encoder_depth {depth}; "
                f"allowed: {_possible(encoders[name])}"
            )
    if isinstance(model, Classification):
        # timm adds to the name of a network that of weights that it has been trained to.
        networks = [*_record()[CLASSIFIERS], *encoders]
        if model.encoder.partition(".")[0] not in networks:
            raise _unknown(model.encoder, "a network of timm or an encoder of segmentation-models-pytorch", networks)


def _unknown(name: str, allowed: str, known: list[str]) -> TrainingError:
    similar = list(dict.fromkeys(difflib.get_close_matches(name, known, n=5))) or ["resnet18", "densenet121"]
    return TrainingError(f"encoder is {name!r}; allowed: {allowed}, such as {', '.join(similar)}")


def _possible(impossible: dict[str, list[int]]) -> str:
    """Architectures that an encoder can have, with their depths where not all are possible."""
    told = []
    for name in ARCHITECTURES:
        depths = [str(depth) for depth in DEPTHS if depth not in impossible.get(name, ())]
        if depths:
            told.append(name if len(depths) == len(DEPTHS) else f"{name} with {' or '.join(depths)}")
    return ", ".join(told) or "another encoder"
