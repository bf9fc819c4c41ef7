"""Which weights a net takes, and everything that can be wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe2neon.convert import check, convert
from caffe2neon.errors import GraphError, UnsupportedError, WeightsError
from caffe2neon.graph import build_graph, simplify
from caffe2neon.records import Array, CaffeNet, CaffeWeights, materialize
from caffe2neon.single import lay_out_net
from tests.convert.nets import assert_converts, converted, random_weights
from tests.nets import conv, data, layer, parse

LAYERS = [data(1, 3, 4, 4), conv("c", "data", 2), layer("f", "InnerProduct", "c", "f", "inner_product_param { num_output: 5 }")]
NET = parse(*LAYERS)


def _blob(*shape: int) -> Array:
    return np.ones(shape, np.float32)


GOOD: dict[str, tuple[Array, ...]] = {"c": (_blob(2, 3, 1, 1), _blob(2)), "f": (_blob(5, 32), _blob(5))}


def _refused(**changes: tuple[Array, ...] | None) -> WeightsError:
    blobs = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(WeightsError) as caught:
        converted(NET, CaffeWeights(blobs, path="net.caffemodel"))
    assert caught.value.where.path == "net.caffemodel"
    assert "another net" in caught.value.remedy
    return caught.value


@pytest.mark.parametrize("given", [None, ()], ids=["not in the file", "no blobs"])
def test_a_layer_without_weights(given: tuple[Array, ...] | None) -> None:
    error = _refused(c=given)
    assert error.message == "has no weights in this file"
    assert (error.where.layer, error.where.layer_type) == ("c", "Convolution")


@pytest.mark.parametrize("given", [(_blob(5, 32),), (_blob(5, 32), _blob(5), _blob(5))], ids=["too few", "too many"])
def test_a_wrong_count(given: tuple[Array, ...]) -> None:
    error = _refused(f=given)
    assert error.message == f"needs 2 blob(s), the file has {len(given)}"
    assert error.where.layer == "f"


def test_a_wrong_shape_of_as_many_values() -> None:
    error = _refused(f=(_blob(32, 5), _blob(5)))
    assert error.message == "blob 0 should be 5×32, the file has 32×5"


def test_a_wrong_shape_of_a_bias() -> None:
    assert _refused(c=(_blob(2, 3, 1, 1), _blob(3))).message == "blob 1 should be 2, the file has 3"


def test_all_layers_that_do_not_fit_are_named_at_once() -> None:
    error = _refused(c=None, f=(_blob(5, 31), _blob(5)))
    assert error.message == (
        "2 layers do not fit the net:"
        "\n  layer 'c' (Convolution): has no weights in this file"
        "\n  layer 'f' (InnerProduct): blob 0 should be 5×32, the file has 5×31"
    )


def test_legacy_shapes_fit() -> None:
    """V0 and V1 files: four axes always, (1, 1, N, K) and (1, 1, 1, N)."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(1, 1, 5, 32)).astype(np.float32), rng.normal(size=(1, 1, 1, 5)).astype(np.float32)
    model = converted(NET, CaffeWeights({**GOOD, "f": (weight, bias)}))
    written = {item.name: item for item in model.root.walk()}
    np.testing.assert_array_equal(materialize(written["f"].params["W"]), weight[0, 0])
    np.testing.assert_array_equal(materialize(written["f_bias"].params["W"]), bias.reshape(5, 1))


def test_layers_that_only_the_file_has_are_ignored() -> None:
    extra = {"data": (), "label_split": (), "loss": (), "aux": (_blob(7),)}
    converted(NET, CaffeWeights({**GOOD, **extra}))


def test_a_layer_without_weights_of_its_own_may_have_some_in_the_file() -> None:
    net = parse(*LAYERS, layer("r", "ReLU", "f", "f"))
    converted(net, CaffeWeights({**GOOD, "r": (_blob(3),)}))


def _tied(name: str, bottom: str) -> str:
    tied = 'param { name: "w" } param { name: "b" } inner_product_param { num_output: 6 }'
    return layer(name, "InnerProduct", bottom, name, tied)


@pytest.mark.parametrize("held", ["a", "c", "ac", "ca"])
def test_layers_that_share_parameters_get_those_that_the_file_has_last(held: str) -> None:
    net = parse(data(1, 6), _tied("a", "data"), layer("r", "ReLU", "a", "a"), _tied("c", "a"))
    blobs = random_weights(net).blobs
    model = assert_converts(net, CaffeWeights({name: blobs[name] for name in held}))
    assert model.meta["notes"] == ["c: a copy of the weights it shares with a, which serves inference only"]
    written = {item.name: item for item in model.root.walk()}
    for name in "ac":
        np.testing.assert_array_equal(materialize(written[name].params["W"]), blobs[held[-1]][0])


def test_a_shared_parameter_of_another_shape() -> None:
    def wide(more: str) -> CaffeNet:
        return parse(data(1, 4), layer("a", "InnerProduct", "data", "a", _WIDE), layer("c", "InnerProduct", "a", "c", _TALL % more))

    with pytest.raises(GraphError, match="parameter 'w' is 4×6 here, but 6×4 in layer 'a'"):
        build_graph(wide(""))
    net = wide("share_mode: PERMISSIVE")
    assert_converts(net, CaffeWeights({"a": random_weights(net).blobs["a"]}))


_WIDE = 'param { name: "w" } inner_product_param { num_output: 6 bias_term: false }'
_TALL = 'param { name: "w" %s } inner_product_param { num_output: 4 bias_term: false }'


def test_a_layer_that_shares_some_of_its_weights_still_needs_the_others() -> None:
    net = parse(data(1, 4), layer("a", "InnerProduct", "data", "a", _WIDE), layer("c", "InnerProduct", "data", "c", _HALF))
    with pytest.raises(WeightsError, match="has no weights in this file"):
        converted(net, CaffeWeights({"a": random_weights(net).blobs["a"]}))


_HALF = 'param { name: "w" } inner_product_param { num_output: 6 }'


def test_doubles_become_floats_when_written() -> None:
    model = converted(NET, CaffeWeights({name: tuple(b.astype(np.float64) for b in blobs) for name, blobs in GOOD.items()}))
    for item in model.root.walk():
        for value in item.params.values():
            made = materialize(value)
            assert made.dtype == np.float32
            assert made.shape == value.shape


def test_two_layers_of_one_name_with_weights_are_refused() -> None:
    """Caffe loads the weights of both into the first, and leaves the second as its filler made it."""
    net = parse(data(1, 2, 4, 4), conv("c", "data", 2), layer("c", "PReLU", "c", "p"))
    with pytest.raises(WeightsError, match="the name of an earlier layer with weights"):
        converted(net, CaffeWeights({"c": (_blob(2, 2, 1, 1), _blob(2))}))


class _Untouchable:
    """A blob that has a shape, and no values to look at."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise AssertionError("somebody looked at the weights")


def _untouchable(layers: list[str]) -> CaffeWeights:
    graph = build_graph(parse(*layers))
    return CaffeWeights({n.layer.name: tuple(_Untouchable(*s) for s in n.params) for n in graph.nodes if n.params})  # type: ignore[misc]


def test_converting_reads_no_values() -> None:
    """They are read when the file is written, so that a big model never lies in memory twice."""
    layers = [
        *[*LAYERS[:2], layer("b", "BatchNorm", "c"), layer("s", "Scale", "b"), layer("p", "PReLU", "s"), layer("i", "Bias", "p")],
        conv("g", "i", 4, "kernel_size: 3 group: 2 dilation: 1"),
        layer("d", "Deconvolution", "g", "d", "convolution_param { num_output: 4 kernel_size: 2 group: 4 }"),
        layer("head", "BatchNorm", "g"),
        layer("f", "InnerProduct", "d", "f", "inner_product_param { num_output: 5 transpose: true }"),
    ]
    model = convert(lay_out_net(parse(*layers)), _untouchable(layers))
    assert len(list(model.root.walk())) > 12


def test_unsupported_layers_are_refused_before_weights_are_looked_at() -> None:
    layers = [*LAYERS, layer("m", "MVN", "f"), layer("a", "ArgMax", "m")]
    graph = simplify(build_graph(parse(*layers)))
    assert [finding.where.layer for finding in check(graph)] == ["m", "a"]
    with pytest.raises(UnsupportedError, match="MVN"):
        lay_out_net(parse(*layers))


def test_without_weights_a_model_has_zeros() -> None:
    model = convert(lay_out_net(NET))
    assert [materialize(item.params["W"]).shape for item in model.root.walk()] == [(3, 2), (2, 1), (5, 32), (5, 1)]
    assert not any(materialize(item.params["W"]).any() for item in model.root.walk())


def test_weights_are_matched_by_name_and_not_by_order() -> None:
    weights = random_weights(NET)
    turned = CaffeWeights(dict(reversed(list(weights.blobs.items()))))
    first, second = (
        [materialize(item.params["W"]).tolist() for item in converted(NET, each).root.walk()] for each in (weights, turned)
    )
    assert first == second


@pytest.mark.parametrize("shape", [(1, 2), (1, 1, 2), (2, 1)])
def test_only_the_four_dimensions_of_old_files_may_have_ones_before(shape: tuple[int, ...]) -> None:
    """``Blob::ShapeEquals``: a bias of 2 may be 1×1×1×2, nothing else."""
    converted(NET, CaffeWeights({**GOOD, "c": (_blob(2, 3, 1, 1), _blob(1, 1, 1, 2))}, path="net.caffemodel"))
    assert "blob 1" in str(_refused(c=(_blob(2, 3, 1, 1), _blob(*shape))))


def test_dropout_of_a_phase_of_its_own_is_refused() -> None:
    net = parse(data(1, 3, 4, 4), layer("d", "Dropout", "data", "d", "phase: TRAIN"))
    with pytest.raises(UnsupportedError, match="drops at inference"):
        converted(net, CaffeWeights({}))
