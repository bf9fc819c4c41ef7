"""The registry as a whole: no layer type of Caffe without a verdict, none without a test."""

from __future__ import annotations

import pytest

from caffe2neon.convert import check_types, registered_types
from caffe2neon.convert.registry import converter, find_converter, joiner, refuse
from caffe2neon.errors import UnsupportedError
from caffe2neon.single import lay_out_net
from tests.convert.test_layers import CONVERTS
from tests.nets import data, layer, parse

#: What BVLC Caffe HEAD registers with its layer factory.
HEAD = frozenset(
    """
    AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data Deconvolution Dropout
    DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss Im2col ImageData InfogainLoss
    InnerProduct Input LRN LSTM LSTMUnit Log MVN MemoryData MultinomialLogisticLoss PReLU Parameter Pooling Power Python RNN ReLU
    Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split Swish TanH Threshold
    Tile WindowData
    """.split()  # noqa: SIM905 - a list literal would be sixty lines
)
#: Inputs, and what the graph takes away.
HANDLED = frozenset({"Input", "DummyData", "Silence"})
#: Types without any form in neon: as small a net as there is, and words of the reason.
REFUSED = {
    "Accuracy": ("data data", "compares with labels"),
    "ArgMax": ("data", "neon has no ArgMax"),
    "BNLL": ("data", "no such function"),
    "BatchReindex": ("data data", "picks examples of the batch"),
    "ContrastiveLoss": ("data data data", "is a loss"),
    "Data": ("", "reads a data source"),
    "Embed": ("data", "looks up rows"),
    "EuclideanLoss": ("data data", "is a loss"),
    "Exp": ("data", "no such function"),
    "Filter": ("data data", "picks examples of the batch"),
    "HDF5Data": ("", "reads a data source"),
    "HDF5Output": ("data data", "writes a file"),
    "HingeLoss": ("data data", "is a loss"),
    "Im2col": ("data", "makes a shape"),
    "ImageData": ("", "reads a data source"),
    "InfogainLoss": ("data data", "is a loss"),
    "LSTM": ("data data", "time-major"),
    "LSTMUnit": ("data data data", "time-major"),
    "Log": ("data", "no such function"),
    "MVN": ("data", "its own mean and variance"),
    "MemoryData": ("", "reads a data source"),
    "MultinomialLogisticLoss": ("data data", "is a loss"),
    "Parameter": ("", "hands out weights as a blob"),
    "Python": ("data", "runs code of its own"),
    "RNN": ("data data", "time-major"),
    "Reduction": ("data", "makes a shape"),
    "SPP": ("data", "makes a shape"),
    "SigmoidCrossEntropyLoss": ("data data", "is a loss"),
    "SoftmaxWithLoss": ("data data", "is a loss"),
    "Swish": ("data", "no such function"),
    "Threshold": ("data", "no such function"),
    "WindowData": ("", "reads a data source"),
}


def test_every_layer_type_of_caffe_has_a_verdict() -> None:
    assert registered_types() | HANDLED == HEAD
    assert not registered_types() & HANDLED


def test_every_layer_type_that_converts_has_a_test_that_compares_numbers() -> None:
    tested = {node.type for layers in CONVERTS.values() for node in parse(*layers).layers}
    # an explicit Split as an output: test_structures; MAX and AVE: test_pooling_of_any_window
    assert registered_types() - set(REFUSED) - tested == {"Split", "Pooling"}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_by_name_type_and_reason(name: str) -> None:
    bottoms, words = REFUSED[name]
    text = layer("L", name, bottoms)
    with pytest.raises(UnsupportedError) as caught:
        lay_out_net(parse(data(1, 3, 4, 5), text, layer("ok", "ReLU", "data")))
    (finding,) = caught.value.findings
    assert (finding.where.layer, finding.where.layer_type, finding.where.line) == ("L", name, 2)
    assert words in finding.reason


def test_all_layers_in_the_way_are_named_at_once_even_where_no_graph_can_be_built() -> None:
    layers = [
        layer("d", "Data", "", "data label"),
        *[layer("fork", "Normalize", "data"), layer("f", "InnerProduct", "fork", "f", "inner_product_param { num_output: 2 }")],
        *[layer("m", "MVN", "f"), layer("loss", "SoftmaxWithLoss", "m label")],
    ]
    with pytest.raises(UnsupportedError) as caught:
        lay_out_net(parse(*layers))
    assert [finding.where.layer for finding in caught.value.findings] == ["d", "fork", "m", "loss"]
    assert "not a layer type of BVLC Caffe" in caught.value.findings[1].reason
    assert "4 layers stand in the way" in str(caught.value)


def test_types_that_convert_are_no_findings() -> None:
    net = parse(data(1, 3, 4, 5), layer("s", "Split", "data", "a b"), layer("j", "Concat", "a b"))
    assert check_types(net) == []


def test_a_second_converter_of_a_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="two converters for layer type ReLU"):
        converter("ReLU", becomes="x")(find_converter("ReLU"))
    with pytest.raises(ValueError, match="two converters for layer type MVN"):
        joiner("MVN", becomes="x")(lambda node, name, arms: None)  # type: ignore[arg-type, return-value]  # noqa: ARG005
    with pytest.raises(ValueError, match="two converters for layer type Concat"):
        refuse("Concat", reason="")
