"""Papers of one's own as a table and a folder of images: what is written, bad sources, kills, calls after calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from exitwave.benchmark.micrographs import check_benchmark_folder
from exitwave.benchmark.readers import read_micrograph
from exitwave.cli import app
from exitwave.errors import WriteError
from exitwave.jobs import mine
from exitwave.jobs.apply import find_images
from exitwave.literature.sources import Source
from papers import JATS, metadata_line, picture, write_latex, write_tar


def run(*words):
    return CliRunner().invoke(app, ["mine", *map(str, words)])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content_of(folder):
    """All tables of a folder, as text."""
    return {name: (Path(folder) / name).read_text("utf-8") for name in ("figures.csv", "left_out.csv")}


def test_tables_links_and_images_of_several_sources(here):
    Path("arxiv.jsonl").write_bytes(metadata_line() + metadata_line("2301.00009", "Primes", "We prove.") + b"{cut\n")
    write_latex(Path("2302.00002"))
    write_tar(Path("2303.00003.tar.gz"))
    done = run("arxiv.jsonl", "2302.00002", "2303.00003.tar.gz", "--links")
    assert done.exit_code == 0, done.output
    assert "1/3 arxiv.jsonl: 2 papers, 2 rows" in done.output
    assert "warning: arxiv.jsonl: the line at byte" in done.output
    assert "3 of 3 sources read: 4 papers, 12 new rows, 4 images; results in mined" in done.output

    table = pq.read_table("mined/figures.parquet").to_pandas()
    assert table.columns.tolist() == [
        *("paper", "figure", "panel", "caption", "graphic", "technique", "simulated", "formulas", "names", "elements"),
        *("sentence", "licence", "source"),
    ]
    one = table[(table["paper"] == "2302.00002") & (table["figure"] == "1") & (table["panel"] == "b")].iloc[0]
    assert one["simulated"]
    assert [*one["technique"]] == ["STEM"]
    assert [*one["formulas"]] == ["SrTiO3"]
    assert [*one["elements"]] == ["Sr", "Ti", "O"]
    assert [*one["graphic"]] == ["pictures/stem.png"]
    words = pd.read_csv("mined/figures.csv", keep_default_na=False, dtype=str)
    assert words["elements"].tolist() == ["; ".join(elements) for elements in table["elements"]]
    assert words["caption"].tolist() == table["caption"].tolist()
    links = Path("mined/links.txt").read_text().split()
    assert sorted(links) == [f"https://arxiv.org/abs/{paper}" for paper in ("2301.00001", "2302.00002", "2303.00003")]
    left_out = pd.read_csv("mined/left_out.csv")
    assert sorted(left_out["source"]) == ["2302.00002", "2303.00003.tar.gz", "arxiv.jsonl"]
    assert left_out["reason"].str.contains("sem.jpg cannot be read").sum() == 2


def test_images_are_a_folder_for_benchmarks_and_segmenting(here):
    write_latex(Path("2302.00002"))
    assert run("2302.00002").exit_code == 0
    index = check_benchmark_folder("mined/images", pixel_size=0.2)
    assert index["group"].tolist() == ["2302.00002"] * 2
    assert index["mask"].isna().all()
    assert index["technique"].tolist() == ["STEM", "TEM"]
    assert index["formulas"].tolist() == ["SrTiO3", "Au"]
    found = find_images([Path("mined/images")])
    assert sorted(path.name for path in found) == sorted(index["image"])
    for path in found:
        assert read_micrograph(path, 0.2).image.shape == (40, 50)
    contents = {(Path("mined/images") / name).read_bytes() for name in index["image"]}
    assert contents == {picture(), picture(1)}


def test_images_of_calculations_alone_and_of_no_microscope_do_not_come_along(here):
    files = {
        "main.tex": rb"\begin{figure}\includegraphics{a.png}\caption{Simulated STM of Si.}\end{figure}"
        rb"\begin{figure}\includegraphics{b.png}\caption{Raman of Si.}\end{figure}"
        rb"\begin{figure}\includegraphics{c.png}\caption{SEM of Si.}\end{figure}",
        **{f"{name}.png": picture(place) for place, name in enumerate("abc")},
    }
    write_tar(Path("a.tar.gz"), files)
    assert run("a.tar.gz").exit_code == 0
    assert [path.read_bytes() for path in Path("mined/images").glob("*.png")] == [picture(2)]


def test_graphics_cannot_be_taken_from_elsewhere(here):
    Path("secret.png").write_bytes(picture())
    Path("in").mkdir()
    Path("in/paper.xml").write_text(JATS.replace("stem.png", "../secret.png"))
    Path("in/tem.png").symlink_to(here / "secret.png")
    assert run("in/paper.xml").exit_code == 0
    assert not Path("mined/images").exists()


def test_one_bad_source_costs_none_of_the_others(here):
    Path("good.jsonl").write_bytes(metadata_line())
    Path("cut.tar.gz").write_bytes(write_tar(here / "whole.tar.gz").read_bytes()[:300])
    Path("entities.xml").write_text("<!DOCTYPE a [<!ENTITY x 'y'>]><article>&x;</article>")
    Path("empty").mkdir()
    done = run("cut.tar.gz", "entities.xml", "nowhere.pdf", "empty", "good.jsonl")
    assert done.exit_code == 1
    for told in (
        "1/5 skipped: cut.tar.gz is cut off or damaged",
        "2/5 skipped: entities.xml declares entities of its own",
        "3/5 skipped: nowhere.pdf does not exist",
        "4/5 skipped: empty is a folder without a paper",
        "5/5 good.jsonl: 1 paper, 1 row",
        "1 of 5 sources read",
    ):
        assert told in done.output
    assert len(pd.read_csv("mined/left_out.csv")) == 4
    assert len(pd.read_csv("mined/figures.csv")) == 1


def test_calls_add_to_each_other_and_what_is_there_is_not_read_again(here, monkeypatch):
    write_latex(Path("2302.00002"))
    Path("arxiv.jsonl").write_bytes(metadata_line())
    assert run("2302.00002").exit_code == 0
    assert run("arxiv.jsonl").exit_code == 0
    both = content_of("mined")
    assert len(pd.read_csv("mined/figures.csv")) == 6

    def no_more(*_):
        raise AssertionError("it was read again")

    with monkeypatch.context() as patched:
        patched.setattr(mine, "rows_of", no_more)
        again = run("2302.00002", "arxiv.jsonl")
    assert again.exit_code == 0, again.output
    assert again.output.count("already there") == 2
    assert content_of("mined") == both

    # A source that has changed takes the place of what it was, its images too.
    Path("2302.00002/pictures/stem.png").unlink()
    assert run("2302.00002").exit_code == 0
    assert len(pd.read_csv("mined/figures.csv")) == 6
    assert len(list(Path("mined/images").glob("*.png"))) == 1 == len(pd.read_csv("mined/images/index.csv"))


def test_what_was_mined_of_a_source_stays_when_the_source_is_gone(here):
    Path("arxiv.jsonl").write_bytes(metadata_line())
    assert run("arxiv.jsonl").exit_code == 0
    Path("arxiv.jsonl").unlink()
    assert "skipped: arxiv.jsonl does not exist" in run("arxiv.jsonl").output
    assert len(pd.read_csv("mined/figures.csv")) == 1


def test_a_full_disk_ends_the_run_and_is_no_fault_of_a_source(here, monkeypatch):
    def full(*_):
        raise WriteError("mined/x: cannot be written (No space left on device)")

    Path("arxiv.jsonl").write_bytes(metadata_line())
    with monkeypatch.context() as patched:
        patched.setattr(mine.MinedFolder, "add", full)
        done = run("arxiv.jsonl")
    assert isinstance(done.exception, WriteError)
    assert run("arxiv.jsonl").exit_code == 0


def test_halves_of_characters_cost_no_source(here):
    half = metadata_line("2301.00002", "On gold").replace(b"On gold", b"On \\ud800 gold")
    Path("arxiv.jsonl").write_bytes(half + metadata_line("\\ud800").replace(b"\\\\", b"\\"))
    done = run("arxiv.jsonl")
    assert done.exit_code == 0, done.output
    assert pd.read_csv("mined/figures.csv")["caption"][0] == "On ? gold. STM of graphene."


def test_results_are_no_sources(here):
    Path("arxiv.jsonl").write_bytes(metadata_line())
    Path("mined.jsonl").write_bytes(metadata_line())
    assert run("arxiv.jsonl", "--output", "found").exit_code == 0
    (Path("found") / "notes.jsonl").write_bytes(metadata_line())
    done = run(".")
    assert "2 sources found" in done.output


def test_long_metadata_is_written_in_parts_and_gives_the_same_table(here, monkeypatch):
    lines = [metadata_line(f"2301.{number:05}") if number % 7 else b"{cut\n" for number in range(100)]
    Path("arxiv.jsonl").write_bytes(b"".join(lines))
    assert run("arxiv.jsonl", "--output", "whole").exit_code == 0
    monkeypatch.setattr(mine, "PAPERS_TOGETHER", 10)
    done = run("arxiv.jsonl", "--output", "parts")
    assert "85 papers, 85 rows" in done.output
    assert len(list(Path("parts/.parts").glob("*/*.parquet"))) == 9
    assert content_of("parts") == content_of("whole")


def test_a_part_that_is_missing_or_damaged_is_made_again(here, monkeypatch):
    monkeypatch.setattr(mine, "PAPERS_TOGETHER", 10)
    Path("arxiv.jsonl").write_bytes(b"".join(metadata_line(f"2301.{number:05}") for number in range(50)))
    assert run("arxiv.jsonl").exit_code == 0
    whole = content_of("mined")
    parts = sorted(Path("mined/.parts").glob("*/*.parquet"))
    parts[3].unlink()
    assert "50 papers, 20 rows" in run("arxiv.jsonl").output
    assert content_of("mined") == whole
    parts[1].write_bytes(parts[1].read_bytes()[:100])
    assert run("arxiv.jsonl").exit_code == 0
    assert content_of("mined") == whole


def test_a_folder_with_other_tables_is_left_alone(here):
    Path("arxiv.jsonl").write_bytes(metadata_line())
    Path("mined").mkdir()
    Path("mined/figures.csv").write_text("a,b\n1,2\n")
    done = run("arxiv.jsonl")
    assert done.exit_code == 1
    assert "is not of exitwave mine; allowed: another --output" in str(done.exception)
    assert Path("mined/figures.csv").read_text() == "a,b\n1,2\n"


def lines(count):
    """Short abstracts, all different."""
    said = ("We prove theorem {}.", "STM of MoS$_2$ at {} mV, as computed.", "HAADF images of {} grains of gold.")
    for number in range(count):
        yield metadata_line(f"{number // 90_000 + 1000}.{number % 90_000:05}", "On it", said[number % 3].format(number))


def test_memory_does_not_grow_with_the_length_of_metadata(here, monkeypatch):
    monkeypatch.setattr(mine, "PAPERS_TOGETHER", 100)

    def peak(count):
        Path(f"{count}.jsonl").write_bytes(b"".join(lines(count)))
        tracemalloc.start()
        try:
            assert sum(one.rows for one in mine.mine_sources([Source(Path(f"{count}.jsonl"))], Path("mined"))) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is kept for good
    # All rows together would take 1.5 MB; what is kept of each part takes 20 kB.
    assert peak(1200) < peak(200) + 500_000


@pytest.mark.slow
def test_memory_is_the_same_for_two_hundred_thousand_lines(here):
    def peak(count):
        with Path(f"{count}.jsonl").open("wb") as file:
            file.writelines(lines(count))
        code = "import resource; from exitwave.cli import app; app(standalone_mode=False); "
        code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        command = [sys.executable, "-c", code, "mine", f"{count}.jsonl", "--output", str(count)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    assert peak(200_000) < peak(20_000) + 20_000  # kB


SLOW = """
import sys, time
from exitwave.jobs import mine
mine.PAPERS_TOGETHER = 20
usual = mine.rows_of
def slow(figure):
    time.sleep(0.002)
    return usual(figure)
mine.rows_of = slow
from exitwave.cli import main
main()
"""


def test_a_killed_run_goes_on_where_it_was(here):
    Path("arxiv.jsonl").write_bytes(b"".join(metadata_line(f"2301.{number:05}") for number in range(2000)))
    running = subprocess.Popen([sys.executable, "-c", SLOW, "mine", "arxiv.jsonl"], cwd=here, env=os.environ)
    parts = Path("mined/.parts")
    while running.poll() is None and len(list(parts.glob("*/*.parquet"))) < 3:
        pass
    running.send_signal(signal.SIGKILL)
    running.wait()
    there = len(list(parts.glob("*/*.parquet")))
    assert 3 <= there < 100
    assert not Path("mined/figures.parquet").exists()
    done = run("arxiv.jsonl")
    assert f"2,000 papers, {2000 - 20 * there:,} rows" in done.output
    assert run("arxiv.jsonl", "--output", "whole").exit_code == 0
    assert content_of("mined") == content_of("whole")
    assert not list(Path("mined").rglob("*.part"))


def test_the_page_explains_every_file_and_column():
    page = (Path(__file__).parents[2] / "docs" / "literature.md").read_text(encoding="utf-8")
    from exitwave.jobs.mined_folder import _INDEX, SCHEMA

    for name in (*SCHEMA.names, *_INDEX, "figures.parquet", "figures.csv", "left_out.csv", "links.txt", "images/"):
        assert f"`{name}`" in page, name
