"""Files from strangers: whatever is in them, a result or one sentence, within bounds of time and memory.

A reader joins by a line in ``READERS``: the suffix of its files, what writes small good ones, and what reads one.
"""

from __future__ import annotations

import importlib
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from exitwave.benchmark.masks import read_corrected, read_mask
from exitwave.benchmark.micrographs import read_benchmark
from exitwave.benchmark.readers import read_micrograph
from exitwave.config.models import Classification, Segmentation
from exitwave.data.shards import open_shard, shard_writer
from exitwave.data.tables import read_table
from exitwave.data.whole import sealed, unsealed
from exitwave.items import Array, Item, lateral
from exitwave.jobs.correct import segmented_images
from exitwave.jobs.results_folder import ResultsFolder
from exitwave.literature.captions import rows_of
from exitwave.literature.sources import read_source
from exitwave.structures import files, reading
from exitwave.structures.crystal_files import read_cif
from exitwave.training.bundle import find_convention, load_bundle, save_bundle
from exitwave.training.kinds import task_of
from exitwave.training.networks import load_network, save_network
from papers import write_papers

GRAY = np.random.default_rng(4).integers(0, 255, (40, 50)).astype(np.uint8)
COLOUR = np.stack([GRAY, GRAY, GRAY // 2], axis=-1)
ROOT = Path(__file__).parents[2]


def pictures(folder: Path) -> None:
    for name, pixels in (("gray", GRAY), ("colour", COLOUR), ("deep", GRAY.astype(np.uint16) * 200)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.fromarray(GRAY).convert("P").save(folder / "palette.png", transparency=3)
    Image.fromarray(GRAY).save(folder / "frames.png", save_all=True, append_images=[Image.fromarray(GRAY // 2)])
    for suffix in (".jpg", ".bmp"):
        Image.fromarray(COLOUR).save(folder / f"a{suffix}")


def arrays(folder: Path) -> None:
    np.save(folder / "image.npy", GRAY)
    np.save(folder / "stack.npy", np.stack([GRAY] * 3).astype(">f4"))
    np.save(folder / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)


def mrc(folder: Path) -> None:
    for mode, kind in {0: "i1", 1: "<i2", 2: "<f4", 6: "<u2"}.items():
        header = bytearray(1024)
        struct.pack_into("<4i", header, 0, 50, 40, 1, mode)
        struct.pack_into("<3i6f3i", header, 28, 50, 40, 1, 10.0, 8.0, 1.0, 90, 90, 90, 1, 2, 3)
        header[208:214] = b"MAP DD"
        (folder / f"{mode}.mrc").write_bytes(bytes(header) + (GRAY // 2).astype(kind).tobytes())


def tag(name: str, kind: int, body: bytes) -> bytes:
    """A tag of DigitalMicrograph: 20 is a group, 21 a value."""
    return struct.pack(">BH", kind, len(name)) + name.encode() + body


def group(name: str, *tags: bytes) -> bytes:
    return tag(name, 20, struct.pack(">BBI", 0, 0, len(tags)) + b"".join(tags))


def value(name: str, *code: int, data: bytes = b"") -> bytes:
    return tag(name, 21, b"%%%%" + struct.pack(f">{len(code) + 1}I", len(code), *code) + data)


def dm3(folder: Path, *more: bytes) -> None:
    def number(name: str, found: int) -> bytes:
        return value(name, 5, data=struct.pack("<I", found))

    axis = group(
        "",
        value("Origin", 6, data=bytes(4)),
        value("Scale", 6, data=struct.pack("<f", 0.02)),
        value("Units", 20, 4, 2, data="nm".encode("utf-16-le")),
    )
    brightness = group("Brightness", value("Scale", 6, data=struct.pack("<f", 1)), value("Units", 20, 4, 0))
    image = group(
        "ImageData",
        group("Calibrations", brightness, group("Dimension", axis, axis)),
        value("Data", 20, 6, GRAY.size, data=GRAY.astype("<f4").tobytes()),
        number("DataType", 2),
        group("Dimensions", number("", 50), number("", 40)),
        number("PixelDepth", 4),
    )
    tree = struct.pack(">BBI", 1, 0, 1 + len(more)) + b"".join(more)
    tree += group("ImageList", group("", image, group("ImageTags")))
    (folder / "a.dm3").write_bytes(struct.pack(">III", 3, len(tree), 1) + tree + bytes(8))


def ser(folder: Path) -> None:
    axis = struct.pack("<IddII", 1, 0.0, 1.0, 0, 6) + b"Number" + bytes(4)
    start = 30 + len(axis)
    head = struct.pack("<HHHIIIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1, start, 1) + axis
    image = struct.pack("<ddIddIHII", 0, 2e-11, 0, 0, 2e-11, 0, 2, 50, 40) + GRAY.astype("<u2").tobytes()
    offsets = struct.pack("<II", start + 8, start + 8 + len(image))
    (folder / "a.ser").write_bytes(head + offsets + image + struct.pack("<HHI", 0x4152, 0, 0))


def signal() -> dict[str, Any]:
    axes = [
        {"_type": "UniformDataAxis", "name": name, "size": size, "scale": 0.02, "offset": 0.0, "units": "nm"}
        | {"index_in_array": place, "navigate": False, "is_binned": False}
        for place, (name, size) in enumerate(zip("yx", GRAY.shape, strict=True))
    ]
    empty: dict[str, Any] = {
        name: {} for name in ("original_metadata", "package_info", "models", "learning_results", "tmp_parameters")
    }
    metadata = {"General": {"title": "test"}, "Signal": {"signal_type": ""}}
    return {"data": GRAY, "axes": axes, "metadata": metadata, "attributes": {"_lazy": False, "ragged": False}, **empty}


def hdf5(folder: Path) -> None:
    importlib.import_module("rsciio.hspy").file_writer(str(folder / "a.hspy"), signal())
    importlib.import_module("rsciio.emd").file_writer(str(folder / "a.emd"), signal())


def tiff(folder: Path) -> None:
    importlib.import_module("rsciio.tiff").file_writer(str(folder / "a.tif"), signal())
    tifffile.imwrite(folder / "packed.tif", GRAY, compression="zlib")
    tifffile.imwrite(folder / "imagej.tif", np.stack([GRAY] * 3), imagej=True, metadata={"unit": "nm"})
    sizes = {"axes": "ZYX", "PhysicalSizeX": 0.02, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.02}
    tifffile.imwrite(folder / "ome.tif", np.stack([GRAY] * 3), ome=True, metadata=sizes)
    tifffile.imwrite(folder / "tiles.tif", GRAY, tile=(16, 16), photometric="miniswhite")


def as_micrograph(path: Path) -> None:
    image = read_micrograph(path, 0.2).image
    assert image.dtype == np.float32
    assert image.ndim == 2
    assert np.isfinite(image).all()


def as_mask(path: Path) -> None:
    assert read_mask(path, Path("a.png"), (40, 50)).shape == (40, 50)


def as_corrected(path: Path) -> None:
    assert read_corrected(path, Path("a.png"), (40, 50)).shape == (40, 50)


def index(folder: Path) -> None:
    text = "image,mask,pixel_size,page,group,split\na.png,m.png,0.2,1,g,train\n../b.tif,/m.png,,,,test\n"
    (folder / "index.csv").write_text(text)


def as_benchmark(path: Path) -> None:
    Image.fromarray(GRAY).save(path.parent / "a.png")
    Image.fromarray((GRAY > 100).astype(np.uint8)).save(path.parent / "m.png")
    shutil.move(path, path.parent / "index.csv")
    read_benchmark(path.parent)


def crystals(folder: Path) -> None:
    for found in sorted((ROOT / "resources" / "crystals").rglob("*.cif"))[::4]:
        shutil.copy(found, folder)
    (folder / "symmetry.cif").write_text(CIF)


CIF = """data_x
_cell_length_a 4.0782(2)
_cell_length_b 4.0782(2)
_cell_length_c 4.0782(2)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_space_group_IT_number 225
_chemical_formula_sum 'Au'
_cell_formula_units_Z 4
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Au1 Au 0 0 0 1
"""


def structures(folder: Path) -> None:
    from ase.build import bulk
    from ase.io import write

    for suffix, kind in ((".vasp", "vasp"), (".xyz", "extxyz"), (".xsf", "xsf"), (".pdb", "proteindatabank")):
        write(folder / f"a{suffix}", bulk("CdSe", "zincblende", a=6.05, cubic=True), format=kind)


def as_structure(path: Path) -> None:
    for kept in (reading.read_atoms, reading.crystal_of, reading.space_group_of, files._whole, files._contents):
        kept.cache_clear()
    stamp = reading.stamp_of(str(path))
    files._contents(str(path), stamp, True)


def shard(folder: Path) -> None:
    with shard_writer(folder / "a.zarr.zip", 2, {"study": "test"}) as writer:
        for place in range(2):
            arrays = {
                "counts": Array(GRAY.astype(np.float32), lateral(0.4)),
                "spots": Array(GRAY[: 40 - place].astype(np.uint8), lateral(0.4), ragged=True),
            }
            writer.add(Item(arrays, {"dose": 10.0 * place, "material": "Au"}))


def as_shard(path: Path) -> None:
    found = open_shard(path)
    assert isinstance(found.attributes, dict)
    for place in range(2):
        for array in found.item(place).values():
            assert array.values.size >= 0
    found.read("counts")


def as_table(path: Path) -> None:
    read_table(path).to_string()


def results(folder: Path) -> None:
    row = "a.png,/x/a.png,1,a,50,40,0.02,3,1,1,1,1,1,1,1,1,1,1,0.1,5,0,0.2,\n"
    table = ResultsFolder(folder / "made")
    heads = [*table._images.needed]
    (folder / "images.csv").write_text(",".join(heads) + "\n" + row)
    shutil.rmtree(folder / "made")


def as_results(path: Path) -> None:
    """A folder of results that somebody else has made: it is read, put in order and summed up."""
    folder = path.parent / "results"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / ".x.unfinished").mkdir(parents=True)
    shutil.move(path, folder / "images.csv")
    segmented_images(folder)
    table = ResultsFolder(folder, overwrite=True)
    for key in list(table._rows):
        table._forget(key)
    table.finish()


PAPERS = (".jsonl", ".tex", ".html", ".xml", ".tar", ".tgz", ".gz", ".pdf")


def as_papers(path: Path) -> None:
    for figure in read_source(path, lambda _: None):
        assert all(row.technique for row in rows_of(figure))


@dataclass(frozen=True)
class Reader:
    """What reads files of a suffix.

    Attributes
    ----------
    suffix : str
    write : callable
        Writes small good files, of this suffix among others, to a folder.
    read : callable
        Reads one.
    memory : int
        Bytes that it may take.
    """

    suffix: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]
    memory: int = 2**30


# Where the length of a heap of variable-length text is spoilt, the library of HDF5 takes up to 4 GB for it.
HEAP = 2**30 + 2**32
READERS = (
    *(Reader(suffix, pictures, as_micrograph) for suffix in (".png", ".jpg", ".bmp")),
    Reader(".png", pictures, as_mask),
    Reader(".npy", arrays, as_micrograph),
    Reader(".mrc", mrc, as_micrograph),
    Reader(".dm3", dm3, as_micrograph),
    Reader(".ser", ser, as_micrograph),
    Reader(".hspy", hdf5, as_micrograph, HEAP),
    Reader(".emd", hdf5, as_micrograph, HEAP),
    Reader(".tif", tiff, as_micrograph),
    Reader(".tif", tiff, as_corrected),
    Reader(".csv", index, as_benchmark),
    Reader(".cif", crystals, read_cif),
    *(Reader(suffix, structures, as_structure) for suffix in (".vasp", ".xyz", ".xsf", ".pdb")),
    Reader(".parquet", shard, as_table),
    *(Reader(suffix, write_papers, as_papers) for suffix in PAPERS),
    Reader(".csv", results, as_results),
)
SEEDS = st.integers(0, 2**32 - 1)
on_files = partial(settings, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
with_every_reader = pytest.mark.parametrize(
    "reader", READERS, ids=lambda reader: f"{reader.read.__name__}{reader.suffix}"
)


def attack(reader: Reader, seed: int, folder: Path, survives: Any, mutations: Any) -> None:
    """Read a spoilt file, which is made of the good ones by a random generator."""
    samples = folder / "samples"
    if not samples.exists():
        samples.mkdir()
        reader.write(samples)
    good = [path.read_bytes() for path in sorted(samples.glob(f"*{reader.suffix}"))]
    spoilt = folder / f"spoilt{reader.suffix}"
    spoilt.write_bytes(mutations.content(random.Random(seed), good))
    survives(reader.read, spoilt, memory=reader.memory)
    outside = {path.name for path in folder.iterdir()}
    assert outside <= {"samples", spoilt.name, "results", "a.png", "m.png", "index.csv"}


@with_every_reader
def test_the_good_files_are_read(reader, tmp_path, survives):
    reader.write(tmp_path)
    told = [survives(reader.read, path) for path in sorted(tmp_path.glob(f"*{reader.suffix}"))]
    assert told
    # A stack is asked for by its page, and a mask has two values.
    assert None in told or reader.read in (as_mask, as_corrected)


@with_every_reader
@on_files(max_examples=20)
@given(seed=SEEDS)
def test_a_spoilt_file_gives_a_result_or_a_sentence(reader, tmp_path, survives, mutations, seed):
    attack(reader, seed, tmp_path, survives, mutations)


@pytest.mark.slow
@with_every_reader
@on_files(max_examples=2000)
@given(seed=SEEDS)
def test_thousands_of_spoilt_files_give_results_or_sentences(reader, tmp_path, survives, mutations, seed):
    attack(reader, seed, tmp_path, survives, mutations)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What people give to each other: a shard, networks, and a bundle of them."""
    folder = tmp_path_factory.mktemp("shared")
    shard(folder)
    tiny = task_of(Segmentation(kind="segmentation", encoder_depth=3), {})
    classes = task_of(Classification(kind="classification", target={"column": "material"}), {"classes": ["Au", "Ag"]})
    info = {"seed": 3, "image_size": 64, "data": {"sample": {}}, "validation": {"f1": 0.5}}
    for name, task in (("tiny", tiny), ("classes", classes)):
        save_network(folder / name, task.build(), task, pixel_size=0.8, info=info)
    save_bundle(
        folder / "bundle.safetensors",
        {name: ("in words", [folder / "tiny"], {"real": {"f1": 0.5}}) for name in ("outline", "half")},
    )
    return folder


def spoil_network(rng: random.Random, shared: Path, folder: Path, mutations: Any) -> Callable[[], object]:
    source = shared / rng.choice(("tiny", "classes"))
    target = folder / "network"
    shutil.copytree(source, target, dirs_exist_ok=True)
    spoilt = mutations.tree(rng, unsealed(json.loads((source / "network.json").read_text())))
    # With a digest that fits, or nothing more would be read.
    (target / "network.json").write_text(json.dumps(sealed(spoilt) if isinstance(spoilt, dict) else spoilt))
    return lambda: load_network(target)


def spoil_bundle(rng: random.Random, shared: Path, folder: Path, mutations: Any) -> Callable[[], object]:
    content = (shared / "bundle.safetensors").read_bytes()
    end = 8 + struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8:end])
    if rng.random() < 0.3:
        header = mutations.tree(rng, header)
    else:
        header["__metadata__"]["bundle"] = json.dumps(mutations.tree(rng, json.loads(header["__metadata__"]["bundle"])))
    text = json.dumps(header).encode()
    path = folder / "spoilt.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[end:])

    def load() -> None:
        convention = find_convention(path)
        convention.task()
        assert convention.pixel_size > 0
        load_bundle(path)

    return load


def spoil_shard(rng: random.Random, shared: Path, folder: Path, mutations: Any) -> Callable[[], object]:
    with zipfile.ZipFile(shared / "a.zarr.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([*members, *[name for name in members if name.endswith("zarr.json")] * 3])
    if name.endswith("zarr.json") and rng.random() < 0.7:
        members[name] = json.dumps(mutations.tree(rng, json.loads(members[name]))).encode()
    elif rng.random() < 0.7:
        members[name] = mutations.content(rng, [members[name]])
    else:
        members[rng.choice(("../../outside", "/outside", ".zgroup", "counts", "spots/0/zarr.json"))] = members.pop(name)
    path = folder / "spoilt.zarr.zip"
    # Without the comment that holds digests, which are no secret.
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return lambda: as_shard(path)


with_everything_shared = pytest.mark.parametrize("spoil", [spoil_network, spoil_bundle, spoil_shard])


@with_everything_shared
@on_files(max_examples=25)
@given(seed=SEEDS)
def test_what_was_shared_and_spoilt_gives_a_result_or_a_sentence(spoil, shared, tmp_path, survives, mutations, seed):
    survives(spoil(random.Random(seed), shared, tmp_path, mutations))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@with_everything_shared
@on_files(max_examples=1500)
@given(seed=SEEDS)
def test_thousands_of_shared_and_spoilt_files_do(spoil, shared, tmp_path, survives, mutations, seed):
    survives(spoil(random.Random(seed), shared, tmp_path, mutations))
