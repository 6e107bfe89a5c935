"""Sign of the defocus that goes with the published C3: study, preset, and abTEM as the judge."""

from __future__ import annotations

from pathlib import Path

import abtem
import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray

from exitwave.config.images import Hrtem
from exitwave.config.microscopes import with_microscope
from exitwave.imaging.conditions import ImagingConditions
from exitwave.imaging.hrtem import intensity
from exitwave.study.link import load_study
from exitwave.waves.exit_waves import propagate

STUDIES = Path(__file__).resolve().parents[2] / "config" / "studies"
ENERGY, SAMPLING = 300e3, 0.1
C1, C3 = 30.0, -19130.0
"""Means of the published coefficients [Å], with the signs of exp(-i chi)."""
BLOCK = {"kind": "hrtem", "exit_waves": "waves", "pixel_size": 0.4, "size": 64, "dose": 100, "microscope": "team_0_5"}


@pytest.fixture(scope="module")
def waves() -> abtem.Waves:
    """Exit wave of one carbon atom in the middle of the field, by abTEM."""
    atoms = Atoms("C", positions=[(6.4, 6.4, 2)], cell=(12.8, 12.8, 4), pbc=True)
    potential = abtem.Potential(atoms, sampling=SAMPLING, slice_thickness=4)
    return abtem.PlaneWave(energy=ENERGY).multislice(potential, lazy=False)


def image(waves: abtem.Waves, **coefficients: float) -> NDArray[np.float32]:
    lens = abtem.CTF(energy=ENERGY, semiangle_cutoff=39, soft=False, **coefficients)
    return np.asarray(waves.apply_ctf(lens).intensity().array)


def test_the_studies_after_the_paper_and_the_preset_have_the_published_optics() -> None:
    images = load_study(STUDIES / "paper_base.yaml").members["images"]
    blocks = [member.block for name, member in images.items() if name.startswith("all_effects[")]
    assert blocks
    for hrtem in (*blocks, Hrtem.model_validate(with_microscope(BLOCK))):
        assert isinstance(hrtem, Hrtem)
        assert hrtem.defocus.normal == (-C1, 20.0)
        assert hrtem.aberrations.C30.normal[0] == C3


def test_a_positive_c1_of_abtem_is_further_on_along_the_beam(waves: abtem.Waves) -> None:
    further_on = np.abs(propagate(waves.array, C1, ENERGY, SAMPLING)) ** 2
    lens = abtem.CTF(energy=ENERGY, C10=C1)
    np.testing.assert_allclose(waves.apply_ctf(lens).intensity().array, further_on, atol=2e-4)
    by_abtem = abtem.multislice.FresnelPropagator().propagate(waves, C1)
    np.testing.assert_allclose(np.abs(by_abtem.array) ** 2, further_on, atol=2e-4)


def test_the_published_overfocus_makes_atoms_bright_and_as_much_underfocus_dark(waves: abtem.Waves) -> None:
    ours = intensity(waves.array[None], ImagingConditions(defocus=-C1, aberrations={"C30": C3}), ENERGY, SAMPLING, 1)
    lens = abtem.CTF(energy=ENERGY, C10=C1, C30=C3)
    np.testing.assert_allclose(ours, waves.apply_ctf(lens).intensity().array, atol=2e-4)
    middle = waves.shape[-1] // 2
    over, under, scherzer = (image(waves, C10=c1, C30=c3) - 1 for c1, c3 in ((C1, C3), (-C1, C3), (-C1, -C3)))
    assert over[middle, middle] > 0.05
    assert under[middle, middle] < -0.05
    assert scherzer[middle, middle] < -0.05
    # The opposite sign of both is the negative image, but for what is not linear in the phase.
    assert np.corrcoef(over.ravel(), scherzer.ravel())[0, 1] < -0.8
    assert np.corrcoef(over.ravel(), under.ravel())[0, 1] < 0.1
