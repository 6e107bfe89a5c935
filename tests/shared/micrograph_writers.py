"""Files of micrographs in formats that no library here writes."""

from __future__ import annotations

import struct

import numpy as np

MRC_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def write_mrc(path, images, pixel, mode=2, order="<", stamp=None, grid=None, **words):
    """MRC2014: 1024 bytes of header with the cell [Å], then the values.

    ``grid`` stands for MX, MY, MZ; ``words`` are further words of the header by their number, such as ``w20=0.0``.
    """
    images = images if images.ndim == 3 else images[None]
    count, height, width = images.shape
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, width, height, count, mode)
    struct.pack_into(f"{order}3i", header, 28, *(grid or (width, height, count)))
    struct.pack_into(f"{order}6f", header, 40, width * pixel, height * pixel, count * pixel, 90, 90, 90)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    header[208:212] = b"MAP "
    header[212:214] = {"<": b"DD", ">": b"\x11\x11"}[order] if stamp is None else stamp
    for name, value in words.items():
        struct.pack_into(order + ("f" if isinstance(value, float) else "i"), header, 4 * (int(name[1:]) - 1), value)
    values = images.astype("u1" if mode == 0 and images.dtype == np.uint8 else MRC_MODES[mode])
    path.write_bytes(bytes(header) + values.astype(values.dtype.newbyteorder(order)).tobytes())


def write_dm3(path, image, scale, unit, microscope=()):
    """A DM3 file with one image: big-endian tag tree, little-endian data.

    ``microscope`` are texts and numbers by name that stand in the group Microscope Info.
    """

    def node(name, kind, body):
        return struct.pack(">BH", kind, len(name.encode("latin-1"))) + name.encode("latin-1") + body

    def group(name, *children):
        return node(name, 20, struct.pack(">BBI", 0, 0, len(children)) + b"".join(children))

    def value(name, code, data):
        return node(name, 21, b"%%%%" + struct.pack(">II", 1, code) + data)

    def array(name, code, count, data):
        return node(name, 21, b"%%%%" + struct.pack(">IIII", 3, 20, code, count) + data)

    def text(name, string):
        return array(name, 4, len(string), string.encode("utf-16-le"))

    def long(name, number):
        return value(name, 5, struct.pack("<I", number))

    def calibration():
        axis = (value("Origin", 6, struct.pack("<f", 0)), value("Scale", 6, struct.pack("<f", scale)))
        return group("", *axis, text("Units", unit))

    brightness = group("Brightness", value("Scale", 6, struct.pack("<f", 1)), text("Units", ""))
    data = group(
        "ImageData",
        group("Calibrations", brightness, group("Dimension", calibration(), calibration())),
        array("Data", 6, image.size, image.astype("<f4").tobytes()),
        long("DataType", 2),
        group("Dimensions", long("", image.shape[1]), long("", image.shape[0])),
        long("PixelDepth", 4),
    )
    tags = [
        text(name, found) if isinstance(found, str) else value(name, 7, struct.pack("<d", found))
        for name, found in dict(microscope).items()
    ]
    image_tags = group("ImageTags", group("Microscope Info", *tags)) if tags else group("ImageTags")
    image_group = group("", data, image_tags, text("Name", "test"))
    tree = struct.pack(">BBI", 1, 0, 1) + group("ImageList", image_group)
    path.write_bytes(struct.pack(">III", 3, len(tree), 1) + tree + bytes(8))
