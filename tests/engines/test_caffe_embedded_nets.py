"""How the embedded Caffe engine treats a net as a whole: blob versions, shared memory, weights, inputs, batches."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from caffe2neon.caffe.caffe_pb2 import NetParameter
from caffe2neon.engines import open_caffe
from caffe2neon.engines.base import Engine
from caffe2neon.engines.caffe_embedded import open_caffe_embedded
from caffe2neon.errors import EngineError, GraphError, WeightsError
from caffe2neon.records import Array, CaffeLayer, CaffeNet, CaffeWeights, Shape

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }'


def _net(*layers: str) -> CaffeNet:
    parsed = text_format.Parse("\n".join(layers), NetParameter())
    return CaffeNet("", tuple(CaffeLayer(layer, line) for line, layer in enumerate(parsed.layer, 1)), path="net.prototxt")


def _layer(name: str, type_: str, bottoms: str, tops: str, more: str = "") -> str:
    names = [f'bottom: "{bottom}"' for bottom in bottoms.split()] + [f'top: "{top}"' for top in tops.split()]
    return f'layer {{ name: "{name}" type: "{type_}" {" ".join(names)} {more} }}'


def _open(*layers: str, shapes: dict[str, Shape] | None = None, **blobs: tuple[Array, ...]) -> Engine:
    return open_caffe_embedded(_net(*layers), CaffeWeights(blobs, path="net.caffemodel"), threads=1, shapes=shapes)


def _ip(name: str, bottom: str, top: str, more: str = "") -> str:
    return _layer(name, "InnerProduct", bottom, top, f"inner_product_param {{ num_output: 2 bias_term: false }} {more}")


X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
W = np.array([[1, 0, 0], [0, 1, 1]], np.float32)


def test_versions_of_a_blob() -> None:
    relu = _layer("r", "ReLU", "data", "data")
    engine = _open(DATA, relu, _layer("p", "Power", "data", "data", "power_param { shift: 1 }"), _layer("t", "TanH", "data", "t"))
    assert engine.taps == ("data", "data#1", "data#2", "t")
    assert engine.outputs == ("t",)
    blobs = engine.run({"data": X}, engine.taps)
    np.testing.assert_array_equal(blobs["data"], X)
    np.testing.assert_array_equal(blobs["data#1"], np.maximum(X, 0))
    np.testing.assert_array_equal(blobs["data#2"], np.maximum(X, 0) + 1)


def test_outputs_are_in_the_order_of_their_layers_and_named_by_version() -> None:
    engine = _open(DATA, _layer("z", "TanH", "data", "z"), _layer("a", "Sigmoid", "data", "a"), _layer("r", "ReLU", "z", "z"))
    assert engine.outputs == ("a", "z#1")
    assert list(engine.run({"data": X})) == ["a", "z#1"]


def test_an_input_that_nobody_reads_is_an_output() -> None:
    other = 'layer { name: "o" type: "Input" top: "other" input_param { shape { dim: 2 } } }'
    engine = _open(DATA, other, _layer("r", "ReLU", "data", "r"))
    assert engine.outputs == ("other", "r")
    np.testing.assert_array_equal(engine.run({"data": X, "other": X[:, 0]})["other"], X[:, 0])


@pytest.mark.parametrize("sharing", ["Flatten", "Reshape", "Split"])
def test_memory_that_is_overwritten_in_place_is_not_read_under_another_name(sharing: str) -> None:
    more = "reshape_param { shape { dim: 0 dim: -1 } }" if sharing == "Reshape" else ""
    shared = _layer("s", sharing, "data", "s", more)
    with pytest.raises(GraphError, match="shares its memory") as caught:
        _open(DATA, shared, _layer("r", "ReLU", "s", "s"), _layer("t", "TanH", "data", "t"))
    assert caught.value.where.layer == "t"


def test_memory_overwritten_in_place_and_not_read_again_is_fine() -> None:
    engine = _open(DATA, _layer("f", "Flatten", "data", "f"), _layer("r", "ReLU", "f", "f"))
    np.testing.assert_array_equal(engine.run({"data": X})["f#1"], np.maximum(X, 0))


def test_a_blob_with_a_loss_weight_is_not_overwritten_in_place() -> None:
    with pytest.raises(GraphError, match="several layers"):
        _open(DATA, _layer("t", "TanH", "data", "t", "loss_weight: 1"), _layer("r", "ReLU", "t", "t"))


def test_the_same_blob_twice_as_bottom_is_not_overwritten_in_place() -> None:
    product = "eltwise_param { operation: PROD }"
    with pytest.raises(GraphError, match="several layers"):
        _open(DATA, _layer("e", "Eltwise", "data data", "data", product))


def test_a_product_in_place_works_in_caffe() -> None:
    product = "eltwise_param { operation: PROD }"
    other = 'layer { name: "o" type: "Input" top: "o" input_param { shape { dim: 2 dim: 3 } } }'
    engine = _open(DATA, other, _layer("e", "Eltwise", "data o", "data", product))
    np.testing.assert_array_equal(engine.run({"data": X, "o": X})["data#1"], X * X)


def test_legacy_weights_are_reshaped() -> None:
    engine = _open(DATA, _ip("ip", "data", "y"), ip=(W.reshape(1, 1, 2, 3),))
    np.testing.assert_array_equal(engine.run({"data": X})["y"], X @ W.T)


def test_double_and_unaligned_weights() -> None:
    raw = np.zeros(W.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(W.shape)
    unaligned[...] = W
    for weights in (W.astype(np.float64), unaligned):
        np.testing.assert_array_equal(_open(DATA, _ip("ip", "data", "y"), ip=(weights,)).run({"data": X})["y"], X @ W.T)


def test_large_weights() -> None:
    # over a megabyte, they reach ONNX Runtime beside the graph, not in it
    weights = np.random.default_rng(1).standard_normal((100_000, 3)).astype(np.float32)
    ip = _layer("ip", "InnerProduct", "data", "y", "inner_product_param { num_output: 100000 bias_term: false }")
    np.testing.assert_allclose(_open(DATA, ip, ip=(weights,)).run({"data": X})["y"], X @ weights.T, atol=1e-4)


def test_layers_only_in_the_weights_are_ignored() -> None:
    assert _open(DATA, _ip("ip", "data", "y"), ip=(W,), other=(W, W)).outputs == ("y",)


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        ((W.T,), r"\(3, 2\) in the file, \(2, 3\) in the net"),
        ((W.reshape(-1),), r"\(6,\) in the file, \(2, 3\) in the net"),
        ((W, W[:, 0]), r"2 blobs: \(2, 3\), \(2,\) for it, the net has 1 blobs: \(2, 3\)"),
        ((), r"no blobs for it, the net has 1 blobs: \(2, 3\)"),
    ],
    ids=["transposed", "flat", "too_many", "none"],
)
def test_weights_that_do_not_fit(blobs: tuple[Array, ...], message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        _open(DATA, _ip("ip", "data", "y"), ip=blobs)
    where = caught.value.where
    assert (where.layer, where.layer_type, where.path) == ("ip", "InnerProduct", "net.caffemodel")


def test_a_layer_without_weights() -> None:
    with pytest.raises(WeightsError, match=r"has none for this layer.*\(2, 3\)"):
        _open(DATA, _ip("ip", "data", "y"))


def test_weights_for_a_layer_that_takes_none() -> None:
    with pytest.raises(WeightsError, match="the net has no blobs"):
        _open(DATA, _layer("r", "ReLU", "data", "r"), r=(W,))


def test_only_the_first_of_two_layers_of_one_name_gets_weights() -> None:
    with pytest.raises(WeightsError, match="has none"):
        _open(DATA, _ip("ip", "data", "y"), _ip("ip", "data", "z"), ip=(W,))


def test_the_net_is_checked_before_the_weights() -> None:
    with pytest.raises(GraphError, match="unknown bottom"):
        _open(DATA, _ip("ip", "data", "y"), _layer("r", "ReLU", "nope", "r"))
    with pytest.raises(GraphError, match="axis 7"):
        _open(DATA, _ip("ip", "data", "y"), _layer("s", "Softmax", "y", "s", "softmax_param { axis: 7 }"))


def test_shared_parameters_are_the_last_that_the_file_holds() -> None:
    layers = (DATA, _ip("a", "data", "y", 'param { name: "w" }'), _ip("b", "data", "z", 'param { name: "w" }'))
    files: list[tuple[dict[str, tuple[Array, ...]], Array]] = [
        ({"a": (W,)}, W),
        ({"b": (W,)}, W),
        ({"b": (W,), "a": (2 * W,)}, 2 * W),
        ({"a": (W,), "b": (2 * W,)}, 2 * W),
    ]
    for blobs, expected in files:
        computed = open_caffe_embedded(_net(*layers), CaffeWeights(blobs)).run({"data": X})
        np.testing.assert_array_equal(computed["y"], X @ expected.T)
        np.testing.assert_array_equal(computed["z"], X @ expected.T)


def test_parameters_shared_between_different_shapes() -> None:
    first = _ip("a", "data", "y", 'param { name: "w" }')
    second = 'inner_product_param { num_output: 3 bias_term: false } param { name: "w" }'
    with pytest.raises(GraphError, match=r"\(3, 2\) here, but \(2, 3\) in layer 'a'"):
        _open(DATA, first, _layer("b", "InnerProduct", "y", "z", second), a=(W,))
    permissive = second.replace('name: "w"', 'name: "w" share_mode: PERMISSIVE')
    engine = _open(DATA, first, _layer("b", "InnerProduct", "y", "z", permissive), a=(W,))
    np.testing.assert_array_equal(engine.run({"data": X})["z"], X @ W.T @ W.reshape(3, 2).T)


def test_more_params_than_blobs() -> None:
    with pytest.raises(GraphError, match="2 param entries for 1"):
        _open(DATA, _ip("a", "data", "y", "param { lr_mult: 1 } param { lr_mult: 2 }"), a=(W,))


def test_batch() -> None:
    net, weights = _net(DATA, _ip("ip", "data", "y")), CaffeWeights({"ip": (W,)})
    engine = open_caffe(net, weights, batch=5, engine="embedded")
    assert engine.inputs == {"data": (3,)}
    for size in (5, 2, 1):  # others than it was opened for are compiled when they come
        x = np.resize(X, (size, 3))
        np.testing.assert_array_equal(engine.run({"data": x})["y"], x @ W.T)
        np.testing.assert_array_equal(engine.run({"data": x}, ["data"])["data"], x)


def test_batches_that_differ() -> None:
    other = 'layer { name: "o" type: "Input" top: "o" input_param { shape { dim: 2 } } }'
    engine = _open(DATA, other, _layer("r", "ReLU", "data", "r"), _layer("q", "ReLU", "o", "q"))
    with pytest.raises(EngineError, match="batches differ: 3, 4"):
        engine.run({"data": np.zeros((4, 3)), "o": np.zeros(3)})


def test_wrong_inputs_and_taps() -> None:
    engine = _open(DATA, _layer("r", "ReLU", "data", "relu"))
    with pytest.raises(EngineError, match="inputs are data; given are none"):
        engine.run({})
    with pytest.raises(EngineError, match=r"has shape \(2, 4\); the net takes \(2, 3\)"):
        engine.run({"data": np.zeros((2, 4))})
    with pytest.raises(EngineError, match="no blob 'rely'") as caught:
        engine.run({"data": X}, ["rely"])
    assert "relu" in caught.value.remedy


def test_data_layers_are_inputs() -> None:
    data = _layer("d", "Data", "", "data label")
    loss = _layer("l", "SoftmaxWithLoss", "data label", "loss")
    engine = _open(data, loss, shapes={"data": (2, 3), "label": (2,)})
    assert engine.inputs == {"data": (3,), "label": ()}
    assert engine.run({"data": np.zeros((2, 3)), "label": np.zeros(2)})["loss"] == pytest.approx(np.log(3))
    with pytest.raises(EngineError, match="does not say the shape of its input 'data'"):
        _open(data, loss)


def test_memory_data_says_its_shapes() -> None:
    param = "memory_data_param { batch_size: 4 channels: 3 height: 2 width: 1 }"
    engine = _open(_layer("d", "MemoryData", "", "data label", param), _layer("s", "Silence", "label", ""))
    assert engine.inputs == {"data": (3, 2, 1), "label": ()}


def test_window_data_is_an_input() -> None:
    engine = _open(_layer("d", "WindowData", "", "data label"), shapes={"data": (1, 2), "label": (1,)})
    assert engine.outputs == ("data", "label")


@pytest.mark.parametrize("shape", ["shape { dim: 2 dim: 3 }", "num: 2 channels: 3 height: 1 width: 1"], ids=["shape", "legacy"])
def test_dummy_data_is_constant(shape: str) -> None:
    engine = _open(_layer("d", "DummyData", "", "d", f'dummy_data_param {{ {shape} data_filler {{ value: 7 }} }}'))
    assert np.all(engine.run({})["d"] == 7)
    assert engine.run({})["d"].shape[:2] == (2, 3)


def test_random_dummy_data() -> None:
    with pytest.raises(EngineError, match="random"):
        _open(_layer("d", "DummyData", "", "d", 'dummy_data_param { shape { dim: 2 } data_filler { type: "gaussian" } }'))


def test_dropout_in_training() -> None:
    with pytest.raises(EngineError, match="random"):
        _open(DATA, _layer("d", "Dropout", "data", "data", "phase: TRAIN"))


def test_unknown_type() -> None:
    with pytest.raises(EngineError, match="'Python'") as caught:
        _open(DATA, _layer("p", "Python", "data", "p"))
    assert (caught.value.where.layer, caught.value.where.line) == ("p", 2)


def test_a_loss_without_a_top() -> None:
    loss = _layer("l", "EuclideanLoss", "r t", "")
    engine = _open(DATA, _layer("r", "ReLU", "data", "r"), _layer("t", "TanH", "data", "t"), loss)
    assert engine.outputs == ()
    assert engine.run({"data": X}, ["t"])["t"].shape == (2, 3)


def test_engines_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAFFE2NEON_CAFFE_PYTHON", raising=False)
    net = _net(DATA, _layer("r", "ReLU", "data", "r"))
    engine = open_caffe(net, CaffeWeights({}), engine="embedded")
    assert engine.name == "caffe-embedded"
    assert engine.version.startswith("ONNX Runtime ")
    with pytest.raises(EngineError, match="no interpreter") as caught:
        open_caffe(net, CaffeWeights({}), engine="caffe")
    assert "CAFFE2NEON_CAFFE_PYTHON" in caught.value.remedy
    with pytest.raises(EngineError, match="no Caffe engine 'torch'"):
        open_caffe(net, CaffeWeights({}), engine="torch")
