"""The networks that come with exitwave find atomic columns, and are what the card says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.config.atoms import Atoms
from exitwave.training.bundle import BUNDLED_ATOMS, bundle_with, find_convention

SILICON = Path(__file__).parents[2] / "resources/lattices/si110.png"


def test_they_are_small_and_have_scores_of_columns():
    assert BUNDLED_ATOMS.stat().st_size <= 8e6
    convention = find_convention(BUNDLED_ATOMS)
    assert isinstance(convention.task().model, Atoms)
    assert len(convention.networks) == 3
    assert 0.7 < convention.scores["columns"]["f1"] < 1
    card = (BUNDLED_ATOMS.parent / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"### columns: 600 images.*?\| \*\*columns\*\* \| ([0-9.]+) ", card, re.DOTALL)
    assert float(row) == pytest.approx(convention.scores["columns"]["f1"], abs=6e-4)
    assert bundle_with("columns") == BUNDLED_ATOMS


def test_they_tell_the_dumbbells_of_silicon_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["atoms", str(SILICON), "--pixel-size", str(50 / 512)])
    assert done.exit_code == 0, done.output
    row = pd.read_csv("atoms/images.csv").iloc[0]
    assert row["bravais"] == "rhombus"
    assert row["columns"] == pytest.approx(2 * 50**2 / (3.6 * 3.68 * np.sin(np.radians(70))), rel=0.04)


def test_what_is_no_image_of_columns_is_refused_or_warned_of(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("noise.npy", rng.normal(100, 1, (256, 256)).astype(np.float32))
    text = np.full((256, 256), 200.0, np.float32)
    for row in range(8, 250, 16):
        text[row : row + 9, rng.integers(0, 256, 130)] = 0
    np.save("text.npy", text)
    done = CliRunner().invoke(app, ["atoms", "noise.npy", "text.npy", "--pixel-size", "0.2"])
    told = done.output + caplog.text
    for name in ("noise", "text"):
        lines = [line for line in told.splitlines() if f"{name}:" in line or f"{name}.npy:" in line]
        assert any("unlike the training images" in line or "no column" in line for line in lines), told
