"""What ONNX Runtime is kept from."""

from __future__ import annotations

import numpy as np
import pytest

from caffe2neon.caffe import net_text
from caffe2neon.engines.caffe_embedded import open_caffe_embedded
from caffe2neon.engines.onnx_graph import OnnxGraph
from caffe2neon.errors import EngineError
from tests.convert.nets import noise, random_weights, reference
from tests.nets import conv, data, layer, parse


def test_a_convolution_that_is_an_output_and_added_to_another(capfd: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime 1.32 fuses the sum into the convolution, and then misses the output that it took away."""
    net = parse(
        data(2, 2, 5, 5),
        conv("conv1", "data", 2),
        layer("slice2", "Slice", "conv1", "slice2a slice2b", "slice_param { slice_point: 1 }"),
        conv("conv3", "slice2a", 2),
        layer("conc4", "Concat", "conv3 conv3 conv3"),
        conv("conv5", "slice2b", 3),
        layer("conc6", "Concat", "conc4 conv5"),
        layer("relu7", "ReLU", "conc6"),
        conv("conv8", "relu7", 2),
        layer("split9", "Split", "conv8", "split9a split9b"),
        conv("conv10", "relu7", 2),
        layer("sum11", "Eltwise", "split9a conv10"),
        layer("conc12", "Concat", "sum11 conc6"),
        layer("ip13", "InnerProduct", "conc12", "ip13", "inner_product_param { num_output: 3 }"),
    )
    weights, x = random_weights(net), noise((2, 2, 5, 5))
    outputs = open_caffe_embedded(net, weights, batch=2, threads=1).run({"data": x})
    alone = reference(parse(net_text(net).partition('layer {\n  name: "split9"')[0]), weights, x)["conv8"]
    np.testing.assert_allclose(outputs["split9b"], alone, atol=1e-6)
    assert capfd.readouterr().out == ""


def test_what_it_refuses_for_good_is_an_error_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    graph = OnnxGraph()
    x = graph.input("x", (1, 2, 5, 5))
    bad = graph.add("Nonsense", x)
    with pytest.raises(EngineError, match="refuses the translated net"):
        graph.session([bad])
    assert capfd.readouterr().out == ""
