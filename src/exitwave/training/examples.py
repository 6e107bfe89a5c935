"""Examples that a network learns from: held in memory, or made batch by batch as they are needed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from exitwave.data.shards import Shard
from exitwave.training.task import Task, read_examples

if TYPE_CHECKING:
    from hashlib import blake2b

Places = NDArray[np.int64]
Batch = tuple[torch.Tensor, torch.Tensor]
Made = tuple[NDArray[np.floating], NDArray[Any]]
TOGETHER = 64
"""Images of which inputs and targets are made at a time where all are held."""


class Examples(Protocol):
    """Inputs [n, H, H] or [n, c, H, H] and targets [n, ...] of images."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the images, one each."""
        ...

    def batches(self, order: Sequence[Places]) -> Iterator[Batch]:
        """Inputs and targets of the images at some places, one batch after another.

        Raises
        ------
        ShardError
            If a shard that is read is missing or damaged.
        """
        ...

    def to(self, device: torch.device) -> Examples:
        """The same, whose batches are on a device."""
        ...

    def identify(self, digest: blake2b) -> None:
        """Add to a digest what tells these examples from others."""
        ...


@dataclass(frozen=True)
class HeldExamples:
    """Examples in memory."""

    names: Sequence[str]
    inputs: torch.Tensor
    targets: torch.Tensor

    @classmethod
    def of(cls, names: Sequence[str], inputs: NDArray[Any], targets: NDArray[Any]) -> HeldExamples:
        """Of arrays, which are not copied."""
        return cls(names, torch.as_tensor(inputs), torch.as_tensor(targets))

    def batches(self, order: Sequence[Places]) -> Iterator[Batch]:
        """See :class:`Examples`."""
        for places in order:
            index = torch.as_tensor(places, device=self.inputs.device)
            yield self.inputs[index], self.targets[index]

    def to(self, device: torch.device) -> HeldExamples:
        """See :class:`Examples`."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def identify(self, digest: blake2b) -> None:
        """By what they are."""
        for tensor in (self.inputs, self.targets):
            digest_tensor(digest, tensor)


@dataclass(frozen=True)
class MadeExamples:
    """Examples that are made as they are needed, those of the next batches while a network learns from one."""

    names: Sequence[str]
    make: Callable[[Places], Made]
    """Gives inputs and targets of the images at some places; called in several threads."""
    threads: int
    """That make them."""
    device: torch.device | None = None

    def batches(self, order: Sequence[Places]) -> Iterator[Batch]:
        """See :class:`Examples`."""
        waiting = deque[Future[Made]]()
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                for places in order:
                    waiting.append(pool.submit(self.make, places))
                    # One more than are made at a time, so that no thread waits for the network.
                    if len(waiting) > self.threads + 1:
                        yield self._batch(waiting.popleft())
                while waiting:
                    yield self._batch(waiting.popleft())
            finally:
                for future in waiting:
                    future.cancel()

    def _batch(self, future: Future[Made]) -> Batch:
        inputs, targets = future.result()
        return torch.as_tensor(inputs, device=self.device), torch.as_tensor(targets, device=self.device)

    def to(self, device: torch.device) -> MadeExamples:
        """See :class:`Examples`."""
        return replace(self, device=device)

    def identify(self, digest: blake2b) -> None:
        """By the names of the images, from which all that is in them follows."""
        for name in self.names:
            digest.update(f" {name}".encode())


def in_order(examples: Examples, size: int) -> Iterator[tuple[Places, Batch]]:
    """All examples, so many at a time, with their places."""
    number = len(examples.names)
    order = [np.arange(start, min(start + size, number)) for start in range(0, number, size)]
    return zip(order, examples.batches(order), strict=True)


def hold(examples: MadeExamples) -> HeldExamples:
    """The same examples in memory."""
    number = len(examples.names)
    held: list[torch.Tensor] = []
    for places, batch in in_order(examples, TOGETHER):
        # Filled part by part: a list of all and their stack would be twice the memory.
        held = held or [torch.empty((number, *part.shape[1:]), dtype=part.dtype) for part in batch]
        for whole, part in zip(held, batch, strict=True):
            whole[places[0] : places[-1] + 1] = part
    return HeldExamples(examples.names, *held)


class StoredImages:
    """Makes examples from the images of a manifest, as they are stored.

    Parameters
    ----------
    rows : DataFrame
        Of the manifest.
    task : Task
        What makes inputs and targets of them.
    opened : callable
        Gives open shards, as :func:`exitwave.data.batches.keep_open` does.
    kept_bytes : int
        Inputs and targets kept in memory once they are made; those beyond are read whenever they are needed.
    """

    def __init__(self, rows: pd.DataFrame, task: Task, opened: Callable[[str], Shard], kept_bytes: int = 0) -> None:
        self._rows = rows.reset_index(drop=True)
        self._task = task
        self._opened = opened
        self._kept: dict[int, tuple[NDArray[np.floating], NDArray[Any]]] = {}
        self._room = kept_bytes
        self._lock = threading.Lock()

    def make(self, places: Places) -> Made:
        """Inputs and targets of the images in some rows.

        Raises
        ------
        ShardError
            If a shard is missing or damaged.
        """
        lacking = [place for place in places.tolist() if place not in self._kept]
        made = dict(zip(lacking, zip(*self._read(lacking), strict=True), strict=True)) if lacking else {}
        self._keep(made)
        found = [made[place] if place in made else self._kept[place] for place in places.tolist()]
        inputs, targets = zip(*found, strict=True)
        return np.stack(inputs), np.stack(targets)

    def _read(self, places: list[int]) -> Made:
        parts = [
            (self._task.inputs(arrays), self._task.targets(arrays, rows))
            for rows, arrays in read_examples(self._task, self._rows.iloc[places], len(places), self._opened)
        ]
        inputs, targets = zip(*parts, strict=True)
        return np.concatenate(inputs), np.concatenate(targets)

    def _keep(self, made: dict[int, Made]) -> None:
        # The first that come are kept: every epoch needs all, and each once.
        for place, (seen, aimed) in made.items():
            with self._lock:
                if seen.nbytes + aimed.nbytes > self._room:
                    return
                if place not in self._kept:
                    self._room -= seen.nbytes + aimed.nbytes
                    self._kept[place] = seen.copy(), aimed.copy()


def digest_tensor(digest: blake2b, tensor: torch.Tensor) -> None:
    """Add shape, type and values of a tensor to a digest."""
    digest.update(f" {tuple(tensor.shape)} {tensor.dtype} ".encode())
    digest.update(tensor.contiguous().numpy().data)
