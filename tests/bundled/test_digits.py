"""The bundled model: its files, run by a forward pass that shares nothing with the package, and by Caffe's rules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray

from caffe2neon.caffe import caffe_pb2

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "caffe2neon" / "bundled" / "digits"


def _text(name: str) -> caffe_pb2.NetParameter:
    return text_format.Parse((DIGITS / name).read_text(), caffe_pb2.NetParameter())


def _heldout() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with np.load(DIGITS / "digits_heldout.npz", allow_pickle=False) as archive:
        return archive["images"], archive["labels"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The training script, imported, which must do nothing by itself."""
    spec = importlib.util.spec_from_file_location("train_digits", ROOT / "scripts" / "train_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _convolution(x: NDArray[Any], w: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """3x3 correlation, padded by 1, one tap at a time: (N, C, H, W) -> (N, K, H, W)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y: NDArray[Any] = np.zeros((len(x), len(w), *x.shape[2:])) + b[:, None, None]
    for i in range(3):
        for j in range(3):
            y += np.einsum("nchw,kc->nkhw", padded[:, :, i : i + x.shape[2], j : j + x.shape[3]], w[:, :, i, j])
    return y


def _pooling(x: NDArray[Any]) -> NDArray[Any]:
    y: NDArray[Any] = np.maximum.reduce([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    return y


def test_top1_on_held_out_digits_is_at_least_98_percent() -> None:
    net = caffe_pb2.NetParameter.FromString((DIGITS / "digits.caffemodel").read_bytes())
    blobs = {layer.name: [np.array(b.data).reshape(tuple(b.shape.dim)) for b in layer.blobs] for layer in net.layer if layer.blobs}
    images, labels = _heldout()
    x = (images[:, None] - 8.0) * 0.125
    x = _pooling(_convolution(x, *blobs["conv1"]))
    x = _pooling(_convolution(x, *blobs["conv2"])).reshape(len(x), -1)
    x = np.maximum(x @ blobs["ip1"][0].T + blobs["ip1"][1], 0)
    x = x @ blobs["ip2"][0].T + blobs["ip2"][1]
    assert len(labels) >= 350
    assert np.mean(x.argmax(1) == labels) == pytest.approx(359 / 360)  # the accuracy that the README and zoo.yaml state


def test_held_out_digits_are_not_trained_on(script: ModuleType) -> None:
    images, labels = script.load()
    learned, held_out = script.split(len(images))
    stored, stored_labels = _heldout()
    assert np.array_equal(images[held_out], stored)
    assert np.array_equal(labels[held_out], stored_labels)
    assert sorted([*learned, *held_out]) == list(range(len(images)))
    # Disjoint as pictures too, not only as indices.
    seen = {image.tobytes() for image in images[learned]}
    assert not [image for image in stored if image.tobytes() in seen]


def test_definitions_and_data_are_what_the_script_writes(script: ModuleType) -> None:
    images, labels = script.load()
    _, held_out = script.split(len(images))
    assert (DIGITS / "digits.prototxt").read_text() == script.deploy()
    assert (DIGITS / "digits_train_val.prototxt").read_text() == script.train_val()
    assert (DIGITS / "digits_heldout.npz").read_bytes() == script.npz(images=images[held_out], labels=labels[held_out])


def test_weights_are_the_deploy_net_with_blobs_in_the_newest_form() -> None:
    net = caffe_pb2.NetParameter.FromString((DIGITS / "digits.caffemodel").read_bytes())
    assert {layer.name: [tuple(b.shape.dim) for b in layer.blobs] for layer in net.layer if layer.blobs} == {
        "conv1": [(24, 1, 3, 3), (24,)],
        "conv2": [(48, 24, 3, 3), (48,)],
        "ip1": [(64, 192), (64,)],
        "ip2": [(10, 64), (10,)],
    }
    for layer in net.layer:
        del layer.blobs[:]
    assert net == _text("digits.prototxt")


def test_train_val_is_the_same_net_with_data_loss_and_accuracy() -> None:
    deploy, train_val = _text("digits.prototxt"), _text("digits_train_val.prototxt")
    middle = [layer for layer in train_val.layer if layer.type not in ("Data", "SoftmaxWithLoss", "Accuracy")]
    assert middle == [layer for layer in deploy.layer if layer.type not in ("Input", "Softmax")]
    data = [layer for layer in train_val.layer if layer.type == "Data"]
    assert [[rule.phase for rule in layer.include] for layer in data] == [[caffe_pb2.TRAIN], [caffe_pb2.TEST]]
    assert all((d.transform_param.scale, list(d.transform_param.mean_value)) == (0.125, [8.0]) for d in data)


def test_files_are_small_and_packaged() -> None:
    files = [path for path in DIGITS.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 500_000
    pattern = "bundled/*/*"
    assert f'caffe2neon = ["{pattern}"]' in (ROOT / "pyproject.toml").read_text()
    assert all(path.relative_to(ROOT / "caffe2neon").match(pattern) for path in files)


def test_gradient_agrees_with_finite_differences(script: ModuleType) -> None:
    """Central differences in double precision, step 1e-6: equal to 1e-5 relative, 1e-8 absolute."""
    random = np.random.RandomState(0)
    weights = script.initial(random)
    x, labels = random.standard_normal((3, 1, 8, 8)), np.array([3, 0, 9])
    _, grads = script.gradient(weights, x, labels)
    for name, pair in weights.items():
        for array, grad in zip(pair, grads[name], strict=True):
            for _ in range(2):
                at = tuple(random.randint(n) for n in array.shape)
                value, sides = array[at], []
                for step in (1e-6, -1e-6):
                    array[at] = value + step
                    sides.append(script.gradient(weights, x, labels)[0])
                array[at] = value
                assert grad[at] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_check_names_the_file_that_differs(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"1")
    (tmp_path / "other").write_bytes(b"2")
    assert script.check({"same": b"1", "other": b"1", "missing": b"1"}, tmp_path) == ["other", "missing"]
