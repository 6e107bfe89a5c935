"""STEM images straight from structures: electrons expected and counted, places, refusals, and a multislice image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import mx2
from numpy.typing import NDArray

from exitwave.config.stem import StemConvolution
from exitwave.errors import ConfigError, StructureError
from exitwave.images import stem_convolution
from exitwave.imaging.convolution import render
from stem_fields import EDGE, asked, block, counts, node, square, structure, taken

FloatArray = NDArray[np.float64]


# --- electrons --------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "exponent"), [(79, 1.7), (14, 1.7), (14, 2.0)])
def test_the_mean_count_follows_from_the_density_of_atoms(number: int, exponent: float) -> None:
    items = taken(block(exponent=exponent), structure(square(2.0), number), *range(6))
    expected = 1e5 * 0.25**2 * 2e-5 * number**exponent / 2.0**2
    means = [item.row["mean_counts"] for item in items]
    assert means == [counts(item).mean() for item in items]
    # The image is a whole number of cells.
    assert np.mean(means) == pytest.approx(expected, rel=5 / np.sqrt(6 * 64**2 * expected))


def test_counts_of_the_background_are_poisson_numbers() -> None:
    (item,) = taken(block(background=0.02, size=128), structure([]))
    expected = 1e5 * 0.25**2 * 0.02
    found = counts(item)
    assert found.mean() == pytest.approx(expected, rel=5 / np.sqrt(expected * found.size))
    assert found.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / found.size))
    assert item.arrays["counts"].values.dtype == np.uint32


def test_an_atom_is_where_the_row_says() -> None:
    """One atom off the diagonal, in a periodic cell and in one that is not."""
    for periodic in (True, False):
        items = taken(block(dose=1e9, size=96), structure([[15.3, 17.9]], periodic=periodic), *range(12))
        seen = [item for item in items if counts(item).sum() > 1e6]
        assert seen
        for item in seen:
            y, x = np.mgrid[:96, :96] * 0.25 + 0.125
            image = counts(item)
            for place, axis, expected in ((item.row["place_x"], x, 15.3), (item.row["place_y"], y, 17.9)):
                middle = (axis * image).sum() / image.sum()
                # Whole in the image; else the centre of mass is that of a part.
                if 3 < middle < 21:
                    assert (place + middle) % EDGE == pytest.approx(expected, abs=2e-3)


def test_the_width_is_that_of_the_probe() -> None:
    (item,) = taken(block(dose=1e9, probe_sigma=0.7), structure([[16.0, 16.0]], periodic=False), 3)
    image, x = counts(item), np.arange(64) * 0.25
    profile = image.sum(axis=0)
    middle = (profile * x).sum() / profile.sum()
    assert ((x - middle) ** 2 * profile).sum() / profile.sum() == pytest.approx(0.7**2, rel=0.01)


# --- places -----------------------------------------------------------------------------------


def test_images_of_a_field_that_ends_have_no_dark_edges() -> None:
    """All atoms that reach into an image are there, even where it comes close to the edge of the field."""
    size, sigma = 106, 0.5  # 26.5 Å and 5 sigma on either side in 32 Å
    items = taken(block(size=size, dose=1e8, probe_sigma=sigma), structure(square(1.0), periodic=False), *range(12))
    for item in items:
        assert 2.5 <= item.row["place_y"] <= 3.0
        assert 2.5 <= item.row["place_x"] <= 3.0
        image = counts(item)
        for edge in (image[:4], image[-4:], image[:, :4], image[:, -4:]):
            assert edge.mean() == pytest.approx(image.mean(), rel=2e-3)


def test_images_of_a_periodic_field_lie_anywhere() -> None:
    items = taken(block(size=128, dose=1e8), structure(square(1.0)), *range(40))
    places = np.array([[item.row["place_y"], item.row["place_x"]] for item in items])
    assert (places >= 0).all()
    assert (places < EDGE).all()
    assert np.ptp(places, axis=0).min() > 0.7 * EDGE
    assert np.ptp([item.row["mean_counts"] for item in items]) < 1e-3 * items[0].row["mean_counts"]


def test_an_image_is_the_same_whichever_are_beside_it() -> None:
    wanted = block(dose={"loguniform": [1e3, 1e5]}, probe_sigma={"uniform": [0.3, 0.6]})
    held, other = structure(square(2.0)), structure(square(3.2), 47)
    together = [counts(i).tobytes() for i in stem_convolution.make(wanted, [asked(held, 1, 2), asked(other, 3)])]
    for seed, which, expected in zip((3, 2, 1), (other, held, held), together[::-1], strict=True):
        assert counts(taken(wanted, which, seed)[0]).tobytes() == expected


def test_values_are_drawn_anew_and_recorded() -> None:
    keys = {
        "exponent": {"uniform": [1.5, 2]},
        "probe_sigma": {"uniform": [0.3, 0.6]},
        "background": {"uniform": [0, 0.01]},
        "dose": {"loguniform": [1e3, 1e5]},
    }
    rows = [item.row for item in taken(block(**keys), structure(square(2.0)), *range(5))]
    for row in rows:
        assert set(row) == set(StemConvolution.COLUMNS)
    vary = {*keys, "place_x", "place_y", "mean_counts", "probe_fwhm"}
    for name, column in StemConvolution.COLUMNS.items():
        assert (len({row[name] for row in rows}) > 1) == (name in vary), name
        assert column.redrawn or name not in vary


def test_the_image_says_what_it_is() -> None:
    array = taken(block(), structure(square(2.0)))[0].arrays["counts"]
    assert [(axis.name, axis.spacing, axis.unit) for axis in array.axes] == [("y", 0.25, "Å"), ("x", 0.25, "Å")]
    assert array.unit == "counts/px"
    assert not array.ragged


# --- refusals ---------------------------------------------------------------------------------


def test_more_electrons_than_there_are_are_refused() -> None:
    thick = structure(np.repeat([[16.0, 16.0]], 60, axis=0))
    with pytest.raises(
        StructureError, match=r"^item 0: cross_section: found 2e-05 .*1\.\d+ of the electrons.*allowed: up to 1"
    ):
        taken(block(size=128), thick, *range(8))


def test_images_fit_into_the_field() -> None:
    stem_convolution.check(node(block(size=108)))
    stem_convolution.check(node(block(size=128), periodic=True))
    for wanted, periodic, said in (
        (block(size=109), False, r"which is 27\.25 Å, and 2\.5 Å \(5 probe_sigma\) on all sides; allowed"),
        (block(size=108, probe_sigma={"uniform": [0.4, 0.6]}), False, "3 Å"),
        (block(size=129), True, r"which is 32\.25 Å; allowed"),
    ):
        with pytest.raises(ConfigError, match=f"^size: found .*{said}.*'own', 32 Å"):
            stem_convolution.check(node(wanted, periodic=periodic))


def test_a_dose_that_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dose: reaches up to 1e\+12"):
        stem_convolution.check(node(block(dose=1e12)))


def test_a_structure_that_is_too_small_is_refused() -> None:
    with pytest.raises(StructureError, match=r"^item 0: size: 30 Å and 2\.5 Å on either side .* 32 Å; allowed"):
        taken(block(size=120), structure(square(2.0), periodic=False))


@pytest.mark.parametrize("keys", [{"exponent": 2.5}, {"background": 1.5}, {"dose": 0}, {"probe_sigma": 0}])
def test_values_without_a_meaning_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"allowed|greater than"):
        block(**keys)


def test_the_cost_is_about_what_is_stored() -> None:
    """Against the entropy of the counts, which a compressor comes near."""
    wanted = block(size=128, dose=1e5)
    (item,) = taken(wanted, structure(square(2.0), 47))
    _, numbers = np.unique(counts(item), return_counts=True)
    share = numbers / numbers.sum()
    entropy = -(share * np.log2(share)).sum() / 8 * 128**2 + 1500
    estimate = stem_convolution.cost(node(wanted, periodic=True)).stored
    assert entropy / 2 < estimate < entropy * 2


# --- physics ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_layer_of_mos2_looks_as_in_a_multislice_simulation() -> None:
    """abTEM, atoms at rest, 100 kV, a probe of 30 mrad, a detector from 80 to 200 mrad."""
    import abtem
    from scipy.optimize import minimize

    layer = abtem.orthogonalize_cell(mx2("MoS2", a=3.18, thickness=3.19, vacuum=3))
    edges = layer.cell.lengths()[:2]
    potential = abtem.Potential(layer * (6, 4, 1), sampling=0.06, slice_thickness=1.0, parametrization="lobato")
    probe = abtem.Probe(energy=100e3, semiangle_cutoff=30)
    probe.grid.match(potential)
    scan = abtem.GridScan(start=(0, 0), end=tuple(edges), sampling=0.3)
    image = probe.scan(potential, scan, detectors=abtem.AnnularDetector(inner=80, outer=200)).compute().array
    step = edges / image.shape

    def unlike(values: FloatArray) -> float:
        sigma, exponent = values
        # On a finer grid, since the steps of the scan differ along x and y; abTEM's arrays are [x, y].
        weights = layer.numbers.astype(float) ** exponent
        fine = render(layer.positions[:, :2], weights, sigma, 0.02, 280, (-0.01, -0.01), edges).T
        x, y = (np.round(np.arange(n) * d / 0.02).astype(int) for n, d in zip(image.shape, step, strict=True))
        return -float(np.corrcoef(fine[np.ix_(x, y)].ravel(), image.ravel())[0, 1])

    best = minimize(unlike, [0.4, 1.7], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-5})
    assert -best.fun > 0.99
    # Atoms at rest scatter to such angles almost as bare nuclei do.
    assert 1.6 < best.x[1] < 2.3
    total = 2e-5 * (layer.numbers.astype(float) ** 1.7).sum()
    assert total == pytest.approx(image.mean() * edges.prod(), rel=0.3)
