"""What is known of many structure files is kept between processes, and never of another content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exitwave.errors import StructureError
from exitwave.structures import known_files
from exitwave.structures.known_files import known_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(known_files, "WORTH_KEEPING", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "crystals").mkdir()
    for name in "abc":
        (tmp_path / "crystals" / name).write_text(f"atoms of {name}")
    return tmp_path / "crystals"


def texts(folder: Path, about: str = "as text") -> tuple[list[str], int]:
    """What is known of the files of a folder, which is their text, and how many had to be read for that."""
    read = []

    def learn(path: str) -> dict[str, Any]:
        read.append(path)
        text = Path(path).read_text()
        if "broken" in text:
            raise StructureError(f"'{path}' is broken")
        return {"text": text}

    known = known_of([str(path) for path in sorted(folder.iterdir())], folder, about, learn)
    return [one["text"] for one in known], len(read)


def test_files_are_read_once_and_again_when_their_content_changes(folder: Path) -> None:
    expected = ["atoms of a", "atoms of b", "atoms of c"]
    assert texts(folder) == (expected, 3)
    assert texts(folder) == (expected, 0)
    (folder / "b").write_text("atoms of x")  # as many bytes as before
    (folder / "d").write_text("atoms of d")
    assert texts(folder) == (["atoms of a", "atoms of x", "atoms of c", "atoms of d"], 2)
    assert texts(folder)[1] == 0


def test_a_file_that_cannot_be_read_is_told_each_time(folder: Path) -> None:
    (folder / "b").write_text("broken")
    for _ in range(2):
        with pytest.raises(StructureError, match="is broken"):
            texts(folder)


def test_another_way_to_read_them_or_other_readers_find_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(folder)
    assert texts(folder, "otherwise")[1] == 3
    monkeypatch.setattr(known_files, "_readers", lambda: "of another version")
    assert texts(folder)[1] == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_store_is_made_anew(folder: Path, content: str) -> None:
    texts(folder)
    (store,) = (folder.parent / "cache").rglob("*.json")
    store.write_text(content)
    assert texts(folder)[1] == 3
    assert texts(folder)[1] == 0


def test_without_a_place_to_keep_it_files_are_read_each_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert texts(folder)[1] == texts(folder)[1] == 3
