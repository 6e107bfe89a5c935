"""Cases of held-out images, and what baselines learn from."""

import numpy as np
import pandas as pd

from exitwave.benchmark.held_out import cases
from exitwave.benchmark.regression import fitted
from exitwave.config.benchmarks import SimulatedBenchmark
from exitwave.config.models import Regression
from exitwave.data.tables import write_table

MODEL = Regression(kind="regression", target={"map": "phase"})


def test_baselines_learn_from_datasets_whose_images_differ_in_size(tmp_path, write_images):
    """The mean of all training pixels, of which there are 2 * 16 and 2 * 64."""
    for name, edge in (("small", 4), ("large", 8)):
        path = tmp_path / f"{name}.zarr.zip"
        arrays = {"counts": np.ones((4, edge, edge), np.uint32), "phase": np.full((4, edge, edge), edge, np.float16)}
        table = pd.DataFrame({"image_id": [f"{name}-{i}" for i in range(4)], "group": "a", "pixel_size": 0.8})
        write_images(path, arrays, table)
        split = ["train", "validation", "test", "train"]
        write_table(tmp_path / name, table.assign(shard=str(path), row=range(4), split=split))
    block = SimulatedBenchmark(kind="simulated", datasets=["small", "large"])
    found = cases(block, MODEL, [tmp_path / "small", tmp_path / "large"])
    scored = list(found)
    assert [case.image.shape for case in scored] == [(4, 4), (8, 8)]
    rule = fitted(found.task)["mean of the training images"](found.examples())
    np.testing.assert_allclose(rule(scored[0]), (32 * 4 + 128 * 8) / 160)


def test_an_image_of_two_datasets_is_scored_once_and_no_more_are_scored_than_asked_for(tmp_path, write_images):
    path = tmp_path / "images.zarr.zip"
    arrays = {"counts": np.ones((6, 4, 4), np.uint32), "phase": np.ones((6, 4, 4), np.float16)}
    table = pd.DataFrame({"image_id": [f"i{i}" for i in range(6)], "group": "a", "pixel_size": 0.8})
    write_images(path, arrays, table)
    manifest = table.assign(shard=str(path), row=range(6), split="test")
    write_table(tmp_path / "some", manifest.iloc[:4])
    write_table(tmp_path / "all", manifest)
    for size, names in ((10, "i0 i1 i2 i3 i4 i5"), (3, "i0 i3 i1")):
        block = SimulatedBenchmark(kind="simulated", datasets=["some", "all"], size=size)
        found = cases(block, MODEL, [tmp_path / "some", tmp_path / "all"])
        assert [case.name for case in found] == names.split()
