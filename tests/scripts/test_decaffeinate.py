"""scripts/decaffeinate.py as a user runs it: files, messages, exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from caffe2neon.neon import read_prm
from tests.scripts.run import ROOT, run

DIGITS = ROOT / "caffe2neon" / "bundled" / "digits"


@pytest.fixture
def digits(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("digits.prototxt", "digits.caffemodel"):
        shutil.copy(DIGITS / name, tmp_path / name)
    return tmp_path / "digits.prototxt", tmp_path / "digits.caffemodel"


def test_default_output_is_the_caffemodels_name_with_prm(digits: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("decaffeinate.py", *digits)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {tmp_path / 'digits.prm'}\n"
    shapes = {layer.name: layer.params["W"].shape for layer in read_prm(tmp_path / "digits.prm").root.walk() if "W" in layer.params}
    assert (shapes["conv1"], shapes["ip2"]) == ((9, 24), (10, 64))


@pytest.mark.parametrize("flag", ["-o", "--output_file"])
def test_output_by_name(digits: tuple[Path, Path], tmp_path: Path, flag: str) -> None:
    done = run("decaffeinate.py", *digits, flag, tmp_path / "other.prm")
    assert done.returncode == 0
    assert (tmp_path / "other.prm").exists()
    assert not (tmp_path / "digits.prm").exists()


def test_missing_weights_are_one_line_and_exit_code_1(digits: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("decaffeinate.py", digits[0], tmp_path / "none.caffemodel")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "none.caffemodel" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "none.prm").exists()


def test_damaged_weights_leave_the_old_file(digits: tuple[Path, Path], tmp_path: Path) -> None:
    digits[1].write_bytes(digits[1].read_bytes()[:50_000])
    (tmp_path / "digits.prm").write_bytes(b"old")
    done = run("decaffeinate.py", *digits)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "digits.prm").read_bytes() == b"old"


def test_usage_is_exit_code_2() -> None:
    done = run("decaffeinate.py", "model.prototxt")
    assert done.returncode == 2
    assert "usage:" in done.stderr
