"""Crystals that tests of diffraction share, without any reader between."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from exitwave.structures.unit_cell import UnitCell

DISPLACEMENT = 0.075
"""Root-mean-square displacement of all atoms along one axis [Å]."""


def strontium_titanate(orientation: np.ndarray | None = None, shift: float = 0.0) -> UnitCell:
    """SrTiO3, along [001] if not turned."""
    fractional = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]) + shift
    numbers = np.array([38, 22, 8, 8, 8], np.uint8)
    return UnitCell(3.905 * np.eye(3), fractional, numbers, np.eye(3) if orientation is None else orientation)


def diamond(number: int, edge: float, orientation: np.ndarray | None = None) -> UnitCell:
    """Silicon or germanium in its cubic cell, along [001] if not turned."""
    centred = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    fractional = np.concatenate([centred, centred + 0.25])
    numbers = np.full(8, number, np.uint8)
    return UnitCell(edge * np.eye(3), fractional, numbers, np.eye(3) if orientation is None else orientation)


def gold(orientation: np.ndarray | None = None) -> UnitCell:
    """Gold in its primitive cell, along [001] of the cubic one if not turned."""
    cell = 4.0782 / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return UnitCell(cell, np.zeros((1, 3)), np.array([79], np.uint8), np.eye(3) if orientation is None else orientation)


def triclinic() -> UnitCell:
    """Atoms at random in a triclinic cell without a centre of symmetry, turned at random."""
    rng = np.random.default_rng(5)
    cell = np.array([[5.1, 0, 0], [0.7, 6.2, 0], [-1.1, 0.9, 7.3]])
    numbers = np.array([26, 8, 8, 14, 8, 29, 79, 8, 8], np.uint8)
    return UnitCell(cell, rng.random((9, 3)), numbers, Rotation.random(random_state=1).as_matrix())


def tilted(angle: float, azimuth: float) -> np.ndarray:
    """Orientation with the axis off the beam by an angle [mrad] towards an azimuth [rad]."""
    axis = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    return np.asarray(Rotation.from_rotvec(1e-3 * angle * axis).as_matrix())
