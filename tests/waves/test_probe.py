"""Probes against abTEM run by hand, against plane waves, and against what must hold for any of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import abtem
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

import exitwave.waves.probe_waves as probe_waves
from exitwave.config.exit_waves import PlaneWave, Probe
from exitwave.data.rounding import quantum
from exitwave.electron import wavelength
from exitwave.errors import ConfigError, StructureError
from exitwave.items import Asked, Item
from exitwave.structures.structure import Structure, item_arrays
from exitwave.study.link import study_from
from exitwave.waves import probe
from exitwave.waves.multislice import Configuration, Multislice
from exitwave.waves.numba_backend import NumbaBackend
from exitwave.waves.probe_waves import ProbeWaves, simulate_probes
from exitwave.waves.probes import Probes, aperture_disk
from exitwave.waves.torch_backend import TorchBackend

EDGE, HEIGHT, SAMPLING, SIZE, SLICES = 32.0, 24.0, 0.25, 128, 12
SEMIANGLES = (2.0, 7.0)
OFF_CENTRE = np.array([[16.0, 16.0], [11.3, 20.9]])
BACKENDS: dict[str, Any] = {"numba": NumbaBackend, "torch": partial(TorchBackend, device="cpu")}


def block(**changes: object) -> Probe:
    """Set as abTEM is, unless told otherwise."""
    given = {"sampling": SAMPLING, "semiangle": list(SEMIANGLES), "scheme": "conventional", **changes}
    return Probe(**{"kind": "probe", "structures": "s", **given})


def gold_on_carbon(height: float = HEIGHT) -> Structure:
    """A sphere sunk into a random slab of carbon, with empty slices above and between."""
    gold = bulk("Au", cubic=True).repeat(6)
    gold.rotate(20, (1, 2, 3), rotate_cell=True)
    gold.positions -= gold.positions.mean(axis=0)
    gold = gold[np.linalg.norm(gold.positions, axis=1) < 5]
    carbon = np.random.default_rng(0).uniform((0, 0, 2.5), (EDGE, EDGE, 7), (300, 3))
    positions = np.concatenate([carbon, gold.positions + np.array([14.0, 18.0, 16.3])])
    numbers = np.concatenate([np.full(300, 6), gold.numbers]).astype(np.uint8)
    return Structure(positions, numbers, (numbers == 79).astype(np.uint8), np.array([EDGE, EDGE, height]))


def vacuum(height: float = HEIGHT) -> Structure:
    return Structure(np.empty((0, 3)), np.empty(0, np.uint8), np.empty(0, np.uint8), np.array([EDGE, EDGE, height]))


def silicon(height: float = HEIGHT) -> Structure:
    """A crystal along its axis, of whole periods across: 6 cells, stretched by 2 % to the field."""
    crystal = bulk("Si", "diamond", a=EDGE / 6, cubic=True).repeat((6, 6, int(height / (EDGE / 6))))
    return Structure(
        crystal.positions,
        crystal.numbers.astype(np.uint8),
        np.ones(len(crystal), np.uint8),
        np.array([EDGE, EDGE, height]),
    )


def waves(structure: Structure, seed: int = 0, **changes: object) -> ProbeWaves:
    return next(simulate_probes([(structure, np.random.default_rng(seed))], block(**changes)))


def configuration(structure: Structure) -> Configuration:
    return Configuration(structure.positions, structure.numbers, structure.object_id > 0)


def passed(
    structure: Structure, probes: Probes, planes: Sequence[int], backend: str = "numba", **changes: object
) -> NDArray[np.complex64]:
    """Spectra [plane, probe, M, M] of our engine."""
    settings = block(**changes)
    engine = Multislice(settings, EDGE, BACKENDS[backend])
    incoming = probes.spectra(SIZE, EDGE, settings.energy)
    return np.stack(list(engine.probes(configuration(structure), incoming, SLICES, planes)))


def intensity(amplitudes: NDArray[np.complex64]) -> NDArray[np.float64]:
    return np.abs(amplitudes).astype(np.float64) ** 2


def relative_error(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Largest R of any pattern."""
    return float((np.abs(found - expected).sum((-2, -1)) / expected.sum((-2, -1))).max())


def patterns_of_abtem(structure: Structure, semiangle: float, defocus: float, **settings: Any) -> NDArray[np.float64]:
    """Intensities [plane, position, ky, kx] of a plain run, at the depths 8, 14 and 24 Å."""
    options = {"antialias.cutoff": 2 / 3, "antialias.taper": 0.01, "fft": "numpy", "precision": "float32"}
    with abtem.config.set(options):
        potential = abtem.Potential(
            Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True),
            gpts=SIZE * 3 // 2,
            slice_thickness=2.0,
            exit_planes=(3, 6, 11),
        )
        maker = abtem.Probe(semiangle_cutoff=semiangle, energy=settings.get("energy", 300e3), defocus=defocus)
        exit_waves = maker.multislice(potential, scan=abtem.CustomScan(OFF_CENTRE), lazy=False)
    spectra = np.fft.fftshift(np.fft.fft2(exit_waves.array.swapaxes(-2, -1)), axes=(-2, -1))
    low = SIZE * 3 // 4 - SIZE // 2
    kept = intensity(spectra)[..., low : low + SIZE, low : low + SIZE]
    incoming = abtem.Probe(semiangle_cutoff=semiangle, energy=maker.energy, gpts=SIZE * 3 // 2, extent=EDGE)
    return kept / intensity(np.fft.fft2(incoming.build(lazy=False).array)).sum()


@pytest.mark.parametrize("energy", [80e3, 300e3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_probes_are_abtems_at_every_depth_semiangle_and_place(backend: str, energy: float) -> None:
    structure = gold_on_carbon()
    probes = Probes.at_all(SEMIANGLES, OFF_CENTRE, 150.0)
    spectra = passed(structure, probes, (4, 7, 12), backend, energy=energy)
    found = intensity(np.fft.fftshift(spectra, axes=(-2, -1)))
    for place, semiangle in enumerate(SEMIANGLES):
        expected = patterns_of_abtem(structure, semiangle, 150.0, energy=energy)
        of_semiangle = found[:, 2 * place : 2 * place + 2]
        assert relative_error(of_semiangle, expected) < 1e-3
        assert of_semiangle.sum() == pytest.approx(expected.sum(), rel=1e-5)
        # Depth and place matter, and so would a mistaken order of the axes.
        assert relative_error(of_semiangle[[0]], expected[[2]]) > 0.05
        assert relative_error(of_semiangle[:, ::-1], expected) > 0.05
        assert relative_error(of_semiangle.swapaxes(-2, -1), expected) > 0.05


def test_defocus_has_the_sign_of_abtem() -> None:
    spectra = passed(gold_on_carbon(), Probes.at_all(SEMIANGLES[1:], OFF_CENTRE, -150.0), (4, 7, 12))
    found = intensity(np.fft.fftshift(spectra, axes=(-2, -1)))
    assert relative_error(found, patterns_of_abtem(gold_on_carbon(), SEMIANGLES[1], -150.0)) < 1e-3
    assert relative_error(found, patterns_of_abtem(gold_on_carbon(), SEMIANGLES[1], 150.0)) > 0.02


def test_engine_abtem_of_the_block_gives_what_ours_does() -> None:
    changes = {"frozen_phonons": 2, "positions": 2, "thickness_step": 8.0, "defocus": {"uniform": [50, 90]}}
    ours, reference = (waves(gold_on_carbon(), 5, engine=engine, **changes) for engine in ("exitwave", "abtem"))
    assert ours.amplitudes.shape == (2, 2, 3, 2, SIZE, SIZE)
    assert (ours.metadata["engine"], reference.metadata["engine"]) == ("exitwave", "abtem")
    assert 50 < ours.metadata["probe_defocus"] == reference.metadata["probe_defocus"] < 90
    np.testing.assert_array_equal(ours.positions, reference.positions)
    assert relative_error(intensity(ours.amplitudes), intensity(reference.amplitudes)) < 1e-3
    # Both are complex amplitudes to the same scale and phase, not intensities alone.
    difference = np.linalg.norm(ours.amplitudes - reference.amplitudes) / np.linalg.norm(reference.amplitudes)
    assert difference < 1e-3


def test_probe_in_vacuum_is_its_aperture() -> None:
    found = waves(vacuum(), thickness_step=10.0, positions=3, defocus=70.0)
    assert found.amplitudes.shape == (2, 3, 2, 1, SIZE, SIZE)
    np.testing.assert_allclose(found.planes, [10, 20])
    np.testing.assert_array_equal(found.semiangles, SEMIANGLES)
    assert found.metadata["intensity_lost"] == pytest.approx(0, abs=1e-5)
    k = np.arange(-SIZE // 2, SIZE // 2)
    for amplitudes, semiangle in zip(found.amplitudes, SEMIANGLES, strict=True):
        radius = semiangle * 1e-3 / wavelength(300e3) * EDGE
        disk = np.clip(radius + 0.5 - np.hypot(k[:, None], k), 0, 1)
        disk /= np.linalg.norm(disk)
        np.testing.assert_allclose(np.abs(amplitudes), np.broadcast_to(disk, amplitudes.shape), atol=1e-6)
        assert disk[SIZE // 2, SIZE // 2] == disk.max()


def test_probe_is_in_focus_at_its_defocus_and_where_it_was_put() -> None:
    """There all frequencies are in phase, but for the place; in focus it is as narrow as it gets."""
    found = waves(vacuum(), positions=1, defocus=HEIGHT)
    x, y = found.positions[0]
    k = np.arange(-SIZE // 2, SIZE // 2) / EDGE
    amplitudes = found.amplitudes[1, 0, 0, 0] * np.exp(2j * np.pi * (k[:, None] * y + k * x))
    np.testing.assert_allclose(amplitudes, np.abs(amplitudes), atol=1e-5)
    real = np.abs(np.fft.ifft2(np.fft.ifftshift(found.amplitudes[1, 0, 0, 0])))
    peak = np.array(np.unravel_index(np.argmax(real), real.shape)) * SAMPLING
    np.testing.assert_allclose(peak, [y, x], atol=0.51 * SAMPLING)


@pytest.mark.parametrize("scheme", ["conventional", "accurate"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_probes_together_are_what_each_is_alone(backend: str, scheme: str) -> None:
    probes = Probes.at_all(SEMIANGLES, OFF_CENTRE, 20.0)
    together = passed(gold_on_carbon(), probes, (4, 12), backend, scheme=scheme)
    for member in range(len(probes)):
        alone = passed(gold_on_carbon(), probes.some(member, member + 1), (4, 12), backend, scheme=scheme)
        np.testing.assert_allclose(together[:, member], alone[:, 0], atol=1e-7)


def test_a_transmission_function_is_made_once_for_all_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = NumbaBackend.transmission

    def transmission(self, *given):  # type: ignore[no-untyped-def]
        made.append(original(self, *given))
        return made[-1]

    monkeypatch.setattr(NumbaBackend, "transmission", transmission)
    waves(silicon(), positions=3)
    occupied = len(set(silicon().positions[:, 2] // 2.0))
    assert [len(each) for each in made] == [1] * occupied


def test_planes_are_what_separate_runs_give() -> None:
    probes = Probes.at_all(SEMIANGLES, OFF_CENTRE, 0.0)
    series = passed(gold_on_carbon(), probes, (1, 5, 9, 12))
    for plane, found in zip((1, 5, 9, 12), series, strict=True):
        np.testing.assert_allclose(found, passed(gold_on_carbon(), probes, (plane,))[0], atol=1e-7)


def test_planes_stand_at_whole_slices_and_thin_structures_have_their_exit() -> None:
    found = waves(gold_on_carbon(25.0), thickness_step=6.9)
    np.testing.assert_allclose(found.planes, [6, 12, 18, 24])
    assert found.metadata["n_slices"] == 13
    assert waves(gold_on_carbon(25.0)).planes.tolist() == [26.0]
    assert waves(gold_on_carbon(25.0), thickness_step=40.0).planes.tolist() == [26.0]


@pytest.mark.parametrize("scheme", ["conventional", "accurate"])
def test_torch_gives_the_spectra_of_numba_and_single_precision_is_enough(scheme: str) -> None:
    probes = Probes.at_all(SEMIANGLES, OFF_CENTRE, 20.0)
    one, other = (passed(gold_on_carbon(), probes, (5, 12), backend, scheme=scheme) for backend in BACKENDS)
    double = Multislice(block(scheme=scheme), EDGE, partial(TorchBackend, device="cpu", dtype=torch.complex128))
    incoming = probes.spectra(SIZE, EDGE, 300e3)
    exact = np.stack(list(double.probes(configuration(gold_on_carbon()), incoming, SLICES, (5, 12))))
    for found in (one, other):
        assert np.linalg.norm(found - exact) < 1e-5 * np.linalg.norm(exact)


@pytest.mark.parametrize("scheme", ["conventional", "accurate"])
def test_probe_of_one_frequency_is_the_plane_wave(scheme: str) -> None:
    narrow = 0.4 * 1e3 * wavelength(300e3) / EDGE
    probes = Probes(np.array([narrow]), np.zeros((1, 2)))
    found = passed(gold_on_carbon(), probes, (7, 12), scheme=scheme)
    settings = PlaneWave(kind="plane_wave", structures="s", sampling=SAMPLING, scheme=scheme)
    plane = Multislice(settings, EDGE, NumbaBackend).spectra([configuration(gold_on_carbon())], SLICES, planes=(7, 12))
    for one, other in zip(found, plane.series, strict=True):
        assert other is not None
        assert np.linalg.norm(one[0] - other[0]) < 1e-5 * np.linalg.norm(other[0] - other[0].mean())


def test_intensity_is_kept_but_for_what_is_said_to_be_lost() -> None:
    found = waves(gold_on_carbon(), thickness_step=4.0, scheme="accurate")
    sums = intensity(found.amplitudes).sum((-2, -1))
    assert (np.diff(sums, axis=2) < 1e-6).all()
    assert sums.max() < 1 + 1e-5
    assert found.metadata["intensity_lost"] == pytest.approx(1 - sums.min(), abs=1e-6)
    assert 1e-3 < found.metadata["intensity_lost"] < 0.1
    assert found.metadata["loss_alarm"] is False


def test_heavy_loss_is_marked_and_told(caplog: pytest.LogCaptureFixture) -> None:
    positions = np.random.default_rng(0).uniform((0, 0, 1), (EDGE, EDGE, 23), (6000, 3))
    lead = Structure(positions, np.full(6000, 82, np.uint8), np.ones(6000, np.uint8), np.array([EDGE, EDGE, HEIGHT]))
    assert waves(lead, sampling=0.5, scheme="accurate").metadata["loss_alarm"] is True
    assert "lost to the band limit, more than 10 %" in caplog.text


def test_phonons_have_transmission_functions_of_their_own_and_scatter_between_the_disks() -> None:
    rest = intensity(waves(silicon(), scheme="accurate").amplitudes)[0, 0, 0]
    found = waves(silicon(), scheme="accurate", frozen_phonons=3)
    moved = intensity(found.amplitudes)[0, 0, 0]
    assert moved.shape[0] == 3
    assert "Si" in found.metadata["rms_displacements"]
    assert relative_error(moved[:1], moved[1:2]) > 1e-3
    k = np.hypot(*np.meshgrid(*2 * [np.arange(-SIZE // 2, SIZE // 2)]))
    # Six cells across: all disks lie around multiples of six pixels, of which 3 is farthest.
    rows, columns = np.meshgrid(*2 * [np.arange(-SIZE // 2, SIZE // 2) % 6], indexing="ij")
    between = (rows == 3) & (columns == 3) & (k > 15) & (k < 50)
    assert moved.mean(axis=0)[between].mean() > 100 * rest[0][between].mean()


def test_probes_a_period_apart_see_the_same_crystal() -> None:
    period = EDGE / 6
    places = np.array([[9.3, 12.8], [9.3 + period, 12.8 - 2 * period], [10.4, 12.8]])
    found = intensity(passed(silicon(), Probes.at_all((7.0,), places, 0.0), (12,), scheme="accurate"))[0]
    assert relative_error(found[:1], found[1:2]) < 1e-4
    assert relative_error(found[:1], found[2:]) > 1e-2


def test_positions_are_the_centre_or_drawn_over_the_field() -> None:
    np.testing.assert_array_equal(waves(vacuum()).positions, [[EDGE / 2, EDGE / 2]])
    drawn = waves(vacuum(), 3, positions=200, semiangle=4.0, largest_angle=5.0).positions
    assert drawn.shape == (200, 2)
    assert ((drawn >= 0) & (drawn < EDGE)).all()
    np.testing.assert_allclose(drawn.mean(axis=0), EDGE / 2, atol=3)
    np.testing.assert_array_equal(drawn, waves(vacuum(), 3, positions=200, semiangle=4.0, largest_angle=5.0).positions)


def test_what_is_stored_up_to_an_angle_is_the_middle_of_all() -> None:
    whole, part = (waves(gold_on_carbon(), largest_angle=angle) for angle in (None, 20.0))
    # 20 mrad are 32.5 pixels.
    assert part.amplitudes.shape[-2:] == (66, 66)
    low = SIZE // 2 - 33
    np.testing.assert_array_equal(part.amplitudes, whole.amplitudes[..., low : low + 66, low : low + 66])
    assert part.metadata["intensity_lost"] == whole.metadata["intensity_lost"]


def made(**changes: object) -> Item:
    asked = Asked(0, (np.random.default_rng(0),), {}, {"structures": item_arrays(gold_on_carbon())})
    return next(iter(probe.make(block(**changes), [asked])))


def test_rounding_is_bounded_by_the_amplitude_in_the_disk_of_each_semiangle() -> None:
    exact, rounded = (made(storage_error=error).arrays["amplitudes"].values for error in (0.0, 1e-3))
    for one, other, semiangle in zip(exact, rounded, SEMIANGLES, strict=True):
        disk = aperture_disk(SIZE, EDGE, semiangle, 300e3)
        bound = 1e-3 / np.linalg.norm(disk)
        error = np.ascontiguousarray(one - other).view(np.float32)
        assert 0.2 * bound < np.abs(error).max() <= bound * (1 + 1e-5)
        steps = np.ascontiguousarray(other).view(np.float32) / quantum(bound)
        np.testing.assert_array_equal(steps, np.round(steps))
        assert relative_error(intensity(other), intensity(one)) < 0.02


def test_item_says_what_its_axes_are() -> None:
    item = made(thickness_step=8.0)
    amplitudes = item.arrays["amplitudes"]
    assert [axis.name for axis in amplitudes.axes] == ["semiangle", "position", "plane", "phonon", "ky", "kx"]
    assert [(axis.spacing, axis.unit) for axis in amplitudes.axes[-2:]] == 2 * [(1 / EDGE, "1/Å")]
    assert item.arrays["planes"].values.tolist() == [8.0, 16.0, 24.0]
    assert item.row["spectrum_sampling"] == 1 / EDGE
    assert item.row["abtem_version"] == abtem.__version__


def test_sketch_has_one_position_and_few_phonons() -> None:
    small = probe.sketch(block(positions=9, frozen_phonons=8))
    assert (small.positions, small.frozen_phonons) == (1, 2)
    assert probe.sketch(block()) == block()


def test_structures_of_another_width_are_refused() -> None:
    other = Structure(
        *(getattr(vacuum(), name) for name in ("positions", "numbers", "object_id")), np.array([16, 16, 8.0])
    )
    items = [(each, np.random.default_rng(0)) for each in (vacuum(), other)]
    with pytest.raises(StructureError, match=r"cell is 16 Å wide; allowed here: 32 Å, as the first one"):
        list(simulate_probes(items, block()))


def crowded(monkeypatch: pytest.MonkeyPatch, room: int, at_once: int) -> list[int]:
    """An engine whose device holds so many probes; gives how many it was asked for each time."""
    asked: list[int] = []
    original = probe_waves._engine

    def engine(settings: Probe, edge: float) -> Any:
        inner, _, _ = original(settings, edge)

        def passes(configuration: Configuration, probes: Probes, *given: Any) -> Any:
            asked.append(len(probes))
            if len(probes) > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return inner(configuration, probes, *given)

        return passes, at_once, torch.OutOfMemoryError

    monkeypatch.setattr(probe_waves, "_engine", engine)
    return asked


def test_out_of_memory_halves_the_batch_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = waves(gold_on_carbon(), positions=4)
    asked = crowded(monkeypatch, room=3, at_once=6)
    with caplog.at_level(logging.WARNING):
        found = waves(gold_on_carbon(), positions=4)
    assert asked == [6, 3, 3, 2]
    assert "out of memory with 6 probes at once; going on with 3" in caplog.text
    np.testing.assert_allclose(found.amplitudes, expected.amplitudes, atol=1e-7)
    assert found.metadata["intensity_lost"] == pytest.approx(expected.metadata["intensity_lost"], abs=1e-7)


def test_probe_that_no_memory_holds_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded(monkeypatch, room=0, at_once=1)
    with pytest.raises(ConfigError, match=r"memory does not hold a wave of 128 pixels.*allowed: a larger sampling"):
        waves(gold_on_carbon())


@pytest.mark.gpu
def test_gpu_gives_the_probes_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for device, room in (("cpu", None), ("cuda", None), ("cuda", 3)):
        if room:
            monkeypatch.setattr("exitwave.waves.torch_backend.members_that_fit", lambda size: 3)
        changes = {"scheme": "accurate", "positions": 2, "frozen_phonons": 2, "thickness_step": 6.0}
        found[device, room] = waves(gold_on_carbon(), device=device, **changes).amplitudes
    for one in (found["cuda", None], found["cuda", 3]):
        assert np.linalg.norm(one - found["cpu", None]) < 2e-5 * np.linalg.norm(one)


STUDY: dict[str, Any] = {
    "seed": 1,
    "structures": {
        "gold": {
            "kind": "nanoparticles_on_substrate",
            "count": 1,
            "field_of_view": 51.2,
            "cell_height": 60,
            "particles": {"material": "Au", "radius": 10},
            "substrate": {"thickness": 10},
        }
    },
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"semiangle": 30}, ["semiangle: found 30 mrad", "allowed: up to 23.68 mrad, what a sampling of 0.4 Å holds"]),
        ({"semiangle": [2, 0.5]}, ["semiangle: found 0.5 mrad", "allowed: from 0.5768 mrad", "field of 51.2 Å"]),
        ({"semiangle": []}, ["semiangle: found []"]),
        ({"semiangle": [2, -1]}, ["semiangle", "-1"]),
        ({"sampling": 0.41}, ["sampling: sampling is 0.41 Å and field_of_view 51.2 Å", "allowed: a whole number"]),
        ({"thickness_step": 80}, ["thickness_step: found 80 Å; allowed: up to 60 Å, the height of the structures"]),
        ({"largest_angle": 1}, ["largest_angle: found 1 mrad", "from the largest semiangle, 2, to 24.22 mrad"]),
        ({"largest_angle": 40}, ["largest_angle: found 40 mrad", "to 24.22 mrad"]),
        ({"semiangle": [2, 2]}, ["semiangle is [2.0, 2.0]; allowed: each angle once"]),
        ({"positions": 0}, ["positions: found 0; allowed: 1 or more"]),
        ({"positions": "corner"}, ["positions: found 'corner'; allowed: centre, or a whole number"]),
        ({"rms_displacements": {"Xx": 0.1}}, ["rms_displacements: found 'Xx'; allowed: symbols of elements"]),
        ({"engine": "abtem", "scheme": "accurate"}, ["scheme is accurate, with engine abtem"]),
        ({"storage_error": 0.5}, ["storage_error: found 0.5"]),
    ],
)
def test_bad_probes_are_refused_before_the_first_job(changes: dict[str, Any], words: list[str]) -> None:
    asked = {"structures": "gold", "kind": "probe", "sampling": 0.4, "semiangle": 2, **changes}
    with pytest.raises(ConfigError) as caught:
        study_from({**STUDY, "exit_waves": {"probes": asked}}, "study.yaml")
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in ["study.yaml: exit_waves.probes", *words]), text


@pytest.mark.parametrize(
    ("element", "changes", "words"),
    [
        ("Ru", {"frozen_phonons": 2}, r"frozen_phonons: thermal motion needs a Debye-Waller factor.* none for Ru"),
        ("Es", {"parametrization": "peng"}, r"parametrization: .*Es"),
    ],
)
def test_elements_of_which_too_little_is_known_are_refused(element: str, changes: dict[str, Any], words: str) -> None:
    particles = {"material": "Au", "radius": 10, "dopants": [{"element": element, "fraction": 0.1}]}
    structures = {"s": {**STUDY["structures"]["gold"], "particles": particles}}
    asked = {"structures": "s", "kind": "probe", "sampling": 0.4, "semiangle": 2, **changes}
    with pytest.raises(ConfigError, match=words):
        study_from({"seed": 1, "structures": structures, "exit_waves": {"probes": asked}}, "study.yaml")


def test_planned_time_and_size_grow_with_what_is_asked() -> None:
    def cost(**changes: Any) -> Any:
        asked = {"structures": "gold", "kind": "probe", "sampling": 0.4, "semiangle": 2, **changes}
        study = study_from({**STUDY, "exit_waves": {"probes": asked}}, "study.yaml")
        return probe.cost(study.members["exit_waves"]["probes"])

    one = cost()
    assert cost(positions=4).stored == pytest.approx(4 * one.stored, rel=0.05)
    assert cost(thickness_step=10).stored == pytest.approx(6 * one.stored, rel=0.05)
    assert cost(largest_angle=12).stored == pytest.approx(0.31 * one.stored, rel=0.1)
    assert 3 < (cost(positions=10).seconds - 0.05) / (one.seconds - 0.05) < 8  # a slice is made once for all
    assert cost(frozen_phonons=4).seconds - 0.05 == pytest.approx(4 * (one.seconds - 0.05), rel=0.01)
    assert cost(storage_error=1e-3).stored < 0.3 * one.stored
