"""What is drawn but cannot be built is drawn again: the same in every shard, recorded, and told."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from exitwave.config.structures import NanoparticlesOnSubstrate, StructureFiles
from exitwave.errors import StructureError
from exitwave.items import Asked, item_rng
from exitwave.structures import files, nanoparticles
from exitwave.structures.recipes import build_structure
from exitwave.structures.redraw import MOST_DRAWS, first_possible

SMALL = NanoparticlesOnSubstrate.model_validate(
    {
        "kind": "nanoparticles_on_substrate",
        "count": 12,
        "field_of_view": 25.6,
        "particles": {"material": "CdSe", "radius": {"uniform": [0.2, 4]}},
        "substrate": {"thickness": 5},
    }
)
"""Of the smallest radii the crystal has no atom."""


def asked(items):
    return [Asked(item, (item_rng(3, "structures", "ab", item),)) for item in items]


def test_small_particles_are_drawn_again_and_counted_in_the_table(caplog):
    with caplog.at_level(logging.WARNING):
        made = list(nanoparticles.make(SMALL, asked(range(12))))
    redraws = [item.row["redraws"] for item in made]
    assert len(made) == 12
    assert 0 < sum(count > 0 for count in redraws) < 12
    assert len(caplog.messages) == sum(count > 0 for count in redraws)
    assert all("holds no atom" in message for message in caplog.messages)
    for number, count in enumerate(redraws):
        rng = item_rng(3, "structures", "ab", number)
        if count:
            with pytest.raises(StructureError):
                build_structure(SMALL, rng)
        else:
            assert made[number].row["content_hash"] == build_structure(SMALL, rng).content_hash()


def test_a_redrawn_item_is_the_same_bytes_in_whichever_shard():
    together = list(nanoparticles.make(SMALL, asked(range(12))))
    for number in (n for n, item in enumerate(together) if item.row["redraws"]):
        (alone,) = nanoparticles.make(SMALL, asked([number]))
        assert alone.row["content_hash"] == together[number].row["content_hash"]
        for name, array in alone.arrays.items():
            assert array.values.tobytes() == together[number].arrays[name].values.tobytes()


def test_what_no_draw_can_build_is_refused_with_the_item_and_the_number_of_draws():
    tiny = SMALL.model_copy(
        update={
            "particles": SMALL.particles.model_copy(
                update={"radius": SMALL.particles.radius.__class__(uniform=(0.1, 0.2))}
            )
        }
    )
    with pytest.raises(StructureError, match=rf"^item 4: found {MOST_DRAWS} draws in a row .* 0\.1\d* Å.* no atom"):
        list(nanoparticles.make(tiny, asked([4])))


def test_what_is_wrong_with_every_draw_is_said_as_it_is():
    def build(rng):
        raise StructureError("material is 'lost.cif'")

    with pytest.raises(StructureError, match=r"^item 2: material is 'lost\.cif'$"):
        first_possible(build, np.random.default_rng(1), 2)


def test_a_thickness_without_an_atom_is_drawn_again_for_crystals_from_files(tmp_path, caplog):
    from ase.build import bulk

    bulk("Au", cubic=True).write(tmp_path / "gold.cif")
    block = StructureFiles.model_validate(
        {
            "kind": "files",
            "count": 6,
            "path": str(tmp_path),
            "field_of_view": 20,
            "zone_axes": [[0, 0, 1]],
            "thickness": {"uniform": [0.01, 2]},
        }
    )
    made = list(files.make(block, asked(range(6))))
    assert sum(item.row["redraws"] for item in made) > 0
    assert all(len(item.arrays["numbers"].values) for item in made)
