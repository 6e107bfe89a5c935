"""Small files that claim to be large, refer to themselves or to other files, or name places that are not theirs."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from exitwave.benchmark.readers import read_micrograph
from exitwave.config.models import Classification
from exitwave.data.shards import open_shard, shard_writer
from exitwave.data.tables import read_table
from exitwave.data.whole import sealed, unsealed
from exitwave.errors import MicrographError
from exitwave.items import Array, Item, lateral
from exitwave.jobs.correct import COLUMNS, collect
from exitwave.jobs.results_folder import ResultsFolder
from exitwave.structures.crystal_files import read_cif
from exitwave.training.kinds import task_of
from exitwave.training.networks import load_network, save_network

GRAY = np.random.default_rng(4).integers(0, 255, (40, 50)).astype(np.uint8)


def png(width: int, height: int, kind: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 8 bits a channel, of one or of four by its kind, that has ten rows."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = [(b"IHDR", head), *more, (b"IDAT", zlib.compress(bytes(10 * width + 10)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks) + chunk(b"IEND", b"")


def npy(head: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head.encode() + b"\n"


def mrc(*words: int) -> bytes:
    return struct.pack("<4i", *words) + bytes(208 - 16) + b"MAP DD" + bytes(10_000)


def dm3(*words: int) -> bytes:
    """A list of elements of no length, by the numbers that describe it."""
    tag = struct.pack(">BH", 21, 1) + b"x%%%%" + struct.pack(f">{len(words)}I", *words)
    return struct.pack(">III", 3, len(tag) + 6, 1) + struct.pack(">BBI", 1, 0, 1) + tag + bytes(8)


def emd(path: Path, **how: object) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/a")
        group.attrs["emd_group_type"] = 1
        group.create_dataset("data", **how)


def linked(path: Path) -> None:
    emd(path, data=GRAY)
    with h5py.File(path, "a") as file:
        file["data/b"] = h5py.ExternalLink("/etc/passwd", "x")


def in_a_circle(path: Path) -> None:
    tifffile.imwrite(path, GRAY)
    content = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (tags,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * tags, first)
    path.write_bytes(content)


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="50" SizeY="40" SizeZ="{}" SizeC="1" SizeT="{}">'
    '<TiffData IFD="0" PlaneCount="{}"/></Pixels></Image></OME>'
)
SHAPED = '{"shape": [1000000, 1000000, 40, 50]}'
FILES = {
    "huge.png": (lambda path: path.write_bytes(png(13000, 13000, 6)), "says that it holds"),
    "frames.png": (
        lambda path: path.write_bytes(png(99, 99, 0, (b"acTL", struct.pack(">II", 2**31 - 1, 0)))),
        "images",
    ),
    "program.png": (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n"), "identify"),
    "packed.bmp": (
        lambda path: path.write_bytes(
            b"BM"
            + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 1078, 40, 13000, 13000, 1, 8, 1, 0, 0, 0, 0, 0)
            + bytes(1200)
        ),
        "says that it holds",
    ),
    "empty.npy": (
        lambda path: path.write_bytes(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 0)}")),
        "without a pixel",
    ),
    "nothing.npy": (
        lambda path: path.write_bytes(npy("{'descr': '|S0', 'fortran_order': False, 'shape': (100000000000, 64, 64)}")),
        "images; allowed",
    ),
    "overflow.mrc": (lambda path: path.write_bytes(mrc(2**22, 2**21, 2**21, 0)), "needed: 18446744073709552640"),
    "sections.mrc": (lambda path: path.write_bytes(mrc(1, 1, 2**20, 0) + bytes(2**20)), "1,048,576 images"),
    "structs.dm3": (lambda path: path.write_bytes(dm3(5, 20, 15, 0, 0, 2**31 - 1)), "a list of 2,147,483,647"),
    "strings.dm3": (lambda path: path.write_bytes(dm3(4, 20, 18, 0, 2**31 - 1)), "a list of 2,147,483,647"),
    "shape.emd": (lambda path: emd(path, shape=(10**9, 10**9), dtype="f4", chunks=(1, 1)), "says that it holds"),
    "chunks.emd": (lambda path: emd(path, shape=(5000, 5000), dtype="u1", chunks=(1, 1)), "25,000,000 chunks"),
    "chunk.emd": (
        lambda path: emd(path, shape=(40, 40), dtype="f4", chunks=(30000, 30000), maxshape=(None, None)),
        "says that it holds",
    ),
    "raw.emd": (
        lambda path: emd(path, shape=(40, 50), dtype="u1", external=[("/etc/passwd", 0, 2000)]),
        "another file",
    ),
    "link.emd": (linked, "another file"),
    "circle.tif": (in_a_circle, "in a circle"),
    "shaped.tif": (lambda path: tifffile.imwrite(path, GRAY, description=SHAPED, metadata=None), "says that it holds"),
    "sizes.tif": (
        lambda path: tifffile.imwrite(path, GRAY, description=OME.format(10**6, 10**6, 1), metadata=None),
        "1,000,000,000,000 images",
    ),
    "planes.tif": (
        lambda path: tifffile.imwrite(path, GRAY, description=OME.format(9, 9, 10**9), metadata=None),
        "1,000,000,000 images",
    ),
    "packed.tif": (
        lambda path: tifffile.imwrite(path, np.zeros((20000, 20000), np.uint8), compression="zstd", rowsperstrip=20000),
        "says that it holds",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_an_image_that_its_file_cannot_hold_is_refused(name, tmp_path, survives):
    write, words = FILES[name]
    write(tmp_path / name)
    told = survives(read_micrograph, tmp_path / name, 0.2)
    assert words in told
    assert name in told


def test_a_large_image_of_few_values_is_read(tmp_path, survives):
    mask = np.zeros((6000, 6000), np.uint8)
    mask[100:200, 100:200] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png", compress_level=9)
    assert survives(read_micrograph, tmp_path / "mask.png", 0.2) is None


def rewritten(folder: Path, changes: dict[str, object], packed: bool = False) -> Path:
    """A shard whose array says something else of itself than it is."""
    path = folder / "a.zarr.zip"
    with shard_writer(path, 2, {}) as writer:
        for _ in range(2):
            writer.add(Item({"counts": Array(GRAY, lateral(0.4))}, {"dose": 1.0}))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members["counts/zarr.json"])
    members["counts/zarr.json"] = json.dumps(description | changes).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def chunked(*edges: int) -> dict[str, object]:
    return {"name": "regular", "configuration": {"chunk_shape": list(edges)}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": [2, 10**6, 10**6], "chunk_grid": chunked(1, 10**6, 10**6)}, "is said to have"),
        ({"shape": [10**12, 40, 50]}, "is said to have"),
        ({"chunk_grid": chunked(1, 10**5, 10**5)}, "is said to have"),
        ({"shape": [2, 5000, 5000], "chunk_grid": chunked(1, 1, 1)}, "chunks of 1 values"),
        ({"data_type": "string", "codecs": [{"name": "vlen-utf8"}], "fill_value": ""}, "is of type"),
        ({"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle", "configuration": {}}]}, "damaged"),
        ({"attributes": {}}, "does not say what its axes are"),
        ({"attributes": {"axes": [{"nobody": 1}]}}, "does not say what its axes are"),
    ],
)
def test_an_array_that_its_shard_cannot_hold_is_refused(changes, words, tmp_path, survives):
    path = rewritten(tmp_path, changes)
    assert words in survives(lambda: open_shard(path).item(0)["counts"])


def test_a_shard_that_is_packed_as_a_whole_is_refused(tmp_path, survives):
    path = rewritten(tmp_path, {}, packed=True)
    assert "packed by the zip" in survives(open_shard, path)


def test_a_shard_of_the_older_format_whose_arrays_may_be_pickled_is_refused(tmp_path, survives):
    path = tmp_path / "a.zarr.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(".zgroup", json.dumps({"zarr_format": 2}))
    assert "is damaged" in survives(open_shard, path)


def test_a_table_of_more_rows_than_its_file_can_hold_is_refused(tmp_path, survives):
    nothing = pa.table({"dose": pa.nulls(60_000_000, pa.int8())})
    pq.write_table(nothing, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 200_000
    assert "60000000 rows" in survives(read_table, tmp_path / "a.parquet")


def test_room_is_made_only_for_a_network_whose_weights_are_there(tmp_path, survives):
    task = task_of(Classification(kind="classification", target={"column": "material"}), {"classes": ["Au", "Ag"]})
    save_network(tmp_path, task.build(), task, pixel_size=0.8, info={})
    description = unsealed(json.loads((tmp_path / "network.json").read_text()))
    description["model"]["encoder"] = "vit_giant_patch14_dinov2"
    (tmp_path / "network.json").write_text(json.dumps(sealed(description)))
    assert "does not fit the network" in survives(load_network, tmp_path)


@pytest.mark.parametrize(
    ("encoder", "words"), [("hf-hub:somebody/model", "encoder is"), ("local-dir:/etc", "encoder is")]
)
def test_no_network_is_taken_from_elsewhere(encoder, words, tmp_path, survives):
    task = task_of(Classification(kind="classification", target={"column": "material"}), {"classes": ["Au", "Ag"]})
    save_network(tmp_path, task.build(), task, pixel_size=0.8, info={})
    description = unsealed(json.loads((tmp_path / "network.json").read_text()))
    description["model"]["encoder"] = encoder
    (tmp_path / "network.json").write_text(json.dumps(sealed(description)))
    assert words in survives(load_network, tmp_path)


CIF = """data_x
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {b}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number {number}
loop_
_space_group_symop_operation_xyz
{operators}
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{site}
"""
GOOD = {"a": "4.0782", "b": "4.0782", "number": "1", "operators": "x,y,z", "site": "Au Au1 0 0 0"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"a": "0.00001", "b": "1000"}, "faces 1e-05 Å apart"),
        ({"operators": "\n".join(f"x+{n}/5000,y,z" for n in range(5000))}, "5000 symmetry operators"),
        ({"operators": "x+1/0,y,z"}, "as a symmetry operator"),
        ({"number": "1 " + "'a " * 100_000}, "line 8 has"),
        ({"number": "9" * 5000}, "does not say how symmetry"),
        ({"site": "\n".join("Au Au1 0 0 0" for _ in range(300))}, "300 atoms within 1 Å"),
        ({"a": "1e" + "9" * 5000}, "allowed: a number"),
        ({"a": f"4.1({'9' * 5000})"}, "allowed: a number"),
    ],
)
def test_a_crystal_that_would_take_for_ever_is_refused(changes, words, tmp_path, survives):
    path = tmp_path / "a.cif"
    path.write_text(CIF.format(**GOOD))
    assert survives(read_cif, path) is None
    path.write_text(CIF.format(**(GOOD | changes)))
    assert words in survives(read_cif, path)


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "below/outside", "a/../../outside"])
def test_a_table_of_results_names_no_files_outside_its_folder(name, tmp_path):
    folder = tmp_path / "results"
    heads = ResultsFolder(folder)._images.needed
    row = dict.fromkeys(heads, "1") | {"name": name, "path": "/x/a.png"}
    pd.DataFrame([row]).to_csv(folder / "images.csv", index=False)
    with pytest.raises(MicrographError, match="that of a file in its own folder"):
        ResultsFolder(folder, overwrite=True)


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize("place", ["../outside.png", "/tmp/outside.png", ".", "images/../../outside.png"])
def test_an_index_of_corrected_masks_names_no_files_outside_its_folder(column, place, tmp_path):
    results, output = tmp_path / "results", tmp_path / "corrected"
    heads = ResultsFolder(results)._images.needed
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    Image.fromarray((GRAY > 99).astype(np.uint8) * 255).save(results / "a_corrected.png")
    row = dict.fromkeys(heads, "1") | {"name": "a", "path": str(tmp_path / "a.png"), "pixel size [nm]": "0.02"}
    pd.DataFrame([row]).to_csv(results / "images.csv", index=False)
    collect(results, output, 0.0)
    table = pd.read_csv(output / "index.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == COLUMNS
    table[column] = place
    table.to_csv(output / "index.csv", index=False)
    with pytest.raises(MicrographError, match="a file in its own folder, or below"):
        collect(results, output, 0.0)
    assert not (tmp_path / "outside.png").exists()
