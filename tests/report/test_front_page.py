"""The first page of the report, the differences and the failure maps, from scores of masks that are known."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from exitwave.benchmark.breakdown import NONE, break_down
from exitwave.benchmark.metrics import Metric
from exitwave.benchmark.paired import BETTER, IMAGES, compare
from exitwave.benchmark.scoring import metric_of
from exitwave.benchmark.summary import summarise
from exitwave.data.tables import write_table
from exitwave.errors import ShardError
from exitwave.report.benchmarks import print_table
from exitwave.report.differences import difference_page, draw_differences, lines_told, verdict_told
from exitwave.report.failure_maps import FEW, draw_failure_maps, failure_map, says_little
from exitwave.report.front_page import weakest_condition, worst_images, write_front_page
from exitwave.training.kinds import task_from
from pages import Page, in_browser

TASK = {"model": {"kind": "segmentation"}, "facts": {}}
BY = ["defocus", "dose"]
NUMBER = 48
SHIFTS = {"good": (1, 2), "fair": (3, 4), "also fair": (4, 3)}
"""By how many pixels the discs that networks predict are shifted, of each seed."""


@pytest.fixture(scope="module")
def metric() -> Metric:
    return metric_of(task_from(TASK), 0.5)


@pytest.fixture(scope="module")
def scored(metric):
    """Tables as the benchmark stage makes them. At the smallest doses predictions are shifted by four pixels more."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :40]
    conditions = {"defocus": rng.permutation(np.linspace(-100, 100, NUMBER)), "dose": np.geomspace(20, 2000, NUMBER)}
    rows = []

    def score(method, kind, seed, shift):
        for number in range(NUMBER):
            disc = np.hypot(y - 20, x - 16) < 9
            further = shift + 4 * (number < NUMBER // 4) + rng.integers(-1, 2)
            row = {"image": f"i{number:02d}", "group": f"g{number // 2}", "pixel_size": 1.0}
            row |= {name: float(values[number]) for name, values in conditions.items()}
            row |= metric.of_image(np.hypot(y - 20, x - 16 - further) < 9, disc, 1.0)
            rows.append({**row, "method": method, "kind": kind, "seed": seed})

    for method, shifts in SHIFTS.items():
        for seed, shift in enumerate(shifts):
            score(method, "network", seed, shift)
    score("good", "ensemble", -1, 1)
    score("Otsu", "baseline", 0, 7)
    per_image = pd.DataFrame(rows)
    summary = pd.DataFrame(
        [
            {"benchmark": "discs", "method": method, "kind": kind, "diverged": 0}
            | summarise(part, metric, 200, np.random.default_rng(0))
            for (kind, method), part in per_image.groupby(["kind", "method"], sort=False)
        ]
    )
    return {
        "per_image": per_image,
        "summary": summary.assign(task=json.dumps(TASK), benchmark_kind="simulated"),
        "by": break_down(per_image, metric, BY, 4, 200, "0" * 8),
        "differences": compare(per_image, metric, 400, "0" * 8),
    }


def said(scored, first, second):
    rows = scored["differences"].query("first == @first and second == @second").to_dict("records")
    return rows[0]["verdict"], verdict_told(rows[0])


def test_differences_are_told_in_words(scored):
    assert said(scored, "good", "fair") == (
        BETTER,
        "good is better than fair, though of so few networks 1 in 3 equal ones would look so",
    )
    alike = scored["differences"].query("second_kind == 'network' and first != 'good'").iloc[0]
    assert verdict_told(alike).startswith("no difference: within the spread of the ")
    one = {"verdict": BETTER, "first": "a", "second": "b", "chance": 1.0, "second_kind": "network"}
    assert verdict_told(one) == "a is better than b, as far as one network each can tell"
    many = {**one, "chance": 2 / 252}
    assert verdict_told(many) == "a is better than b"
    assert verdict_told({**one, "verdict": IMAGES}) == "no difference: within the spread of the images"


def test_differences_have_a_page_a_figure_and_lines_in_the_terminal(scored, tmp_path, capsys):
    difference_page(scored["differences"], scored["summary"], tmp_path / "differences.html", "discs")
    page = Page(tmp_path / "differences.html")
    page.check()
    row = scored["differences"].iloc[0]
    assert f"+{row['difference']:.3f} [+{row['low']:.3f}, +{row['high']:.3f}]" in page.words
    assert f"{row['higher']}, {row['lower']}" in page.words
    draw_differences(scored["differences"], scored["summary"], tmp_path / "differences.png", "discs")
    with Image.open(tmp_path / "differences.png") as figure:
        assert (np.asarray(figure.convert("L")) < 230).mean() > 0.005
    print_table([scored["summary"]], [lines_told(scored["differences"])])
    printed = " ".join(capsys.readouterr().out.split())
    assert "good is better than fair" in printed
    assert "good is better than Otsu" in printed


def test_a_cell_of_two_conditions_has_the_score_of_its_images(scored, metric):
    own = scored["per_image"].query("method == 'good' and kind == 'network'")
    cells, labels = failure_map(own, metric, ("dose", "defocus"), 3)
    assert cells["images"].sum() == NUMBER
    assert [len(of) for of in labels] == [3, 3]
    edges = [np.quantile(own[name], np.linspace(0, 1, 4)) for name in ("dose", "defocus")]
    inside = own[(own["dose"] < edges[0][1]) & (own["defocus"] >= edges[1][2])]
    f1 = [2 * seed["tp"].sum() / (2 * seed["tp"] + seed["fp"] + seed["fn"]).sum() for _, seed in inside.groupby("seed")]
    cell = cells.query("first == 0 and second == 2").iloc[0]
    assert cell["score"] == pytest.approx(np.median(f1))
    assert (cell["images"], cell["groups"]) == (inside["image"].nunique(), inside["group"].nunique())
    lacking = own.assign(dose=own["dose"].where(own["dose"] > 100))
    assert failure_map(lacking, metric, ("dose", "defocus"), 3)[0]["images"].sum() == (own["dose"] > 100).sum() / 2
    # Where the dose is smallest, the networks fail at every defocus.
    assert cells.query("first == 0")["score"].max() < cells.query("first > 0")["score"].min()


def test_cells_with_few_images_or_one_structure_say_little(scored, metric, tmp_path):
    cells = pd.DataFrame({"images": [FEW, FEW - 1, 40, 40], "groups": [2, 2, 1, 9], "score": [0.5, 0.5, 0.5, np.nan]})
    assert says_little(cells).tolist() == [False, True, True, True]

    def grey(bins):
        path = tmp_path / f"{bins}.png"
        draw_failure_maps(scored["per_image"], scored["summary"], BY, bins, path, "discs")
        with Image.open(path) as figure:
            return (np.asarray(figure.convert("RGB")) == (0xE3, 0xE7, 0xEB)).all(-1).mean()

    # 48 images in four cells, and in 64.
    assert grey(2) < 0.01
    assert grey(8) > 0.3


def test_the_worst_images_and_the_weakest_condition_are_those_with_the_smallest_dose(scored):
    one = {"name": "discs", "tables": scored}
    worst = worst_images(one)
    assert len(worst) == 3
    assert set(worst) <= {f"i{number:02d}" for number in range(NUMBER // 4)}
    assert list(worst.values()) == sorted(worst.values())
    told = weakest_condition(one)
    assert told.startswith("worst at dose 20 to ")
    empty = scored["by"].assign(label=scored["by"]["label"].where(scored["by"]["bin"] > 0, NONE))
    assert "20 to" not in weakest_condition({"tables": {**scored, "by": empty}})
    alike = {**scored, "by": scored["by"].query("by == 'defocus'")}
    assert weakest_condition({"tables": alike}).startswith("none stands out; worst at defocus ")


def test_where_all_images_are_alike_none_is_called_the_worst(scored, written):
    alike = scored["per_image"].assign(f1=0.5)
    page = written(per_image=alike).page
    assert "worst images" not in page.words
    assert "images and predictions of held_out_0" in page.words
    assert "held/browse/good.html" in page.links


@pytest.fixture
def written(scored, tmp_path, monkeypatch):
    """Write the first page of a study with so many benchmarks, of which one is told more of."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/report/gold"
    folder.mkdir(parents=True)

    def write(benchmarks=1, skipped="", doubts=(), **tables):
        paths = {name: f"{name}.parquet" for name in scored}
        for name, path in paths.items():
            write_table(tmp_path / path, tables.get(name, scored[name]))
        (tmp_path / "skipped.csv").write_text(f"file,reason\n{skipped}")
        write_table(tmp_path / "manifest.parquet", pd.DataFrame({"split": ["train"] * 5 + ["test"] * 2}))
        figure = Image.effect_noise((900, 700), 60)
        for name in ("atoms.png", "contact_sheet.png"):
            figure.save(folder / name)
        pages = {name: f"held/{name}" for name in ("scores.html", "conditions.png", "differences.html")}
        one = {"kind": "simulated", "scored": "Held-out simulated images.", "skipped": "skipped.csv", "tables": paths}
        one |= {"pages": pages, "browse": {"good": "held/browse/good.html"}}
        told = {
            "study": "gold",
            "source": "gold.yaml",
            "folder": "results/report/gold",
            "report": "../gold.html",
            "made": [
                {"what": "structures", "number": 1600, "blocks": ["au_on_carbon"], "picture": "atoms.png"},
                {"what": "images", "number": 4800, "blocks": ["a", "b"], "picture": "contact_sheet.png"},
            ],
            "datasets": {"gold": "manifest.parquet"},
            "networks": 6,
            "trainings": 3,
            "benchmarks": [{**one, "name": f"held_out_{number}"} for number in range(benchmarks)],
            "doubts": list(doubts),
            "chapters": [("1 Structures", [("atoms", "atoms.png")])],
        }
        write_front_page(json.dumps(told), folder / "index.html")
        path = folder / "index.html"
        return SimpleNamespace(page=Page(path), path=path, about=json.dumps(told))

    return write


def test_the_first_page_says_what_was_made_how_good_it_is_and_what_to_look_at(written, scored):
    page = written().page
    page.check()
    for text in ("1,600", "4,800", "5 + 2", "networks of 3 trainings", "au_on_carbon", "images: a and 1 more"):
        assert text in page.words
    rows = scored["summary"].set_index(["kind", "method"])
    good, rule = rows.loc[("network", "good")], rows.loc[("baseline", "Otsu")]
    for row in (good, rule):
        assert f"{row['f1_pooled']:.3f}" in page.words
        assert f"[{row['f1_pooled_low']:.2f}, {row['f1_pooled_high']:.2f}]" in page.words
    assert "better: +0.3" in page.words
    assert "worst images of held_out_0" in page.words
    assert "worst at dose" in page.words
    assert "good against fair: better: +0.1" in page.words
    assert {"held/scores.html", "held/browse/good.html", "held/conditions.png", "atoms.png", "../gold.html"} <= set(
        page.links
    )


def test_what_makes_scores_doubtful_is_told_first(written, scored):
    lost = scored["summary"].assign(diverged=[1, 0, 0, 0, 0], groups=1)
    page = written(1, "a.dm3,it has no mask\n", ["a radius of 1.5 Å"], summary=lost).page
    page.check()
    look = page.words[page.words.index("What to look at") :]
    places = [
        look.index(text)
        for text in (
            "good: 1 network diverged",
            "a radius of 1.5 Å",
            "1 file was skipped: a.dm3: it has no mask",
            "all images are of one structure",
            "worst images",
        )
    ]
    assert places == sorted(places)


@pytest.mark.parametrize("file", ["skipped.csv", "summary.parquet", "results/report/gold/atoms.png"])
def test_an_input_that_is_spoilt_is_named(written, tmp_path, file):
    made = written()
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:9])
    with pytest.raises(ShardError, match=re.escape(file)):
        write_front_page(made.about, made.path)


def test_a_training_as_good_as_the_baseline_is_not_called_better(written, scored):
    alike = scored["differences"].assign(verdict=IMAGES)
    page = written(differences=alike).page
    assert "better" not in page.words
    assert "no difference: within the spread of the images" in page.words


def test_a_study_without_benchmarks_has_a_first_page(written):
    page = written(0).page
    page.check()
    assert "nothing has been scored" in page.words


@pytest.mark.parametrize("benchmarks", [1, 3])
def test_a_browser_shows_the_first_page_on_one_screen(written, benchmarks):
    told = in_browser(
        written(benchmarks).path,
        """
        const box = element => element.getBoundingClientRect();
        const parts = [...document.querySelectorAll(".screen > *")];
        return {
          bottom: Math.max(...parts.map(part => box(part).bottom)) <= innerHeight,
          right: document.documentElement.scrollWidth <= innerWidth,
          hidden: parts.filter(part => part.scrollHeight > part.clientHeight + 1).map(part => part.className),
          apart: parts.every((part, at) => !at || box(part).height > 10),
          whole: [...document.images].every(image => image.complete && image.naturalWidth),
          links: [...document.querySelectorAll("a[href]")].length,
        };
        """,
    )
    assert told["links"] > 5
    # What there is no room for scrolls within its part, which only a list of many benchmarks may do.
    assert set(told.pop("hidden")) <= ({"look"} if benchmarks > 1 else set())
    assert {name: told[name] for name in ("bottom", "right", "apart", "whole")} == dict.fromkeys(
        ("bottom", "right", "apart", "whole"), True
    )
