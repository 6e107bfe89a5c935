"""Files of scans in the formats of microscopes and programs, written by hand where nothing else writes them."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

UNITS = ("nm", "nm", "1/nm", "1/nm")
SCALES = (0.5, 0.5, 0.2, 0.2)
"""Of rows, columns, height and width: 5 Å, and 0.02 1/Å."""


def signal(data: np.ndarray, units: Sequence[str] = UNITS, scales: Sequence[float] = SCALES, energy: Any = None) -> Any:
    """A signal as RosettaSciIO writes it."""
    first = data.ndim - 2
    axes = [
        {
            "size": size,
            "index_in_array": place,
            "name": "yxvu"[place],
            "scale": scale,
            "offset": 0.0,
            "units": unit,
            "navigate": place < first,
        }
        for place, (size, scale, unit) in enumerate(zip(data.shape, scales, units, strict=True))
    ]
    microscope = {} if energy is None else {"Acquisition_instrument": {"TEM": {"beam_energy": energy}}}
    return {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": "scan"}, "Signal": {"signal_type": ""}, **microscope},
        "original_metadata": {},
        "attributes": {"_lazy": False},
        "package_info": {},
        "package": "",
        "package_version": "",
        "learning_results": {},
        "models": None,
        "tmp_parameters": {},
    }


def write_rosetta(path: Path, data: np.ndarray, module: str, **options: Any) -> None:
    importlib.import_module(f"rsciio.{module}").file_writer(str(path), signal(data, **options))


def write_blo(path: Path, data: np.ndarray) -> None:
    import rsciio.blockfile

    rsciio.blockfile.file_writer(str(path), signal(data, units=("nm", "nm", "cm", "cm")), navigator=None)


def write_zspy(path: Path, data: np.ndarray) -> None:
    """As HyperSpy writes it, in version 2 of Zarr."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2).create_group("Experiments").create_group("scan")
    group.create_array("data", data=data, chunks=(2, 2, *data.shape[2:]))
    for place, (scale, unit) in enumerate(zip(SCALES, UNITS, strict=True)):
        told = {"scale": scale, "units": unit, "navigate": place < 2, "size": data.shape[place]}
        group.create_group(f"axis-{place}").attrs.update(told)
    group.create_group("metadata/Acquisition_instrument/TEM").attrs["beam_energy"] = 200.0


def write_py4dstem(path: Path, data: np.ndarray) -> None:
    """As py4DSTEM 0.14 writes a DataCube."""
    with h5py.File(path, "w") as file:
        file.attrs.update(emd_group_type="file", version_major=1, version_minor=0)
        root = file.create_group("datacube_root")
        root.attrs.update(emd_group_type="root", python_class="Root")
        cube = root.create_group("datacube")
        cube.attrs.update(emd_group_type="array", python_class="DataCube")
        cube["data"] = data
        for place in range(4):
            cube[f"dim{place}"] = [0.0, 1.0]
            cube[f"dim{place}"].attrs.update(name="", units="pixels")
        bundle = root.create_group("metadatabundle")
        bundle.attrs["emd_group_type"] = "metadatabundle"
        calibration = bundle.create_group("calibration")
        calibration.attrs.update(emd_group_type="metadata", python_class="Calibration")
        for name, value in (
            ("Q_pixel_size", 0.02),
            ("Q_pixel_units", "A^-1"),
            ("R_pixel_size", 5),
            ("R_pixel_units", "A"),
        ):
            calibration[name] = value


def write_old_py4dstem(path: Path, data: np.ndarray) -> None:
    """As py4DSTEM 0.12 wrote a DataCube."""
    with h5py.File(path, "w") as file:
        file.attrs.update(emd_group_type="root", version_major=0, version_minor=12)
        cube = file.create_group("4DSTEM_experiment/data/datacubes/datacube_0")
        cube.attrs["emd_group_type"] = 1
        cube["data"] = data
        for place, (scale, unit) in enumerate(zip(SCALES, ("n_m", "n_m", "n_m^-1", "n_m^-1"), strict=True), 1):
            cube[f"dim{place}"] = np.arange(data.shape[place - 1]) * scale
            cube[f"dim{place}"].attrs["units"] = f"[{unit}]"


def write_mib(path: Path, data: np.ndarray, wanted: int | None = None) -> None:
    """As a Merlin camera of Quantum Detectors writes 16 bits, with its HDR file."""
    rows, columns, height, width = data.shape
    frames = b""
    for number, frame in enumerate(data.reshape(-1, height, width), 1):
        camera = f"MQ1,{number:06d},00384,01,{width:04d},{height:04d},U16,   1x1,01"
        fields = f"{camera},0,0,2024-05-18T16:51:49.971626178Z,555000ns,0,12"
        # The reader turns frames upside down, as the camera records them.
        frames += fields.encode().ljust(384, b" ") + frame[::-1].astype(">u2").tobytes()
    path.write_bytes(frames)
    number = rows * columns if wanted is None else wanted
    lines = ["HDR,", f"Frames in Acquisition (Number):\t{number}", f"Frames per Trigger (Number):\t{columns}", "End\t"]
    path.with_suffix(".hdr").write_text("\n".join(lines))


def write_dm4(path: Path, data: np.ndarray, units: Sequence[str] = UNITS, scales: Sequence[float] = SCALES) -> None:
    """A DM4 file with one array: big-endian tags of 64 bits, little-endian data."""

    def node(name: str, kind: int, body: bytes) -> bytes:
        return struct.pack(">BH", kind, len(name)) + name.encode() + struct.pack(">Q", len(body)) + body

    def group(name: str, *children: bytes) -> bytes:
        return node(name, 20, struct.pack(">BBQ", 0, 0, len(children)) + b"".join(children))

    def value(name: str, code: int, content: bytes) -> bytes:
        return node(name, 21, b"%%%%" + struct.pack(">QQ", 1, code) + content)

    def array(name: str, code: int, count: int, content: bytes) -> bytes:
        return node(name, 21, b"%%%%" + struct.pack(">QQQQ", 3, 20, code, count) + content)

    def text(name: str, string: str) -> bytes:
        return array(name, 4, len(string), string.encode("utf-16-le"))

    def real(name: str, number: float) -> bytes:
        return value(name, 6, struct.pack("<f", number))

    def whole(name: str, number: int) -> bytes:
        return value(name, 5, struct.pack("<I", number))

    calibrations = [
        group("", real("Origin", 0), real("Scale", scale), text("Units", unit))
        for scale, unit in zip(scales[::-1], units[::-1], strict=True)
    ]
    brightness = group("Brightness", real("Scale", 1), text("Units", ""))
    content = group(
        "ImageData",
        group("Calibrations", brightness, group("Dimension", *calibrations)),
        array("Data", 4, data.size, data.astype("<u2").tobytes()),
        whole("DataType", 10),
        group("Dimensions", *(whole("", size) for size in data.shape[::-1])),
        whole("PixelDepth", 2),
    )
    tree = struct.pack(">BBQ", 1, 0, 1) + group(
        "ImageList", group("", content, group("ImageTags"), text("Name", "scan"))
    )
    path.write_bytes(struct.pack(">IQI", 4, len(tree), 1) + tree + bytes(8))
