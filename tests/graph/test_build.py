"""Blob versions, in-place layers, shared memory."""

from __future__ import annotations

import pytest

from caffe2neon.errors import GraphError
from caffe2neon.graph import build_graph
from caffe2neon.records import Graph
from tests.nets import conv, data, layer, parse


def _graph(*layers: str) -> Graph:
    return build_graph(parse(*layers))


def _wiring(graph: Graph) -> dict[str, str]:
    return {
        node.layer.name: f"{' '.join(blob.key for blob in node.bottoms)} -> {' '.join(blob.key for blob in node.tops)}"
        for node in graph.nodes
    }


@pytest.mark.parametrize("join", ["Concat", "Eltwise"])
def test_in_place_after_a_join(join: str) -> None:
    graph = _graph(data(1, 2, 4, 4), conv("a", "data", 2), layer("j", join, "a data"), layer("r", "ReLU", "j", "j"))
    assert _wiring(graph)["j"] == "a data -> j"
    assert _wiring(graph)["r"] == "j -> j#1"
    assert [blob.key for blob in graph.outputs] == ["j#1"]


def test_several_layers_in_place_one_after_the_other() -> None:
    chain = [layer(type_, type_, "c", "c") for type_ in ("BatchNorm", "Scale", "ReLU", "Dropout")]
    graph = _graph(data(1, 2, 4, 4), conv("c", "data", 3), *chain, conv("e", "c", 2))
    assert list(_wiring(graph).values())[1:] == ["data -> c", "c -> c#1", "c#1 -> c#2", "c#2 -> c#3", "c#3 -> c#4", "c#4 -> e"]


def test_in_place_on_the_input() -> None:
    graph = _graph(data(1, 2, 4, 4), layer("r", "ReLU", "data", "data"), conv("c", "data", 2))
    assert _wiring(graph) == {"data": " -> data", "r": "data -> data#1", "c": "data#1 -> c"}
    assert [blob.key for blob in graph.inputs] == ["data"]


def test_readers_before_and_after_an_in_place_layer_see_different_versions() -> None:
    graph = _graph(data(1, 2, 4, 4), conv("c", "data", 2), layer("r", "ReLU", "c", "c"), conv("d", "c", 2), conv("e", "c", 2))
    assert _wiring(graph)["r"] == "c -> c#1"
    assert _wiring(graph)["d"] == "c#1 -> d"
    assert _wiring(graph)["e"] == "c#1 -> e"


def test_a_blob_read_by_one_layer_cannot_be_overwritten_by_a_later_one() -> None:
    with pytest.raises(GraphError, match="produced by multiple sources") as caught:
        _graph(data(1, 2, 4, 4), conv("c", "data", 2), conv("d", "c", 2), layer("r", "ReLU", "c", "c"))
    assert caught.value.where.layer == "r"


def test_a_layer_may_read_one_blob_twice() -> None:
    graph = _graph(data(1, 2, 4, 4), layer("e", "Eltwise", "data data"))
    assert _wiring(graph)["e"] == "data data -> e"


def test_outputs_are_what_nobody_reads_by_name() -> None:
    label = data(1, name="label")
    graph = _graph(data(1, 2, 4, 4), conv("z", "data", 2), conv("a", "data", 2), layer("r", "ReLU", "z", "z"), label)
    assert [blob.key for blob in graph.outputs] == ["a", "label", "z#1"]
    assert [blob.key for blob in graph.inputs] == ["data", "label"]


@pytest.mark.parametrize(
    "sharing",
    [
        layer("s", "Flatten", "data"),
        layer("s", "Reshape", "data", "s", "reshape_param { shape { dim: 0 dim: -1 } }"),
        layer("s", "Split", "data", "s t"),
        layer("s", "Concat", "data"),
        layer("s", "Slice", "data"),
    ],
    ids=["Flatten", "Reshape", "Split", "Concat of one", "Slice into one"],
)
def test_memory_overwritten_under_another_name_is_not_read_again(sharing: str) -> None:
    with pytest.raises(GraphError, match="shares its memory with one that layer 'r' overwrites in place") as caught:
        _graph(data(1, 2, 4, 4), sharing, layer("r", "ReLU", "s", "s"), layer("late", "TanH", "data"))
    assert caught.value.where.layer == "late"


def test_memory_overwritten_under_another_name_is_no_output() -> None:
    with pytest.raises(GraphError, match="blob 't' shares its memory"):
        _graph(data(1, 2, 4, 4), layer("s", "Split", "data", "s t"), layer("r", "ReLU", "s", "s"))


def test_memory_overwritten_and_not_read_again_is_fine() -> None:
    graph = _graph(data(1, 2, 4, 4), layer("early", "TanH", "data"), layer("f", "Flatten", "data"), layer("r", "ReLU", "f", "f"))
    assert [blob.key for blob in graph.outputs] == ["early", "f#1"]


def test_a_concat_of_several_has_memory_of_its_own() -> None:
    _graph(data(1, 2, 4, 4), layer("s", "Concat", "data data"), layer("r", "ReLU", "s", "s"), layer("late", "TanH", "data"))


@pytest.mark.parametrize(
    ("kind", "more", "blobs"),
    [
        ("ReLU", "", 0),
        ("InnerProduct", "inner_product_param { num_output: 3 }", 2),
        ("InnerProduct", "inner_product_param { num_output: 3 bias_term: false }", 1),
        ("Convolution", "convolution_param { num_output: 3 kernel_size: 1 }", 2),
        ("Deconvolution", "convolution_param { num_output: 3 kernel_size: 1 bias_term: false }", 1),
        ("BatchNorm", "", 3),
        ("Scale", "scale_param { bias_term: true }", 2),
        ("PReLU", "", 1),
    ],
)
def test_more_param_than_learnable_blobs_is_refused(kind: str, more: str, blobs: int) -> None:
    """net.cpp, Net::Init: CHECK_LE(param_size, num_param_blobs); fewer are fine."""
    for count in range(blobs + 1):
        _graph(data(1, 2, 4, 4), layer("L", kind, "data", "L", more + " param { lr_mult: 2 }" * count))
    with pytest.raises(GraphError, match=f"has {blobs + 1} `param` .*, but {blobs} learnable blob") as caught:
        _graph(data(1, 2, 4, 4), layer("L", kind, "data", "L", more + " param { lr_mult: 2 }" * (blobs + 1)))
    assert (caught.value.where.layer, caught.value.where.line) == ("L", 2)
    assert caught.value.where.path.endswith("net.prototxt")


_MAX = 2**31 - 1


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ([data(1, 2), layer("L", "InnerProduct", "data", "L", f"inner_product_param {{ num_output: {_MAX // 2 + 1} }}")], "blob"),
        ([data(65536, 1), layer("L", "InnerProduct", "data", "L", "inner_product_param { num_output: 32768 }")], "output"),
        ([data(1, 4, 2, 2), conv("L", "data", 4000000000)], "output"),
        ([data(1, 64, 9, 9), conv("L", "data", 8, "kernel_size: 2048 pad: 2047")], "blob"),
        ([data(3, 1 << 15, 1 << 15, name="L")], "output"),
        ([data(1 << 62, name="L")], "output"),
        ([data(1, 1 << 16), layer("L", "Tile", "data", "L", "tile_param { tiles: 32768 }")], "output"),
    ],
    ids=["weights", "product's output", "num_output over int", "filters", "input", "one size", "tiles"],
)
def test_more_values_than_an_int_counts_are_refused(net: list[str], words: str) -> None:
    """blob.cpp, Blob::Reshape: "blob size exceeds INT_MAX"."""
    with pytest.raises(GraphError, match=f"its (learnable )?{words} would be .*at most 2,147,483,647 values") as caught:
        _graph(*net)
    assert caught.value.where.layer == "L"
    assert caught.value.remedy


def test_as_many_values_as_an_int_counts_are_fine() -> None:
    _graph(data(1, 1), layer("L", "InnerProduct", "data", "L", f"inner_product_param {{ num_output: {_MAX} }}"))
    _graph(data(_MAX, name="all"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (layer("L", "Concat", "data data", "L", "concat_param { concat_dim: 7 }"), "axis 7 is out of range"),
        (layer("L", "Slice", "data", "a b", "slice_param { slice_dim: 9 }"), "axis 9 is out of range"),
        (layer("L", "Slice", "data", "a b", "slice_param { slice_point: 5 }"), "slice points must grow"),
        (layer("L", "Accuracy", "data data", "L", "accuracy_param { axis: 6 }"), "axis 6 is out of range"),
        (layer("L", "Flatten", "data", "L", "flatten_param { axis: 3 end_axis: 1 }"), "end_axis 1 comes before axis 3"),
        (layer("L", "Reshape", "data", "L", "reshape_param { num_axes: -2 shape { dim: 1 } }"), "num_axes is -2"),
        (layer("L", "Scale", "data", "L", "scale_param { num_axes: -2 }"), "num_axes is -2"),
        (layer("L", "Pooling", "data", "L", "pooling_param { kernel_size: 2 stride_h: 2 }"), "stride_h and stride_w go together"),
        (layer("L", "Pooling", "data", "L", "pooling_param { kernel_size: 5 round_mode: FLOOR }"), "larger than the padded map"),
        (layer("L", "PReLU", "scalars"), "needs channels on axis 1"),
        (layer("L", "Im2col", "scalars", "L", "convolution_param { kernel_size: 1 }"), "no spatial axes"),
        (layer("L", "BatchReindex", "data data"), "along one axis"),
        (layer("L", "LRN", "scalars"), "4 axes"),
        ('layer { name: "L" type: "DummyData" top: "a" dummy_data_param { num: 1 num: 2 channels: 1 } }', "num, channels, height"),
        (data(1, name="L").replace("shape", "shape { dim: 1 } shape").replace("top", 'top: "a" top: "b" top'), "2 shapes for 3"),
        (conv("L", "data", 2, "kernel_size: 9"), "would be empty"),
        (layer("L", "Convolution", "data", "L other", "convolution_param { num_output: 1 kernel_size: 1 }"), "2 tops, makes 1"),
        (layer("L", "ReLU", "data data"), "takes 1 bottom"),
        (layer("L", "Parameter", "data"), "not known from the net definition alone"),
    ],
)
def test_what_caffe_refuses_is_an_error_of_ours(text: str, words: str) -> None:
    with pytest.raises(GraphError) as caught:
        _graph(data(1, 2, 4, 4), data(1, name="scalars"), text)
    assert words in str(caught.value)
    assert caught.value.where.layer == "L"


def test_dummy_data_in_its_old_form() -> None:
    sizes = "num: 2 channels: 3 channels: 1 height: 4 width: 5"
    graph = _graph(f'layer {{ name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {{ {sizes} }} }}')
    assert [blob.shape for blob in graph.inputs] == [(2, 3, 4, 5), (2, 1, 4, 5)]
