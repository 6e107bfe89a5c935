"""Networks trained by two processes, against those of one. No GPU is needed, and none was used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exitwave.errors import ConfigError, TrainingError
from exitwave.hardware import check_devices
from exitwave.training.launch import run_together
from exitwave.training.parallel import ALONE, Ranks
from together import SIZES, all_together, fail, images, networks, numbers, on_gpus, trained, wait, without_statistics

NETWORKS = list(networks(np.random.default_rng(0)))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process has found, and each of two."""
    folder = tmp_path_factory.mktemp("together")
    all_together(ALONE, folder)
    # What one has begun two go on with.
    (folder / "of-1" / "stopped.pt").rename(folder / "stopped.pt")
    run_together(2, False, all_together, folder)
    paths = {"one": "0-of-1", "two": "0-of-2", "other": "1-of-2"}
    return {"folder": folder} | {
        name: torch.load(folder / f"process-{path}.pt", weights_only=False) for name, path in paths.items()
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_two_processes_is_that_of_one(found: dict[str, Any], name: str, size: int) -> None:
    """Loss, gradients and running statistics: of parts that differ, and of an empty one."""
    one, two, other = (found[which]["steps"][name, size] for which in ("one", "two", "other"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    largest = max(float(gradient.abs().max()) for gradient in one["gradients"].values())
    assert largest > 0
    for key, gradient in one["gradients"].items():
        torch.testing.assert_close(two["gradients"][key], gradient, rtol=1e-5, atol=3e-6 * largest)
        assert torch.equal(two["gradients"][key], other["gradients"][key])
    for key, statistic in one["statistics"].items():
        torch.testing.assert_close(two["statistics"][key], statistic, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["whole", "new images", "started", "gone on"])
def test_without_batch_statistics_two_processes_train_the_network_of_one(found: dict[str, Any], name: str) -> None:
    """With a critic, features, clipping and a mean of the weights; what one has begun two go on with."""
    weights, history, best = found["one"]["trainings"][name if name != "gone on" else "whole"]
    two, other = (found[which]["trainings"][name] for which in ("two", "other"))
    for key, weight in weights.items():
        torch.testing.assert_close(two[0][key], weight, rtol=1e-5, atol=1e-6)
        assert torch.equal(two[0][key], other[0][key])
    np.testing.assert_allclose(numbers(two[1]), numbers(history), rtol=1e-5)
    np.testing.assert_array_equal(numbers(two[1]), numbers(other[1]))
    assert two[2] == other[2] == best


def test_one_process_goes_on_with_what_two_have_begun(found: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "stopped.pt").write_bytes((found["folder"] / "of-2" / "stopped.pt").read_bytes())
    told: list[str] = []
    sides = images(14, 2), images(5, 3)
    result = trained(ALONE, tmp_path / "stopped.pt", without_statistics(), *sides, progress=told.append)
    assert told[0] == "continues after epoch 1 of 3"
    assert result is not None
    for key, weight in found["one"]["trainings"]["whole"][0].items():
        torch.testing.assert_close(result.network.state_dict()[key], weight, rtol=1e-5, atol=1e-6)


def test_with_batch_statistics_losses_stay_close(found: dict[str, Any]) -> None:
    """Adam makes steps of one length of gradients however small, and so much of their last digits."""
    one, two = (numbers(found[which]["trainings"]["normalised"][1]) for which in ("one", "two"))
    np.testing.assert_allclose(two[:, 2:4], one[:, 2:4], rtol=0.05)


def test_an_image_that_is_not_finite_is_named_whoever_sees_it(found: dict[str, Any]) -> None:
    sentences = {found[which]["trainings"]["broken"] for which in ("one", "two", "other")}
    assert sentences == {"the training loss is nan; images with values that are not finite: image-6"}


def test_processes_write_the_files_that_one_writes(found: dict[str, Any]) -> None:
    assert found["two"]["files"] == [*found["one"]["files"]]


def test_parts_make_up_a_batch_and_differ_by_one() -> None:
    for number in (1, 2, 3, 8):
        for size in (1, 2, 5, 8, 17):
            places = [np.arange(size)[Ranks(rank, number).part(size)] for rank in range(number)]
            np.testing.assert_array_equal(np.concatenate(places), np.arange(size))
            assert max(map(len, places)) - min(map(len, places)) <= 1


def test_the_sentence_of_one_process_ends_all() -> None:
    with pytest.raises(TrainingError, match=r"^there is no such thing$"):
        run_together(2, False, fail, "sentence")


def test_a_bug_of_one_process_comes_with_its_traceback() -> None:
    with pytest.raises(KeyError, match="what was not foreseen") as caught:
        run_together(2, False, fail, "bug")
    assert "in process 2 of 2" in str(caught.value.__cause__)
    assert "in _bug" in str(caught.value.__cause__)


def test_a_process_that_is_killed_ends_all() -> None:
    with pytest.raises(TrainingError, match=r"^process 2 of the 2 that train it was killed by signal SIGKILL, as "):
        run_together(2, False, fail, "kill")


def test_nothing_outlives_who_waits(tmp_path: Path) -> None:
    """Not even when that is killed, and one process waits for another."""
    text = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from together import wait; "
    text += "from exitwave.training.launch import run_together; run_together(2, False, wait, Path(sys.argv[2]))"
    waiting = subprocess.Popen([sys.executable, "-c", text, str(Path(wait.__code__.co_filename).parent), str(tmp_path)])
    try:
        files = [tmp_path / f"{rank}.pid" for rank in range(2)]
        _until(lambda: all(file.exists() and file.read_text() for file in files), 240)
        alive = [int(file.read_text()) for file in files]
        assert all(map(_lives, alive))
    finally:
        waiting.send_signal(signal.SIGKILL)
        waiting.wait()
    _until(lambda: not any(map(_lives, alive)), 30)


def _until(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _lives(process: int) -> bool:
    try:
        # One that has ended may wait for somebody to ask how.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
def test_two_gpus_train_the_network_of_one(tmp_path: Path) -> None:
    on_gpus(ALONE, tmp_path)
    run_together(2, True, on_gpus, tmp_path)
    one, two, other = (
        torch.load(tmp_path / f"process-{path}.pt", weights_only=False) for path in ("0-of-1", "0-of-2", "1-of-2")
    )
    assert all(torch.equal(two[0][key], other[0][key]) for key in two[0])
    np.testing.assert_allclose(numbers(two[1])[:, 2:4], numbers(one[1])[:, 2:4], rtol=0.05)


def test_more_devices_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    check_devices("cpu", 2)
    with pytest.raises(ConfigError, match=r"^devices is 3, and this job has 2, each a processor core; allowed here: 2"):
        check_devices("cpu", 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"^devices is 2, and this job has 1, each a GPU; allowed here: 1 or fewer$"):
        check_devices("cuda", 2)
