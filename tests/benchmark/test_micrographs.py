import importlib
import struct

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from exitwave.benchmark.micrographs import check_benchmark_folder, read_benchmark
from exitwave.benchmark.readers import read_mask, read_micrograph
from exitwave.errors import ConfigError, MicrographError


@pytest.fixture
def gray():
    return np.random.default_rng(4).integers(0, 255, (40, 50)).astype(np.uint8)


def save_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def signal(image, scale, unit):
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "size": size,
            "scale": scale,
            "offset": 0.0,
            "units": unit,
            "index_in_array": i,
            "navigate": False,
            "is_binned": False,
        }
        for i, (name, size) in enumerate(zip("yx", image.shape, strict=True))
    ]
    metadata = {"General": {"title": "test"}, "Signal": {"signal_type": ""}}
    return {
        "data": image,
        "axes": axes,
        "metadata": metadata,
        "original_metadata": {},
        "attributes": {"_lazy": False, "ragged": False},
        "package_info": {},
        "models": {},
        "learning_results": {},
        "tmp_parameters": {},
    }


def write_mrc(path, image, pixel):
    """MRC2014: 1024 bytes of header with the cell [Å], then float32."""
    height, width = image.shape
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, width, height, 1, 2, 0, 0, 0, width, height, 1)
    struct.pack_into("<6f", header, 40, width * pixel, height * pixel, pixel, 90, 90, 90)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    header[208:214] = b"MAP DD"
    path.write_bytes(bytes(header) + image.astype("<f4").tobytes())


@pytest.mark.parametrize(("scale", "unit"), [(0.02, "nm"), (0.02, "n_m"), (0.2, "Å"), (2e-5, "µm"), (20.0, "pm")])
def test_any_length_unit_becomes_angstrom(tmp_path, gray, scale, unit):
    path = tmp_path / "a.tif"
    importlib.import_module("rsciio.tiff").file_writer(str(path), signal(gray, scale, unit))
    found = read_micrograph(path)
    assert found.pixel_size == pytest.approx(0.2)
    assert found.image.dtype == np.float32
    np.testing.assert_array_equal(found.image, gray)


@pytest.mark.parametrize(("suffix", "module"), [("hspy", "hspy"), ("emd", "emd")])
def test_hdf5_formats_carry_their_calibration(tmp_path, gray, suffix, module):
    path = tmp_path / f"a.{suffix}"
    importlib.import_module(f"rsciio.{module}").file_writer(str(path), signal(gray, 0.02, "nm"))
    found = read_micrograph(path)
    assert found.pixel_size == pytest.approx(0.2)
    np.testing.assert_array_equal(found.image, gray)


def write_dm3(path, image, scale, unit):
    """A DM3 file with one image: big-endian tag tree, little-endian data."""

    def node(name, kind, body):
        return struct.pack(">BH", kind, len(name)) + name.encode() + body

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
    image_group = group("", data, group("ImageTags"), text("Name", "test"))
    tree = struct.pack(">BBI", 1, 0, 1) + group("ImageList", image_group)
    path.write_bytes(struct.pack(">III", 3, len(tree), 1) + tree + bytes(8))


@pytest.mark.parametrize(("scale", "unit"), [(0.02, "nm"), (0.2, "Å")])
def test_dm3_carries_its_calibration(tmp_path, gray, scale, unit):
    write_dm3(tmp_path / "a.dm3", gray, scale, unit)
    found = read_micrograph(tmp_path / "a.dm3")
    assert found.pixel_size == pytest.approx(0.2)
    np.testing.assert_array_equal(found.image, gray)


def test_diffraction_pattern_has_no_pixel_size(tmp_path, gray):
    write_dm3(tmp_path / "a.dm3", gray, 0.1, "1/nm")
    with pytest.raises(MicrographError, match="has no pixel size"):
        read_micrograph(tmp_path / "a.dm3")


def test_mrc_carries_its_calibration(tmp_path, gray):
    write_mrc(tmp_path / "a.mrc", gray, 0.45)
    found = read_micrograph(tmp_path / "a.mrc")
    assert found.pixel_size == pytest.approx(0.45)
    np.testing.assert_array_equal(found.image, gray)


@pytest.mark.parametrize(("unit", "pixel"), [("nm", 0.2), ("micron", 200.0)])
def test_imagej_tiff_carries_its_calibration(tmp_path, gray, unit, pixel):
    tifffile.imwrite(tmp_path / "a.tif", gray, imagej=True, resolution=(50, 50), metadata={"unit": unit})
    assert read_micrograph(tmp_path / "a.tif").pixel_size == pytest.approx(pixel)


def test_printing_resolution_of_a_tiff_is_no_calibration(tmp_path, gray):
    tifffile.imwrite(tmp_path / "a.tif", gray, resolution=(300, 300), resolutionunit="inch")
    with pytest.raises(MicrographError, match=r"a\.tif has no pixel size"):
        read_micrograph(tmp_path / "a.tif")


def test_given_pixel_size_goes_before_the_file(tmp_path, gray):
    write_mrc(tmp_path / "a.mrc", gray, 0.45)
    assert read_micrograph(tmp_path / "a.mrc", 0.5).pixel_size == 0.5


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L"])
def test_equal_colour_channels_are_gray(tmp_path, gray, mode):
    Image.fromarray(gray).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.png", 1.0).image, gray)


def test_rgb_tiff_with_equal_channels_is_gray(tmp_path, gray):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([gray] * 3, -1), photometric="rgb")
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif", 1.0).image, gray)


def test_sixteen_bit_png_keeps_its_values(tmp_path, gray):
    save_png(tmp_path / "a.png", gray.astype(np.uint16) * 200)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.png", 1.0).image, gray.astype(float) * 200)


def write_bad(tmp_path, kind, gray):
    if kind == "colour":
        return save_png(tmp_path / "a.png", np.stack([gray, gray, 255 - gray], -1))
    if kind == "small":
        return save_png(tmp_path / "a.png", gray[:31])
    if kind == "damaged":
        (tmp_path / "a.png").write_bytes(save_png(tmp_path / "b.png", gray).read_bytes()[:300])
    if kind in ("nan", "stack", "complex"):
        array = {"nan": gray / np.float32(0 + gray[3, 4]), "stack": np.zeros((5, 40, 50)), "complex": gray * 1j}[kind]
        if kind == "nan":
            array[3, 4] = np.nan
        np.save(tmp_path / "a.npy", array)
        return tmp_path / "a.npy"
    if kind == "pickle":
        np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
        return tmp_path / "a.npy"
    if kind == "format":
        (tmp_path / "a.txt").write_text("1")
        return tmp_path / "a.txt"
    if kind in ("dm3", "ser", "tif", "mrc"):
        (tmp_path / f"a.{kind}").write_bytes(b"no micrograph")
        return tmp_path / f"a.{kind}"
    return tmp_path / "a.png"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("colour", "colour image"),
        ("small", "31 x 50 px; allowed: 32"),
        ("missing", "does not exist"),
        ("damaged", "cannot be read"),
        ("nan", "1 pixels that are NaN"),
        ("stack", "3 dimensions"),
        ("complex", "complex"),
        ("pickle", "cannot be read"),
        ("format", "unknown format '.txt'"),
        ("dm3", "cannot be read"),
        ("ser", "cannot be read"),
        ("tif", "cannot be read"),
        ("mrc", "cannot be read"),
    ],
)
def test_unusable_file_is_named_with_the_reason(tmp_path, gray, kind, reason):
    path = write_bad(tmp_path, kind, gray)
    with pytest.raises(MicrographError) as error:
        read_micrograph(path, 1.0)
    assert reason in str(error.value)
    assert path.name in str(error.value)


def test_impossible_pixel_size_is_refused(tmp_path, gray):
    path = save_png(tmp_path / "a.png", gray)
    with pytest.raises(MicrographError, match="pixel size -1"):
        read_micrograph(path, -1.0)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 128), (0, 0), (255, 255)])
def test_binary_masks_are_read(tmp_path, gray, values):
    expert = gray > 128
    save_png(tmp_path / "m.png", np.where(expert, *values[::-1]).astype(np.uint8))
    mask = read_mask(tmp_path / "m.png", tmp_path / "a.png", gray.shape)
    expected = expert if values[0] != values[1] else np.full(gray.shape, values[0] > 0)
    np.testing.assert_array_equal(mask, expected)


def test_mask_that_is_not_binary_is_refused_with_its_values(tmp_path, gray):
    save_png(tmp_path / "m.png", np.digitize(gray, [80, 160]).astype(np.uint8))
    with pytest.raises(MicrographError, match=r"m\.png has 3 different values \(0, 1, 2\)"):
        read_mask(tmp_path / "m.png", tmp_path / "a.png", gray.shape)


def test_mask_of_another_shape_is_refused_with_both_shapes(tmp_path, gray):
    save_png(tmp_path / "m.png", (gray[:-1] > 128).astype(np.uint8))
    with pytest.raises(MicrographError, match=r"39 x 50.*40 x 50"):
        read_mask(tmp_path / "m.png", tmp_path / "a.png", gray.shape)


def make_folder(path, gray, rows):
    save_png(path / "good.png", gray)
    save_png(path / "mask.png", (gray > 128).astype(np.uint8) * 255)
    save_png(path / "narrow.png", (gray[:, :-3] > 128).astype(np.uint8))
    (path / "broken.png").write_bytes(b"no picture")
    pd.DataFrame(rows, columns=["image", "mask", "pixel_size"]).to_csv(path / "index.csv", index=False)
    return path


def test_bad_files_are_skipped_with_a_reason_and_the_others_go_on(tmp_path, gray):
    rows = [
        ("broken.png", "mask.png", 1.0),
        ("good.png", "mask.png", 0.8),
        ("good.png", "narrow.png", 0.8),
        ("good.png", "mask.png", None),
        ("good.png", None, 0.8),
        ("gone.png", "mask.png", 0.8),
    ]
    micrographs, skipped = read_benchmark(make_folder(tmp_path, gray, rows))
    assert [(m.image.shape, m.pixel_size, m.mask.sum()) for m in micrographs] == [((40, 50), 0.8, (gray > 128).sum())]
    assert list(skipped["file"]) == ["broken.png", "good.png", "good.png", "good.png", "gone.png"]
    for reason, expected in zip(
        skipped["reason"], ["cannot be read", "40 x 47", "no pixel size", "no mask", "does not exist"], strict=True
    ):
        assert expected in reason


def test_nothing_left_to_score_is_an_error(tmp_path, gray):
    folder = make_folder(tmp_path, gray, [("good.png", "narrow.png", 0.8)])
    with pytest.raises(MicrographError, match="none of the 1 micrographs"):
        read_benchmark(folder)


def test_pixel_size_of_the_config_holds_for_all(tmp_path, gray):
    folder = make_folder(tmp_path, gray, [("good.png", "mask.png", 0.8), ("good.png", "mask.png", None)])
    micrographs, _ = read_benchmark(folder, pixel_size=0.3)
    assert [m.pixel_size for m in micrographs] == [0.3, 0.3]


def test_micrographs_of_the_same_file_name_keep_different_names(tmp_path, gray):
    for folder in "ab":
        save_png(tmp_path / folder / "good.png", gray)
    folder = make_folder(tmp_path, gray, [("a/good.png", "mask.png", 0.8), ("b/good.png", "mask.png", 0.8)])
    assert [m.name for m in read_benchmark(folder)[0]] == ["a/good", "b/good"]


def test_missing_folder_or_index_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="is no folder"):
        check_benchmark_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"has no index\.csv"):
        check_benchmark_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image,pixel_size\na.png,1\n", "lacks mask"),
        ("image,mask\n", "lists no micrograph"),
        ("image,mask\na.png,b.png\n", "cannot carry one"),
        ("image,mask,pixel_size\na.png,b.png,-1\n", "pixel_size -1"),
        ("image,mask,pixel_size\na.png,b.png,fine\n", "pixel_size fine"),
        ("", "cannot be read as a table"),
    ],
)
def test_unusable_index_is_a_config_error(tmp_path, text, reason):
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        check_benchmark_folder(tmp_path)


def test_index_is_checked_without_opening_an_image(tmp_path):
    (tmp_path / "index.csv").write_text("image,mask\nnot_there.dm4,not_there.png\n")
    assert len(check_benchmark_folder(tmp_path)) == 1
