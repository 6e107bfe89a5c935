"""Every figure draws from what the pipeline writes, edge cases included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from exitwave.config.models import MaskTarget
from exitwave.data.tables import read_table, table_path, write_table
from exitwave.report import nanoparticles, parameters
from exitwave.report.benchmarks import forest_plot
from exitwave.report.costs import draw_costs
from exitwave.report.hrtem import describe_conditions
from exitwave.report.images import contact_sheet
from exitwave.report.parameters import parameter_histograms
from exitwave.report.predictions import draw_predictions
from exitwave.report.structures import draw_structures, render
from exitwave.report.style import round_length, spread
from exitwave.report.training import best_row, learning_curves
from exitwave.report.waves import draw_exit_waves
from exitwave.training.segmentation import SegmentationTask


def is_drawn(path: Path) -> bool:
    """The file is a picture of some size with ink all over it, not an empty page."""
    picture = imread(path)[..., :3]
    ink = picture.min(axis=2) < 0.9
    return picture.shape[0] > 150 and picture.shape[1] > 400 and bool(ink.mean() > 0.01)


@pytest.mark.parametrize("particles", [[2, 0, 1, 3, 1], [1], [0]], ids=["five", "one", "no particles"])
@pytest.mark.parametrize("stage", ["structures", "waves", "images"])
def test_simulation_figures_are_drawn(tmp_path, rng, particles, stage, samples):
    shard, figure = tmp_path / "shard.zarr.zip", tmp_path / "new" / "figure.png"
    if stage == "structures":
        draw_structures(samples.structures(shard, particles, rng), figure, nanoparticles.describe, title="metal")
    elif stage == "waves":
        waves = samples.waves(shard, samples.structure_rows(particles), rng)
        draw_exit_waves(waves, figure, nanoparticles.describe_beside)
    else:
        contact_sheet([samples.images(shard, particles, rng)], figure, describe_conditions, MaskTarget(), title="noisy")
    assert is_drawn(figure)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("stage", ["structures", "waves", "images"])
def test_figures_of_crystals_from_files_are_drawn(tmp_path, rng, count, stage, samples):
    shard, figure = tmp_path / "shard.zarr.zip", tmp_path / "figure.png"
    if stage == "structures":
        draw_structures(samples.crystals(shard, count), figure, title="crystals")
    elif stage == "waves":
        draw_exit_waves(samples.waves(shard, samples.crystal_rows(count), rng), figure)
    else:
        contact_sheet([samples.scanned(shard, count, rng)], figure, lambda row: f"dose {row['dose']:.0f}")
    assert is_drawn(figure)


def test_a_thickness_series_adds_a_line_of_its_own(tmp_path, rng, samples):
    rows = samples.structure_rows([1, 2])
    heights = []
    for planes in (0, 3):
        shard = samples.waves(tmp_path / f"{planes}.zarr.zip", rows, rng, planes)
        draw_exit_waves(shard, tmp_path / f"{planes}.png")
        heights.append(imread(tmp_path / f"{planes}.png").shape[0])
    assert heights[1] > 1.3 * heights[0]


def test_nanoparticles_are_shown_from_the_fewest_to_the_most_particles(tmp_path, rng, samples):
    shard, shown = samples.structures(tmp_path / "shard.zarr.zip", [2, 0, 3, 1], rng), []
    draw_structures(shard, tmp_path / "figure.png", lambda row: str(shown.append(row["item"])), nanoparticles.ORDER)
    assert shown == [1, 3, 0, 2]


def test_an_outline_is_drawn_where_the_map_is_above_the_value(tmp_path, rng, samples):
    shard = samples.images(tmp_path / "shard.zarr.zip", [1], rng)
    orange = {}
    for name, target in {"none": None, "below": MaskTarget(), "above": MaskTarget(minimum=0.9)}.items():
        contact_sheet([shard], tmp_path / f"{name}.png", describe_conditions, target)
        picture = imread(tmp_path / f"{name}.png")[:-60, :, :3]  # without the legend
        orange[name] = int((np.abs(picture - [0.902, 0.624, 0.0]).max(axis=2) < 0.05).sum())
    assert orange["below"] > 50
    assert orange["none"] == orange["above"] == 0


def test_the_same_shard_gives_the_same_picture(tmp_path, rng, samples):
    shard = samples.structures(tmp_path / "shard.zarr.zip", [1], rng)
    for name in ("a", "b"):
        draw_structures(shard, tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nearer_atoms_hide_farther_ones():
    red, blue = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    view = np.array([[5.0, 5.0, 0.0], [5.0, 5.0, 3.0]])
    picture = render(view, np.array([1.5, 1.0]), np.array([red, blue]), (10.0, 10.0), pixels=100)
    assert picture[50, 50, 2] > 0.4 > picture[50, 50, 0]
    assert picture[50, 63, 0] > picture[50, 63, 2]
    assert np.all(picture[5, 5] == 1)


def test_spheres_have_their_radius_and_place():
    picture = render(np.array([[3.0, 7.0, 0.0]]), np.array([2.0]), np.ones((1, 3)) * 0.2, (10.0, 10.0), pixels=200)
    y, x = np.nonzero(picture[..., 0] < 1)
    assert len(y) / 20**2 == pytest.approx(np.pi * 4, rel=0.03)
    assert (x.mean() + 0.5) / 20 == pytest.approx(3.0, abs=0.05)
    assert (y.mean() + 0.5) / 20 == pytest.approx(7.0, abs=0.05)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("real", [True, False])
def test_overlays_are_drawn(tmp_path, rng, seeds, real, samples):
    predictions = samples.predictions(tmp_path, seeds, images=3, rng=rng)
    draw_predictions(predictions, tmp_path / "figure.png", 0.5, real=real, title="patches, thermal")
    assert is_drawn(tmp_path / "figure.png")


def test_overlays_of_one_image_are_drawn(tmp_path, rng, samples):
    draw_predictions(samples.predictions(tmp_path, 1, 1, rng), tmp_path / "figure.png", 0.5)
    assert is_drawn(tmp_path / "figure.png")


@pytest.mark.parametrize("particles", [[2, 0, 1, 3, 1], [1]], ids=["many", "nothing varies"])
def test_parameter_histograms_are_drawn(tmp_path, rng, particles, samples):
    shard = samples.images(tmp_path / "shard.zarr.zip", particles, rng)
    parameter_histograms([table_path(shard)], tmp_path / "figure.png", [nanoparticles.TOLD])
    assert (tmp_path / "figure.png").stat().st_size > 3000


def test_parameter_histograms_of_structures_alone_are_drawn(tmp_path, samples):
    for number, particles in enumerate(([0, 2], [0, 1, 3])):
        write_table(tmp_path / f"{number}.parquet", samples.structure_rows(particles))
    parameter_histograms(sorted(tmp_path.glob("*.parquet")), tmp_path / "figure.png", [nanoparticles.TOLD], "metal")
    assert is_drawn(tmp_path / "figure.png")


def panels(monkeypatch, tables, told):
    """Labels, colours and numbers of values of the panels that histograms have."""
    drawn = []
    monkeypatch.setattr(parameters, "_histogram", lambda axes, panel: drawn.append(panel))
    parameter_histograms(tables, tables[0].with_suffix(".png"), told)
    return {panel.label: (panel.of, len(panel.values), panel.unit) for panel in drawn}


def test_parameters_count_once_a_particle_once_a_structure_or_once_an_image(tmp_path, rng, samples, monkeypatch):
    shard = samples.images(tmp_path / "shard.zarr.zip", [2, 0, 1], rng)
    table = pd.concat([read_table(table_path(shard))] * 2, ignore_index=True).assign(dose=np.arange(6.0))
    write_table(tmp_path / "all.parquet", table)
    drawn = panels(monkeypatch, [tmp_path / "all.parquet"], [nanoparticles.TOLD])
    assert drawn["particle radius"] == ("part", 3, "Å")
    assert drawn["particle atoms"] == ("structure", 3, "")
    assert drawn["dose"] == ("image", 6, "e⁻/Å²")
    assert "C30" not in drawn  # does not vary
    assert not {"radius mean", "structure id", "item", "particles"} & set(drawn)


def test_of_many_images_a_sample_of_the_shards_is_drawn_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "MOST", 40)
    titles = []
    monkeypatch.setattr(Figure, "suptitle", lambda figure, text, **how: titles.append(text))
    tables = []
    for number in range(20):
        tables.append(tmp_path / f"{number:02d}.parquet")
        item = 5 * number + np.arange(5)
        rows = pd.DataFrame({"structure_id": [f"s-{n}" for n in item], "thickness": 1.0 * item})
        write_table(tables[-1], rows)
    drawn = []
    monkeypatch.setattr(parameters, "_histogram", lambda axes, panel: drawn.append(panel))
    parameter_histograms(tables, tmp_path / "figure.png", title="many")
    (panel,) = drawn
    assert len(panel.values) == 40
    assert (panel.values.min(), panel.values.max()) == (0, 99)
    assert titles == ["Drawn parameters: many   (a sample: 40 of 100)"]
    parameter_histograms(tables[:8], tmp_path / "figure.png", title="few")
    assert titles[1] == "Drawn parameters: few"


def test_parameters_of_a_kind_without_particles_are_its_columns(tmp_path, rng, samples, monkeypatch):
    drawn = panels(monkeypatch, [table_path(samples.scanned(tmp_path / "shard.zarr.zip", 4, rng))], [])
    assert {label: of for label, (of, _, _) in drawn.items()} == {
        **{"formula": "structure", "thickness": "structure", "zone axis tilt": "structure"},
        **{"probe sigma": "image", "dose": "image"},
    }


def test_of_many_different_names_the_most_frequent_are_shown(tmp_path, samples, monkeypatch):
    shown, bar = {}, Axes.bar
    monkeypatch.setattr(Axes, "bar", lambda axes, x, *more, **how: bar(axes, shown.setdefault(axes, x), *more, **how))
    rows = samples.crystal_rows(60).assign(formula=[f"X{n}" for n in range(30)] + ["Au"] * 30)
    write_table(tmp_path / "many.parquet", rows)
    parameter_histograms([tmp_path / "many.parquet"], tmp_path / "figure.png")
    (names,) = (list(x) for axes, x in shown.items() if axes.get_xlabel() == "formula, 16 of 31")
    assert names == ["Au", *sorted(f"X{n}" for n in range(30))[:15]]


def history(epochs: int, rng: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    loss = np.exp(-epoch / 4) + rng.random(epochs) / 10
    columns = {"epoch": epoch, "learning_rate": 1e-3, "train_loss": loss, "validation_loss": loss + 0.1}
    return pd.DataFrame({**columns, "validation_f1": 1 - loss, "validation_f1_soft": 0.9 - loss, "seconds": 1.0})


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 1), (1, 8), (3, 8)])
def test_learning_curves_are_drawn(tmp_path, rng, seeds, epochs):
    histories = {seed: history(epochs, rng) for seed in range(seeds)}
    learning_curves(histories, tmp_path / "figure.png", "thermal", SegmentationTask.curves)
    assert is_drawn(tmp_path / "figure.png")


def test_learning_curves_bear_a_diverged_seed(tmp_path, rng):
    lost = history(6, rng).assign(train_loss=np.nan, validation_loss=np.nan)
    assert best_row(lost) is None
    for others in ({0: history(8, rng)}, {}):
        histories = {**others, 1: lost, 2: lost[:0]}
        learning_curves(histories, tmp_path / "figure.png", "", SegmentationTask.curves, diverged=2)
        assert is_drawn(tmp_path / "figure.png")


def test_the_epoch_kept_is_that_of_the_smallest_validation_loss(rng):
    told = history(8, rng)
    told.loc[4, "validation_loss"] = 0.01
    best = best_row(told)
    assert best is not None
    assert best["epoch"] == 5


@pytest.mark.parametrize("seeds", [1, 3])
def test_forest_plot_is_drawn(tmp_path, seeds, samples):
    forest_plot(samples.summary(seeds), tmp_path / "figure.png", "Real micrographs with expert masks.", "patches")
    assert is_drawn(tmp_path / "figure.png")


def test_costs_are_drawn(tmp_path):
    costs = pd.DataFrame(
        {"stage": ["structures", "exit_waves", "exit_waves"], "seconds": [2.0, 80.0, 90.0], "cpu_seconds": 1.0}
    ).assign(memory=[np.nan, 900.0, 1000.0])
    draw_costs(costs, tmp_path / "figure.png", "demo")
    draw_costs(costs.head(0), tmp_path / "none.png")
    assert is_drawn(tmp_path / "figure.png")


@pytest.mark.parametrize(("length", "expected"), [(30.7, 20), (5.0, 5), (0.99, 0.5), (1000, 1000)])
def test_scale_bars_have_round_lengths(length, expected):
    assert round_length(length) == pytest.approx(expected)


def test_samples_are_spread_from_first_to_last():
    assert spread(100, 4).tolist() == [0, 33, 66, 99]
    assert spread(2, 5).tolist() == [0, 1]


def test_conditions_are_told_in_the_units_of_the_field():
    assert describe_conditions({"defocus": -123.0, "dose": 1393.4}) == "Δf −12 nm, 1393 e⁻/Å²"
    assert describe_conditions({"defocus": -2.0, "dose": 5.55}) == "Δf −0.2 nm, 5.5 e⁻/Å²"
