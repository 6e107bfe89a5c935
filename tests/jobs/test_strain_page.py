"""The page on strain says what is true: its command and snippet run, and its tables name what is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from exitwave.benchmark.scan_strain import NO_FIT, TRUST
from exitwave.cli import app
from scan_writers import write_rosetta
from strained_scan import strained_scan

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "strain.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Cells of the table whose first column is headed so."""
    lines = PAGE.split(f"| {heading} |")[1].splitlines()[2:]
    rows = lines[: next(place for place, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_commands_and_snippet_run_and_every_file_of_the_table_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scan = strained_scan(4, 6)
    write_rosetta(tmp_path / "my_scan.hspy", scan.patterns.astype(np.uint16), "hspy")
    tifffile.imwrite("vacuum.tif", scan.probe.astype(np.float32))
    named = {name for cells in table("file") for name in re.findall(r"`([^`]+)`", cells[0])}
    commands = re.findall(r"^exitwave (strain .*)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command, folder in zip(commands, ("my_scan_strain", "my_correlation"), strict=True):
        done = CliRunner().invoke(app, shlex.split(command.replace("0:20,0:50", "0:3,0:4") + " --workers 1"))
        assert done.exit_code == 0, (done.output, done.exception)
        assert {path.name for path in Path(folder).iterdir() if not path.name.startswith(".")} == named
    (snippet,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(snippet, "strain.md", "exec"), names)
    disks, on_lattice = names["disks"], names["on_lattice"]
    assert isinstance(disks, pd.DataFrame)
    assert isinstance(on_lattice, pd.DataFrame)
    assert 0.5 * len(disks) < len(on_lattice) <= len(disks)
    columns = [name for cells in table("column of `disks.parquet`") for name in re.findall(r"`([^`]+)`", cells[0])]
    assert columns == list(disks.columns)


def test_the_table_of_trust_has_every_code() -> None:
    rows = table("code")
    assert [int(cells[0]) for cells in rows] == list(TRUST)
    for code, (_, meaning, strain) in zip(TRUST, rows, strict=True):
        assert (strain == "no") == (0 < code <= NO_FIT)
        first = TRUST[code].partition(":")[0]
        assert meaning.startswith(first) or code == max(TRUST)
