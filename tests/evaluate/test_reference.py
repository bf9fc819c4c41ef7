"""A real net on real data, against the accuracy its trainers measured with Caffe."""

from __future__ import annotations

import pytest

from caffe2neon.caffe import read_net, read_weights
from caffe2neon.engines import open_caffe
from caffe2neon.evaluate import open_dataset
from caffe2neon.records import DatasetSpec, Preprocess
from tests.conftest import shared
from tests.evaluate.helpers import evaluate


def test_lenet_on_mnist() -> None:
    """../shared/README.md: 99.14 % top-1 on the 10,000 digits, pixel / 256."""
    net = read_net(shared("models", "lenet", "lenet.prototxt"))
    engine = open_caffe(net, read_weights(shared("models", "lenet", "lenet_iter_10000.caffemodel")), engine="embedded")
    dataset = open_dataset(DatasetSpec("mnist", "npz", shared("data", "mnist_t10k.npz")))
    result = evaluate(engine, dataset, Preprocess("GRAY", scale=1 / 256), model_order="", batch=250)
    assert result.count == 10_000
    assert result.topk[0].correct == 9914
    assert result.percent(1) == pytest.approx(99.14)
