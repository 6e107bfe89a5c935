"""Calibrations as microscopes write them into TIFF files."""

import numpy as np
import pytest
import tifffile

from exitwave.benchmark.readers import open_micrographs, read_micrograph
from exitwave.benchmark.remedies import ON_COMMAND_LINE
from exitwave.errors import MicrographError


def fei(pixel, width):
    text = (
        f"[Scan]\r\nPixelWidth={pixel}\r\nPixelHeight={pixel}\r\n[Image]\r\nResolutionX={width}\r\nResolutionY=40\r\n"
    )
    return (34682, "s", 0, text, True)


def zeiss(pixel, width, told):
    unnamed = [0, 0, 0, pixel * width / 1024]
    lines = [*(str(value) for value in unnamed), "AP_IMAGE_PIXEL_SIZE", f"Image Pixel Size = {told}", ""]
    return (34118, "s", 0, "\r\n".join(lines), True)


def write(path, image, *tags):
    tifffile.imwrite(path, image, extratags=tags, metadata=None)
    return path


def test_pixel_of_fei_is_read(tmp_path, gray):
    assert read_micrograph(write(tmp_path / "a.tif", gray, fei(5e-11, 50))).pixel_size == pytest.approx(0.5)


def test_pixel_of_zeiss_is_read(tmp_path, gray):
    path = write(tmp_path / "a.tif", gray, zeiss(5e-11, 50, "0.05 nm"))
    assert read_micrograph(path).pixel_size == pytest.approx(0.5)


def test_pixel_of_digital_micrograph_in_a_tiff_is_read(tmp_path, gray):
    units = [(number, "s", 0, "nm", True) for number in (65003, 65004)]
    scales = [(number, "d", 1, 0.05, True) for number in (65009, 65010)]
    assert read_micrograph(write(tmp_path / "a.tif", gray, *units, *scales)).pixel_size == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (fei(5e-11, 100), "was recorded 100 px wide, but is 50 px wide"),
        (zeiss(5e-11, 50, "0.1 nm"), "has a pixel of 0.5 Å by one entry of its header, but 1 Å by another"),
    ],
)
def test_calibration_of_an_image_that_was_changed_since_is_not_taken(tmp_path, gray, tag, words):
    file = open_micrographs(write(tmp_path / "a.tif", gray, tag))
    with pytest.raises(MicrographError, match=rf"a\.tif {words}.*; give --pixel-size \(Å\)"):
        file.read(remedies=ON_COMMAND_LINE)
    assert file.read(0.7).pixel_size == 0.7


def test_resolution_of_a_printer_is_no_calibration_and_the_option_is_named(tmp_path, gray):
    for unit in ("inch", "centimeter"):
        tifffile.imwrite(tmp_path / "a.tif", gray, resolution=(300, 300), resolutionunit=unit)
        with pytest.raises(MicrographError, match=r"a\.tif has no pixel size; give --pixel-size \(Å\)"):
            open_micrographs(tmp_path / "a.tif").read(remedies=ON_COMMAND_LINE)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("imagej", [False, True])
def test_each_image_of_a_stack_is_read_alone(tmp_path, gray, monkeypatch, compression, imagej):
    stack = np.stack([gray, 255 - gray, gray // 2])
    kind = {"imagej": True, "metadata": {"axes": "TYX"}} if imagej else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", stack, compression=compression, **kind)
    file = open_micrographs(tmp_path / "a.tif")

    def all_of_it(*args, **kwargs):
        raise AssertionError("the whole stack is read")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", all_of_it)
    for number, image in enumerate(stack, 1):
        np.testing.assert_array_equal(file.read(1.0, number).image, image)
