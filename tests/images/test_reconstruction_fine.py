"""The map of the electrons expected at closer places, and monolayers whose lattices all begin at one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from exitwave.benchmark.columns import find_columns
from exitwave.config.monolayers import Monolayers
from exitwave.config.stem import FINE
from exitwave.images import stem_convolution
from exitwave.items import Asked
from exitwave.structures import monolayers
from stem_fields import EDGE, asked, block, counts, square, structure, taken

OPTICS = {"energy": 80e3, "semiangle": 25, "source_size": 0.8}
SCAN = {"jitter": 0.2, "flyback": 1.0, "drift": 1.0, "skew": 0.5}


@pytest.mark.parametrize("times", [1, 2, 4])
def test_expected_electrons_are_those_of_a_gaussian_at_the_fine_places(times: int) -> None:
    place, sigma, pixel = np.array([15.3, 17.9]), 0.5, 0.8
    (item,) = taken(block(fine=times, pixel_size=pixel, size=40, dose=1e4), structure([place]))
    found, fine = item.arrays[FINE].values, pixel / times
    centres = (np.arange(40 * times) + 0.5) * fine
    # The field is periodic, and so is the distance to the atom.
    x, y = (
        (centres + item.row[f"place_{axis}"] - at + EDGE / 2) % EDGE - EDGE / 2
        for axis, at in zip("xy", place, strict=True)
    )
    density = np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    expected = 1e4 * pixel**2 * 2e-5 * 79**1.7 * density
    np.testing.assert_allclose(found, expected, atol=2e-5 * expected.max())
    assert [axis.spacing for axis in item.arrays[FINE].axes] == [fine, fine]


@pytest.mark.parametrize("keys", [{}, {"scan": SCAN}, {"optics": OPTICS}, {"optics": OPTICS, "scan": SCAN}])
def test_counts_are_poisson_numbers_of_the_expected_electrons(keys: dict[str, Any]) -> None:
    wanted = block(fine=1, background=0.02, uneven=0.3, uneven_length=8, dose=1e5, **keys)
    (item,) = taken(wanted, structure(square(2.0)))
    expected = item.arrays[FINE].values.astype(float)
    off = (counts(item) - expected) ** 2 / expected
    assert off.mean() == pytest.approx(1, abs=5 * np.sqrt(2.5 / off.size))


@pytest.mark.parametrize("keys", [{}, {"scan": SCAN}, {"optics": OPTICS, "scan": SCAN}])
def test_the_map_makes_no_other_image(keys: dict[str, Any]) -> None:
    """And fine places amid coarse ones show what these show."""
    plain, with_map = (taken(block(fine=fine, **keys), structure(square(3.0)))[0] for fine in (None, 3))
    np.testing.assert_array_equal(plain.arrays["counts"].values, with_map.arrays["counts"].values)
    assert plain.row == with_map.row
    assert FINE not in plain.arrays
    listed = [taken(block(fine=fine, labels=["columns"], **keys), structure(square(3.0)))[0] for fine in (None, 3)]
    np.testing.assert_array_equal(*(item.arrays["columns"].values for item in listed))
    (same,) = taken(block(fine=1, **keys), structure(square(3.0)))
    middle, coarse = with_map.arrays[FINE].values[1::3, 1::3], same.arrays[FINE].values
    np.testing.assert_allclose(middle, coarse, atol=2e-3 * coarse.max())


def test_columns_lie_where_the_fine_map_shows_them() -> None:
    """Also where a scan has moved them; of jitter each shows the mean over its rows, about."""
    spread = square(4.0) + 0.7
    keys = {"pixel_size": 0.5, "size": 48, "fine": 2, "labels": ["columns"]}
    for scan, far in (({"drift": 1.5, "flyback": 2.0, "skew": 1.0}, 0.03), ({"jitter": 0.3}, 0.15)):
        (item,) = taken(block(scan=scan, **keys), structure(spread, periodic=True))
        listed = item.arrays["columns"].values[:, :2]
        found = (find_columns(item.arrays[FINE].values, 0.25).places + 0.5) / 2 - 0.5
        inner = listed[((listed > 3) & (listed < 44)).all(axis=1)]
        nearest = np.linalg.norm(found[:, None] - inner[None], axis=2).min(axis=0)
        assert len(inner) >= 16
        assert np.sqrt((nearest**2).mean()) < far


def test_the_map_is_made_where_it_is_wanted() -> None:
    wanted, one = block(fine=2), asked(structure(square(4.0)), 1)
    (item,) = stem_convolution.make(wanted, [one], ("counts",))
    assert set(item.arrays) == {"counts"}
    (item,) = stem_convolution.make(wanted, [one], ("counts", FINE))
    assert set(item.arrays) == {"counts", FINE}


@pytest.mark.parametrize("detector", [{"kind": "ideal", "blur": 1}, {"kind": "scintillator"}])
def test_a_detector_that_does_more_than_count_has_no_such_map(detector: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="fine is given with a detector that does more than count; allowed"):
        block(fine=2, detector=detector)


# --- lattices that begin at one place ---------------------------------------------------------


def layers(**keys: Any) -> list[Any]:
    wanted = Monolayers.model_validate(
        {"kind": "monolayer", "count": 4, "field_of_view": 25, "prototypes": ["graphene"], **keys}
    )
    asked_for = [Asked(0, (np.random.default_rng(seed),)) for seed in range(2)]
    return list(monolayers.make(wanted, asked_for))


def test_lattices_begin_in_the_middle_if_they_are_to() -> None:
    alike = layers(origin="middle", in_plane=0)
    for name, array in alike[0].arrays.items():
        np.testing.assert_array_equal(array.values, alike[1].arrays[name].values)
    positions = alike[0].arrays["positions"].values[:, :2]
    # The origin of the cell of graphene is the middle of a hexagon.
    around = np.sort(np.linalg.norm(positions - 12.5, axis=1))
    np.testing.assert_allclose(around[:6], around[0], atol=1e-3)
    assert around[6] > 1.5 * around[0]
    elsewhere = layers(in_plane=0)
    assert not np.array_equal(
        elsewhere[0].arrays["positions"].values[:20], elsewhere[1].arrays["positions"].values[:20]
    )


def test_all_else_is_drawn_alike_wherever_a_lattice_begins() -> None:
    strained = {"normal": [0, 0.01]}
    for one, other in zip(layers(strain=strained), layers(strain=strained, origin="middle"), strict=True):
        for name in ("in_plane", "strain_first", "strain_second", "strain_direction"):
            assert one.row[name] == other.row[name]
