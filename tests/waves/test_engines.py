"""Both engines and every backend against abTEM run by hand, and against what no choice of grid may change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import abtem
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

import exitwave.waves.exit_waves as exit_waves
from exitwave.config.exit_waves import PlaneWave
from exitwave.errors import ConfigError, StructureError
from exitwave.structures.structure import Structure
from exitwave.waves.abtem_engine import AbtemMultislice
from exitwave.waves.exit_waves import LOSS_LIMIT, ExitWaves, propagate, simulate_each, simulate_exit_waves
from exitwave.waves.multislice import Configuration, Multislice, Spectra
from exitwave.waves.numba_backend import NumbaBackend
from exitwave.waves.torch_backend import TorchBackend

EDGE, HEIGHT, SAMPLING = 19.2, 24.0, 0.4
BACKENDS = {"numba": NumbaBackend, "torch": partial(TorchBackend, device="cpu")}
Make = Callable[[PlaneWave], Multislice | AbtemMultislice]
ENGINES: dict[str, Make] = {
    **{name: partial(lambda backend, block: Multislice(block, EDGE, backend), backend)
       for name, backend in BACKENDS.items()},
    "abtem": lambda block: AbtemMultislice(block, EDGE),
}  # fmt: skip


def block(**changes: object) -> PlaneWave:
    """Set as abTEM is, unless told otherwise."""
    given = {"kind": "plane_wave", "structures": "s", "sampling": SAMPLING, "scheme": "conventional", **changes}
    return PlaneWave(**given)


def sphere(crystal: Atoms, radius: float = 5.0) -> Atoms:
    crystal = crystal.repeat(6)
    crystal.rotate(20, (1, 2, 3), rotate_cell=True)
    crystal.positions -= crystal.positions.mean(axis=0)
    return crystal[np.linalg.norm(crystal.positions, axis=1) < radius]


def carbon(number: int, low: float, high: float) -> Atoms:
    positions = np.random.default_rng(0).uniform((0, 0, low), (EDGE, EDGE, high), (number, 3))
    return Atoms(np.full(number, 6), positions)


def configuration(substrate: Atoms, particle: Atoms) -> Configuration:
    return Configuration(
        np.concatenate([substrate.positions, particle.positions + np.array([2.0, 12.0, 14.3])]),
        np.concatenate([substrate.numbers, particle.numbers]).astype(np.uint8),
        np.arange(len(substrate) + len(particle)) >= len(substrate),
    )


SCENES = {
    "Au on carbon": configuration(carbon(200, 1, 9), sphere(bulk("Au", cubic=True))),
    "CdSe on carbon": configuration(carbon(200, 1, 9), sphere(bulk("CdSe", "wurtzite", a=4.2985, c=7.0152))),
    "carbon": configuration(carbon(500, 1, 23), Atoms()),
}
GOLD = SCENES["Au on carbon"]
OPTIONS = {
    "defaults": {},
    "60 keV": {"energy": 60e3},
    "80 keV": {"energy": 80e3},
    "200 keV": {"energy": 200e3},
    "kirkland": {"parametrization": "kirkland"},
    "peng": {"parametrization": "peng"},
    "thin slices": {"slice_thickness": 0.7},
    "thick slices": {"slice_thickness": 4.0},
    "finer": {"sampling": 0.2},
}


def slices(settings: PlaneWave) -> int:
    return int(np.ceil(HEIGHT / settings.slice_thickness - 1e-9))


def direct(
    scene: Configuration, settings: PlaneWave, tilt: tuple[float, float] = (0.0, 0.0), exit_planes: object = None
) -> NDArray[np.complex64]:
    """Waves [..., y, x] of abTEM behind the whole structure, on its own grid."""
    n = slices(settings)
    positions = scene.positions.copy()
    positions[:, :2] %= EDGE
    potential = abtem.Potential(
        Atoms(scene.numbers, positions, cell=(EDGE, EDGE, n * settings.slice_thickness), pbc=True),
        gpts=round(1.5 * EDGE / settings.sampling),
        slice_thickness=(settings.slice_thickness,) * n,
        parametrization=settings.parametrization,
        exit_planes=exit_planes,
    )
    return abtem.PlaneWave(energy=settings.energy, tilt=tilt).multislice(potential, lazy=False).array.swapaxes(-2, -1)


def wave(spectrum: NDArray[np.complex64] | None, size: int = 72) -> NDArray[np.complex64]:
    """A spectrum of an engine as a wave on the simulation grid of ``size`` pixels."""
    whole = np.zeros((size, size), np.complex128)
    if spectrum is None:
        whole[0, 0] = 1
    else:
        kept = np.r_[: len(spectrum) // 2, -(len(spectrum) // 2) : 0]
        whole[np.ix_(kept, kept)] = spectrum
    return np.fft.ifft2(whole, norm="forward")


def scattered_error(one: NDArray, reference: NDArray) -> float:
    return float(np.linalg.norm(one - reference) / np.linalg.norm(reference - reference.mean()))


def both(found: ExitWaves) -> NDArray[np.complex64]:
    """Waves of the whole structure and of the particles alone [2, phonon, y, x]."""
    return np.stack([found.whole, found.particles])


def structure_of(scene: Configuration) -> Structure:
    positions = scene.positions.copy()
    positions[:, :2] %= EDGE
    return Structure(positions, scene.numbers, scene.in_particle.astype(np.uint8), np.array([EDGE, EDGE, HEIGHT]))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scene", SCENES)
def test_scattered_wave_is_abtems(engine: str, scene: str) -> None:
    settings = block()
    spectra = ENGINES[engine](settings).spectra([SCENES[scene]], slices(settings))
    assert scattered_error(wave(spectra.whole[0]), direct(SCENES[scene], settings)) < 1e-4


@pytest.mark.parametrize("engine", BACKENDS)
@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_is_abtems(engine: str, options: str) -> None:
    settings = block(**OPTIONS[options])
    spectra = ENGINES[engine](settings).spectra([GOLD], slices(settings))
    reference = direct(GOLD, settings)
    assert scattered_error(wave(spectra.whole[0], len(reference)), reference) < 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_tilted_beam_is_abtems(engine: str) -> None:
    tilt = (25.0, -8.0)
    made = ENGINES[engine](block())
    made.spectra([GOLD], slices(block()), (3.0, 4.0))
    spectra = made.spectra([GOLD], slices(block()), tilt)
    reference = direct(GOLD, block(), tilt)
    assert scattered_error(direct(GOLD, block()), reference) > 0.1
    assert scattered_error(wave(spectra.whole[0]), reference) < 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_thickness_series_is_abtems(engine: str) -> None:
    """Planes before, in the middle of and right at the end of what there is, vacuum included."""
    # Particles only: the first slices are empty.
    scene = Configuration(*(part[GOLD.in_particle] for part in (GOLD.positions, GOLD.numbers, GOLD.in_particle)))
    planes = (2, 6, 7, 12)
    spectra = ENGINES[engine](block()).spectra([scene], slices(block()), planes=planes)
    reference = direct(scene, block(), exit_planes=tuple(plane - 1 for plane in planes))
    assert np.allclose(reference[0], 1)
    for plane, expected in zip(spectra.series, reference, strict=True):
        found = wave(None if plane is None else plane[0])
        assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(reference[-1] - 1)


@pytest.mark.parametrize("engine", BACKENDS)
def test_batch_of_different_structures_gives_what_each_gives_alone(engine: str) -> None:
    made = ENGINES[engine](block())
    scenes = list(SCENES.values())
    together = made.spectra(scenes, 12, planes=(5,))
    for member, scene in enumerate(scenes):
        alone = made.spectra([scene], 12, planes=(5,))
        assert scattered_error(wave(together.whole[member]), wave(alone.whole[0])) < 1e-5
        assert scattered_error(wave(together.series[0][member]), wave(alone.series[0][0])) < 1e-5
        if scene.in_particle.any():
            assert scattered_error(wave(together.particles[member]), wave(alone.particles[0])) < 1e-5


@pytest.mark.parametrize("scheme", ["conventional", "accurate"])
@pytest.mark.parametrize("engine", BACKENDS)
def test_single_precision_is_enough(engine: str, scheme: str) -> None:
    settings = block(scheme=scheme)
    double = Multislice(settings, EDGE, partial(TorchBackend, device="cpu", dtype=torch.complex128))
    reference = wave(double.spectra([GOLD], 12).whole[0])
    assert scattered_error(wave(ENGINES[engine](settings).spectra([GOLD], 12).whole[0]), reference) < 2e-5


@pytest.mark.parametrize("scene", SCENES)
def test_atoms_between_grid_points_scatter_more_alike_in_the_accurate_scheme(scene: str) -> None:
    """A structure moved by a part of a pixel has the same wave, moved; bilinear interpolation changes it."""
    there = SCENES[scene]
    shift = np.array([0.37, 0.21]) * SAMPLING / 1.5
    moved = Configuration(there.positions + np.append(shift, 0), there.numbers, there.in_particle)
    k = np.fft.fftfreq(48, SAMPLING)
    back = np.exp(2j * np.pi * (k[:, None] * shift[1] + k * shift[0]))
    errors = {}
    for scheme in ("conventional", "accurate"):
        made = Multislice(block(scheme=scheme), EDGE, NumbaBackend)
        still, other = (made.spectra([each], 12).whole[0] for each in (there, moved))
        errors[scheme] = scattered_error(wave(other * back), wave(still))
    assert errors["accurate"] < 0.7 * errors["conventional"]
    assert errors["accurate"] < {"Au on carbon": 0.07, "CdSe on carbon": 0.025, "carbon": 0.01}[scene]


@pytest.mark.parametrize("scene", SCENES)
def test_accurate_scheme_is_nearer_to_the_wave_of_a_fine_grid_than_abtem(scene: str) -> None:
    fine = block(sampling=0.05)
    kept = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(48, 1 / 48)])) < 22

    def within(spectrum: NDArray[np.complex64]) -> NDArray[np.complex64]:
        low = np.r_[:24, -24:0]
        return np.where(kept, spectrum[np.ix_(low, low)], 0)

    truth = within(np.fft.fft2(direct(SCENES[scene], fine), norm="forward"))
    errors = {}
    for scheme in ("conventional", "accurate"):
        found = Multislice(block(scheme=scheme), EDGE, NumbaBackend).spectra([SCENES[scene]], 12).whole[0]
        errors[scheme] = scattered_error(wave(within(found)), wave(truth))
    assert errors["accurate"] < 0.7 * errors["conventional"]
    assert errors["accurate"] < {"Au on carbon": 0.09, "CdSe on carbon": 0.04, "carbon": 0.015}[scene]


@pytest.mark.parametrize("engine", ["exitwave", "abtem"])
def test_engine_of_the_config_is_the_one_that_runs(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    for cls in (Multislice, AbtemMultislice):
        original = cls.spectra

        def spectra(self, *given, original=original, **named):  # type: ignore[no-untyped-def]
            used.append(type(self).__name__)
            return original(self, *given, **named)

        monkeypatch.setattr(cls, "spectra", spectra)
    result = simulate_exit_waves(structure_of(GOLD), block(engine=engine), np.random.default_rng(0))
    assert used == [{"exitwave": "Multislice", "abtem": "AbtemMultislice"}[engine]]
    assert result.metadata["engine"] == engine


def test_engines_agree_on_phonons_tilt_series_and_focus() -> None:
    options = {
        "frozen_phonons": 2,
        "specimen_tilt_x": {"uniform": [5, 20]},
        "specimen_tilt_y": -4.0,
        "thickness_series": 5.0,
    }
    ours, reference = (
        simulate_exit_waves(structure_of(GOLD), block(engine=engine, **options), np.random.default_rng(3))
        for engine in ("exitwave", "abtem")
    )
    assert 5 < ours.metadata["specimen_tilt_x"] == reference.metadata["specimen_tilt_x"] < 20
    assert ours.whole.shape == ours.particles.shape == (2, 48, 48)
    assert ours.series.shape == (6, 2, 48, 48)
    assert ours.metadata["series_step"] == 4.0
    for name in ("whole", "particles", "series"):
        pairs = zip(*(getattr(result, name).reshape(-1, 48, 48) for result in (ours, reference)), strict=True)
        assert all(scattered_error(one, other) < 1e-4 for one, other in pairs), name
    assert not np.allclose(ours.whole[0], ours.whole[1])
    assert not np.allclose(ours.particles[0], ours.particles[1])


def test_tilted_wave_is_brought_back_to_where_the_structure_is() -> None:
    """An atom stays in its place whatever the tilt and the length of the cell behind it."""
    for tilt in (0.0, 60.0):
        atom = Structure(
            np.array([[9.6, 9.6, 4.0]]), np.array([79], np.uint8), np.ones(1, np.uint8), np.array([EDGE, EDGE, 40.0])
        )
        result = simulate_exit_waves(atom, block(specimen_tilt_x=tilt, specimen_tilt_y=-tilt), np.random.default_rng(0))
        phase = np.angle(result.particles[0])
        assert np.unravel_index(np.argmax(phase), phase.shape) == (24, 24)


@pytest.mark.parametrize("engine", ["exitwave", "abtem"])
@pytest.mark.parametrize("tilt", [10.0, 20.0, 50.0])
def test_waves_of_particles_and_of_the_whole_are_in_one_lateral_frame(engine: str, tilt: float) -> None:
    """A particle far from mid-height appears in the same place in both, moved by its height above that."""
    height = np.array([36.0, 4.0])  # mid-height at 20 Å
    atoms = Structure(
        np.array([[9.6, 9.6, height[0]], [3.2, 3.2, height[1]]]),
        np.array([79, 6], np.uint8),
        np.array([1, 0], np.uint8),
        np.array([EDGE, EDGE, 40.0]),
    )
    settings = block(engine=engine, specimen_tilt_x=tilt, specimen_tilt_y=-tilt)
    result = simulate_exit_waves(atoms, settings, np.random.default_rng(0))
    # The whole is in focus at mid-height: focused on the particle, as its own wave is, it would be moved sideways too.
    focused = propagate(result.whole[0], 16.0, settings.energy, settings.sampling)
    moved = 16.0 * np.tan(tilt * 1e-3)
    for wave in (focused, result.particles[0]):
        strength = np.abs(wave - 1) ** 2
        strength[strength < 0.02 * strength.max()] = 0
        y, x = (np.sum(np.arange(48) * settings.sampling * strength.sum(axis=axis)) for axis in (1, 0))
        assert x / strength.sum() == pytest.approx(9.6 - moved, abs=0.1)
        assert y / strength.sum() == pytest.approx(9.6 + moved, abs=0.1)


@pytest.mark.gpu
def test_gpu_gives_the_waves_of_the_cpu_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three structures of three phonons each, on a device with room for all and for two at a time."""
    scenes = [structure_of(scene) for scene in SCENES.values()]
    found = {}
    for device, room in (("cpu", None), ("cuda", None), ("cuda", 2)):
        if room:
            monkeypatch.setattr("exitwave.waves.torch_backend.members_that_fit", lambda size: 2)
        settings = block(scheme="accurate", frozen_phonons=3, device=device)
        items = [(scene, np.random.default_rng(i)) for i, scene in enumerate(scenes)]
        found[device, room] = np.stack([both(result) for result in simulate_each(items, settings)])
    for one in (found["cuda", None], found["cuda", 2]):
        assert scattered_error(one, found["cpu", None]) < 2e-5


class Crowded:
    """An engine whose device holds two configurations at once."""

    def __init__(self, inner: Multislice, room: int) -> None:
        self.inner, self.room, self.asked = inner, room, []

    def spectra(self, configurations: list[Configuration], *given: object, **named: object) -> Spectra:
        self.asked.append(len(configurations))
        if len(configurations) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner.spectra(configurations, *given, **named)


def crowded(monkeypatch: pytest.MonkeyPatch, room: int, at_once: int) -> list[Crowded]:
    made: list[Crowded] = []

    def engine(settings: PlaneWave, edge: float) -> tuple[Crowded, int, type[Exception]]:
        made.append(Crowded(Multislice(settings, edge, NumbaBackend), room))
        return made[-1], at_once, torch.OutOfMemoryError

    monkeypatch.setattr(exit_waves, "_engine", engine)
    return made


def test_out_of_memory_halves_the_batch_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = block(frozen_phonons=3)
    scenes = [structure_of(scene) for scene in SCENES.values()]
    expected = [simulate_exit_waves(s, settings, np.random.default_rng(i)) for i, s in enumerate(scenes)]
    made = crowded(monkeypatch, room=2, at_once=8)
    with caplog.at_level(logging.WARNING):
        found = list(simulate_each([(s, np.random.default_rng(i)) for i, s in enumerate(scenes)], settings))
    assert made[0].asked[:3] == [8, 4, 2]
    assert max(made[0].asked[3:]) == 2
    assert "out of memory with 8 waves at once; going on with 4" in caplog.text
    for one, other in zip(found, expected, strict=True):
        assert scattered_error(both(one), both(other)) < 1e-5


def test_wave_that_no_memory_holds_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded(monkeypatch, room=0, at_once=1)
    with pytest.raises(ConfigError, match=r"memory does not hold a wave of 48 pixels.*allowed: a larger sampling"):
        simulate_exit_waves(structure_of(GOLD), block(), np.random.default_rng(0))


def test_wave_that_is_not_finite_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Multislice.spectra

    def spectra(self, *given, **named):  # type: ignore[no-untyped-def]
        result = original(self, *given, **named)
        result.whole[0, 3, 4] = np.nan
        return result

    monkeypatch.setattr(Multislice, "spectra", spectra)
    structure = structure_of(GOLD)
    structure.metadata["structure_id"] = "abcd-000007"
    with pytest.raises(StructureError, match="structure abcd-000007: an exit wave is not finite"):
        simulate_exit_waves(structure, block(), np.random.default_rng(0))


def test_intensity_lost_to_the_band_limit_is_reported_and_marked(caplog: pytest.LogCaptureFixture) -> None:
    """What is lost is what abTEM loses; beyond the limit the item is marked and the log says so."""
    structure = structure_of(GOLD)
    fine = simulate_exit_waves(structure, block(), np.random.default_rng(0)).metadata
    expected = 1 - np.mean(np.abs(direct(GOLD, block())) ** 2, dtype=np.float64)
    assert fine["intensity_lost"] == pytest.approx(expected, rel=0.02)
    assert fine["loss_alarm"] is False
    assert not caplog.records
    lead = Configuration(
        np.random.default_rng(0).uniform((0, 0, 1), (EDGE, EDGE, 23), (2000, 3)),
        np.full(2000, 82, np.uint8),
        np.ones(2000, bool),
    )
    coarse = simulate_exit_waves(structure_of(lead), block(scheme="accurate"), np.random.default_rng(0)).metadata
    assert coarse["intensity_lost"] > LOSS_LIMIT
    assert coarse["loss_alarm"] is True
    assert "lost to the band limit, more than 10 %" in caplog.text


def test_grid_that_the_fast_transforms_do_not_know_is_simulated_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """102 pixels have the prime factor 17."""
    structure = structure_of(GOLD).padded(4.0)
    assert not NumbaBackend.supports(102)
    with caplog.at_level(logging.INFO):
        ours = both(simulate_exit_waves(structure, block(), np.random.default_rng(0)))
    assert "102 pixels has a prime factor beyond 13" in caplog.text
    reference = both(simulate_exit_waves(structure, block(engine="abtem"), np.random.default_rng(0)))
    assert scattered_error(ours, reference) < 1e-4


@pytest.mark.parametrize("engine", ["exitwave", "abtem"])
def test_oversampling_simulates_finer_and_stores_the_same_pixels(engine: str) -> None:
    coarse, fine = (
        simulate_exit_waves(structure_of(GOLD), block(engine=engine, **options), np.random.default_rng(0))
        for options in ({"oversampling": 2, "thickness_series": 8.0}, {"sampling": 0.2, "thickness_series": 8.0})
    )
    assert coarse.metadata["simulation_grid"] == fine.metadata["simulation_grid"] == 144
    assert coarse.metadata["intensity_lost"] == pytest.approx(fine.metadata["intensity_lost"])
    for ours, finer in ((both(coarse), both(fine)), (coarse.series, fine.series)):
        spectrum = np.fft.fft2(finer, norm="forward")
        low = np.r_[:24, -24:0]
        expected = np.fft.ifft2(spectrum[..., low[:, None], low], norm="forward")
        assert scattered_error(ours, expected) < 1e-5


def test_structures_of_different_width_are_not_simulated_as_one() -> None:
    wide = structure_of(GOLD).padded(4.8)
    items = [(structure_of(GOLD), np.random.default_rng(0)), (wide, np.random.default_rng(0))]
    with pytest.raises(StructureError, match=r"cell is 28\.8 Å wide; allowed here: 19\.2 Å"):
        list(simulate_each(items, block()))


def test_padding_keeps_an_isolated_particle_and_moves_it_to_the_middle() -> None:
    """Farther from its periodic images the particle's own phase is unchanged, in the middle of a wider field."""
    particle = sphere(bulk("Au", cubic=True))
    positions = particle.positions + np.array([9.6, 9.6, 12.0])
    single = Structure(
        positions, particle.numbers.astype(np.uint8), np.ones(len(particle), np.uint8), np.array([EDGE, EDGE, HEIGHT])
    )
    wave, wider = (
        simulate_exit_waves(each, block(), np.random.default_rng(0)).particles[0]
        for each in (single, single.padded(9.6))
    )
    assert wider.shape == (96, 96)
    assert scattered_error(wider[24:72, 24:72], wave) < 0.1
    assert np.abs(np.abs(wider[:8]) - 1).max() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "abtem", "scheme": "accurate"}, "scheme is accurate, with engine abtem; allowed: conventional"),
        ({"engine": "abtem", "device": "cuda"}, "device is cuda, with engine abtem; allowed: cpu or auto"),
        ({"specimen_tilt_x": {"uniform": [0, 500]}}, "reaches up to 500; allowed: 100 or less"),
        ({"engine": "prismatic"}, "'exitwave' or 'abtem'"),
        ({"projection": "half"}, "'infinite' or 'finite'"),
        ({"storage_error": -1}, "greater than or equal to 0"),
    ],
)
def test_impossible_option_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        block(**options)
