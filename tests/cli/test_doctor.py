"""``caffe2neon doctor``: what works, in a table and as JSON, and when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from caffe2neon.cli import main


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CAFFE2NEON_NEON_PYTHON", "CAFFE2NEON_CAFFE_PYTHON"):
        monkeypatch.delenv(variable, raising=False)


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


@pytest.mark.usefixtures("bare_machine")
def test_the_embedded_engines_are_enough() -> None:
    result = doctor("--json")
    assert result.exit_code == 0
    found = {entry["name"]: entry for entry in json.loads(result.output)}
    assert {name for name, entry in found.items() if entry["works"]} == {"neon-embedded", "caffe-embedded"}
    assert "CAFFE2NEON_CAFFE_PYTHON" in found["caffe"]["detail"]
    assert "CAFFE2NEON_NEON_PYTHON" in found["neon"]["detail"]


@pytest.mark.usefixtures("bare_machine")
def test_strict_wants_the_real_programs_too() -> None:
    result = doctor("--strict")
    assert result.exit_code == 1
    states = {line.split()[0]: line[16:29].strip() for line in result.output.splitlines()}
    assert states["caffe"] == states["neon"] == "not here"
    assert states["caffe-embedded"] == states["neon-embedded"] == "ok"


@pytest.mark.neon
@pytest.mark.usefixtures("neon_python")
def test_the_real_neon_says_whether_it_reads_macrobatches() -> None:
    (neon,) = (entry for entry in json.loads(doctor("--json").output) if entry["name"] == "neon")
    assert neon["works"], neon
    assert neon["detail"].startswith("1.4.0")
    assert neon["detail"].endswith((", with its ImageLoader", ", without its ImageLoader"))


@pytest.mark.usefixtures("bare_machine")
def test_computing_reports_to_nobody_and_leaves_nothing_at_home(tmp_path: Path) -> None:
    """ONNX Runtime as it is published would keep an identifier and a queue of events there."""
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-m", "caffe2neon", "doctor"], env=environment, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []
