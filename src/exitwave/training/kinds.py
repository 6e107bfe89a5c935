"""The kinds of tasks, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from exitwave.config.atoms import Atoms
from exitwave.config.disks import Disks
from exitwave.config.graphs import Graphs
from exitwave.config.kinds import model_of
from exitwave.config.models import Classification, Network, Regression, Segmentation
from exitwave.config.reconstruction import Autoencoder, SuperResolution
from exitwave.training.task import Kind, Task


def kind_of(model: Network) -> Kind:
    """Module of the kind of a block."""
    match model:
        case Segmentation():
            from exitwave.training import segmentation

            return segmentation
        case Regression():
            from exitwave.training import regression

            return regression
        case Classification():
            from exitwave.training import classification

            return classification
        case Disks():
            from exitwave.training import disks

            return disks
        case Atoms():
            from exitwave.training import atoms

            return atoms
        case Graphs():
            from exitwave.training import graphs

            return graphs
        case Autoencoder():
            from exitwave.training import autoencoder

            return autoencoder
        case SuperResolution():
            from exitwave.training import super_resolution

            return super_resolution
    raise TypeError(f"there is no task of {type(model).__name__}")


def task_of(model: Network, facts: Mapping[str, Any]) -> Task:
    """Task of a block, with what is known of its images."""
    return kind_of(model).task(model, facts)


def task_on(model: Network, manifest: pd.DataFrame) -> Task:
    """Task of a block on the images of a manifest.

    Raises
    ------
    ExitwaveError
        If they do not have what the model aims at.
    """
    return task_of(model, kind_of(model).facts(model, manifest))


def described(task: Task) -> dict[str, Any]:
    """A task in plain values, without how its networks are built and optimised."""
    return {"model": task.model.aim(), "facts": task.facts}


def model_from(aim: Mapping[str, Any]) -> Network:
    """Block of a model with this kind and target, all else by default.

    Raises
    ------
    ValueError
        If there is no such kind of models.
    """
    kind = model_of("models", aim)
    if kind is None or not issubclass(kind, Network):
        raise ValueError(f"there are no models of kind {aim.get('kind')!r}")
    return kind.model_validate(aim)


def task_from(description: Mapping[str, Any]) -> Task:
    """Task from its description.

    Raises
    ------
    ValueError
        If there is no such kind of models.
    """
    return task_of(model_from(description["model"]), description["facts"])
