"""Tables of many shards: some columns of them as one, rows of them written to one file, columns read when taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from exitwave.data import shards
from exitwave.data.fingerprint import fingerprint
from exitwave.data.tables import StoredTable, join_tables, read_table, table_path, write_rows, write_table
from exitwave.errors import ShardError


@pytest.fixture
def stored(tmp_path: Path) -> list[str]:
    """Three shards of four images, of which the last has another type of a column, and lacks one."""
    paths = []
    for number in range(3):
        item = np.arange(4) + 4 * number
        table = pd.DataFrame(
            {
                "image_id": [f"i-{n:03d}" for n in item],
                "dose": item if number < 2 else item + 0.5,
                "material": [None, "Au", "", "Ag"],
                "images": "old name",
                "note": None,
                "C12": item * 1.5,
            }
        )
        paths.append(str(tmp_path / f"shard-{number}.zarr.zip"))
        write_table(table_path(paths[-1]), table if number < 2 else table.drop(columns="C12"))
    return paths


def test_all_columns_are_joined_and_say_where_each_row_stands(stored: list[str]) -> None:
    joined = join_tables(stored)
    parts = [read_table(table_path(path)).assign(shard=path, row=range(4)) for path in stored]
    pd.testing.assert_frame_equal(joined, pd.concat(parts, ignore_index=True), check_dtype=False)


def test_of_some_columns_those_that_are_there_are_read(stored: list[str]) -> None:
    assert list(join_tables(stored, {"dose", "gone"}).columns) == ["dose", "shard", "row"]
    assert join_tables(stored, {"C12"})["C12"].isna().sum() == 4


@pytest.mark.parametrize("together", [1, 3, 100])
def test_rows_are_written_in_their_order_with_all_columns_and_new_ones(
    stored: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(shards, "_ROWS_TOGETHER", together)
    joined = join_tables(stored)
    drawn = joined.iloc[[7, 0, 11, 10, 0, 3]].assign(images="new name", split="train")
    path = tmp_path / "manifest.parquet"
    write_rows(path, drawn[["shard", "row", "images", "split"]])
    written = read_table(path)
    pd.testing.assert_frame_equal(written, drawn.reset_index(drop=True)[list(written)], check_dtype=False)
    assert set(written) == set(drawn)
    assert pq.read_schema(path).field("dose").metadata[b"unit"].decode() == "e⁻/Å²"


def test_columns_of_a_stored_table_are_those_of_the_whole(stored: list[str], tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    write_rows(path, join_tables(stored, ()))
    table, whole = StoredTable(path), read_table(path)
    assert (len(table), table.columns) == (12, list(whole))
    for name in whole:
        pd.testing.assert_series_equal(table[name], whole[name])
        assert table.varies(name) or whole[name].nunique(dropna=False) == 1
    assert not table.varies("images")


def test_a_fingerprint_is_the_same_of_a_table_in_memory_and_of_one_on_disk(stored: list[str], tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    more = {"split": "test", "structure_id": "s-1", "pixel_size": 0.8}
    write_rows(path, join_tables(stored, ()).assign(**more))
    assert fingerprint(StoredTable(path)) == fingerprint(read_table(path))


def test_a_damaged_shard_is_named_and_leaves_no_table(stored: list[str], tmp_path: Path) -> None:
    rows = join_tables(stored, ())
    table_path(stored[1]).write_bytes(b"PAR1")
    with pytest.raises(ShardError, match=r"shard-1\.parquet: cannot be read"):
        write_rows(tmp_path / "all.parquet", rows)
    with pytest.raises(ShardError, match=r"shard-1\.parquet: cannot be read"):
        StoredTable(table_path(stored[1]))
    assert not list(tmp_path.glob("*all.parquet*"))
