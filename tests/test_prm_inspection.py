"""What is in a .prm: layers as they nest, shapes, counts; and records that are damaged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from caffe2neon.errors import PrmError, UsageError
from caffe2neon.inspection import inspect_file
from caffe2neon.neon import read_prm, write_prm
from caffe2neon.records import LayerFacts, NeonContainer, NeonLayer, NeonModel
from tests.conftest import shared

DIGITS = Path(str(resources.files("caffe2neon").joinpath("bundled", "digits")))


def prm(tmp_path: Path, *layers: NeonLayer | NeonContainer, **header: object) -> Path:
    root = NeonContainer("neon.layers.container.Sequential", {"name": "root"}, layers)
    path = tmp_path / "model.prm"
    write_prm(NeonModel(root, {"backend": {"compat_mode": "caffe"}, "cost": None, **header}), path)
    return path


INIT = {"type": "neon.initializers.initializer.Constant", "config": {"val": 0.0}}


def convolution(name: str, channels: int, maps: int) -> NeonLayer:
    config = {"name": name, "fshape": (3, 3, maps), "init": INIT}  # neon takes a tuple (R, S, K), too
    return NeonLayer("neon.layers.layer.Convolution", config, {"W": np.zeros((channels * 9, maps), np.float32)})


def test_nesting(tmp_path: Path) -> None:
    arms = tuple(NeonContainer("neon.layers.container.Sequential", {}, (convolution(name, 4, 5),)) for name in ("a", "b"))
    merge = NeonContainer("neon.layers.container.MergeBroadcast", {"name": "m", "merge": "depth"}, arms)
    pool = NeonLayer("neon.layers.layer.Pooling", {"name": "p", "fshape": "all"})
    inspection = inspect_file(prm(tmp_path, convolution("c", 2, 4), merge, pool, train_input_shape=(2, 8, 9)))
    assert [(layer.name, layer.type, layer.depth, layer.outputs) for layer in inspection.layers] == [
        ("root", "Sequential", 0, ((10, 1, 1),)),
        ("c", "Convolution", 1, ((4, 6, 7),)),
        ("m", "MergeBroadcast", 1, ((10, 4, 5),)),
        ("", "Sequential", 2, ((5, 4, 5),)),
        ("a", "Convolution", 3, ((5, 4, 5),)),
        ("", "Sequential", 2, ((5, 4, 5),)),
        ("b", "Convolution", 3, ((5, 4, 5),)),
        ("p", "Pooling", 1, ((10, 1, 1),)),
    ]
    assert inspection.parameters == 2 * 9 * 4 + 2 * (4 * 9 * 5)
    assert inspection.multiply_adds == 2 * 9 * 4 * 6 * 7 + 2 * (4 * 9 * 5 * 4 * 5)


def test_without_an_input_shape(tmp_path: Path) -> None:
    inspection = inspect_file(prm(tmp_path, convolution("c", 2, 4)))
    assert [layer.outputs for layer in inspection.layers] == [None, None]
    assert (inspection.parameters, inspection.multiply_adds) == (72, None)
    assert inspection.notes == ("no shapes: the file does not record its input's shape",)


def test_a_layer_that_neon_has_not_got(tmp_path: Path) -> None:
    odd = NeonLayer("neon.layers.layer.Reorg", {"name": "odd"}, {"W": np.zeros(3, np.float32)})
    inspection = inspect_file(prm(tmp_path, convolution("c", 2, 4), odd, train_input_shape=(2, 8, 9)))
    assert [layer.type for layer in inspection.layers] == ["Sequential", "Convolution", "Reorg"]
    assert inspection.parameters == 75
    assert inspection.multiply_adds is None
    assert "Reorg is no class that neon has" in inspection.notes[0]


def nested_types(layers: Sequence[LayerFacts]) -> list[str]:
    """As the recordings write them: a container's content in brackets after it."""
    found, depth = list[str](), 0
    for layer in layers:
        found += [")"] * (depth - layer.depth) + ["("] * (layer.depth - depth)
        found.append(f"{layer.type}:{layer.detail}" if layer.detail and layer.type != "Pooling" else layer.type)
        depth = layer.depth
    return found + [")"] * depth


def test_all_recorded_models(tmp_path: Path) -> None:
    """Nesting and output shapes as the real neon v1.4.0 had them, whoever wrote the file."""
    cases = json.loads(shared("golden", "neon", "cases.json").read_text())["cases"]
    for name, case in cases.items():
        if "/" in name:  # odd and refused ones: neon computes garbage, or nothing
            continue
        model = read_prm(shared("golden", "neon", f"{name}.prm"))
        path = tmp_path / f"{name}.prm"
        write_prm(replace(model, header={**model.header, "train_input_shape": tuple(case["in_shape"])}), path)
        inspection = inspect_file(path)
        assert inspection.notes == (), name
        assert nested_types(inspection.layers) == case["types"], name
        # a Tree has no output of its own, nor has what ends in one: its branches have
        tree = next((layer for layer in inspection.layers if layer.type.endswith("Tree")), None)
        ends = [layer for layer in inspection.layers if layer.depth == (tree.depth + 1 if tree else 0)]
        shapes = [shape[:1] if shape[1:] == [1] else shape for shape in case["out_shapes"]]
        assert [list(shape) for layer in ends for shape in layer.outputs or ()][: len(shapes)] == shapes, name


def test_damaged_record(tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="damaged"):
        inspect_file(prm(tmp_path, convolution("c", 2, 4), train_input_shape=("wide", "high")))


def test_gzipped(tmp_path: Path) -> None:
    path = prm(tmp_path, convolution("c", 2, 4))
    packed = path.with_suffix(".prm.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert inspect_file(packed).parameters == 72


def test_a_given_shape_is_for_a_prototxt(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--input is for a prototxt"):
        inspect_file(prm(tmp_path, convolution("c", 2, 4)), shape=(1, 8, 8))
