"""Graphs against what real Caffe said of the same nets: shapes, learnable blobs, outputs; and what it refused."""

from __future__ import annotations

import pytest

from caffe2neon.caffe import read_net
from caffe2neon.errors import Caffe2NeonError, GraphError, ParseError
from caffe2neon.graph import build_graph
from tests import golden


@pytest.mark.parametrize("name", golden.names("layer", "net", "formats"))
def test_shapes_learnable_blobs_and_outputs_are_caffes(name: str) -> None:
    case, folder = golden.case(name)
    graph = build_graph(read_net(folder / "net.prototxt"))

    newest = {blob.name: list(blob.shape) for node in graph.nodes for blob in node.tops}
    assert newest == case["shapes"]
    params = {node.layer.name: [list(shape) for shape in node.params] for node in graph.nodes if node.params}
    # Caffe keeps one slope for all channels as a blob without axes
    assert params == case["params"]
    assert [blob.name for blob in graph.outputs] == sorted(case["outputs"])
    assert {blob.name for blob in graph.inputs} == set(case["inputs"])


@pytest.mark.parametrize("name", golden.names("layer", "net", "formats"))
def test_in_place_layers_make_versions(name: str) -> None:
    case, folder = golden.case(name)
    graph = build_graph(read_net(folder / "net.prototxt"))
    in_place = [node.layer.name for node in graph.nodes if any(top.version for top in node.tops)]
    assert in_place == case["inplace"]


#: What Caffe refuses: our error, and what its message must say.
REFUSED: dict[str, tuple[type[Caffe2NeonError], str]] = {
    "refused/absval_inplace": (GraphError, "in place on 'c'"),
    "refused/concat_shape": (GraphError, "agree but for axis 1"),
    "refused/conv_group_not_dividing": (GraphError, "3 input channels do not divide into 2 groups"),
    "refused/conv_kernel_and_kernel_hw": (GraphError, "either kernel_size or kernel_h and kernel_w"),
    "refused/conv_no_kernel": (GraphError, "kernel_size must be given"),
    "refused/conv_num_output_zero": (GraphError, "num_output must be given and positive"),
    "refused/crop_too_large": (GraphError, "out of bounds: 0 + 8 > 6"),
    "refused/duplicate_top": (GraphError, "'c' is produced by several layers"),
    "refused/eltwise_coeff_count": (GraphError, "coefficients for 2 bottoms"),
    "refused/eltwise_prod_coeff": (GraphError, "coefficients go with summation only"),
    "refused/eltwise_shape": (GraphError, "one shape: 1×4×6×7, 1×4×8×9"),
    "refused/flatten_inplace": (GraphError, "in place on 'c'"),
    "refused/include_and_exclude": (ParseError, "include"),
    "refused/inner_product_axis_mismatch": (GraphError, "axis 4 is out of range"),
    "refused/inplace_after_fanout": (GraphError, "'c' in place although another layer reads it"),
    "refused/layer_and_layers_mixed": (ParseError, "layers"),
    "refused/lrn_even_size": (GraphError, "odd values for local_size"),
    "refused/parse_missing_brace": (ParseError, ""),
    "refused/parse_unknown_field": (ParseError, "kernel"),
    "refused/pool_global_with_kernel": (GraphError, "global pooling takes the whole map"),
    "refused/pool_no_kernel": (GraphError, "must be given and positive"),
    "refused/pool_pad_ge_kernel": (GraphError, "must be smaller than kernel"),
    "refused/reshape_count": (GraphError, "different numbers of values"),
    "refused/reshape_inplace": (GraphError, "in place on 'c'"),
    "refused/scale_two_bottoms_shape": (GraphError, "does not fit 1×4×6×7 from axis"),
    "refused/slice_not_even": (GraphError, "do not divide among 2 tops"),
    "refused/softmax_loss_two_loss_weights": (GraphError, "loss_weight"),
    "refused/softmax_loss_two_tops": (GraphError, "loss_weight"),
    "refused/unknown_bottom": (GraphError, "unknown bottom blob 'nope'"),
    "refused/unknown_type": (GraphError, "not a layer type of BVLC Caffe"),
    "odd/eltwise_inplace": (GraphError, "reads what it has already overwritten"),
    "odd/lrn_inplace": (GraphError, "reads what it has already overwritten"),
    "odd/pool_inplace": (GraphError, "reads what it has already overwritten"),
}
#: Builds, in Caffe as here; dies when it computes there, and is refused by the converter here.
BUILDS = {"refused/pool_stochastic", "odd/conv_inplace"}


@pytest.mark.parametrize("name", [name for name in golden.names("refused", "odd") if name not in BUILDS])
def test_what_caffe_refuses_or_computes_wrongly_is_refused(name: str) -> None:
    _, folder = golden.case(name)
    error, words = REFUSED[name]
    with pytest.raises(error) as caught:
        build_graph(read_net(folder / "net.prototxt"))
    assert words in str(caught.value)
    assert caught.value.where.path.endswith("net.prototxt")
    if error is GraphError:
        assert caught.value.where.line > 0
        assert caught.value.where.layer


def test_convolution_in_place_is_as_out_of_place() -> None:
    _, folder = golden.case("odd/conv_inplace")
    graph = build_graph(read_net(folder / "net.prototxt"))
    assert [blob.key for blob in graph.outputs] == ["c#1"]
