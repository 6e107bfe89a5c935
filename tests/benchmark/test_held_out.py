"""Cases of held-out images, and what baselines learn from."""

import numpy as np
import pandas as pd

from exitwave.benchmark.held_out import cases
from exitwave.benchmark.regression import fitted
from exitwave.config.benchmarks import SimulatedBenchmark
from exitwave.config.models import Regression
from exitwave.data.shards import write_table

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
