import importlib

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from exitwave.benchmark.masks import read_corrected, read_mask
from exitwave.benchmark.readers import read_micrograph
from exitwave.benchmark.units import length_of
from exitwave.errors import MicrographError
from micrograph_writers import MRC_MODES, write_dm3, write_mrc


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
            "navigate": name == "t",
            "is_binned": False,
        }
        for i, (name, size) in enumerate(zip("tyx"[-image.ndim :], image.shape, strict=True))
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
    if kind == "small":
        return save_png(tmp_path / "a.png", gray[:31])
    if kind == "damaged":
        (tmp_path / "a.png").write_bytes(save_png(tmp_path / "b.png", gray).read_bytes()[:300])
    if kind == "folder":
        (tmp_path / "a.png").mkdir()
    arrays = {"nan": gray.astype(float), "absurd": gray.astype(float), "negative": gray.astype(np.float32)}
    arrays |= {"stack": np.zeros((5, 40, 50)), "complex": gray * 1j}
    if kind in arrays:
        array = arrays[kind]
        if kind in ("nan", "absurd", "negative"):
            array[3, 4] = {"nan": np.nan, "absurd": 1e300, "negative": -3e20}[kind]
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
        ("small", "31 x 50 px; allowed: 32"),
        ("missing", "does not exist"),
        ("damaged", "cannot be read"),
        ("nan", "1 pixels that are NaN"),
        ("stack", "holds 5 images (1 to 5: 40 x 50 px); choose one in the column page"),
        ("folder", "is a folder"),
        ("absurd", "as large as 1e+300; allowed: up to 1e+12"),
        ("negative", "as large as 3e+20"),
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


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        ("nm", 10),
        ("NM", 10),
        ("nanometer", 10),
        ("Nanometers", 10),
        ("nanometre", 10),
        ("nanometres", 10),
        ("n_m", 10),
        ("um", 1e4),
        ("\u00b5m", 1e4),
        ("\u03bcm", 1e4),
        ("\\u00B5m", 1e4),
        ("micron", 1e4),
        ("microns", 1e4),
        ("micrometer", 1e4),
        ("micrometres", 1e4),
        ("pm", 1e-2),
        ("picometer", 1e-2),
        ("\u00c5", 1),
        ("\u212b", 1),
        ("A\u030a", 1),
        ("\\u00C5", 1),
        ("Angstrom", 1),
        ("angstroms", 1),
        ("Ångström", 1),
        ("Ang.", 1),
        ("mm", 1e7),
        ("millimetre", 1e7),
        ("m", 1e10),
        ("meters", 1e10),
        ("1/nm", None),
        ("mrad", None),
        ("pixel", None),
        ("inch", None),
        ("cm", None),
        ("", None),
    ],
)
def test_units_of_length_are_known_however_programs_write_them(unit, length):
    assert length_of(unit) == pytest.approx(length)


def test_unit_that_is_not_known_is_named(tmp_path, gray):
    tifffile.imwrite(tmp_path / "a.tif", gray, imagej=True, resolution=(50, 50), metadata={"unit": "furlong"})
    with pytest.raises(MicrographError, match="no pixel size in a known unit of length, but 'furlong'"):
        read_micrograph(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("size", "unit", "pixel"), [(0.05, "nm", 0.5), (0.5, "Å", 0.5), (5e-5, None, 0.5), (5e-5, "µm", 0.5)]
)
def test_ome_tiff_carries_its_calibration_and_means_micrometres_if_it_says_no_unit(tmp_path, gray, size, unit, pixel):
    units = {} if unit is None else {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    metadata = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size, **units}
    tifffile.imwrite(tmp_path / "a.ome.tif", gray, ome=True, metadata=metadata)
    assert read_micrograph(tmp_path / "a.ome.tif").pixel_size == pytest.approx(pixel)


def test_each_image_of_an_ome_tiff_has_its_own_calibration(tmp_path, gray):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for size in (0.05, 0.1):
            metadata = {f"PhysicalSize{axis}": size for axis in "XY"} | {f"PhysicalSize{a}Unit": "nm" for a in "XY"}
            file.write(gray, metadata={"axes": "YX", **metadata}, photometric="minisblack")
    assert [read_micrograph(tmp_path / "a.ome.tif", page=n).pixel_size for n in (1, 2)] == pytest.approx([0.5, 1.0])


def test_pixels_of_an_ome_tiff_that_are_not_square_are_refused(tmp_path, gray):
    metadata = {"axes": "YX", "PhysicalSizeX": 5e-5, "PhysicalSizeY": 6e-5}
    tifffile.imwrite(tmp_path / "a.ome.tif", gray, ome=True, metadata=metadata)
    with pytest.raises(MicrographError, match=r"pixels of 0\.6 x 0\.5 Å"):
        read_micrograph(tmp_path / "a.ome.tif")


def test_hdf5_of_hyperspy_is_read_by_either_suffix(tmp_path, gray):
    importlib.import_module("rsciio.hspy").file_writer(str(tmp_path / "a.hspy"), signal(gray, 0.02, "nm"))
    (tmp_path / "a.hspy").rename(tmp_path / "a.hdf5")
    found = read_micrograph(tmp_path / "a.hdf5")
    assert found.pixel_size == pytest.approx(0.2)
    np.testing.assert_array_equal(found.image, gray)


def test_other_hdf5_is_refused(tmp_path, gray):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["data"] = gray
    with pytest.raises(MicrographError, match=r"a\.hdf5 cannot be read"):
        read_micrograph(tmp_path / "a.hdf5")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", MRC_MODES)
def test_mrc_of_any_mode_and_byte_order(tmp_path, gray, mode, order):
    values = gray // 2 if mode == 0 else gray
    write_mrc(tmp_path / "a.mrc", values.astype(MRC_MODES[mode]), 0.45, mode, order)
    found = read_micrograph(tmp_path / "a.mrc")
    assert found.pixel_size == pytest.approx(0.45)
    np.testing.assert_array_equal(found.image, values)


@pytest.mark.parametrize("order", "<>")
def test_mrc_without_a_machine_stamp_tells_its_byte_order_by_its_sizes(tmp_path, gray, order):
    write_mrc(tmp_path / "a.mrc", gray.astype(np.float32), 0.45, order=order, stamp=b"\0\0")
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.mrc").image, gray)


def test_mrc_without_a_grid_has_that_of_its_pixels(tmp_path, gray):
    write_mrc(tmp_path / "a.mrc", gray.astype(np.float32), 0.45, grid=(0, 0, 0))
    assert read_micrograph(tmp_path / "a.mrc").pixel_size == pytest.approx(0.45)


def test_mrc_with_a_cell_larger_than_its_image_has_the_pixel_of_the_cell(tmp_path, gray):
    # 50 x 40 pixels cut out of 100 x 80: the cell of 45 Å has 100 intervals.
    write_mrc(tmp_path / "a.mrc", gray.astype(np.float32), 0.9, grid=(100, 80, 1))
    assert read_micrograph(tmp_path / "a.mrc").pixel_size == pytest.approx(0.45)


def test_mrc_without_a_cell_has_no_pixel_size(tmp_path, gray):
    write_mrc(tmp_path / "a.mrc", gray.astype(np.float32), 0.0)
    with pytest.raises(MicrographError, match="has no pixel size"):
        read_micrograph(tmp_path / "a.mrc")


def test_bytes_of_mrc_have_a_sign(tmp_path, gray):
    values = (gray.astype(int) - 128).astype(np.int8)
    write_mrc(tmp_path / "a.mrc", values, 0.45, mode=0)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.mrc").image, gray.astype(int) - 128)


@pytest.mark.parametrize("words", [{"w20": 0.0, "w21": 254.0}, {"w39": 1146047817, "w40": 0}])
def test_bytes_of_mrc_have_no_sign_where_the_header_says_so(tmp_path, gray, words):
    write_mrc(tmp_path / "a.mrc", gray, 0.45, mode=0, **words)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.mrc").image, gray)


def test_flag_of_imod_goes_before_the_extremes(tmp_path, gray):
    values = (gray.astype(int) - 128).astype(np.int8)
    write_mrc(tmp_path / "a.mrc", values, 0.45, mode=0, w20=0.0, w21=254.0, w39=1146047817, w40=1)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.mrc").image, gray.astype(int) - 128)


@pytest.mark.parametrize(
    ("keep", "reason"), [(1000, "has 1000 bytes; allowed: 1024"), (3000, "has 3000 bytes; needed: 9024")]
)
def test_mrc_cut_short_is_refused(tmp_path, gray, keep, reason):
    write_mrc(tmp_path / "a.mrc", gray.astype(np.float32), 0.45)
    (tmp_path / "a.mrc").write_bytes((tmp_path / "a.mrc").read_bytes()[:keep])
    with pytest.raises(MicrographError, match=reason):
        read_micrograph(tmp_path / "a.mrc")


def test_mrc_of_complex_numbers_is_refused(tmp_path, gray):
    write_mrc(tmp_path / "a.mrc", gray.astype(np.float32), 0.45, w4=4)
    with pytest.raises(MicrographError, match="has the mode 4; allowed: 0, 1, 2, 6, 12"):
        read_micrograph(tmp_path / "a.mrc")


def several(tmp_path, gray, kind):
    """A file with a small and two large images, or three of one size."""
    stack = np.stack([gray, 255 - gray, gray // 2])
    path = tmp_path / f"a.{kind.rsplit(' ')[-1]}"
    if kind == "pages tif":
        with tifffile.TiffWriter(path) as file:
            for image in (gray[:30, :20], *stack[1:]):
                file.write(image, photometric="minisblack")
    elif kind == "stack tif":
        tifffile.imwrite(path, stack, photometric="minisblack")
    elif kind == "imagej tif":
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"})
    elif kind == "mrc":
        write_mrc(path, stack.astype(np.float32), 0.45)
    elif kind == "npy":
        np.save(path, stack)
    elif kind == "png":
        frames = [Image.fromarray(image) for image in stack]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    return path, stack


KINDS = ["pages tif", "stack tif", "imagej tif", "mrc", "npy", "png"]


@pytest.mark.parametrize("kind", KINDS)
def test_page_of_a_file_of_several_images_is_chosen(tmp_path, gray, kind):
    path, stack = several(tmp_path, gray, kind)
    for page in (2, 3):
        found = read_micrograph(path, 1.0, page=page)
        assert found.page == page
        np.testing.assert_array_equal(found.image, stack[page - 1])


@pytest.mark.parametrize("kind", KINDS)
def test_file_of_several_images_says_what_there_is(tmp_path, gray, kind):
    path, _ = several(tmp_path, gray, kind)
    listed = "1: 30 x 20 px, 2 to 3: 40 x 50 px" if kind == "pages tif" else "1 to 3: 40 x 50 px"
    with pytest.raises(MicrographError) as error:
        read_micrograph(path, 1.0)
    assert f"holds 3 images ({listed}); choose one in the column page" in str(error.value)
    with pytest.raises(MicrographError, match="number 4 is asked for; allowed: 1 to 3"):
        read_micrograph(path, 1.0, page=4)


def test_file_of_one_image_has_one_page(tmp_path, gray):
    path = save_png(tmp_path / "a.png", gray)
    np.testing.assert_array_equal(read_micrograph(path, 1.0, page=1).image, gray)
    with pytest.raises(MicrographError, match=r"holds 1 image .*, but number 2 is asked for"):
        read_micrograph(path, 1.0, page=2)


def test_stack_of_hyperspy_is_a_file_of_several_images(tmp_path, gray):
    stack = signal(np.stack([gray, 255 - gray]), 0.02, "nm")
    importlib.import_module("rsciio.hspy").file_writer(str(tmp_path / "a.hspy"), stack)
    found = read_micrograph(tmp_path / "a.hspy", page=2)
    assert found.pixel_size == pytest.approx(0.2)
    np.testing.assert_array_equal(found.image, 255 - gray)


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    gray = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 48, 0)
    zero = np.zeros_like(gray)
    for name, inks in (("black", [zero, zero, zero, 255 - gray]), ("colours", [255 - gray] * 3 + [zero])):
        Image.merge("CMYK", [Image.fromarray(ink) for ink in inks]).save(tmp_path / f"{name}.jpg", quality=100)
        image = read_micrograph(tmp_path / f"{name}.jpg", 1.0).image
        assert np.abs(image - gray).max() <= 3


def test_tiff_of_inks_is_refused(tmp_path, gray):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([gray] * 4, -1), photometric="separated")
    with pytest.raises(MicrographError, match=r"amounts of ink \(CMYK\)"):
        read_micrograph(tmp_path / "a.tif", 1.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_with_zero_for_white_is_not_inverted(tmp_path, gray, dtype):
    """Compared with Pillow where it can."""
    stored = gray.astype(dtype) * (np.iinfo(dtype).max // 255)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    image = read_micrograph(tmp_path / "a.tif", 1.0).image
    np.testing.assert_array_equal(image, np.iinfo(dtype).max - stored)
    if dtype == np.uint8:
        np.testing.assert_array_equal(image, np.asarray(Image.open(tmp_path / "a.tif")))


@pytest.mark.parametrize("inverted", [False, True])
def test_palette_of_grays_is_shown_values(tmp_path, gray, inverted):
    """The picture that a viewer shows: here as Pillow converts it."""
    ramp = np.arange(256)[:: -1 if inverted else 1].astype(np.uint8)
    picture = Image.fromarray(gray, "P")
    picture.putpalette(np.repeat(ramp, 3).tobytes())
    picture.save(tmp_path / "a.png")
    shown = np.asarray(picture.convert("L"))
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.png", 1.0).image, shown)
    table = np.stack([ramp.astype(np.uint16) * 257] * 3)
    tifffile.imwrite(tmp_path / "a.tif", gray, photometric="palette", colormap=table)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif", 1.0).image, shown)


def test_colours_over_measured_values_are_for_the_eye(tmp_path, gray):
    table = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", gray, photometric="palette", colormap=table)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif", 1.0).image, gray)


def test_transparency_is_ignored_with_a_warning(tmp_path, gray):
    opaque = np.full_like(gray, 255)
    opaque[:5] = 0
    Image.merge("LA", [Image.fromarray(gray), Image.fromarray(opaque)]).save(tmp_path / "a.png")
    found = read_micrograph(tmp_path / "a.png", 1.0)
    np.testing.assert_array_equal(found.image, gray)
    assert found.warnings == ("parts of it are transparent, which is ignored",)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_become_their_brightness_with_a_warning(tmp_path, gray, mode):
    picture = Image.merge("RGB", [Image.fromarray(part) for part in (gray, gray // 2, 255 - gray)])
    picture.convert(mode).save(tmp_path / "a.png")
    found = read_micrograph(tmp_path / "a.png", 1.0)
    np.testing.assert_allclose(found.image, np.asarray(picture.convert("L")), atol=0.51)
    assert len(found.warnings) == 1
    assert "it is a colour image" in found.warnings[0]
    picture.convert("L").save(tmp_path / "a.png")
    assert read_micrograph(tmp_path / "a.png", 1.0).warnings == ()


def mask_of(path, shape):
    return read_mask(path, path.with_name("a.png"), shape)


@pytest.mark.parametrize("values", [(0, np.nan), (np.nan, 1), (0, np.inf)])
def test_mask_that_is_not_finite_is_refused(tmp_path, gray, values):
    np.save(tmp_path / "m.npy", np.where(gray > 128, values[1], values[0]).astype(np.float32))
    with pytest.raises(MicrographError, match=r"m\.npy has \d+ pixels that are NaN or infinite"):
        mask_of(tmp_path / "m.npy", gray.shape)


@pytest.mark.parametrize("colour", [0, 255])
def test_mask_in_transparency_is_opaque_on_particles(tmp_path, gray, colour):
    expert = gray > 128
    layers = [np.full(gray.shape, colour, np.uint8)] * 3 + [expert.astype(np.uint8) * 255]
    save_png(tmp_path / "m.png", np.stack(layers, -1))
    np.testing.assert_array_equal(mask_of(tmp_path / "m.png", gray.shape), expert)


def test_mask_in_brightness_and_transparency_has_to_be_one(tmp_path, gray):
    expert = gray > 128
    for name, bright in (("same", expert), ("other", ~expert)):
        save_png(tmp_path / f"{name}.png", np.stack([bright, expert], -1).astype(np.uint8) * 255)
    np.testing.assert_array_equal(mask_of(tmp_path / "same.png", gray.shape), expert)
    with pytest.raises(MicrographError, match=r"other\.png is another one by its transparency than by its brightness"):
        mask_of(tmp_path / "other.png", gray.shape)


def palette_mask(path, expert, colours, bits=8):
    picture = Image.fromarray(expert, "P")
    picture.putpalette(np.asarray(colours, np.uint8).tobytes())
    picture.save(path, bits=bits)
    return path


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 0, 0), (40, 90, 200)])
def test_mask_in_a_palette_is_the_higher_number(tmp_path, gray, colour):
    expert = gray > 128
    path = palette_mask(tmp_path / "m.png", expert.astype(np.uint8), [(0, 0, 0), colour])
    np.testing.assert_array_equal(mask_of(path, gray.shape), expert)


def test_mask_in_the_inverting_palette_of_imagej_is_255_though_it_is_shown_black(tmp_path, gray):
    expert = gray > 128
    ramp = np.repeat(np.arange(256)[::-1, None], 3, 1)
    path = palette_mask(tmp_path / "m.png", expert.astype(np.uint8) * 255, ramp)
    np.testing.assert_array_equal(mask_of(path, gray.shape), expert)
    tifffile.imwrite(tmp_path / "m.tif", expert.astype(np.uint8) * 255, photometric="miniswhite")
    np.testing.assert_array_equal(mask_of(tmp_path / "m.tif", gray.shape), expert)


@pytest.mark.parametrize("colours", [[(255, 255, 255), (0, 0, 0)], [(255, 0, 0), (0, 255, 0)]])
def test_mask_whose_palette_contradicts_its_numbers_is_refused(tmp_path, gray, colours):
    path = palette_mask(tmp_path / "m.png", (gray > 128).astype(np.uint8), colours)
    with pytest.raises(MicrographError, match=r"m\.png is another one by its .* allowed: one mask"):
        mask_of(path, gray.shape)


def test_mask_of_one_other_value_is_refused(tmp_path, gray):
    save_png(tmp_path / "m.png", np.full_like(gray, 7))
    with pytest.raises(MicrographError, match=r"one value \(7\); allowed: two"):
        mask_of(tmp_path / "m.png", gray.shape)


def test_name_longer_than_the_file_system_allows_is_one_sentence(tmp_path):
    with pytest.raises(MicrographError, match="cannot be read"):
        read_micrograph(tmp_path / ("n" * 300 + ".png"), 1.0)


def test_image_too_large_for_the_memory_is_one_sentence(tmp_path, gray, monkeypatch):
    def too_large(*args, **kwargs):
        raise MemoryError

    np.save(tmp_path / "a.npy", gray)
    monkeypatch.setattr(np, "load", too_large)
    with pytest.raises(MicrographError, match=r"a\.npy cannot be read: there is not enough memory"):
        read_micrograph(tmp_path / "a.npy", 1.0)


def numbers_of(gray):
    """Particles with numbers, on a background of 0, and where they are."""
    expert = gray > 128
    return np.where(expert, 1 + gray % 7, 0), expert


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.float32])
def test_particles_by_number_are_a_corrected_mask(tmp_path, gray, dtype):
    """As napari and Fiji save labels, of which no number says more than another."""
    numbers, expert = numbers_of(gray)
    tifffile.imwrite(tmp_path / "m.tif", numbers.astype(dtype))
    np.testing.assert_array_equal(read_corrected(tmp_path / "m.tif", tmp_path / "a.png", gray.shape), expert)
    with pytest.raises(MicrographError, match="8 different values"):
        mask_of(tmp_path / "m.tif", gray.shape)


def test_numbers_with_a_table_of_colours_are_the_numbers(tmp_path, gray):
    numbers, expert = numbers_of(gray)
    table = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "m.tif", numbers.astype(np.uint8), photometric="palette", colormap=table)
    np.testing.assert_array_equal(read_corrected(tmp_path / "m.tif", tmp_path / "a.png", gray.shape), expert)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 65535)])
def test_a_corrected_mask_of_two_values_is_read_as_any_mask(tmp_path, gray, values):
    expert = gray > 128
    tifffile.imwrite(tmp_path / "m.tif", np.where(expert, values[1], values[0]).astype(np.uint16))
    np.testing.assert_array_equal(read_corrected(tmp_path / "m.tif", tmp_path / "a.png", gray.shape), expert)


def test_colours_and_the_inverting_palette_are_read_as_in_any_mask(tmp_path, gray):
    expert = gray > 128
    layers = [expert, 0 * expert, 0 * expert, np.ones(gray.shape)]
    save_png(tmp_path / "m.png", np.stack(layers, -1).astype(np.uint8) * 255)
    np.testing.assert_array_equal(read_corrected(tmp_path / "m.png", tmp_path / "a.png", gray.shape), expert)
    tifffile.imwrite(tmp_path / "m.tif", expert.astype(np.uint8) * 255, photometric="miniswhite")
    np.testing.assert_array_equal(read_corrected(tmp_path / "m.tif", tmp_path / "a.png", gray.shape), expert)


def test_smoothed_edges_and_what_jpeg_makes_of_a_mask_are_no_numbers(tmp_path, gray):
    white = np.zeros(gray.shape, np.uint8)
    white[4:-4, 4:-4] = 255
    white[3, 4:-4] = 128
    save_png(tmp_path / "m.png", white)
    with pytest.raises(MicrographError, match=r"3 different values \(0, 128, 255\)"):
        read_corrected(tmp_path / "m.png", tmp_path / "a.png", gray.shape)
    Image.fromarray(np.where(gray > 128, 9, 0).astype(np.uint8)).save(tmp_path / "m.jpg")
    with pytest.raises(MicrographError, match="different values"):
        read_corrected(tmp_path / "m.jpg", tmp_path / "a.png", gray.shape)
