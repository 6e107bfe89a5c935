"""Scenes of bodies whose shape, place and orientation are known."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.structures.body import Body
from exitwave.structures.recipes import build_structure
from exitwave.structures.scene import Scene
from exitwave.structures.structure import Structure

EDGE, PIXELS, SAMPLING = 76.8, 192, 0.4


def scene(*bodies: Body, edge: float = EDGE, **more: Any) -> Structure:
    """Bodies where they are, as objects 1, 2, ..., with metadata as the recipes write them."""
    whole = Scene(np.array([edge, edge, 300.0]))
    for number, body in enumerate(bodies, start=1):
        whole.add(body, object_id=number, minimum_distance=0.5)
    particles = [
        {
            **body.details,
            **more,
            "center": body.origin.tolist(),
            "quaternion": body.quaternion.tolist(),
            "defects": [{"kind": d.kind, "normal": d.normal.tolist(), "point": d.point.tolist()} for d in body.defects],
        }
        for body in bodies
    ]
    return whole.structure(particles=json.dumps(particles))


def recipe(edge: float = EDGE, seed: int = 0, **particles: Any) -> Structure:
    """A structure of the recipes, in vacuum."""
    block = NanoparticlesOnSubstrate.model_validate(
        {"kind": "nanoparticles_on_substrate", "count": 1, "field_of_view": edge, "particles": particles}
    )
    return build_structure(block, np.random.default_rng(seed))


@pytest.fixture(scope="session")
def scenes() -> SimpleNamespace:
    y, x = np.mgrid[:PIXELS, :PIXELS] * SAMPLING

    def distance(cx: float, cy: float) -> np.ndarray:
        """Distance of every pixel from a place in the periodic cell [Å]."""
        return np.hypot(*(np.minimum(abs(a - c) % EDGE, EDGE - abs(a - c) % EDGE) for a, c in ((x, cx), (y, cy))))

    return SimpleNamespace(
        of=scene,
        recipe=recipe,
        distance=distance,
        x=x,
        y=y,
        edge=EDGE,
        sampling=SAMPLING,
        waves=np.ones((1, PIXELS, PIXELS), dtype=np.complex64),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
