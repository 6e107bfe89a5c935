"""Public databases are fetched whole or not at all, from a server of the test."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.monolayers import Monolayers
from exitwave.errors import FetchError
from exitwave.jobs import fetch
from exitwave.jobs.fetch import DATABASES, fetch_layers
from exitwave.structures.monolayer_files import monolayers_of

GRAPHENE = {
    "lattice_mat": [[2.46, 0, 0], [-1.23, 2.1304, 0], [0, 0, 20]],
    "coords": [[0, 0, 0.5], [1 / 3, 2 / 3, 0.5]],
    "elements": ["C", "C"],
    "cartesian": False,
}
ENTRIES = [{"jid": "JVASP-667", "atoms": GRAPHENE}, {"id": "again", "atoms": GRAPHENE}]


def archive_of(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


GOOD = archive_of(**{"d2-12.json": json.dumps(ENTRIES).encode(), "__MACOSX/._d2-12.json": b"-"})
DAMAGED = GOOD[:60] + b"\xff" * 20 + GOOD[80:]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A server that gives an archive, or what a test makes of it."""
    gives = SimpleNamespace(content=GOOD, status=200, length=None, asked=0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            gives.asked += 1
            self.send_response(gives.status)
            self.send_header("Content-Length", str(len(gives.content) if gives.length is None else gives.length))
            self.end_headers()
            self.wfile.write(gives.content)

        def log_message(self, *words: Any) -> None:
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address = f"http://127.0.0.1:{running.server_port}/files/1"
    monkeypatch.setitem(fetch.DATABASES, "dft_2d", replace(DATABASES["dft_2d"], address=address))
    try:
        yield gives
    finally:
        running.shutdown()
        running.server_close()


def test_what_is_fetched_is_read_as_monolayers_and_says_where_it_is_from(server: Any, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["fetch", "2d", "--from", "dft_2d", "--to", str(tmp_path / "new")])
    assert result.exit_code == 0
    assert "2 structures of JARVIS-DFT" in result.output
    file = tmp_path / "new" / "dft_2d.json"
    about = json.loads((tmp_path / "new" / "dft_2d.provenance.txt").read_text())
    assert about["sha256"] == sha256(file.read_bytes()).hexdigest()
    assert about["archive_sha256"] == sha256(GOOD).hexdigest()
    assert about["cite"].startswith("https://doi.org/10.1038/")
    assert sorted(path.name for path in file.parent.iterdir()) == ["dft_2d.json", "dft_2d.provenance.txt"]
    # The folder can be the source: what stands beside the file is no structure.
    block = Monolayers(kind="monolayer", source="files", path=file.parent, field_of_view=30, count=1)
    layers = monolayers_of(file.parent, block.may_be_files())
    assert sorted(layer.source for layer in layers) == ["dft_2d.json#JVASP-667", "dft_2d.json#again"]
    assert {layer.bravais for layer in layers} == {"hexagonal"}


def test_what_is_there_whole_is_not_fetched_again(server: Any, tmp_path: Path) -> None:
    file, _ = fetch_layers("dft_2d", tmp_path)
    assert fetch_layers("dft_2d", tmp_path)[1]["structures"] == 2
    assert server.asked == 1
    file.write_text(file.read_text()[:-5])
    fetch_layers("dft_2d", tmp_path)
    assert server.asked == 2
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize(
    ("gives", "told"),
    [
        ({"status": 404}, "answers 404 Not Found"),
        ({"length": len(GOOD) + 10}, f"{len(GOOD):,} of {len(GOOD) + 10:,} bytes came; run again"),
        ({"content": GOOD[:-30]}, "what came is no archive"),
        ({"content": b"<html>"}, "what came is no archive"),
        ({"content": DAMAGED}, "what came is no archive"),
        ({"content": archive_of(readme=b"")}, "the archive holds readme"),
        ({"content": archive_of(**{"a.json": b"[]", "b.json": b"[]"})}, "needed: one JSON file"),
        ({"content": archive_of(**{"a.json": b"[1, 2"})}, "no database of JARVIS"),
        ({"content": archive_of(**{"a.json": b"[{}]"})}, "no database of JARVIS"),
    ],
)
def test_what_is_no_database_is_told_and_nothing_is_left(
    server: Any, tmp_path: Path, gives: dict[str, Any], told: str
) -> None:
    vars(server).update(gives)
    with pytest.raises(FetchError, match=told) as caught:
        fetch_layers("dft_2d", tmp_path)
    assert "download it by hand from https://doi.org/10.6084/m9.figshare.6815705" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_one_sentence_says_what_to_do(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fetch.DATABASES, "c2db", replace(DATABASES["c2db"], address="http://127.0.0.1:9/files/1"))
    monkeypatch.setattr("sys.argv", ["exitwave", "fetch", "2d", "--from", "c2db", "--to", str(tmp_path)])
    from exitwave.cli import main

    with pytest.raises(SystemExit) as status:
        main()
    assert status.value.code == 1
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert said.startswith("error: no network: c2db cannot be fetched (")
    assert said.endswith("unpack it, and give structures of kind monolayer source: files and its path")


def test_addresses_are_safe() -> None:
    assert all(database.address.startswith("https://") for database in DATABASES.values())
