import time
import zipfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import exitwave.data.shards as shards
from exitwave.data.shards import open_shard, read_table, table_path, write_shard, write_table
from exitwave.errors import ShardError

TABLE = pd.DataFrame({"item": [0, 1, 2], "dose": [100.0, 200.0, np.nan], "material": ["Au", "CdSe", ""]})


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "waves": (rng.normal(size=(3, 2, 8, 8)) + 1j * rng.normal(size=(3, 2, 8, 8))).astype(np.complex64),
        "counts": rng.poisson(90, (3, 16, 16)).astype(np.uint32),
        "phase": rng.random((3, 16, 16)).astype(np.float16),
        "0/positions": rng.random((7, 3)).astype(np.float32),
        "0/object_id": np.zeros(7, np.uint8),
        "nothing": np.zeros((3, 4, 4), np.uint8),
    }


@pytest.fixture
def shard(tmp_path, arrays):
    path = tmp_path / "shard-000000-000003.zarr.zip"
    write_shard(path, arrays, TABLE, {"kind": "images", "units": {"counts": "e⁻/px"}})
    return path


def place_of(shard, member):
    """First byte of a member's data within the file, and its length."""
    with zipfile.ZipFile(shard) as archive:
        info = archive.getinfo(member)
        with archive.open(member) as stream:
            return stream._orig_compress_start, info.file_size


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def test_arrays_attributes_and_table_come_back_as_written(shard, arrays):
    opened = open_shard(shard)
    for name, values in arrays.items():
        read = opened.read(name)
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, values)
        np.testing.assert_array_equal(opened.read(name, 0), values[0])
    assert opened.attributes == {"kind": "images", "units": {"counts": "e⁻/px"}}
    pd.testing.assert_frame_equal(read_table(table_path(shard)), TABLE, check_dtype=False)


def test_same_content_is_the_same_bytes_at_another_time(shard, arrays, tmp_path, monkeypatch):
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)
    again = tmp_path / "later" / shard.name
    write_shard(again, dict(reversed(arrays.items())), TABLE, {"kind": "images", "units": {"counts": "e⁻/px"}})
    assert again.read_bytes() == shard.read_bytes()
    assert table_path(again).read_bytes() == table_path(shard).read_bytes()


def test_a_shard_can_be_opened_with_zarr_alone(shard, arrays):
    import zarr

    group = zarr.open_group(zarr.storage.ZipStore(shard, mode="r"), mode="r")
    np.testing.assert_array_equal(group["waves"][1], arrays["waves"][1])


def test_table_holds_the_unit_of_every_column(shard):
    schema = pq.read_schema(table_path(shard))
    assert schema.field("dose").metadata == {b"unit": "e⁻/Å²".encode()}
    assert schema.field("item").metadata is None


def test_a_flipped_byte_is_an_error_that_names_file_and_item_and_the_other_items_stay_readable(shard, arrays):
    start, length = place_of(shard, "counts/c/1/0/0")
    flip(shard, start + length // 2)
    opened = open_shard(shard)
    with pytest.raises(ShardError, match=r"shard-000000-000003.*'counts', item 1 is damaged") as caught:
        opened.read("counts", 1)
    assert "\n" not in str(caught.value)
    for item in (0, 2):
        np.testing.assert_array_equal(opened.read("counts", item), arrays["counts"][item])
    with pytest.raises(ShardError, match="counts"):
        opened.read("counts")


def test_no_flipped_byte_anywhere_goes_unnoticed(tmp_path):
    """Whichever byte is damaged: an error, or the very data that were written; never other data."""
    path = tmp_path / "shard.zarr.zip"
    values = {"counts": np.arange(1, 33, dtype=np.uint32).reshape(2, 4, 4)}
    write_shard(path, values, TABLE, {"kind": "images"})
    whole = path.read_bytes()
    noticed = 0
    for position in range(len(whole)):
        content = bytearray(whole)
        content[position] ^= 0xFF
        path.write_bytes(content)
        try:
            opened = open_shard(path)
            read, attributes = opened.read("counts"), opened.attributes
        except ShardError:
            noticed += 1
        else:
            np.testing.assert_array_equal(read, values["counts"])
            assert attributes == {"kind": "images"}
    assert noticed > len(whole) // 2


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_shard_is_an_error_that_names_it(shard, kept):
    content = shard.read_bytes()
    shard.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(ShardError, match=r"shard-000000-000003\.zarr\.zip: is damaged"):
        open_shard(shard)


def test_a_missing_shard_and_a_missing_array_are_errors_that_say_what_is_there(shard, tmp_path):
    with pytest.raises(ShardError, match=r"other\.zarr\.zip: is missing"):
        open_shard(tmp_path / "other.zarr.zip")
    with pytest.raises(ShardError, match=r"no array 'count'; it has .*counts"):
        open_shard(shard).read("count")


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.9, 0.999])
def test_a_truncated_table_is_an_error_that_names_it(shard, fraction):
    table = table_path(shard)
    content = table.read_bytes()
    table.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ShardError, match=r"shard-000000-000003\.parquet: cannot be read"):
        read_table(table)


def test_a_flipped_byte_in_the_values_of_a_table_is_an_error(tmp_path):
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"dose": np.random.default_rng(0).random(500)})
    write_table(path, table)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    first = column.dictionary_page_offset or column.data_page_offset
    whole = path.read_bytes()
    for position in np.linspace(first + 40, first + column.total_compressed_size - 1, 40).astype(int):
        path.write_bytes(whole)
        flip(path, position)
        with pytest.raises(ShardError, match=r"table\.parquet: cannot be read"):
            read_table(path)


@pytest.mark.parametrize("step", ["zip", "table"])
def test_an_interrupted_write_leaves_nothing_at_the_final_name(tmp_path, arrays, monkeypatch, step):
    path = tmp_path / "shard.zarr.zip"

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if step == "zip":
        written = zipfile.ZipFile.writestr
        members = iter(range(3))
        monkeypatch.setattr(
            zipfile.ZipFile,
            "writestr",
            lambda *args: written(*args) if next(members, None) is not None else full_disk(),
        )
    else:
        monkeypatch.setattr(shards.pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_shard(path, arrays, TABLE, {})
    assert not path.exists()
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_rewrite_leaves_the_shard_that_was_there(shard, arrays, monkeypatch):
    before = shard.read_bytes()
    monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_shard(shard, {**arrays, "counts": arrays["counts"] + 1}, TABLE, {})
    assert shard.read_bytes() == before


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path, arrays):
    for name in (".shard.zarr.zip.12345.part", ".shard.parquet.12345.part"):
        (tmp_path / name).write_bytes(b"half")
    write_shard(tmp_path / "shard.zarr.zip", arrays, TABLE, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard.parquet", "shard.zarr.zip"]
