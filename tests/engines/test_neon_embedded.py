"""The embedded neon engine: all recorded outputs and refusals of the real neon, and plain loops where none was recorded.

Tolerance everywhere: max |difference| <= 1e-5 * max(1, max |reference|).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from caffe2neon.engines import open_neon
from caffe2neon.engines.neon_embedded import open_neon_embedded
from caffe2neon.engines.neon_embedded.base import LAYERS
from caffe2neon.errors import Caffe2NeonError, EngineError, PrmError
from caffe2neon.neon.classes import arguments
from caffe2neon.records import Array
from tests.conftest import SHARED, shared
from tests.engines.neon_models import activation, container, layer, saved, sequential, weighted

_CASES_FILE = SHARED / "golden" / "neon" / "cases.json"
CASES: dict[str, Any] = json.loads(_CASES_FILE.read_text())["cases"] if _CASES_FILE.exists() else {"net_lenet": {}}
BUILDING = [name for name in CASES if "/" not in name]
REFUSED = [name for name in CASES if "/" in name]

#: What neon's words for a refusal are here, where it is not the exception's own type and message.
_OUR_WORDS = {
    "linear_no_init": "Linear needs an argument 'init'",
    "unknown_config_key": "Dropout takes no argument 'ratio'",
    "unknown_layer_type": "Reshape is no class that neon has",
    "main_is_layer": "one Linear, not a container",
    "old_format": "layer_params_states",
    "conv_kernel_too_large": "window of 12 does not fit a map of 8",
    "sum_shape_mismatch": r"arms of a MergeSum differ: .5, 8, 8. and .4, 8, 8.",
    "merge_depth_spatial_mismatch": "differ in height or width.*rows in the wrong places",
}


def close(ours: Array, theirs: Array) -> None:
    flat, reference = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
    assert flat.shape == reference.shape
    assert np.abs(flat - reference).max() <= 1e-5 * max(1.0, np.abs(reference).max())


@pytest.mark.parametrize("name", BUILDING)
def test_recorded_outputs_of_the_real_neon(name: str) -> None:
    path = shared("golden", "neon", f"{name}.prm")
    recorded = dict(np.load(shared("golden", "neon", f"{name}.npz")))
    engine = open_neon_embedded(path, input_shape=tuple(CASES[name]["in_shape"]), threads=1)
    inputs = {"data": recorded.pop("input")}
    assert engine.outputs == tuple(recorded)
    if name == "tree_dropout_in_side_branch":  # random there: neon drops in a side branch even at inference
        del recorded["out1"]
    tapped = engine.run(inputs, engine.taps)
    plain = engine.run(inputs)
    assert set(plain) == set(engine.outputs)
    for key, reference in recorded.items():
        close(plain[key], reference)
        close(tapped[key], reference)
    for index, shape in enumerate(CASES[name]["out_shapes"]):
        if f"out{index}" in recorded:
            assert plain[f"out{index}"].shape[1:] == tuple(shape[:1] if len(shape) == 2 else shape)


@pytest.mark.parametrize("name", REFUSED)
def test_recorded_refusal_of_the_real_neon(name: str) -> None:
    path, case = shared("golden", "neon", f"{name}.prm"), name.partition("/")[2]
    exception = (CASES[name]["exception"] or "").partition(":")
    with pytest.raises(Caffe2NeonError, match=_OUR_WORDS.get(case)) as caught:
        open_neon_embedded(path, input_shape=tuple(CASES[name]["in_shape"]))
    assert isinstance(caught.value, (EngineError, PrmError))
    assert caught.value.where.path == str(path)
    if case not in _OUR_WORDS:
        assert exception[0] in caught.value.message or "shared buffers" in caught.value.message


def test_every_registered_layer_is_a_class_of_neon() -> None:
    assert all(arguments(f"neon.layers.{name}") is not None for name in LAYERS)


def test_a_second_registration_is_refused() -> None:
    from caffe2neon.engines.neon_embedded.base import Layer, neon_class

    with pytest.raises(ValueError, match="registered twice"):
        neon_class("Pooling")(Layer)


# ---- windows against plain loops ----


Pair = tuple[int, int]


def pooled(x: Array, op: str, window: Pair, stride: Pair, pad: Pair, count: Pair) -> Array:
    """Windows one by one, over the pixels inside the map."""
    out = np.empty((*x.shape[:2], *count), np.float64)
    for p in range(count[0]):
        for q in range(count[1]):
            rows = [r for r in range(p * stride[0] - pad[0], p * stride[0] - pad[0] + window[0]) if 0 <= r < x.shape[2]]
            columns = [c for c in range(q * stride[1] - pad[1], q * stride[1] - pad[1] + window[1]) if 0 <= c < x.shape[3]]
            part = x[:, :, rows][:, :, :, columns].astype(np.float64)
            match op:
                case "max":
                    out[:, :, p, q] = part.max((2, 3))
                case "avg":
                    out[:, :, p, q] = part.mean((2, 3))
                case _:
                    out[:, :, p, q] = np.sqrt((part**2).sum((2, 3)))
    return out


def count_of(extent: int, window: int, stride: int, pad: int, *, caffe: bool) -> int:
    """Caffe: as many windows as reach the end, less one that would begin in the padding behind; neon: those that fit."""
    room = extent + 2 * pad - window
    if not caffe:
        return room // stride + 1
    count = 1 - -room // stride
    return count - 1 if pad and (count - 1) * stride >= extent + pad else count


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    op=st.sampled_from(["max", "avg", "l2"]),
    extent=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    compat=st.sampled_from(["caffe", "neon"]),
)
def test_pooling_is_plain_loops(
    tmp_path: Path, op: str, extent: Pair, window: Pair, stride: Pair, pad: Pair, compat: str
) -> None:
    axes = list(zip(extent, window, stride, pad, strict=True))
    assume(all(p < w for _, w, _, p in axes))
    rows, columns = (count_of(x, w, s, p, caffe=compat == "caffe") for x, w, s, p in axes)
    config: dict[str, Any] = {
        "fshape": window,
        "op": op,
        "strides": {"str_h": stride[0], "str_w": stride[1]},
        "padding": {"pad_h": pad[0], "pad_w": pad[1]},
    }
    path = saved(tmp_path / "m.prm", sequential("main", layer("Pooling", "pool", **config)), (2, *extent), compat)
    outside = any((n - 1) * s - p >= x for n, (x, _, s, p) in zip((rows, columns), axes, strict=True))
    if rows < 1 or columns < 1 or outside:
        with pytest.raises(EngineError):
            open_neon_embedded(path)
        return
    x = np.random.default_rng(1).normal(size=(2, 2, *extent)).astype(np.float32) - 3
    ours = open_neon_embedded(path, threads=1).run({"data": x})["out0"]
    close(ours, pooled(x, op, window, stride, pad, (rows, columns)))


@pytest.mark.parametrize("pad", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_convolution_is_plain_loops(tmp_path: Path, pad: int, stride: int) -> None:
    rng = np.random.default_rng(2)
    weights, x = rng.normal(size=(2, 3, 2, 4)).astype(np.float32), rng.normal(size=(2, 2, 6, 7)).astype(np.float32)
    node = weighted("Convolution", "conv", weights.reshape(12, 4), fshape=(3, 2, 4), strides=stride, padding=pad)
    ours = open_neon_embedded(saved(tmp_path / "m.prm", sequential("main", node), (2, 6, 7))).run({"data": x})["out0"]
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    theirs = np.zeros((2, 4, (6 + 2 * pad - 3) // stride + 1, (7 + 2 * pad - 2) // stride + 1))
    for p in range(theirs.shape[2]):
        for q in range(theirs.shape[3]):
            part = wide[:, :, p * stride : p * stride + 3, q * stride : q * stride + 2]
            theirs[:, :, p, q] = np.einsum("ncrs,crsk->nk", part, weights)
    close(ours, theirs)


@pytest.mark.parametrize(("ascale", "bpower"), [(0.5, 0.75), (2, 0.5), (7, 0.5), (-0.1, 0.75), (0.5, -1.0), (0.0, 1.0)])
def test_lrn_is_plain_loops(tmp_path: Path, ascale: float, bpower: float) -> None:
    x = np.random.default_rng(3).normal(size=(2, 6, 2, 3)).astype(np.float32)
    path = saved(tmp_path / "m.prm", sequential("main", layer("LRN", "n", depth=5, ascale=ascale, bpower=bpower)), (6, 2, 3))
    scale = ascale // 5 if isinstance(ascale, int) else ascale / 5
    total = np.stack([(x[:, max(0, c - 2) : c + 3] ** 2).sum(1) for c in range(6)], 1)
    close(open_neon_embedded(path).run({"data": x})["out0"], x * (1 + scale * total) ** -bpower)


# ---- buffers ----


def test_dropout_at_the_root_of_an_arm_scales_what_later_arms_see(tmp_path: Path) -> None:
    """neon's Dropout works in its input's buffer, which the arms share (compat_mode neon)."""
    one = np.ones((1, 1), np.float32)
    arms = [
        sequential("a", weighted("Convolution", "ca", one, fshape=(1, 1, 1))),
        sequential("b", layer("Dropout", "drop", keep=0.5), weighted("Convolution", "cb", one, fshape=(1, 1, 1))),
        sequential("c", weighted("Convolution", "cc", one, fshape=(1, 1, 1))),
    ]
    merge = container("MergeBroadcast", "m", *arms, merge="depth")
    root = sequential("main", layer("SkipNode", "s"), merge, activation("Identity", "i"))
    path = saved(tmp_path / "m.prm", root, (1, 2, 2), "neon")
    out = open_neon_embedded(path).run({"data": np.ones((1, 1, 2, 2), np.float32)})["out0"]
    assert out[0, :, 0, 0].tolist() == [1.0, 0.5, 0.5]


def test_a_tap_is_the_value_right_after_its_layer(tmp_path: Path) -> None:
    node = weighted("Linear", "fc", np.eye(2), nout=2)
    root = sequential("main", node, weighted("Bias", "bias", np.array([1.0, -5.0])), activation("Rectlin", "relu"))
    engine = open_neon_embedded(saved(tmp_path / "m.prm", root, (2,)))
    assert engine.taps == ("fc", "bias", "relu", "main")
    values = engine.run({"data": np.array([[1.0, 2.0]], np.float32)}, ["fc", "bias", "relu"])
    assert [values[name].tolist() for name in ("fc", "bias", "relu")] == [[[1.0, 2.0]], [[2.0, -3.0]], [[2.0, 0.0]]]


def test_a_second_arm_of_a_sum_taps_the_sum_so_far(tmp_path: Path) -> None:
    convolution = weighted("Convolution", "c", np.ones((1, 1)), fshape=(1, 1, 1))
    arms = [sequential("a", layer("SkipNode", "s")), sequential("b", convolution)]
    root = sequential("main", layer("SkipNode", "first"), container("MergeSum", "sum", *arms), activation("Identity", "last"))
    engine = open_neon_embedded(saved(tmp_path / "m.prm", root, (1, 1, 1)))
    values = engine.run({"data": np.full((1, 1, 1, 1), 3, np.float32)}, ["s", "c"])
    assert (values["s"].item(), values["c"].item()) == (3.0, 6.0)


# ---- names, shapes, refusals of our own ----


def tiny(tmp_path: Path, **header: Any) -> Path:
    return saved(tmp_path / "m.prm", sequential("main", weighted("Linear", "fc", np.eye(2), nout=2)), **header)


def test_recorded_names_are_used(tmp_path: Path) -> None:
    engine = open_neon_embedded(tiny(tmp_path, shape=(2,), caffe2neon={"inputs": ["x"], "outputs": ["prob"]}))
    assert (dict(engine.inputs), engine.outputs) == ({"x": (2,)}, ("prob",))
    assert engine.run({"x": np.ones((3, 2))})["prob"].shape == (3, 2)


def test_recorded_outputs_that_do_not_fit_are_left(tmp_path: Path) -> None:
    assert open_neon_embedded(tiny(tmp_path, shape=(2,), caffe2neon={"outputs": ["a", "b"]})).outputs == ("out0",)


def test_a_vectors_length_recorded_as_an_integer(tmp_path: Path) -> None:
    assert dict(open_neon_embedded(tiny(tmp_path, train_input_shape=2)).inputs) == {"data": (2,)}


def test_no_shape_anywhere(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="does not record its input's shape") as caught:
        open_neon_embedded(tiny(tmp_path))
    assert "C,H,W" in caught.value.remedy


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "the input is 'data', given: nothing"),
        ({"label": np.ones((1, 2))}, "given: 'label'"),
        ({"data": np.ones((1, 3))}, r"has shape \(1, 3\) where \(N, 2\)"),
        ({"data": np.ones((0, 2))}, "N at least 1"),
    ],
    ids=["none", "another", "shape", "no examples"],
)
def test_wrong_input(tmp_path: Path, inputs: dict[str, Array], message: str) -> None:
    engine = open_neon_embedded(tiny(tmp_path, shape=(2,)))
    with pytest.raises(EngineError, match=message):
        engine.run(inputs)


def test_unknown_tap(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no layer 'fc9'"):
        open_neon_embedded(tiny(tmp_path, shape=(2,))).run({"data": np.ones((1, 2))}, ["fc9"])


def test_a_layer_that_only_the_real_neon_has(tmp_path: Path) -> None:
    lookup = weighted("LookupTable", "words", np.eye(2), vocab_size=2, embedding_dim=2)
    with pytest.raises(EngineError, match="does not compute LookupTable") as caught:
        open_neon_embedded(saved(tmp_path / "m.prm", sequential("main", lookup), (2,)))
    assert caught.value.where.layer == "words"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (layer("Pooling", "x", fshape=2, strides=0), "str_h is 0"),
        (layer("Pooling", "x", fshape=2, strides=None), "'strides' is a NoneType"),
        (layer("Pooling", "x", fshape=[2, 2]), "fshape is"),
        (layer("Pooling", "x", fshape={"R": 2, "T": 2}), "third dimension"),
        (layer("Pooling", "x", fshape=2, op="sum"), "op is 'sum'"),
        (layer("Pooling", "x", fshape=2, padding={"pad": 1}), "takes no 'pad'"),
        (weighted("Convolution", "x", np.ones((9, 1)), fshape=3), "fshape is 3"),
        (weighted("Convolution", "x", np.ones((9, 1)), fshape={"R": 3, "S": 3}), "no 'K'"),
        (weighted("Convolution", "x", np.ones((1, 1)), fshape=(1, 1, 1), padding=3), "neon's slices disagree"),
        (weighted("Convolution", "x", np.ones((1, 1)), fshape=(1, 1, 1), padding=-1), "pad_h is -1"),
        (weighted("Deconvolution", "x", np.ones((1, 1)), fshape=[1, 1, 1]), "fshape is a list"),
        (weighted("Deconvolution", "x", np.ones((1, 1)), fshape=(1, 1, 1), padding=3), "leaves nothing"),
        (layer("LRN", "x", depth=5, ascale="1"), "ascale is '1'"),
        (layer("BatchNorm", "x", {"W": np.ones(1, np.float32)}), "no parameter 'W'"),
        (layer("BatchNorm", "x", {key: np.ones(2, np.float32) for key in ("beta", "gamma", "gmean", "gvar")}), r"beta is \(2,\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_neons_layers_refuse(tmp_path: Path, node: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        open_neon_embedded(saved(tmp_path / "m.prm", sequential("main", node), (1, 4, 4)))
    assert caught.value.where.layer == "x"


def test_unknown_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no neon engine 'gpu'"):
        open_neon(tiny(tmp_path, shape=(2,)), engine="gpu")


def test_auto_is_embedded_where_there_is_no_neon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny(tmp_path, shape=(2,))
    monkeypatch.delenv("CAFFE2NEON_NEON_PYTHON", raising=False)
    assert open_neon(path).name == "neon-embedded"
    # whoever names an interpreter wants it used: a wrong one is an error, not another engine
    monkeypatch.setenv("CAFFE2NEON_NEON_PYTHON", str(tmp_path / "none"))
    with pytest.raises(EngineError, match="no interpreter"):
        open_neon(path)
