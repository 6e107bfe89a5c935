import errno
import os
import re
import subprocess
import sys
import time
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr

import exitwave.data.shards as shards
from exitwave.data.shards import open_shard, shard_writer
from exitwave.data.tables import read_table, table_path, write_table
from exitwave.errors import ShardError, WriteError
from exitwave.items import Array, Axis, Item, lateral

TABLE = pd.DataFrame({"item": [0, 1, 2], "dose": [100.0, 200.0, np.nan], "material": ["Au", "CdSe", ""]})
ATTRIBUTES = {"stage": "images", "name": "noisy", "block": {"labels": ["atoms"], "dose": 100.0}}
RAGGED = {"positions", "object_id", "series"}


def arrays_of(place):
    """Arrays of an item; of the ragged ones each has another shape, and the last item has no plane."""
    rng = np.random.default_rng(place)
    waves = (rng.normal(size=(3, 2, 8, 8)) + 1j * rng.normal(size=(3, 2, 8, 8))).astype(np.complex64)
    phonon, atom = Axis("phonon"), Axis("atom")
    return {
        "whole": Array(waves[0], (phonon, *lateral(0.4))),
        "counts": Array(rng.poisson(90, (16, 16)).astype(np.uint32), lateral(0.8), "counts/px"),
        "phase": Array(rng.random((16, 16)).astype(np.float16), lateral(0.8), "rad"),
        "cell": Array(rng.random(3), (Axis("direction", labels=("x", "y", "z")),), "Å"),
        "nothing": Array(np.zeros((4, 4), np.uint8), lateral(0.8)),
        "temperature": Array(np.array(300.0 + place), (), "K"),
        "positions": Array(
            rng.random((7 + place, 3)).astype(np.float32),
            (atom, Axis("direction", labels=("x", "y", "z"))),
            "Å",
            ragged=True,
        ),
        "object_id": Array(np.zeros(7 + place, np.uint8), (atom,), ragged=True),
        "series": Array(waves[1 + place :], (Axis("plane", 10.0, "Å"), phonon, *lateral(0.4)), ragged=True),
    }


def write(path, items=None, table=TABLE, attributes=ATTRIBUTES, count=None):
    """A shard of the items, or of those above; announced as so many."""
    items = [arrays_of(place) for place in range(len(table))] if items is None else items
    with shard_writer(path, count or len(table), attributes) as writer:
        for arrays, row in zip(items, table.to_dict("records"), strict=True):
            writer.add(Item(arrays, row))


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard-000000-000003.zarr.zip"
    write(path)
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


def assert_whole(path):
    """All arrays are those that were written."""
    opened = open_shard(path)
    for place in range(3):
        for name, array in arrays_of(place).items():
            np.testing.assert_array_equal(opened.read(name, place), array.values)


def test_arrays_attributes_and_table_come_back_as_written(shard):
    opened = open_shard(shard)
    assert opened.names() == sorted(arrays_of(0))
    for place in range(3):
        for name, array in arrays_of(place).items():
            read = opened.read(name, place)
            assert read.dtype == array.values.dtype
            np.testing.assert_array_equal(read, array.values)
    for name in set(arrays_of(0)) - RAGGED:
        np.testing.assert_array_equal(opened.read(name), [arrays_of(place)[name].values for place in range(3)])
    assert opened.attributes == ATTRIBUTES
    pd.testing.assert_frame_equal(read_table(table_path(shard)), TABLE, check_dtype=False)


@pytest.mark.parametrize("place", range(3))
def test_axes_spacings_labels_and_units_come_back_as_written(shard, place):
    item = open_shard(shard).item(place)
    written = arrays_of(place)
    assert sorted(item) == sorted(written)
    assert len(item) == len(written)
    for name, array in written.items():
        read = item[name]
        np.testing.assert_array_equal(read.values, array.values)
        assert (read.axes, read.unit, read.ragged) == (array.axes, array.unit, name in RAGGED)


def test_arrays_of_an_item_are_read_when_they_are_taken(shard):
    """So that a job that needs one array reads no other, and finds no damage in it."""
    start, length = place_of(shard, "counts/c/1/0/0")
    flip(shard, start + length // 2)
    item = open_shard(shard).item(1)
    np.testing.assert_array_equal(item["phase"].values, arrays_of(1)["phase"].values)
    with pytest.raises(ShardError, match="'counts', item 1 is damaged"):
        item["counts"]


def test_same_content_is_the_same_bytes_at_another_time(shard, tmp_path, monkeypatch):
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)
    again = tmp_path / "later" / shard.name
    write(again, [dict(reversed(arrays_of(place).items())) for place in range(3)])
    assert again.read_bytes() == shard.read_bytes()
    assert table_path(again).read_bytes() == table_path(shard).read_bytes()


def test_items_stand_in_the_file_in_the_order_in_which_they_were_written(shard):
    """So that who reads item after item reads the file from front to back."""
    for array in ("counts/c", "positions"):
        with zipfile.ZipFile(shard) as archive:
            found = [re.match(rf"{array}/(\d)/(?!zarr)", name) for name in archive.namelist()]
        assert [int(chunk[1]) for chunk in found if chunk] == [0, 1, 2]


def test_a_shard_can_be_opened_with_zarr_alone(shard):
    group = zarr.open_group(zarr.storage.ZipStore(shard, mode="r"), mode="r")
    np.testing.assert_array_equal(group["whole"][1], arrays_of(1)["whole"].values)
    np.testing.assert_array_equal(group["positions/1"][:], arrays_of(1)["positions"].values)
    assert {name: array.metadata.dimension_names for name, array in group.arrays()} == {
        "whole": ("item", "phonon", "y", "x"),
        "counts": ("item", "y", "x"),
        "phase": ("item", "y", "x"),
        "cell": ("item", "direction"),
        "nothing": ("item", "y", "x"),
        "temperature": ("item",),
    }
    assert group["positions/2"].metadata.dimension_names == ("atom", "direction")
    assert dict(group["positions/2"].attrs) == {
        "axes": [{"name": "atom"}, {"name": "direction", "labels": ["x", "y", "z"]}],
        "unit": "Å",
    }
    assert group["series/0"].attrs["axes"] == [
        {"name": "plane", "spacing": 10.0, "unit": "Å"},
        {"name": "phonon"},
        {"name": "y", "spacing": 0.4, "unit": "Å"},
        {"name": "x", "spacing": 0.4, "unit": "Å"},
    ]
    assert group["counts"].attrs["unit"] == "counts/px"


def test_a_stacked_array_has_a_chunk_an_item(shard):
    group = open_shard(shard).group
    assert group["whole"].chunks == (1, 2, 8, 8)
    assert group["counts"].chunks == (1, 16, 16)


@pytest.mark.parametrize("given", [2, 4])
def test_another_number_of_items_than_announced_is_a_bug_and_leaves_nothing(tmp_path, given):
    rows = TABLE.iloc[[0, 1, 2, 0][:given]]
    with pytest.raises(ValueError, match=r"a shard of 3 items (was given 2|is given another one)"):
        write(tmp_path / "shard.zarr.zip", [arrays_of(0)] * given, rows, count=3)
    assert not list(tmp_path.iterdir())


CHANGES = {
    "shape": ({"counts": Array(np.ones((16, 8), np.uint32), lateral(0.8))}, "array 'counts' of item 1 does not have"),
    "type": ({"counts": Array(np.ones((16, 16)), lateral(0.8))}, "array 'counts' of item 1 does not have"),
    "one more": ({"atoms": Array(np.ones((16, 16)), lateral(0.8))}, "item 1 has arrays .*'atoms'.*, those before it"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_item_unlike_those_before_it_is_a_bug_and_leaves_nothing(tmp_path, change):
    arrays, sentence = CHANGES[change]
    with pytest.raises(ValueError, match=sentence):
        write(tmp_path / "shard.zarr.zip", [arrays_of(0), {**arrays_of(1), **arrays}, arrays_of(2)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["counts", "positions"])
def test_an_array_that_an_item_lacks_is_a_bug_and_no_zeros(tmp_path, name):
    items = [arrays_of(place) for place in range(3)]
    del items[2][name]
    with pytest.raises(ValueError, match=f"item 2 has arrays .*, those before it .*'{name}'"):
        write(tmp_path / "shard.zarr.zip", items)
    assert not list(tmp_path.iterdir())


def test_an_array_that_a_first_item_without_arrays_lacks_is_a_bug_too(tmp_path):
    with pytest.raises(ValueError, match=r"item 1 has arrays .*'counts'.*, those before it \[\]"):
        write(tmp_path / "shard.zarr.zip", [{}, arrays_of(1), arrays_of(2)])


def test_an_array_with_other_than_its_axes_is_a_bug():
    with pytest.raises(ValueError, match="3 axes are described by 2"):
        Array(np.ones((2, 4, 4)), lateral(0.4))


def test_memory_does_not_grow_with_the_number_of_items(tmp_path):
    size = 512

    def peak(count):
        tracemalloc.start()
        with shard_writer(tmp_path / f"{count}.zarr.zip", count, {}) as writer:
            for item in range(count):
                values = np.random.default_rng(item).random((size, size))
                stacked, ragged = Array(values, lateral(0.4)), Array(values[item:], lateral(0.4), ragged=True)
                writer.add(Item({"map": stacked, "part": ragged}, {"item": item}))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(4)  # what is imported and cached at the first call
    assert peak(40) < peak(4) + 8 * size**2


def test_table_holds_the_unit_of_every_column(shard):
    schema = pq.read_schema(table_path(shard))
    assert schema.field("dose").metadata == {b"unit": "e⁻/Å²".encode()}
    assert schema.field("item").metadata is None


@pytest.mark.parametrize(("name", "member"), [("counts", "counts/c/1/0/0"), ("positions", "positions/1/c/0/0")])
def test_a_flipped_byte_is_an_error_that_names_file_and_item_and_the_other_items_stay_readable(shard, name, member):
    start, length = place_of(shard, member)
    flip(shard, start + length // 2)
    opened = open_shard(shard)
    with pytest.raises(ShardError, match=rf"shard-000000-000003.*'{name}', item 1 is damaged") as caught:
        opened.read(name, 1)
    assert "\n" not in str(caught.value)
    for item in (0, 2):
        np.testing.assert_array_equal(opened.read(name, item), arrays_of(item)[name].values)


def test_a_flipped_byte_is_an_error_where_all_items_are_read(shard):
    start, length = place_of(shard, "counts/c/1/0/0")
    flip(shard, start + length // 2)
    with pytest.raises(ShardError, match="array 'counts' is damaged"):
        open_shard(shard).read("counts")


def test_no_flipped_byte_goes_unnoticed(tmp_path):
    """Whatever byte is damaged: an error, or the very data that were written; never other data."""
    path = tmp_path / "shard.zarr.zip"
    values = np.arange(1, 33, dtype=np.uint32).reshape(2, 4, 4)
    items = [
        {"counts": Array(each, lateral(0.4)), "columns": Array(each[place], (Axis("column"),), "px", ragged=True)}
        for place, each in enumerate(values)
    ]
    write(path, items, TABLE[:2], {"stage": "images"})
    whole = path.read_bytes()
    noticed, positions = 0, range(0, len(whole), 3)  # a third of them: of every field of every header some
    for position in positions:
        content = bytearray(whole)
        content[position] ^= 0xFF
        path.write_bytes(content)
        try:
            opened = open_shard(path)
            read, attributes = opened.read("counts"), opened.attributes
            columns = [opened.item(place)["columns"] for place in range(2)]
        except ShardError:
            noticed += 1
        else:
            np.testing.assert_array_equal(read, values)
            assert attributes == {"stage": "images"}
            for place, array in enumerate(columns):
                np.testing.assert_array_equal(array.values, values[place, place])
                assert (array.axes, array.unit) == ((Axis("column"),), "px")
    assert noticed > len(positions) // 2


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
    with pytest.raises(ShardError, match=r"no array 'count'; it has .*counts"):
        open_shard(shard).item(0)["count"]


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.9, 0.999])
def test_a_truncated_table_is_an_error_that_names_it(shard, fraction):
    table = table_path(shard)
    content = table.read_bytes()
    table.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ShardError, match=r"shard-000000-000003\.parquet: (cannot be read|is damaged) "):
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


FULL = r"cannot be written \({}\): [\d,.]+ MB of it were, and [\d,.]+ MB are now free on its disk; make room there"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("member", [0, 3, 12, 30])
def test_a_full_disk_leaves_nothing_of_the_shard_and_is_said_in_a_sentence(tmp_path, monkeypatch, code, member):
    path = tmp_path / "shard.zarr.zip"
    written = zipfile.ZipFile.writestr
    members = iter(range(member))

    def writestr(*args):
        if next(members, None) is None:
            raise OSError(code, os.strerror(code))
        written(*args)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", writestr)
    with pytest.raises(WriteError, match=r"shard\.zarr\.zip: " + FULL.format(os.strerror(code))) as caught:
        write(path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    write(path)
    assert_whole(path)


def test_a_full_disk_is_noticed_as_late_as_when_the_file_is_flushed(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(WriteError, match=r"table\.parquet: " + FULL.format("No space left on device")):
        write_table(tmp_path / "table.parquet", TABLE)
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
import numpy as np
import pandas as pd
from exitwave.data.shards import shard_writer
from exitwave.data.tables import write_table
from exitwave.errors import WriteError
from exitwave.items import Array, Axis, Item
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
numbers = np.random.default_rng(0).random(20_000)
def write_shard(path):
    with shard_writer(path, 1, {}) as writer:
        writer.add(Item({"whole": Array(numbers, (Axis("x"),))}, {"item": 0}))
for write in (
    lambda: write_shard(sys.argv[1] + "/shard.zarr.zip"),
    lambda: write_table(sys.argv[1] + "/table.parquet", pd.DataFrame({"dose": numbers})),
):
    try:
        write()
    except WriteError as error:
        print(error)
"""


def test_a_real_limit_to_the_size_of_files_is_said_in_a_sentence_and_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True)
    shard, table = done.stdout.splitlines()
    assert re.search(r"shard\.zarr\.zip: " + FULL.format("File too large"), shard)
    assert re.search(r"table\.parquet: " + FULL.format("File too large"), table)
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "results").write_bytes(b"a file in the place of the folder")
    with pytest.raises(WriteError, match=r"results/shard\.zarr\.zip: cannot be written \(.*\); allowed: a folder"):
        write(tmp_path / "results" / "shard.zarr.zip")


def test_the_table_of_another_shard_is_noticed(shard, tmp_path):
    """Same items and columns, as of a shard made with another seed."""
    other = tmp_path / "other" / shard.name
    write(other, table=TABLE.assign(dose=[100.0, 200.0, 300.0]))
    table_path(shard).write_bytes(table_path(other).read_bytes())
    with pytest.raises(ShardError, match=r"000003\.parquet: is damaged, or is not the table .*; delete both"):
        open_shard(shard)


def test_a_shard_without_its_table_still_opens(shard):
    table_path(shard).unlink()
    assert_whole(shard)
    with pytest.raises(ShardError, match=r"000003\.parquet: is missing"):
        read_table(table_path(shard))


def test_items_too_large_for_one_chunk_are_split_and_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_LARGEST_CHUNK", 1000)
    path = tmp_path / "shard.zarr.zip"
    write(path)
    group = open_shard(path).group
    assert group["whole"].chunks == (1, 1, 8, 8)  # of 1024 bytes an item
    assert group["counts"].chunks == (1, 1, 16)
    assert group["series/0"].chunks == (1, 1, 8, 8)  # of 2048 bytes
    assert_whole(path)


def test_an_interrupted_rewrite_leaves_the_shard_that_was_there(shard, monkeypatch):
    before = shard.read_bytes(), table_path(shard).read_bytes()
    monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(shard, [arrays_of(place + 1) for place in range(3)])
    assert (shard.read_bytes(), table_path(shard).read_bytes()) == before


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path):
    for name in (".shard.zarr.zip.12345.part", ".shard.parquet.12345.part"):
        (tmp_path / name).write_bytes(b"half")
    write(tmp_path / "shard.zarr.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard.parquet", "shard.zarr.zip"]


def test_no_flipped_bit_anywhere_in_a_table_goes_unseen(tmp_path):
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"dose": [1.5, 2.5], "material": ["Au", "Ag"], "item": [0, 1]})
    write_table(path, table)
    pd.testing.assert_frame_equal(read_table(path), table)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        # Or else nothing that is read has changed: the headers of pages have no checksum.
        with suppress(ShardError):
            pd.testing.assert_frame_equal(read_table(path), table)


def test_a_table_of_another_tool_has_no_digest_and_is_read(tmp_path):
    table = pd.DataFrame({"item": [1, 2]})
    table.to_parquet(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.parquet"), table)
