"""Learning against a critic: a second network that learns at the same time to tell outputs from what they aim at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.functional import softplus

from exitwave.config.models import Network
from exitwave.config.reconstruction import SuperResolution
from exitwave.training.reconstruction_networks import Critic

_CRITIC_WIDTH = 16


class Adversary:
    """A critic with the optimiser that teaches it. Its first weights come from PyTorch's random state.

    Parameters
    ----------
    fabric : Fabric
        Of the training.
    model : SuperResolution
        Says how much it counts, from when on, and the initial learning rate.
    """

    def __init__(self, fabric: Any, model: SuperResolution) -> None:
        self._fabric, self._model, self._critic = fabric, model, Critic(_CRITIC_WIDTH)
        self._forward = fabric.setup_module(self._critic)
        # The usual inertia makes two networks that learn against each other swing.
        adam = torch.optim.Adam(self._critic.parameters(), lr=model.learning_rate, betas=(0.5, 0.999), fused=True)
        self._optimiser = fabric.setup_optimizers(adam)

    def joins(self, epoch: int) -> bool:
        """Whether it takes part in an epoch, from 1."""
        return epoch > self._model.warm_up

    @property
    def param_groups(self) -> Iterable[dict[str, Any]]:
        """Of its optimiser."""
        groups: Iterable[dict[str, Any]] = self._optimiser.param_groups
        return groups

    def objection(self, outputs: torch.Tensor) -> torch.Tensor:
        """What it adds to the loss of outputs [n, 1, H, W]: its weight times -log of the probability to be true."""
        return self._model.adversarial_weight * softplus(-self._forward(outputs).float()).mean()

    def learn(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """One step of its own optimiser, on outputs [n, 1, H, W] and what they aimed at [n, H, W]."""
        taken_for_true = self._forward(outputs.detach()).float()
        doubted = self._forward(targets.float()[:, None]).float()
        self._optimiser.zero_grad(set_to_none=True)
        self._fabric.backward(softplus(taken_for_true).mean() + softplus(-doubted).mean())
        self._optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Weights, and the state of the optimiser."""
        return {"critic": self._critic.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._critic.load_state_dict(state["critic"])
        self._optimiser.load_state_dict(state["optimiser"])


def adversary_of(fabric: Any, model: Network) -> Adversary | None:
    """What the networks of a block learn against; none of those that learn without."""
    if isinstance(model, SuperResolution) and model.adversarial_weight > 0:
        return Adversary(fabric, model)
    return None
