"""Crystals of the Materials Project, on answers written after its documentation: no test asks the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from exitwave.config.crystals import Crystals
from exitwave.config.graph import Node
from exitwave.errors import ConfigError, StructureError
from exitwave.items import Asked
from exitwave.structures import crystals
from exitwave.structures.materials_project import KEY, materials

SILICON = 5.4437


def answer(identifier: str, occupation: float = 1.0) -> dict[str, Any]:
    """One entry of ``data`` of the summary endpoint: silicon."""
    half = SILICON / 2
    matrix = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    sites = [
        {
            "species": [{"element": "Si", "occu": occupation}],
            "abc": [place] * 3,
            "xyz": [place * SILICON] * 3,
            "properties": {"magmom": 0.0},
            "label": "Si",
        }
        for place in (0.0, 0.25)
    ]
    structure = {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": matrix, "pbc": [True, True, True]},
        "properties": {},
        "sites": sites,
    }
    return {"material_id": identifier, "structure": structure}


class Server:
    """Gives recorded answers, and remembers what it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Any, Any]] = []
        self.status, self.offline = 200, False

    def get(self, session: requests.Session, url: str, params: Any = None, **_: Any) -> requests.Response:
        if self.offline:
            raise requests.ConnectionError("no route to host")
        self.asked.append((url, params, dict(session.headers)))
        response = requests.Response()
        response.status_code = self.status
        response._content = json.dumps({"data": list(self.answers), "meta": {"total_doc": 1}}).encode()
        return response


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server(answer("mp-149"))
    monkeypatch.setattr(requests.Session, "get", lambda session, url, **keys: found.get(session, url, **keys))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(KEY, "k" * 32)
    crystals._of_materials.cache_clear()
    return found


def test_a_material_is_fetched_once_and_then_known_without_a_key_or_network(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (silicon,) = materials(["mp-149"])
    assert (silicon.formula, silicon.space_group, silicon.source) == ("Si", 227, "mp-149")
    assert silicon.prototype == "Si, space group 227"
    np.testing.assert_allclose(silicon.conventional, SILICON * np.eye(3), atol=1e-6)
    ((url, params, headers),) = server.asked
    assert url.startswith("https://api.materialsproject.org/materials/summary/?")
    assert "_fields=material_id,structure" in url
    assert params == {"material_ids": "mp-149"}
    assert headers["x-api-key"] == "k" * 32
    server.offline = True
    monkeypatch.delenv(KEY)
    (again,) = materials(["mp-149"])
    assert again.crystal.fractional.tobytes() == silicon.crystal.fractional.tobytes()


def test_the_kind_makes_items_of_materials(server: Server) -> None:
    block = Crystals.model_validate(
        {"kind": "crystals", "count": 2, "source": "materials_project", "materials": ["mp-149"]}
    )
    crystals.check(Node("structures", "own", block, {}))
    items = list(crystals.make(block, [Asked(number, (np.random.default_rng(number),)) for number in (0, 1)]))
    assert [item.row["source"] for item in items] == ["mp-149", "mp-149"]
    assert [item.row["orientation_kind"] for item in items] == ["zone_axis", "random"]
    assert len(server.asked) == 1


def test_no_key_is_one_sentence(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY)
    with pytest.raises(ConfigError, match=r"^materials: found mp-149 and no key for .* in MP_API_KEY; allowed: a key"):
        materials(["mp-149"])


def test_no_network_a_bad_key_and_a_refusal_are_one_sentence(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.offline = True
    with pytest.raises(ConfigError, match=r"^materials: mp-149 cannot be fetched .*no route to host.*; allowed:"):
        materials(["mp-149"])
    server.offline, server.status = False, 403
    with pytest.raises(ConfigError, match=r"^materials: mp-149 cannot be fetched .*403.*; allowed:"):
        materials(["mp-149"])
    monkeypatch.setenv(KEY, "short")
    with pytest.raises(ConfigError, match=r"^materials: mp-149 cannot be fetched .*API key.*; allowed:"):
        materials(["mp-149"])


def test_an_unknown_material_is_named_and_the_others_are_kept(server: Server) -> None:
    with pytest.raises(ConfigError, match=r"^materials: found 'mp-1', which the Materials Project does not have"):
        materials(["mp-149", "mp-1"])
    server.offline = True
    assert len(materials(["mp-149"])) == 1


def test_partial_occupancy_and_a_damaged_answer_are_refused(server: Server, tmp_path: Path) -> None:
    server.answers = (answer("mp-149", 0.5),)
    with pytest.raises(StructureError, match=r"mp-149.*partially occupied"):
        materials(["mp-149"])
    (kept,) = (tmp_path / "cache").rglob("mp-149.json")
    kept.write_text('{"structure": {}}')
    with pytest.raises(StructureError, match=r"^materials: the answer for 'mp-149' is no structure; allowed: delete"):
        materials(["mp-149"])
    kept.write_text("{")
    server.answers = (answer("mp-149"),)
    assert len(materials(["mp-149"])) == 1
