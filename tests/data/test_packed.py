import tracemalloc
import zipfile

import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

from exitwave.data.packed import PackedStore


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def archive(request, tmp_path):
    """A zip with arrays, one of them without a member for a chunk of zeros."""
    path = tmp_path / "arrays.zip"
    values = np.arange(5 * 4 * 4, dtype=np.uint16).reshape(5, 4, 4)
    values[2] = 0
    with ZipStore(path, mode="w", compression=request.param) as store:
        group = zarr.create_group(store=store, attributes={"a": 1})
        for name in ("b", "counts", "größe"):
            group.create_array(name, data=values, chunks=(1, 4, 4))
        group.create_group("ragged").create_array("0", data=np.ones(3))
    return path


def contents(store):
    group = zarr.open_group(store, mode="r")
    return {name: np.asarray(node[...]) for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array)}


def test_a_packed_zip_has_the_content_of_the_zip(archive):
    expected = contents(ZipStore(archive, mode="r"))
    found = contents(PackedStore(archive, mode="r"))
    assert found.keys() == expected.keys() == {"b", "counts", "größe", "ragged/0"}
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    group = zarr.open_group(PackedStore(archive, mode="r"), mode="r")
    assert dict(group.attrs) == {"a": 1}
    assert "a" not in group
    assert "zz" not in group


def test_a_wrong_checksum_of_a_packed_zip_is_an_error(archive):
    with zipfile.ZipFile(archive) as whole:
        info = whole.getinfo("counts/c/3/0/0")
    content = bytearray(archive.read_bytes())
    # A local header has 30 bytes and the name before the data.
    content[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0xFF
    archive.write_bytes(content)
    group = zarr.open_group(PackedStore(archive, mode="r"), mode="r")
    np.testing.assert_array_equal(group["counts"][1], np.arange(16, 32).reshape(4, 4))
    with pytest.raises((zipfile.BadZipFile, zipfile.zlib.error)):
        group["counts"][3]


def test_an_open_zip_of_many_members_takes_little_memory(tmp_path):
    path, number = tmp_path / "many.zip", 5000
    with zipfile.ZipFile(path, "w") as archive:
        for place in range(number):
            archive.writestr(f"counts/c/{place}/0/0", b"a")

    def memory(kind):
        tracemalloc.start()
        store = kind(path, mode="r")
        store._sync_open()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return kept / number

    assert memory(PackedStore) < 100 < memory(ZipStore) / 4
