"""The task of graphs: for every image its class, by the atoms found in it and the bonds between them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exitwave.config.graphs import ATOMS, Graphs
from exitwave.data.atom_graphs import FEWEST, atom_graph
from exitwave.training.classification import ClassTask, check, facts

if TYPE_CHECKING:
    import torch

__all__ = ["GraphsTask", "check", "facts", "task"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphsTask(ClassTask):
    """Classes of graphs."""

    model: Graphs

    def represented(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tables of the graphs of preprocessed images [n, rows, 4], empty where there are too few atoms."""
        model = self.model
        tables = np.stack([atom_graph(image, model.neighbours, model.bonds == "alike") for image in images])
        if lacking := int((~self.answered(tables)).sum()):
            log.warning(
                "%d of %d images have no graph, since fewer than %d atoms were found: they count as not named",
                lacking,
                len(images),
                FEWEST,
            )
        return tables

    def answered(self, seen: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether a graph has atoms."""
        return np.asarray(seen[:, :ATOMS].any(axis=(1, 2)))

    def build(self) -> torch.nn.Module:
        """Network with one logit a class."""
        from exitwave.training.graph_network import GraphNetwork

        return GraphNetwork(self.model, len(self.classes))

    def check(self, network: torch.nn.Module, shape: Sequence[int]) -> None:
        """Nothing to refuse: graphs of all images are alike."""

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Exchange x and y of all bonds. That changes nothing that the network knows of them, as no turn does."""
        import torch

        mirrored = images[:, ATOMS:][:, :, [0, 2, 1, 3]]
        return torch.cat([images[:, :ATOMS], mirrored], dim=1), targets


def task(model: Graphs, facts: Mapping[str, Any]) -> GraphsTask:
    """The task of a block."""
    return GraphsTask(model, tuple(facts["classes"]))
