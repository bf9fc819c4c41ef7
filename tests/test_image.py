"""The image, run as a user would: a read-only root, nobody special, no network, the real programs inside.

``CAFFE2NEON_IMAGE`` names it; ``CAFFE2NEON_DOCKER`` is the engine that runs it, docker unless said otherwise.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import shared

pytestmark = pytest.mark.container

_REAL = ("--engine", "neon", "--reference", "caffe")
_SQUEEZENET = ("SqueezeNet_deploy.prototxt", "squeezenet_v1.0_dc.caffemodel")
_LENET = ("lenet.prototxt", "lenet_iter_10000.caffemodel")


@pytest.fixture
def image() -> str:
    name = os.environ.get("CAFFE2NEON_IMAGE")
    if not name:
        pytest.skip("needs the image: make image-test")
    return name


def run(
    image: str, *arguments: str, volumes: tuple[str, ...] = (), options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    docker = os.environ.get("CAFFE2NEON_DOCKER", "docker").split()
    mounts = [part for volume in volumes for part in ("--volume", volume)]
    safe = ["--read-only", "--tmpfs", "/tmp", "--network", "none"]
    command = [*docker, "run", "--rm", *safe, *mounts, *options, image, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)


def well(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def writable(folder: Path, *names: str) -> tuple[str, ...]:
    """Folders that the image's user, who is another, can write to, as volumes."""
    for name in names:
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    return tuple(f"{folder / name}:/{name}" for name in names)


def test_all_engines_work(image: str) -> None:
    found = {entry["name"]: entry for entry in json.loads(well(run(image, "doctor", "--strict", "--json")))}
    assert set(found) == {"neon-embedded", "caffe-embedded", "neon", "caffe"}
    assert found["neon"]["detail"].startswith("1.4.0")
    assert found["caffe"]["detail"] == "ca4e3428b"


def test_who_runs_and_what_can_be_written(image: str) -> None:
    places = ("/", "/work", "/opt/caffe2neon", "/opt/neon", "/opt/caffe", "/home/caffe2neon", "/tmp", "/cache", "/output")
    probe = f'id -u; for place in {" ".join(places)}; do (: > "$place/probe") 2> /dev/null && echo "$place"; done; true'
    user, *written = well(run(image, "-c", probe, options=("--entrypoint", "sh"))).split()
    assert int(user) > 0
    assert written == ["/tmp", "/cache", "/output"]


def test_the_bundled_model_by_the_real_programs(image: str, tmp_path: Path) -> None:
    volumes = writable(tmp_path, "cache", "output")
    well(run(image, "zoo", "build", "digits", *_REAL, "--cache", "/cache", "--output", "/output", volumes=volumes))
    (parity,) = (json.loads(path.read_text()) for path in (tmp_path / "output").glob("digits/*/parity.json"))
    assert parity["engine"].startswith("neon 1.4.0")
    assert parity["reference"] == "caffe ca4e3428b"
    (evaluation,) = (json.loads(path.read_text()) for path in (tmp_path / "output").glob("digits/*/evaluation.json"))
    assert evaluation["engine"].startswith("neon 1.4.0")
    assert [entry["correct"] for entry in evaluation["topk"]] == [359, 360]


def test_nights(image: str, tmp_path: Path) -> None:
    """As compose.yaml's ``nightly`` runs it."""
    volumes = writable(tmp_path, "output")
    options = ("--entrypoint", "/work/scripts/nightly.sh", "--env", "STATE=/output", "--env", "ENTRIES=digits", "--env", "GROUP=")
    assert "1 published" in well(run(image, volumes=volumes, options=options))
    assert list(json.loads((tmp_path / "output" / "published" / "index.json").read_bytes())["models"]) == ["digits"]
    assert "1 unchanged" in well(run(image, volumes=volumes, options=options))


def correct(image: str, model: str, engine: str, volumes: tuple[str, ...], *options: str) -> list[int]:
    """How many examples the model has right: top-1, top-5."""
    out = well(run(image, "evaluate", model, *options, "--engine", engine, volumes=volumes))
    assert f", {'neon 1.4.0' if engine == 'neon' else 'neon-embedded'}" in out
    return [int(number) for number in re.findall(r"\((\d+) correct\)", out)]


def converted(image: str, folder: str, files: tuple[str, str], volumes: tuple[str, ...], *options: str) -> str:
    """Convert a model of the developers', and verify it by the real programs; its name in the container."""
    nets = shared("models", folder)
    volumes = (*volumes, f"{nets}:/models:ro")
    model, sources = f"/output/{folder}.prm", [f"/models/{name}" for name in files]
    well(run(image, "convert", *sources, "-o", model, *options, volumes=volumes))
    out = well(run(image, "verify", model, *sources, "--layers", *_REAL, volumes=volumes))
    assert re.match(r"neon 1\.4\.0\S* against caffe ca4e3428b, tolerance 1e-05\n", out)
    return model


def test_lenet_by_the_real_programs(image: str, tmp_path: Path) -> None:
    volumes = writable(tmp_path, "output")
    model = converted(image, "lenet", _LENET, volumes)
    with np.load(shared("data", "mnist_t10k.npz")) as digits:
        np.savez(tmp_path / "output" / "digits.npz", images=digits["images"][:512], labels=digits["labels"][:512])
    options = ("--dataset", "/output/digits.npz", "--channel-order", "GRAY", "--scale", "0.00390625")
    real, embedded = (correct(image, model, engine, volumes, *options) for engine in ("neon", "embedded"))
    assert real == embedded
    assert real[0] >= 500  # 99.14 % of all


def test_squeezenet_by_the_real_programs(image: str, tmp_path: Path) -> None:
    """64 photos; of all 1000, 647 and 857 are right."""
    volumes = writable(tmp_path, "output")
    model = converted(image, "squeezenet_v1.0", _SQUEEZENET, volumes, "--remap", "--crop", "227", "--mean", "104,117,123")
    photos = shared("data", "imagenet1000")
    lines = (photos / "val.txt").read_text().splitlines()[::15][:64]
    (tmp_path / "output" / "val.txt").write_text("\n".join(lines) + "\n")
    volumes = (*volumes, f"{photos}:/photos:ro")
    options = ("--dataset", "/photos", "--labels", "/output/val.txt", "--class-order", "caffe")
    real, embedded = (correct(image, model, engine, volumes, *options) for engine in ("neon", "embedded"))
    assert real == embedded
    assert 32 <= real[0] < real[1] <= 64


def test_an_error_is_an_exit_code(image: str) -> None:
    done = run(image, "zoo", "build", "no_such_model")
    assert done.returncode == 2
    assert "no_such_model" in done.stderr
