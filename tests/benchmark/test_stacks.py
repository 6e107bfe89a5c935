import os
import re
import subprocess
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from exitwave.benchmark.micrographs import cases, files
from exitwave.benchmark.readers import open_micrographs, read_micrograph
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.models import Segmentation
from exitwave.config.published import PublishedSet, published_set, published_sets
from exitwave.errors import ConfigError, MicrographError

SEGMENTS = Segmentation(kind="segmentation")
NUMBER, HEIGHT, WIDTH = 3, 40, 50
RNG = np.random.default_rng(5)
IMAGES = RNG.normal(100, 10, (NUMBER, HEIGHT, WIDTH))
MASKS = RNG.random((NUMBER, HEIGHT, WIDTH)) > 0.6


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def block_of(path, **keys):
    return MicrographBenchmark.model_validate(
        {"kind": "micrographs", "path": str(path), **({} if "published" in keys else {"pixel_size": 0.3}), **keys}
    )


def scored(path, **keys):
    found = cases(block_of(path, **keys), SEGMENTS, [])
    return list(found), found.skipped()


def refused(path, **keys):
    with pytest.raises(MicrographError) as caught:
        scored(path, **keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def two_classes(scale=1.0):
    return np.stack([~MASKS, MASKS], -1) * scale


LAYOUTS = {
    "bool": (IMAGES, MASKS),
    "bytes": (IMAGES.astype(np.float32)[..., None], MASKS.astype(np.uint8) * 255),
    "float": (IMAGES.astype(np.uint16), MASKS[..., None].astype(np.float64)),
    "two classes": (IMAGES[..., None], two_classes()),
    "two classes of bytes": (IMAGES[..., None], two_classes(255).astype(np.uint8)),
    "channels before pixels": (IMAGES[:, None], np.moveaxis(two_classes(), -1, 1)),
    "one channel before pixels": (IMAGES[:, None], MASKS[:, None].astype(np.int32)),
}


@pytest.mark.parametrize(("images", "masks"), LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_gives_the_same_images_and_masks(tmp_path, images, masks):
    write(tmp_path / "a.h5", images=images)
    write(tmp_path / "b.h5", maps=masks)
    apart, skipped = scored(tmp_path / "a.h5", hdf5={"mask_file": str(tmp_path / "b.h5")})
    write(tmp_path / "both.h5", **{"train/images": images, "train/labels": masks})
    together, _ = scored(tmp_path / "both.h5")
    assert skipped.empty
    for found, name in ((apart, "a.h5"), (together, "both.h5")):
        assert [case.name for case in found] == [f"{name}[{place}]" for place in range(NUMBER)]
        for place, case in enumerate(found):
            expected = images.reshape(NUMBER, HEIGHT, WIDTH)[place].astype(np.float32)
            np.testing.assert_array_equal(case.image, expected)
            np.testing.assert_array_equal(case.truth, MASKS[place])
            assert case.truth.dtype == bool
            assert case.pixel_size == 0.3


def test_datasets_of_any_name_are_found_by_key_or_when_alone(tmp_path):
    write(tmp_path / "x.h5", micrographs=IMAGES)
    write(tmp_path / "y.h5", drawn=MASKS)
    assert len(scored(tmp_path / "x.h5", hdf5={"mask_file": str(tmp_path / "y.h5")})[0]) == NUMBER
    write(tmp_path / "z.h5", **{"a/x": IMAGES, "a/y": MASKS, "a/w": MASKS})
    found, _ = scored(tmp_path / "z.h5", hdf5={"images": "a/x", "masks": "/a/y"})
    np.testing.assert_array_equal(found[1].truth, MASKS[1])
    told = refused(tmp_path / "z.h5", hdf5={"masks": "a/y"})
    assert "no array of the name images or image; it has 'a/w' (3 x 40 x 50), 'a/x' (3 x 40 x 50)" in told
    assert "several arrays of the name images or image" in refused(
        write(tmp_path / "two.h5", **{"train/images": IMAGES, "test/images": IMAGES, "masks": MASKS})
    )
    told = refused(tmp_path / "z.h5", hdf5={"images": "a/X", "masks": "a/y"})
    assert "has no array 'a/X'; it has 'a/w' (3 x 40 x 50)" in told


def test_patches_of_unknown_origin_are_told_of_and_known_groups_are_taken(tmp_path, caplog):
    path = write(tmp_path / "a.h5", images=IMAGES, masks=MASKS, parents=[b"p", b"p", b"q"], numbers=[1, 2, 2, 2])
    found, _ = scored(path)
    assert len({case.group for case in found}) == NUMBER
    assert "intervals are too narrow" in caplog.text
    caplog.clear()
    found, _ = scored(path, hdf5={"groups": "parents"})
    assert [case.group for case in found] == ["p", "p", "q"]
    assert not caplog.text
    assert "3 images, but 4 values in 'numbers'" in refused(path, hdf5={"groups": "numbers"})
    assert "no dataset 'images' of one dimension" in refused(path, hdf5={"groups": "images"})


def test_an_image_that_cannot_be_used_is_skipped_with_its_name(tmp_path):
    images, masks = np.repeat(IMAGES[:1], 6, 0), np.repeat(two_classes()[:1], 6, 0)
    images[1, 3, 4] = np.nan
    masks[2, 0, 0] = 1
    masks[3, 0, 0, 1] = 0.5
    masks[4, 0, 0, 0] = np.nan
    masks[5] = [1, 0]
    found, skipped = scored(write(tmp_path / "a.h5", images=images, maps=masks))
    assert [case.name for case in found] == ["a.h5[0]", "a.h5[5]"]
    assert not found[1].truth.any()
    assert skipped["file"].tolist() == [f"a.h5[{place}]" for place in (1, 2, 3, 4)]
    expected = [
        "1 pixels that are NaN or infinite",
        "1 pixels that are of both classes or of none",
        "3 different values (0, 0.5, 1)",
        "mask a.h5[4] has 1 pixels that are NaN",
    ]
    for reason, part in zip(skipped["reason"], expected, strict=True):
        assert part in reason
    write(tmp_path / "b.h5", images=images[1:2], maps=masks[1:2])
    assert "none of the 1 images" in refused(tmp_path / "b.h5")


def test_files_that_do_not_fit_are_refused_in_one_sentence(tmp_path):
    path = write(tmp_path / "a.h5", images=IMAGES)
    few, small = write(tmp_path / "few.h5", maps=MASKS[1:]), write(tmp_path / "small.h5", maps=MASKS[:, 1:])
    assert "3 images, but" in (told := refused(path, hdf5={"mask_file": str(few)}))
    assert "2 masks; allowed: as many" in told
    assert "masks of 39 x 50 px; allowed: the same shape" in refused(path, hdf5={"mask_file": str(small)})
    assert "give the masks: hdf5.mask_file or hdf5.masks" in refused(path)
    three = write(tmp_path / "three.h5", maps=np.stack([MASKS] * 3, -1))
    assert "3 x 40 x 50 x 3; allowed" in refused(path, hdf5={"mask_file": str(three)})
    complex_ = write(tmp_path / "complex.h5", images=IMAGES + 1j, maps=MASKS)
    assert "values of type complex128" in refused(complex_)
    both = write(tmp_path / "both.h5", images=IMAGES, maps=MASKS)
    assert "has no pixel size; give one as pixel_size, in Å" in refused(both, pixel_size=None)
    both.with_name("both.h5.meta.yaml").write_text("scan: {pixel_size_A: 0.7}\n")
    assert {case.pixel_size for case in scored(both, pixel_size=None)[0]} == {0.7}


def test_damaged_files_are_told_apart(tmp_path):
    path = write(tmp_path / "a.h5", images=IMAGES, masks=MASKS)
    os.truncate(path, path.stat().st_size // 2)
    assert "is cut off" in refused(path)
    path.write_bytes(b"<html>not found</html>")
    assert "no file of HDF5" in refused(path)
    assert "does not exist" in refused(tmp_path, published="zenodo_3755011_au")


def test_a_file_that_claims_more_than_it_holds_or_leads_elsewhere_is_refused(tmp_path):
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("images", (10**6, 4096, 4096), np.float64, chunks=(1, 64, 64))
    with pytest.raises(MicrographError, match=r"says that it holds 1000000 x 4096 x 4096 values"):
        open_micrographs(tmp_path / "large.h5")
    with h5py.File(write(tmp_path / "linked.h5", masks=MASKS), "a") as file:
        file["images"] = h5py.ExternalLink("other.h5", "images")
    assert "takes 'images' from another file" in refused(tmp_path / "linked.h5")


def test_only_one_image_is_in_memory_at_a_time(tmp_path):
    number, edge = 40, 256
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=np.tile(np.arange(edge, dtype=np.float64), (number, edge, 1)))
        file.create_dataset("masks", (number, edge, edge), np.uint8)
    found = cases(block_of(path), SEGMENTS, [])
    tracemalloc.start()
    seen = sum(1 for _ in found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == number
    assert peak < 10 * edge**2 * 8 < number * edge**2 * 8


# --- published sets ---------------------------------------------------------------------------


@pytest.fixture
def downloads(tmp_path):
    known = published_set("zenodo_3755011_au")
    write(tmp_path / known.images.file, images=IMAGES[..., None])
    write(tmp_path / known.masks.file, maps=two_classes())
    return tmp_path


def test_a_published_set_is_scored_by_its_name_alone(downloads, caplog):
    found, skipped = scored(downloads, published="zenodo_3755011_au")
    assert skipped.empty
    assert [case.name for case in found][1] == "Au_Bal_MedFilt_cutimages_20190726.h5[1]"
    assert {(case.pixel_size, case.columns["convention"]) for case in found} == {(0.2, "outline")}
    np.testing.assert_array_equal(found[2].truth, MASKS[2])
    assert "the pixel size is not confirmed; a later paper" in caplog.text
    assert len(files(block_of(downloads, published="zenodo_3755011_au"))) == 2
    caplog.clear()
    found, _ = scored(downloads, published="zenodo_3755011_au", pixel_size=0.25, convention="half")
    assert "not confirmed" not in caplog.text
    assert {(case.pixel_size, case.columns["convention"]) for case in found} == {(0.25, "half")}


def test_what_was_read_is_kept_by_its_checksum(downloads):
    found, _ = scored(downloads, published="zenodo_3755011_au")
    known = published_set("zenodo_3755011_au")
    for column, file in (("images_sha256", known.images.file), ("masks_sha256", known.masks.file)):
        told = subprocess.run(["sha256sum", downloads / file], capture_output=True, text=True, check=True).stdout
        assert found[0].columns[column] == told.split()[0]


def test_a_published_checksum_is_compared(tmp_path):
    known = published_set("dryad_d1sp93_au_5nm_260kx")
    write(tmp_path / known.images.file, images=IMAGES)
    write(tmp_path / known.masks.file, labels=MASKS.astype(np.int32))
    told = refused(tmp_path, published="dryad_d1sp93_au_5nm_260kx")
    assert f"but that published is {known.images.sha256}" in told
    assert "has the sha256 " in told


def test_an_unknown_set_and_a_pixel_that_nobody_knows_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="published: found 'zenodo_1'; allowed: zenodo_3755011_au"):
        scored(tmp_path, published="zenodo_1")
    known = published_set("zenodo_6419024_au_20nm")
    write(tmp_path / known.images.file, images=IMAGES)
    write(tmp_path / known.masks.file, labels=MASKS)
    assert "nor is one known of the set" in refused(tmp_path, published="zenodo_6419024_au_20nm")
    found, _ = scored(tmp_path, published="zenodo_6419024_au_20nm", pixel_size=0.8)
    assert found[0].columns["convention"] == ""


def test_every_set_says_where_it_is_from():
    for name, known in published_sets().items():
        assert isinstance(known, PublishedSet)
        assert name.startswith(("zenodo_", "dryad_"))
        assert name.split("_")[1] in known.doi.lower()
        # No source says what the experts of any of them have marked.
        assert ("convention" in known.assumed) == (known.convention is not None)


def test_the_page_shows_what_is_known_of_every_set():
    page = (Path(__file__).parents[2] / "docs" / "published.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `((?:zenodo|dryad)_[^`]*)` \|(.*)\|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == [*published_sets(), *published_sets()]
    for name, row in rows[len(rows) // 2 :]:
        assert [cell.strip() for cell in row.split("|")] == [published_set(name).title, published_set(name).cite]
    for name, row in rows[: len(rows) // 2]:
        known = published_set(name)
        files, pixel, convention, licence, doi = (cell.strip() for cell in row.split("|"))
        assert files == f"`{known.images.file}`, `{known.masks.file}`"
        assert pixel == (f"{known.pixel_size:g}" if known.pixel_size else "–")
        assert convention == (f"`{known.convention}`" if known.convention else "–")
        assert licence == known.licence
        assert doi == known.doi


# --- segmenting -------------------------------------------------------------------------------


def test_a_stack_is_segmented_frame_by_frame_and_not_looked_for_in_folders(tmp_path):
    from exitwave.jobs.apply import find_images

    path = write(tmp_path / "a.h5", images=IMAGES[..., None], other=np.arange(4))
    file = open_micrographs(path)
    assert len(file.pages) == NUMBER
    np.testing.assert_array_equal(file.read(0.3, 2).image, IMAGES[1].astype(np.float32))
    with pytest.raises(MicrographError, match=r"holds 3 images \(1 to 3: 40 x 50 px\)"):
        read_micrograph(path, 0.3)
    np.testing.assert_array_equal(
        read_micrograph(write(tmp_path / "one.h5", data=IMAGES[0]), 0.3).image, IMAGES[0].astype(np.float32)
    )
    assert find_images([path]) == [path]
    assert find_images([tmp_path]) == [tmp_path]
