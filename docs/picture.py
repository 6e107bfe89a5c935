"""Draw docs/images/demo.png from the results of a study: simulated images above, real micrographs below.

.venv/bin/python docs/picture.py config/studies/real_patches.yaml
"""

import sys
from pathlib import Path

import numpy as np

from exitwave.benchmark.ensemble import open_predictions
from exitwave.config.models import Segmentation
from exitwave.data.shards import open_shard
from exitwave.data.tables import read_table, table_path
from exitwave.report.images import stored_mask
from exitwave.report.overlays import overlay
from exitwave.report.style import ORANGE, figure, grey_range, outline, picture, scale_bar
from exitwave.study.link import load_study
from exitwave.study.plan import shard_ranges

COLUMNS = 5
ROOT = Path(__file__).parents[1]


def main(study_file: str) -> None:
    study = load_study(study_file)
    training = study.stage("trainings")[0]
    benchmarks = [b for b in study.stage("benchmarks") if b.block.kind == "micrographs"]
    with figure(ROOT / "docs/images/demo.png", 2.0 * COLUMNS, 4.7) as drawing:
        axes = drawing.subplots(2, COLUMNS)
        for axis, column in zip(axes[0], range(COLUMNS), strict=True):
            images = study.stage("images")[column % len(study.stage("images"))]
            start, stop = shard_ranges(images)[column]
            shard = open_shard(ROOT / f"results/{images.folder}/shard-{start:06d}-{stop:06d}.zarr.zip")
            # The first of the shard that shows something; bare support has no label to look at.
            item = int(np.argmax(read_table(table_path(shard.path))["particle_fraction"] > 0.1))
            counts = shard.read("counts", item)
            low, high = grey_range(counts)
            axis.imshow(counts, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
            target = training.source("model").of(Segmentation).target
            outline(axis, stored_mask(shard, item, target), ORANGE)
            scale_bar(axis, images.block.pixel_size, counts.shape)
        places = [(b, place) for b, count in zip(benchmarks, (3, 2), strict=False) for place in range(count)]
        for axis, (benchmark, place) in zip(axes[1], places, strict=True):
            folder = ROOT / "results" / benchmark.folder / training.folder.partition("/")[2]
            paths = [folder / f"seed-{seed}.zarr.zip" for seed in range(training.block.seeds)]
            predictions = open_predictions(paths)
            # Spread over the benchmark, so that nobody picks the best.
            index = place * (len(predictions.table) // 3)
            image, mask = predictions.image(index), predictions.truth(index).astype(bool)
            overlay(axis, image, predictions.mean(index) >= benchmark.block.threshold, mask)
            scale_bar(axis, float(predictions.table["pixel_size"].iloc[index]), image.shape)
        for axis in axes.flat:
            picture(axis)
        axes[0][0].set_title("simulated, with the label (orange)", loc="left")
        axes[1][0].set_title("real, with prediction (orange) and expert (blue)", loc="left")


if __name__ == "__main__":
    main(sys.argv[1])
