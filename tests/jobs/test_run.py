import platform
import signal
import subprocess
import sys

CODE = """
import logging, sys
from exitwave.jobs.run import job
log = logging.getLogger("exitwave.something")
with job("score", sys.argv[1]):
    for number in range(8):
        log.warning("image %d is unlike the training images", number)
    for number in range(2):
        log.warning("image %d has no contrast", number)
        log.info("image %d is done", number)
"""


def test_many_warnings_of_one_kind_do_not_flood_the_terminal(tmp_path):
    log = tmp_path / "score.log"
    done = subprocess.run([sys.executable, "-c", CODE, str(log)], capture_output=True, text=True, check=True)
    assert done.stderr.count("is unlike") == 3
    assert done.stderr.count("has no contrast") == 2
    assert done.stderr.count("is done") == 2
    assert f"5 more warnings like these in {log}" in done.stderr
    assert log.read_text().count("is unlike") == 8


def test_few_warnings_are_all_told(tmp_path):
    code = CODE.replace("range(8)", "range(3)")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert done.stderr.count("is unlike") == 3
    assert "more warnings" not in done.stderr


def test_the_log_of_a_job_that_is_killed_at_once_says_where_it_ran(tmp_path):
    code = """
import os, platform, signal, sys
from exitwave.jobs.run import job
with job("score", sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    log = tmp_path / "score.log"
    done = subprocess.run([sys.executable, "-c", code, str(log)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert f"score: started on {platform.node()}" in log.read_text()
    assert done.stderr == ""
