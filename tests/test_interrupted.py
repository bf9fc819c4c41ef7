"""Converting and building, killed or interrupted at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.zoos import DIGITS, Zoo, run

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("what", "least"), [("convert", 8), ("build", 20)])
def test_kill_9_leaves_all_or_nothing(tmp_path: Path, what: str, least: int) -> None:
    """Converting has few steps, and dies before each of them."""
    folder = tmp_path / what
    folder.mkdir()
    command = [sys.executable, "-m", "tests.crash", what, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least


def _interrupt_while(shown: str, *arguments: str | Path) -> tuple[int, str]:
    """Press Ctrl-C once the command has said ``shown``; its exit code, and what it said."""
    command = [sys.executable, "-m", "caffe2neon", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        said = ""
        while shown not in said and (line := program.stdout.readline()):
            said += line
        start = time.monotonic()
        os.kill(program.pid, signal.SIGINT)
        said += program.stdout.read()
        program.wait()
        assert time.monotonic() - start < 20
    return program.returncode, said


@pytest.fixture
def slow(tmp_path: Path) -> Zoo:
    """An entry whose data set takes a while."""
    zoo = Zoo(tmp_path)
    zoo.add_digits()
    zoo.add_npz("digits", np.zeros((400_000, 8, 8), np.uint8), np.zeros(400_000, np.uint8))
    zoo.write()
    return zoo


def test_a_service_that_is_told_twice_to_stop_tidies_up_once(slow: Zoo) -> None:
    """As systemd tells the build, and the script that runs it hands on its own signal."""
    command = [sys.executable, "-m", "caffe2neon", "zoo", "build", *map(str, slow.arguments())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        said = ""
        while "evaluate digits" not in said and (line := program.stdout.readline()):
            said += line
        for _ in range(20):
            program.terminate()
            time.sleep(0.005)
        said += program.stdout.read()
    assert program.returncode == 143
    assert "0 of 1 models are done" in said
    assert "Traceback" not in said
    assert slow.outcomes() == {}


def test_ctrl_c_ends_a_build_without_a_traceback(slow: Zoo) -> None:
    code, said = _interrupt_while("evaluate digits", "zoo", "build", *slow.arguments())
    assert code == 130
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert not (slow.output / ".staging").exists()
    assert slow.builds("digits") == []


def test_ctrl_c_still_tells_what_became_of_entries_before(slow: Zoo) -> None:
    slow.add_small("a_small_one")
    slow.models = dict(sorted(slow.models.items()))
    slow.write()
    _interrupt_while("evaluate digits", "zoo", "build", *slow.arguments())
    report = json.loads((slow.output / "report.json").read_bytes())
    assert [(outcome["name"], outcome["status"]) for outcome in report["outcomes"]] == [("a_small_one", "published")]
    assert len(slow.builds("a_small_one")) == 1


def test_ctrl_c_ends_an_evaluation_without_a_traceback(slow: Zoo) -> None:
    prm = slow.folder / "digits.prm"
    assert run("convert", DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", "-o", prm).exit_code == 0
    options: list[str | Path] = ["--dataset", slow.folder / "digits.npz", "--channel-order", "GRAY", "--engine", "embedded"]
    code, said = _interrupt_while("evaluate digits", "evaluate", prm, *options)
    assert code == 130
    assert "Traceback" not in said
