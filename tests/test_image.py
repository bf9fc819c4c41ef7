"""The image, run as a user would: a read-only root, nobody special, the real programs inside.

``CAFFE2NEON_IMAGE`` names it; ``CAFFE2NEON_DOCKER`` is the engine that runs it, docker unless said otherwise.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.container

_REAL = ("--engine", "neon", "--reference", "caffe")


@pytest.fixture
def image() -> str:
    name = os.environ.get("CAFFE2NEON_IMAGE")
    if not name:
        pytest.skip("needs the image: make image-test")
    return name


def run(image: str, *arguments: str, volumes: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    docker = os.environ.get("CAFFE2NEON_DOCKER", "docker").split()
    mounts = [part for volume in volumes for part in ("--volume", volume)]
    command = [*docker, "run", "--rm", "--read-only", "--tmpfs", "/tmp", *mounts, image, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)


def test_all_engines_work(image: str) -> None:
    done = run(image, "doctor", "--strict", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {entry["name"]: entry["detail"] for entry in json.loads(done.stdout)}
    assert found["neon"].startswith("1.4.0")
    assert found["caffe"] == "ca4e3428b"


def test_the_bundled_model_by_the_real_programs(image: str, tmp_path: Path) -> None:
    for name in ("cache", "output"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)  # the image's user is another
    volumes = tuple(f"{tmp_path / name}:/{name}" for name in ("cache", "output"))
    done = run(image, "zoo", "build", "digits", *_REAL, "--cache", "/cache", "--output", "/output", volumes=volumes)
    assert done.returncode == 0, done.stdout + done.stderr
    (parity,) = (json.loads(path.read_text()) for path in (tmp_path / "output").glob("digits/*/parity.json"))
    assert parity["engine"].startswith("neon 1.4.0")
    assert parity["reference"] == "caffe ca4e3428b"
    (evaluation,) = (json.loads(path.read_text()) for path in (tmp_path / "output").glob("digits/*/evaluation.json"))
    assert evaluation["engine"].startswith("neon 1.4.0")


def test_an_error_is_an_exit_code(image: str) -> None:
    done = run(image, "zoo", "build", "no_such_model")
    assert done.returncode == 2
    assert "no_such_model" in done.stderr
