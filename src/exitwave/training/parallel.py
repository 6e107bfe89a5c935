"""One network trained by several processes, each with a device and its part of every batch.

The parts of the outputs are put together before the loss is worked out, in every process, so that it is the loss of the
whole batch whatever the task makes of it; gradients and the sums of batch normalisation are added up. Weights are then
those of one process but for rounding, and the same in all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from exitwave.training.examples import Batch, Examples, Places

if TYPE_CHECKING:
    from hashlib import blake2b

LONGEST_WAIT = timedelta(minutes=30)
"""For the others, such as for one that writes a checkpoint: then a process ends with an error."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train a network, and the place of this one among them.

    Attributes
    ----------
    rank : int
        From 0; that process alone writes files.
    number : int
    """

    rank: int = 0
    number: int = 1

    def share(self, examples: Examples) -> Examples:
        """The same examples, whose batches are the parts of this process."""
        return examples if self.number == 1 else _SharedExamples(examples, self)

    def part(self, size: int) -> slice:
        """Part of this process of a batch of some size; parts differ by one at most, and may be empty."""
        each, more = divmod(size, self.number)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def augmented(
        self,
        augment: Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]],
        inputs: Tensor,
        aims: Tensor,
        size: int,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Part of a batch of some size as one process would augment it: with what is drawn for the whole."""
        if self.number == 1:
            return augment(inputs, aims, rng)
        part = self.part(size)
        seen, aimed = augment(_spread(inputs, part, size), _spread(aims, part, size), rng)
        return seen[part], aimed[part]

    def whole(self, part: Tensor, size: int) -> Tensor:
        """A batch of some size from its parts, in every process; gradients go back to the part of each."""
        if self.number == 1:
            return part
        whole: Tensor = _Whole.apply(part, self.part(size), size)
        return whole

    def statistics(self) -> AbstractContextManager[Any]:
        """Batch normalisation over the whole batch, inside."""
        return nullcontext() if self.number == 1 else _OverAll()

    def add_gradients(self, network: torch.nn.Module) -> None:
        """Give the weights of a network the sum of the gradients of all processes."""
        if self.number == 1:
            return
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        # All at once: a message for each would take longer.
        total = _added(torch.cat([gradient.flatten() for gradient in gradients]))
        for weight, gradient, part in zip(
            weights, gradients, torch.split(total, [w.numel() for w in weights]), strict=True
        ):
            weight.grad = gradient.copy_(part.view_as(gradient))

    def agreed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Numbers as the first process has them, so that all go on alike whatever the last digit is."""
        if self.number == 1:
            return dict(values)
        told: list[Any] = [dict(values)]
        distributed.broadcast_object_list(told)
        agreed: dict[str, float] = told[0]
        return agreed


ALONE = Ranks()


@contextmanager
def joined(rank: int, number: int, meeting: str, cuda: bool) -> Iterator[Ranks]:
    """Meet the other processes.

    Parameters
    ----------
    rank, number : int
    meeting : str
        File by which they find each other, which is not there yet.
    cuda : bool
        Whether each has a GPU, its only one; else they compute on processor cores.
    """
    distributed.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=number,
        timeout=LONGEST_WAIT,
        device_id=torch.device("cuda", 0) if cuda else None,
    )
    yield Ranks(rank, number)
    # None leaves while another may still ask it for something. After an error there is nobody to wait for.
    distributed.barrier()
    distributed.destroy_process_group()


@dataclass(frozen=True)
class _SharedExamples:
    """Examples of which this process gets its part of each batch; see :class:`exitwave.training.examples.Examples`."""

    all: Examples
    ranks: Ranks

    @property
    def names(self) -> Sequence[str]:
        return self.all.names

    def batches(self, order: Sequence[Places]) -> Iterator[Batch]:
        parts = [places[self.ranks.part(len(places))] for places in order]
        # Of no image there is no shape: where a part is empty, one is looked at and left out.
        asked = [part if len(part) else places[:1] for part, places in zip(parts, order, strict=True)]
        for part, (inputs, aims) in zip(parts, self.all.batches(asked), strict=True):
            yield inputs[: len(part)], aims[: len(part)]

    def to(self, device: torch.device) -> _SharedExamples:
        return replace(self, all=self.all.to(device))

    def identify(self, digest: blake2b) -> None:
        self.all.identify(digest)


def _added(tensor: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    distributed.all_reduce(tensor)
    return tensor


def _spread(part: Tensor, places: slice, size: int) -> Tensor:
    """A part at its places in a batch of some size, which is 0 elsewhere."""
    whole = part.new_zeros((size, *part.shape[1:]))
    whole[places] = part
    return whole


class _Whole(torch.autograd.Function):
    """A batch from its parts. Every process works out the same loss of it, so that the gradient needs no sum."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, places: slice, size: int) -> Tensor:
        ctx.places = places
        # Truth values are not added everywhere.
        kind = torch.uint8 if part.dtype == torch.bool else part.dtype
        return _added(_spread(part.detach().to(kind), places, size)).to(part.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0][ctx.places], None, None


class _OverAll(TorchFunctionMode):
    """Takes the place of PyTorch's batch normalisation, in whatever layer it is used.

    ``torch.nn.SyncBatchNorm`` knows GPUs alone, and no layers but PyTorch's own.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (_batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As ``torch.nn.functional.batch_norm``, over the batch of all processes."""
    if not training:
        return functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    with torch.no_grad():
        seen, axes, shape = _layout(input)
        sums = _added(torch.cat([seen.sum(axes), seen.new_full((1,), seen.numel() // seen.shape[1])]))
        count, mean = sums[-1], sums[:-1] / sums[-1]
        # In two passes: a difference of large squares would lose digits.
        variance = _added((seen - mean.view(shape)).square().sum(axes)) / count
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * count / (count - 1), momentum)
    normalised: Tensor = _Normalised.apply(input, weight, bias, mean, variance, count, eps)
    return normalised


class _Normalised(torch.autograd.Function):
    """Values less their mean over their standard deviation, both of which depend on the values of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, mean, (variance + eps).rsqrt(), count)
        return functional.batch_norm(values, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        # S. Ioffe and C. Szegedy, ICML 2015, section 3, with the sums over all processes.
        values, weight, mean, inverse, count = ctx.saved_tensors
        seen, axes, shape = _layout(values)
        normalised = (seen - mean.view(shape)) * inverse.view(shape)
        gradient = gradients[0].to(seen.dtype)
        of_bias, of_weight = gradient.sum(axes), (gradient * normalised).sum(axes)
        by_mean, by_variance = (_added(torch.stack([of_bias, of_weight])) / count).unbind()
        scale = inverse if weight is None else inverse * weight
        rest = gradient - by_mean.view(shape) - normalised * by_variance.view(shape)
        of_values = (scale.view(shape) * rest).to(values.dtype)
        return of_values, *((None, None) if weight is None else (of_weight, of_bias)), None, None, None, None


def _layout(values: Tensor) -> tuple[Tensor, list[int], list[int]]:
    """Values in single precision at least, the axes that a channel is normalised over, and the shape of a channel's."""
    precise = values.to(torch.promote_types(values.dtype, torch.float32))
    return precise, [0, *range(2, values.ndim)], [1, -1, *[1] * (values.ndim - 2)]
