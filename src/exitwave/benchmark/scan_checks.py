"""What benchmarks of scans, simulated or real, ask of networks and of the dataset that methods are tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exitwave.benchmark.cases import N
from exitwave.config.disks import Disks
from exitwave.config.graph import Node
from exitwave.config.models import Network
from exitwave.errors import ConfigError
from exitwave.training.kinds import kind_of


def check_finders(trainings: Sequence[Node]) -> None:
    """Refuse networks that find no disks."""
    for training in trainings:
        model = training.source("model").of(Network)
        if not isinstance(model, Disks):
            raise ConfigError(
                f"trainings: found '{training.name}', whose model is of kind {model.kind}; allowed: of kind disks"
            )


def check_tuned_on(node: Node) -> None:
    """Refuse datasets without disks for classical methods to be tuned on."""
    try:
        kind_of(Disks(kind="disks")).check(Disks(kind="disks"), node.source("tuned_on").upstream["images"])
    except ConfigError as error:
        raise ConfigError(f"tuned_on: {error}") from error


def scorable(trainings: Sequence[N]) -> list[N]:
    """Those that find disks, and learn what the first of them learns."""
    found = [training for training in trainings if isinstance(training.source("model").block, Disks)]
    return [one for one in found if one.source("model").of(Network).aim() == aim(found)]


def aim(trainings: Sequence[Node]) -> dict[str, Any]:
    """Aim of the networks, which is one for all."""
    return trainings[0].source("model").of(Network).aim() if trainings else Disks(kind="disks").aim()
