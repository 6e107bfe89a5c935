"""The command ``exitwave catalog``: which table is meant, what it counts, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from exitwave.cli import app
from exitwave.data.tables import StoredTable, read_table, write_table
from exitwave.errors import DatasetError, ExitwaveError, ShardError, WriteError
from exitwave.report.catalog import BARS, WIDTH, bars

Run = Callable[..., str]


def images(count: int) -> pd.DataFrame:
    """Images of two blocks, two of each structure."""
    number = np.arange(count)
    return pd.DataFrame(
        {
            "image_id": [f"0badcafe-{n:06d}" for n in number],
            "structure_id": [f"c0ffee00-{n // 2:06d}" for n in number],
            "images": np.where(number < count // 2, "noisy", "sharp[C1=0]"),
            "structures": "gold",
            "item": number // 2,
            "material": np.where(number % 3 == 0, "Au", ""),
            "planar_defects": number % 10,
            "dose": 100.0 * (number + 1),
            "energy": 300e3,
        }
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a folder with the catalogs of two studies; what it printed."""
    monkeypatch.chdir(tmp_path)
    for study, count in {"demo": 20, "large": 40}.items():
        write_table(Path("results/report", study, "catalog.parquet"), images(count))

    def build(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["catalog", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return build


def row(output: str, *names: str) -> list[str]:
    """Cells of the table's line that begins with these."""
    lines = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in output.splitlines() if "│" in line]
    return next(cells[len(names) :] for cells in lines if cells[: len(names)] == list(names))


@pytest.mark.parametrize(
    ("arguments", "headline"),
    [
        ([], "20 of 20 images, of 10 structures"),
        (["large"], "40 of 40 images, of 20 structures"),
        (["results/report/large/catalog.parquet"], "40 of 40 images, of 20 structures"),
        (["dose < 450"], "4 of 20 images, of 2 structures, fulfil dose < 450"),
        (["dose < 450", "--study", "large"], "4 of 40 images, of 2 structures, fulfil dose < 450"),
        (["large", "dose < 450"], "4 of 40 images, of 2 structures, fulfil dose < 450"),
        (["dose<0"], "0 of 20 images, of 0 structures, fulfil dose<0"),
    ],
)
def test_it_counts_the_images_of_the_table_that_is_meant(run: Run, arguments: list[str], headline: str) -> None:
    assert run(*arguments).splitlines()[0] == headline


def test_images_and_structures_are_counted_by_block(run: Run) -> None:
    output = run("dose <= 1400")
    assert row(output, "noisy", "gold") == ["5", "10"]
    assert row(output, "sharp[C1=0]", "gold") == ["2", "4"]
    assert row(output, "all", "") == ["7", "14"]


def test_the_manifest_of_a_dataset_is_counted_by_split(run: Run) -> None:
    manifest = images(20).assign(split=["train"] * 12 + ["validation"] * 4 + ["test"] * 4)
    write_table("manifest.parquet", manifest)
    output = run("manifest.parquet")
    assert row(output, "noisy", "gold") == ["5", "10", "10", "0", "0"]
    assert row(output, "all", "") == ["10", "20", "12", "4", "4"]


def test_images_of_no_structures_block_are_counted_too(run: Run) -> None:
    write_table("fields.parquet", images(6).drop(columns="structures"))
    assert row(run("fields.parquet"), "noisy", "") == ["2", "3"]
    mixed = images(6).assign(structures=["gold"] * 4 + [None] * 2, images=["sharp"] * 4 + ["real"] * 2)
    write_table("mixed.parquet", mixed)
    assert [row(run("mixed.parquet"), *names)[1] for names in (("sharp", "gold"), ("real", ""))] == ["4", "2"]


def test_columns_that_cannot_vary_are_not_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    whole = StoredTable.read
    monkeypatch.setattr(StoredTable, "read", lambda table, names: read.extend(names) or whole(table, names))
    number = np.arange(20)
    constant = {"seed_of_noise": 3, "C12": np.nan, "microscope": "", "oversampling": -0.0, "lens": None}
    write_table("wide.parquet", images(20).assign(**constant, C21=np.where(number < 5, np.nan, 7.0)))
    assert row(run("wide.parquet"), "C21", "Å")[3] == "7: 15, none: 5"
    assert not {"energy", "microscope", "oversampling", "seed_of_noise"} & set(read)
    assert {"dose", "material", "planar_defects", "structure_id", "C21"} <= set(read)


def test_what_varies_is_shown_with_its_spread_and_nothing_else(run: Run) -> None:
    output = run()
    assert row(output, "dose", "e⁻/Å²")[:3] == ["100", "1050", "2000"]
    assert row(output, "material", "")[3] == "none: 13, Au: 7"
    assert row(output, "planar_defects", "")[3] == "██████████"
    for name in ("energy", "item", "image_id"):
        assert f"│ {name} " not in output
    assert "what varies" not in run("dose == 100")


def test_bars_are_as_high_as_the_histogram_of_numpy() -> None:
    values = pd.Series(np.random.default_rng(0).normal(size=3000))
    line = bars(pd.concat([values, pd.Series([np.nan])]))
    counts = np.histogram(values, bins=WIDTH)[0]
    heights = np.array([BARS.index(bar) for bar in line])
    assert np.abs(heights - 8 * counts / counts.max()).max() < 1
    assert ((heights == 0) == (counts == 0)).all()


@pytest.mark.parametrize("name", ["found.csv", "folder/found.parquet"])
def test_rows_found_are_written(run: Run, name: str) -> None:
    run("material == 'Au'", "--output", name)
    rows = pd.read_csv(name) if name.endswith("csv") else read_table(name)
    assert rows["dose"].tolist() == images(20).query("material == 'Au'")["dose"].tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["doze < 3"], DatasetError, "found unknown column 'doze' in 'doze < 3'; allowed: perhaps dose, or any of "),
        (["open('x') == 1"], DatasetError, "found \"open('x')\" in "),
        (["demo", "dose"], DatasetError, "found 'dose', which is not true or false for each image, in 'dose'; allow"),
        (["small"], ShardError, "results/report/small/catalog.parquet: is missing; run the workflow for this study "),
        (["dose < 3", "--study", "small"], ShardError, "results/report/small/catalog.parquet: is missing; run the "),
        (["other.parquet", "dose < 3"], ShardError, "other.parquet: is missing; run the workflow for this study fir"),
        (["dose", "<", "3"], ShardError, "found 3 arguments; allowed: a table or study, and a condition in quotes"),
        (["--output", "found.xlsx"], ShardError, "found.xlsx: found the suffix '.xlsx'; allowed: .csv or .parquet"),
        (["--output", "/dev/null/found.csv"], WriteError, "/dev/null/found.csv: cannot be written ("),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    run: Run, arguments: list[str], error: type[ExitwaveError], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        run(*arguments)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_study_that_is_not_there_is_answered_with_those_that_are(run: Run) -> None:
    with pytest.raises(ShardError, match=r"or name one of those there are: demo, large$"):
        run("small")


def test_a_table_of_other_things_than_images_is_refused(run: Run) -> None:
    write_table(Path("figures.parquet"), pd.DataFrame({"paper": ["a", "b"], "caption": ["x", "y"]}))
    with pytest.raises(DatasetError, match=r"figures\.parquet: found no column structure_id; allowed: a table of im"):
        run("figures.parquet")
