"""Structures: heads, names, the trace, notes, and that the same net gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe2neon.convert import convert
from caffe2neon.engines import open_neon
from caffe2neon.errors import UnsupportedError
from caffe2neon.neon import write_prm
from caffe2neon.records import CaffeNet, NeonContainer, NeonLayer, NeonModel
from caffe2neon.single import lay_out_net
from tests.convert.nets import assert_close, assert_converts, converted, noise, random_weights, reference
from tests.convert.real_neon import run_in_neon
from tests.nets import conv, data, layer, parse

DATA = data(2, 3, 6, 6)
_BIASED = "scale_param { bias_term: true }"
_THREE = "inner_product_param { num_output: 3 }"
NETS = {
    "heads from one blob": [DATA, conv("a", "data", 4), *[conv(f"h{i}", "a", 2) for i in range(3)]],
    "heads from the input": [DATA, conv("h1", "data", 2), layer("h2", "TanH", "data"), conv("h3", "data", 4)],
    "a head with BatchNorm": [DATA, layer("h", "BatchNorm", "data"), layer("s", "Scale", "h", "s", _BIASED), conv("a", "data", 2)],
    "a head with BatchNorm of features": [
        *[data(2, 5), layer("h", "BatchNorm", "data"), layer("a", "InnerProduct", "data", "a", _THREE)],
    ],
    "a head with Dropout and PReLU in a fork": [
        *[DATA, conv("b", "data", 3), layer("d", "Dropout", "b", "b"), layer("p", "PReLU", "data"), layer("h", "Eltwise", "p b")],
        *[layer("g", "Scale", "h", "g", _BIASED), conv("a", "data", 2)],
    ],
    "a head that adds with coefficients": [
        *[DATA, conv("b", "data", 3), layer("h", "Eltwise", "b data", "h", "eltwise_param { coeff: 2 coeff: -1 }")],
        conv("a", "data", 2),
    ],
    "a trunk that works in place behind a head": [
        *[DATA, conv("a", "data", 4), conv("h", "a", 2), layer("r", "ReLU", "a"), conv("b", "r", 2)],
    ],
    "an explicit Split whose top is an output": [DATA, conv("a", "data", 2), layer("s", "Split", "a", "s t"), conv("b", "s", 2)],
    "an input that forks at once, into a sum": [DATA, conv("a", "data", 4), conv("b", "data", 4), layer("j", "Eltwise", "a b")],
    "two layers of one name": [DATA, conv("x", "data", 2), layer("x", "ReLU", "x", "y"), layer("x", "TanH", "y", "z")],
    "a layer named as the bias of another": [
        *[DATA, conv("x", "data", 2), layer("x_bias", "TanH", "x"), conv("x_bias#2", "x_bias", 2)],
    ],
    "a Slice whose tops are named as layers": [
        *[DATA, layer("s", "Slice", "data", "a b", "slice_param { slice_point: 1 }"), layer("s_a", "TanH", "a")],
        layer("s_b", "Concat", "s_a b"),
    ],
}


def _net(name: str) -> CaffeNet:
    return parse(*NETS[name])


def _names(container: NeonContainer) -> list[str]:
    names = []
    for item in container.layers:
        names += [item.name, *(_names(item) if isinstance(item, NeonContainer) else [])]
    return names


@pytest.mark.parametrize("name", NETS)
def test_computes_what_caffe_does_and_its_names_are_unique(name: str) -> None:
    model = assert_converts(_net(name))
    names = [name for name in _names(model.root) if "@" not in name]  # a BranchNode begins both of its branches
    assert len(names) == len(set(names))


@pytest.mark.neon
def test_real_neon_computes_what_caffe_does(neon_python: str, tmp_path: Path) -> None:
    models: dict[str, tuple[NeonModel, np.ndarray]] = {}
    for name in NETS:
        net = _net(name)
        models[name] = (converted(net, random_weights(net)), noise((2, 5) if "features" in name else (2, 3, 6, 6)))
    for name, outputs in run_in_neon(neon_python, models, tmp_path).items():
        assert not isinstance(outputs, str), f"{name}: {outputs}"
        assert_close(outputs, reference(_net(name), random_weights(_net(name)), models[name][1]))


def test_a_layer_that_changes_no_number_at_all_still_gives_a_model() -> None:
    """A Sequential begins with a layer that owns its output."""
    model = assert_converts(parse(DATA, layer("f", "Flatten", "data")))
    assert [item.kind for item in model.root.walk()] == ["SkipNode"]


def test_the_trace_says_which_layer_computes_which_blob() -> None:
    net = parse(
        *[DATA, conv("a", "data", 4), layer("r", "ReLU", "a", "a"), conv("b", "a", 4, "kernel_size: 1 bias_term: false")],
        *[layer("j", "Eltwise", "a b"), layer("p", "Pooling", "j", "p", "pooling_param { kernel_size: 2 stride: 2 }")],
        layer("f", "InnerProduct", "p", "f", _THREE),
    )
    model = converted(net, random_weights(net))
    # b adds to what the first arm left in the sum's buffer: its output is no blob
    expected = [["a", "a_bias"], ["a#1", "r"], ["j", "j"], ["p", "p"], ["f", "f_bias"]]
    assert model.meta["trace"] == expected
    assert model.meta["inputs"] == ["data"]
    assert model.meta["outputs"] == ["f"]


@pytest.mark.parametrize("name", NETS)
def test_every_traced_layer_is_there(name: str, tmp_path: Path) -> None:
    model = converted(_net(name), random_weights(_net(name)))
    write_prm(model, tmp_path / "net.prm")
    taps = open_neon(tmp_path / "net.prm", engine="embedded", threads=1).taps
    assert {layer for _, layer in model.meta["trace"]} <= set(taps)


@pytest.mark.parametrize("name", NETS)
def test_converting_twice_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    for file in ("one.prm", "two.prm"):
        write_prm(converted(_net(name), random_weights(_net(name))), tmp_path / file)
    assert (tmp_path / "one.prm").read_bytes() == (tmp_path / "two.prm").read_bytes()


def test_branch_nodes_of_two_models_have_different_names() -> None:
    """neon keeps one BranchNode a name and process: two models loaded into one would read each other's blobs."""
    nodes = []
    for more in ("", "# another file"):
        net = parse(*NETS["heads from one blob"], more)
        model = converted(net, random_weights(net))
        nodes.append({item.name for item in model.root.walk() if item.kind == "BranchNode"})
    assert len(nodes[0]) == len(nodes[1]) == 1
    assert nodes[0] != nodes[1]


def test_notes_say_what_serves_inference_only() -> None:
    net = parse(DATA, layer("s", "Scale", "data"), layer("p", "PReLU", "s"))
    notes = converted(net, random_weights(net)).meta["notes"]
    assert [note.partition(":")[0] for note in notes] == ["s", "p"]
    assert all("inference only" in note for note in notes)


def test_a_model_says_how_it_was_made() -> None:
    net = parse(DATA, conv("a", "data", 2))
    model = convert(lay_out_net(net), random_weights(net), source={"prototxt": {"name": "net.prototxt"}})
    assert model.input_shape == (3, 6, 6)
    assert model.header["backend"] == {"compat_mode": "caffe"}
    assert model.header["cost"] is None
    assert model.header["neon_version"] == "1.4.0"
    assert model.meta["source"] == {"prototxt": {"name": "net.prototxt"}}
    assert all(isinstance(item, NeonLayer) for item in model.root.walk())


_SAME = "pooling_param { kernel_size: 3 pad: 1 }"
#: Forks at the end of an arm of a fork inside an arm.
_DEEP = {
    "arms of a wrapped arm": [
        *[DATA, layer("s", "Slice", "data", "a b", "slice_param { slice_point: 1 }"), conv("c", "a", 3), conv("d", "a", 3)],
        *[layer("e", "Eltwise", "c d"), layer("k", "Concat", "e d"), layer("j", "Concat", "k b")],
    ],
    "PReLU": [
        *[DATA, layer("s", "Slice", "data", "a b", "slice_param { slice_point: 1 }"), layer("p", "PReLU", "a")],
        *[layer("k", "Concat", "p b"), conv("c", "k", 2), layer("j", "Concat", "c data")],
    ],
    "sums of sums": [
        *[DATA, layer("h", "TanH", "data"), layer("e", "Eltwise", "h h", "e", "eltwise_param { coeff: 2 coeff: 0.5 }")],
        *[layer("k", "Eltwise", "e data"), conv("c", "k", 3), layer("j", "Eltwise", "c data")],
    ],
}


@pytest.mark.parametrize("name", _DEEP)
def test_forks_three_deep(name: str) -> None:
    assert_converts(parse(*_DEEP[name]))


#: Inner forks that pool: they run on the trunk, beside what the outer fork starts from.
_POOLING_INSIDE = {
    "concat in a concat, a convolution behind": [
        *[DATA, conv("s", "data", 4), conv("a", "s", 3), layer("m", "Pooling", "s", "m", _SAME), conv("b", "m", 2)],
        *[layer("k", "Concat", "a b"), conv("c", "k", 3), layer("j", "Concat", "c s")],
    ],
    "sum in a concat": [
        *[DATA, conv("s", "data", 4), conv("a", "s", 4), layer("m", "Pooling", "a", "m", _SAME), conv("d", "s", 2)],
        *[layer("e", "Eltwise", "s m", "e", "eltwise_param { coeff: 2 coeff: -1 }"), layer("r", "ReLU", "e", "r")],
        layer("j", "Concat", "r d"),
    ],
    "concat in a sum, layers before it": [
        *[DATA, conv("s", "data", 4), conv("p", "s", 3), layer("r", "ReLU", "p", "p"), conv("a", "p", 3)],
        *[layer("m", "Pooling", "p", "m", _SAME), layer("k", "Concat", "a m"), conv("c", "k", 4), layer("j", "Eltwise", "s c")],
    ],
    "three deep": [
        *[DATA, conv("s", "data", 3), layer("m", "Pooling", "s", "m", _SAME), layer("k", "Concat", "m s"), conv("c", "k", 3)],
        *[layer("e", "Eltwise", "c s"), conv("d", "e", 3), layer("j", "Concat", "d s")],
    ],
}


@pytest.mark.parametrize("name", _POOLING_INSIDE)
def test_an_inner_fork_that_pools_runs_on_the_trunk(name: str) -> None:
    assert_converts(parse(*_POOLING_INSIDE[name]))


def test_an_inner_fork_that_pools_to_another_size_is_refused_by_name() -> None:
    half = "pooling_param { kernel_size: 2 stride: 2 }"
    net = parse(
        *[DATA, layer("m", "Pooling", "data", "m", half), conv("a", "m", 2), layer("k", "Concat", "a m"), conv("c", "k", 3)],
        *[layer("n", "Pooling", "data", "n", half), layer("j", "Concat", "c n")],
    )
    with pytest.raises(UnsupportedError, match="'k'"):
        converted(net, random_weights(net))


@pytest.mark.parametrize("shift", [layer("b", "Bias", "data"), layer("b", "Power", "data", "b", "power_param { shift: 2 }")])
def test_a_bias_of_flat_input(shift: str) -> None:
    assert_converts(parse(data(2, 5), shift, layer("f", "InnerProduct", "b", "f", _THREE)))
