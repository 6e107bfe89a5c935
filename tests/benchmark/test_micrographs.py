import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from exitwave.benchmark.micrographs import cases, check_benchmark_folder, read_benchmark
from exitwave.config.benchmarks import MicrographBenchmark
from exitwave.config.models import Segmentation
from exitwave.errors import ConfigError, MicrographError


def save_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


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
    save_png(tmp_path / "other.png", gray)
    folder = make_folder(tmp_path, gray, [("good.png", "mask.png", 0.8), ("other.png", "mask.png", None)])
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
        ("image,mask,pixel_size\na.png,b.png,inf\n", "pixel_size inf"),
        ("image,mask,pixel_size,page\na.png,b.png,1,0\n", "page 0; allowed: a whole number from 1"),
        ("image,mask,pixel_size,page\na.png,b.png,1,1.5\n", r"page 1\.5"),
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


def test_micrograph_listed_twice_counts_once_however_its_path_is_written(tmp_path, gray):
    save_png(tmp_path / "second_expert.png", (gray > 100).astype(np.uint8) * 255)
    rows = [
        ("good.png", "mask.png", 0.8),
        ("../" + tmp_path.name + "/good.png", "mask.png", 0.8),
        ("good.png", "second_expert.png", 0.8),
    ]
    micrographs, skipped = read_benchmark(make_folder(tmp_path, gray, rows))
    assert [m.mask.sum() for m in micrographs] == [(gray > 128).sum(), (gray > 100).sum()]
    assert skipped["reason"].str.contains("twice").tolist() == [True]


def test_images_of_a_group_or_of_one_file_belong_together(tmp_path, gray):
    for name in "abc":
        save_png(tmp_path / f"{name}.png", gray)
    tifffile.imwrite(tmp_path / "two.tif", np.stack([gray, 255 - gray]), photometric="minisblack")
    save_png(tmp_path / "mask.png", (gray > 128).astype(np.uint8))
    (tmp_path / "index.csv").write_text(
        "image,mask,pixel_size,page,group\n"
        "a.png,mask.png,0.8,,7\nb.png,mask.png,0.8,,7\nc.png,mask.png,0.8,,\n"
        "two.tif,mask.png,0.8,1,\ntwo.tif,mask.png,0.8,2,\n"
    )
    micrographs, skipped = read_benchmark(tmp_path)
    assert skipped.empty
    assert [m.group for m in micrographs] == ["7", "7", "c.png", "two.tif", "two.tif"]
    assert [m.name for m in micrographs] == ["a", "b", "c", "two, page 1", "two, page 2"]
    np.testing.assert_array_equal(micrographs[4].image, 255 - gray)
    block = MicrographBenchmark(kind="micrographs", path=tmp_path)
    found = cases(block, Segmentation(kind="segmentation"), [])
    assert [case.group for case in found] == ["7", "7", "c.png", "two.tif", "two.tif"]


def test_file_of_several_images_without_a_page_is_skipped_with_what_it_holds(tmp_path, gray):
    tifffile.imwrite(tmp_path / "two.tif", np.stack([gray, gray]), photometric="minisblack")
    folder = make_folder(tmp_path, gray, [("two.tif", "mask.png", 0.8), ("good.png", "mask.png", 0.8)])
    micrographs, skipped = read_benchmark(folder)
    assert [m.name for m in micrographs] == ["good"]
    assert "holds 2 images (1 to 2: 40 x 50 px)" in skipped["reason"][0]


def test_index_without_groups_takes_each_file_as_its_own(tmp_path, gray):
    rows = [("good.png", "mask.png", 0.8), ("gone.png", "mask.png", 0.8)]
    assert check_benchmark_folder(make_folder(tmp_path, gray, rows))["group"].tolist() == ["good.png", "gone.png"]


def test_a_colour_image_is_scored_with_a_warning(tmp_path, gray, caplog):
    folder = make_folder(tmp_path, gray, [("good.png", "mask.png", 0.8), ("colour.png", "mask.png", 0.8)])
    colour = np.stack([gray, gray // 2, gray], axis=-1).astype(np.uint8)
    save_png(folder / "colour.png", colour)
    assert len(read_benchmark(folder)[0]) == 2
    assert caplog.text.count("is a colour image") == 1
    assert "colour: " in caplog.text
