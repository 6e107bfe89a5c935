import errno
import os
import re
import subprocess
import sys
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


FULL = r"cannot be written \({}\): it needs [\d,.]+ MB, and [\d,.]+ MB are free on its disk; make room"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("member", [0, 3, 12])
def test_a_full_disk_leaves_nothing_of_the_shard_and_is_said_in_a_sentence(tmp_path, arrays, monkeypatch, code, member):
    path = tmp_path / "shard.zarr.zip"
    written = zipfile.ZipFile.writestr
    members = iter(range(member))

    def writestr(*args):
        if next(members, None) is None:
            raise OSError(code, os.strerror(code))
        written(*args)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", writestr)
    with pytest.raises(ShardError, match=r"shard\.zarr\.zip: " + FULL.format(os.strerror(code))) as caught:
        write_shard(path, arrays, TABLE, {})
    assert "\n" not in str(caught.value)
    assert not path.exists()
    assert not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    write_shard(path, arrays, TABLE, {})
    np.testing.assert_array_equal(open_shard(path).read("waves"), arrays["waves"])


def test_a_full_disk_is_noticed_as_late_as_when_the_file_is_flushed(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ShardError, match=r"table\.parquet: " + FULL.format("No space left on device")):
        write_table(tmp_path / "table.parquet", TABLE)
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
import numpy as np
import pandas as pd
from exitwave.data.shards import write_shard, write_table
from exitwave.errors import ShardError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
numbers = np.random.default_rng(0).random(20_000)
for write in (
    lambda: write_shard(sys.argv[1] + "/shard.zarr.zip", {"waves": numbers}, pd.DataFrame({"item": [0]}), {}),
    lambda: write_table(sys.argv[1] + "/table.parquet", pd.DataFrame({"dose": numbers})),
):
    try:
        write()
    except ShardError as error:
        print(error)
"""


def test_a_real_limit_to_the_size_of_files_is_said_in_a_sentence_and_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True)
    shard, table = done.stdout.splitlines()
    assert re.search(r"shard\.zarr\.zip: " + FULL.format("File too large"), shard)
    assert re.search(r"table\.parquet: " + FULL.format("File too large"), table)
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["shard.parquet"]


def test_a_folder_that_cannot_be_is_an_error_that_names_the_file(tmp_path, arrays):
    (tmp_path / "results").write_bytes(b"a file in the place of the folder")
    with pytest.raises(ShardError, match=r"results/shard\.parquet: cannot be written \(.*\); allowed: a folder"):
        write_shard(tmp_path / "results" / "shard.zarr.zip", arrays, TABLE, {})


def test_the_table_of_another_shard_is_noticed(shard, tmp_path, arrays):
    """Same items and columns, as of a shard made with another seed."""
    other = tmp_path / "other" / shard.name
    write_shard(other, arrays, TABLE.assign(dose=[100.0, 200.0, 300.0]), {})
    table_path(shard).write_bytes(table_path(other).read_bytes())
    with pytest.raises(ShardError, match=r"000003\.parquet: is damaged, or is not the table .*; delete both"):
        open_shard(shard)


def test_a_shard_without_its_table_still_opens(shard, arrays):
    table_path(shard).unlink()
    np.testing.assert_array_equal(open_shard(shard).read("counts"), arrays["counts"])
    with pytest.raises(ShardError, match=r"000003\.parquet: is missing"):
        read_table(table_path(shard))


def test_items_too_large_for_one_chunk_are_split_and_come_back(tmp_path, arrays, monkeypatch):
    monkeypatch.setattr(shards, "_LARGEST_CHUNK", 1000)
    path = tmp_path / "shard.zarr.zip"
    write_shard(path, arrays, TABLE, {})
    opened = open_shard(path)
    assert opened.group["waves"].chunks == (1, 1, 8, 8)  # of 1024 bytes an item
    assert opened.group["counts"].chunks == (1, 1, 16)
    for name, values in arrays.items():
        np.testing.assert_array_equal(opened.read(name), values)


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
