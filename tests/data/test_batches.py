import numpy as np
import pandas as pd
import pytest

from exitwave.data.batches import keep_open, load_arrays
from exitwave.data.tables import table_path
from exitwave.errors import ShardError


@pytest.fixture
def manifest(tmp_path, write_images):
    """Two shards of three images; counts and phase say where an image comes from."""
    parts = []
    for number in range(2):
        path = tmp_path / f"shard-{number}.zarr.zip"
        value = 10 * number + np.arange(3)
        counts = np.broadcast_to(value[:, None, None], (3, 4, 4)).astype(np.uint32)
        phase = np.tile(np.array([0.0, 0.05, 0.2, 0.5], np.float16), (3, 4, 1))
        table = pd.DataFrame({"image_id": [f"id-{v}" for v in value], "pixel_size": 0.8})
        write_images(path, {"counts": counts, "phase": phase}, table)
        parts.append(table.assign(shard=str(path), row=range(3)))
    return pd.concat(parts)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [4, 1, 5, 0], [2], [3, 3, 0]])
def test_images_come_in_the_order_of_the_manifest(manifest, order):
    loaded = load_arrays(manifest.iloc[order], ["counts", "phase"])
    values = np.array([0, 1, 2, 10, 11, 12])[order]
    np.testing.assert_array_equal(loaded["counts"][:, 0, 0], values)
    assert loaded["counts"].dtype == np.uint32
    assert loaded["phase"].dtype == np.float16
    assert loaded["phase"].shape == (len(order), 4, 4)


def test_an_array_that_is_not_stored_is_named(manifest):
    with pytest.raises(ShardError, match="holds no array 'thickness'; it has "):
        load_arrays(manifest, ["counts", "thickness"])


def test_a_damaged_shard_is_named(manifest, tmp_path):
    path = tmp_path / "shard-1.zarr.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ShardError, match=r"shard-1\.zarr\.zip: is damaged"):
        load_arrays(manifest, ["counts"])
    assert table_path(path).exists()


def test_shards_used_last_are_kept_open_and_the_others_closed(manifest, tmp_path):
    opened = keep_open(1)
    paths = [str(tmp_path / f"shard-{number}.zarr.zip") for number in range(2)]
    first = opened(paths[0])
    assert opened(paths[0]) is first
    file = first.group.store._zf.fp
    assert not file.closed
    assert opened(paths[1]).read("counts", 2)[0, 0] == 12
    del first
    assert file.closed
