"""Event files of TensorBoard: what a training comes to, epoch by epoch, to be watched while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exitwave.errors import ConfigError
from exitwave.training.task import Task

if TYPE_CHECKING:
    import torch

    from exitwave.training.examples import Examples

log = logging.getLogger(__name__)
EXAMPLES = 3
"""Validation images that are shown with their predictions."""
SHOWN = 10
"""Epochs of which they are shown: as many pictures of a kind as TensorBoard keeps."""
EDGE = 256
"""Largest edge of such an image [px]; of larger ones every second, third, ... pixel is shown."""

Watch = Callable[[Mapping[str, float], "torch.nn.Module"], None]
"""Takes the row of an epoch in the history, and the network after it, in evaluation mode."""


def check_tensorboard() -> None:
    """Refuse to write event files without the package that does.

    Raises
    ------
    ConfigError
        One sentence that begins with the key of the training.
    """
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "tensorboard: found true, and the package tensorboard is not installed; allowed: false, or install it "
            "(pip install tensorboard)"
        )


@contextmanager
def watched(folder: Path, task: Task, validation: Examples) -> Iterator[Watch]:
    """Give what adds an epoch to the event files of a folder.

    It is to be called before the state of the epoch is kept. What goes on from an earlier epoch takes the later ones
    out of the view of TensorBoard, which reads all files of the folder as one, so that no step is there twice. Where
    nothing can be written a warning says so, once, and the training goes on.

    Parameters
    ----------
    folder : Path
    task : Task
        What is learned.
    validation : Examples
        Some are shown with their predictions, if these are maps.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer: SummaryWriter | None = None
    failed = False

    def watch(row: Mapping[str, float], network: torch.nn.Module) -> None:
        nonlocal writer, failed
        epoch, epochs = int(row["epoch"]), task.model.epochs
        if failed:
            return
        try:
            if writer is None:
                writer = SummaryWriter(str(folder), purge_step=epoch)
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, epoch)
            if (epoch * SHOWN) // epochs > ((epoch - 1) * SHOWN) // epochs:
                picture = _examples(task, validation, network)
                if picture is not None:
                    writer.add_image("image, target, prediction", picture, epoch, dataformats="HW")
            writer.flush()
        except OSError as error:
            failed = True
            log.warning("%s: no more is written for TensorBoard (%s); the training goes on", folder, error)

    try:
        yield watch
    finally:
        if writer is not None:
            with suppress(OSError):  # it was told when it was written
                writer.close()


def _examples(task: Task, validation: Examples, network: torch.nn.Module) -> torch.Tensor | None:
    """Some images, each in a row with its target and its prediction [H, W]; none if predictions are no maps."""
    import torch

    number = len(validation.names)
    places = np.unique(np.linspace(0, number - 1, min(EXAMPLES, number)).astype(np.int64))
    inputs, targets = next(validation.batches([places]))
    with torch.no_grad():
        seen = inputs.reshape(len(inputs), -1, *inputs.shape[-2:]).float()
        predictions = task.predict(network(seen.to(next(network.parameters()).device))).cpu()
    if predictions.ndim != 3:
        return None
    aims = task.truth(targets).float().nan_to_num()
    rows = []
    for image, aim, prediction in zip(seen[:, 0].cpu(), aims, predictions, strict=True):
        # One scale for both, from 0 on, so that a prediction that is too weak looks weak.
        low, high = min(0.0, float(aim.min())), float(aim.max())
        brought = [(part - low) / ((high - low) or 1.0) for part in (aim, prediction)]
        shown = (image - image.min()) / ((image.max() - image.min()) or 1.0)
        rows.append(torch.cat([_small(part, prediction.shape[-1]) for part in (shown, *brought)], dim=1))
    return torch.cat(rows).clamp(0, 1)


def _small(field: torch.Tensor, edge: int) -> torch.Tensor:
    """A field [H, H] with so many pixels at an edge, by repetition, and not more than are shown."""
    field = field.repeat_interleave(edge // len(field), 0).repeat_interleave(edge // len(field), 1)
    step = -(-edge // EDGE)
    return field[::step, ::step]
