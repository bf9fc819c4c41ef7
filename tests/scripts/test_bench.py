"""scripts/bench.py: its steps, tried with small nets; never what it measures."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from caffe2neon.caffe import read_net
from caffe2neon.graph import build_graph
from tests.scripts.run import run


@pytest.mark.parametrize(
    ("bench", "measures"),
    [
        ("vgg16", ["convert VGG-16 (2 MB): time / sha256sum", "convert VGG-16: peak memory / file"]),
        ("googlenet", ["convert GoogLeNet (0 MB): CPU seconds"]),
        ("evaluate", ["evaluate SqueezeNet on photos, both generated: images per second", "... / ONNX", "... / OpenCV"]),
    ],
)
def test_quick(bench: str, measures: list[str], tmp_path: Path) -> None:
    done = run("bench.py", "--quick", "--only", bench, "--json", tmp_path / "bench.json", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    assert len(record["numbers"]) == len(measures)
    for number, measure in zip(record["numbers"], measures, strict=True):
        assert number["measure"].startswith(measure)
        assert number["measure"] in done.stdout
        assert number["value"] > 0
        assert number["met"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


@pytest.mark.parametrize(
    ("net", "parameters"),
    [("vgg16", 138_357_544), ("googlenet", 6_998_552), ("googlenet-training", 13_378_280), ("squeezenet", 1_248_424)],
)
def test_generated_nets_have_as_many_parameters_as_the_published(net: str, parameters: int, tmp_path: Path) -> None:
    assert run("generate_net.py", net, tmp_path / "net.prototxt").returncode == 0
    nodes = build_graph(read_net(tmp_path / "net.prototxt")).nodes
    assert sum(prod(shape) for node in nodes for shape in node.params) == parameters


def test_generated_photos_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run("generate_photos.py", tmp_path / name, "--count", "2").returncode == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["000000.jpg", "000001.jpg", "val.txt"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert (tmp_path / "a" / "000000.jpg").read_bytes() != (tmp_path / "a" / "000001.jpg").read_bytes()
    assert 10_000 < (tmp_path / "a" / "000000.jpg").stat().st_size < 40_000
