"""Converters one by one: what they write, against plain numpy loops, and whole nets in both embedded engines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caffe2neon.convert.neon_layers import dense, selector
from caffe2neon.errors import GraphError, UnsupportedError
from caffe2neon.graph import build_graph
from caffe2neon.records import Array, CaffeWeights, Deferred, materialize
from tests.convert.nets import assert_converts, converted, noise, random_weights
from tests.nets import conv, data, layer, parse

small = st.integers(1, 3)


def _correlate(x: Array, weight: Array, *, group: int = 1, dilation: tuple[int, int] = (1, 1)) -> Array:
    """(C, H, W) and Caffe's (K, C/group, R, S) -> (K, H', W'), by the definition, without stride and padding."""
    maps, channels, rows, columns = weight.shape
    height = x.shape[1] - (rows - 1) * dilation[0]
    width = x.shape[2] - (columns - 1) * dilation[1]
    out = np.zeros((maps, height, width))
    for k in range(maps):
        first = k // (maps // group) * channels
        for h in range(height):
            for w in range(width):
                for c in range(channels):
                    for r in range(rows):
                        for s in range(columns):
                            pixel = x[first + c, h + r * dilation[0], w + s * dilation[1]]
                            out[k, h, w] += float(pixel) * float(weight[k, c, r, s])
    return out


@given(st.data(), small, small, small, st.tuples(small, small), st.tuples(small, small))
@settings(max_examples=40, deadline=None)
def test_dense_weights_compute_what_grouped_and_dilated_ones_do(
    draw: st.DataObject, group: int, channels: int, maps: int, kernel: tuple[int, int], dilation: tuple[int, int]
) -> None:
    rng = np.random.default_rng(draw.draw(st.integers(0, 99)))
    weight = rng.normal(size=(maps * group, channels, *kernel)).astype(np.float32)
    x = rng.normal(size=(channels * group, 7, 8))
    written = dense(Deferred(weight.shape, lambda: weight), group, dilation)
    full = written.make()
    assert full.shape == written.shape
    np.testing.assert_allclose(_correlate(x, full), _correlate(x, weight, group=group, dilation=dilation), atol=1e-12)


def test_weights_that_are_dense_are_not_copied() -> None:
    weight = Deferred((2, 3, 4, 4), lambda: np.zeros((2, 3, 4, 4), np.float32))
    assert dense(weight, 1, (1, 1)) is weight


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    *[st.tuples(st.integers(0, 2), st.integers(0, 2)) for _ in range(3)],
)
@settings(max_examples=60, deadline=None)
def test_a_selector_picks_pads_and_crops(
    channels: list[int], pad: tuple[int, int], before: tuple[int, int], after: tuple[int, int]
) -> None:
    x = noise((4, 5, 6))
    made = selector("s", channels, 4, pad=pad, before=before, after=after)
    # neon keeps (C·R·S, K)
    rows, columns = (made.config["fshape"][axis] for axis in "RS")
    weight = materialize(made.params["W"]).T.reshape(len(channels), 4, rows, columns)
    high, wide = (made.config["padding"][axis] for axis in ("pad_h", "pad_w"))
    # a window that lies in the padding by more than a pixel is what neon cannot compute
    assert high <= rows
    assert wide <= columns
    padded = np.pad(x, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
    expected = padded[channels, before[0] : padded.shape[1] - after[0], before[1] : padded.shape[2] - after[1]]
    found = _correlate(np.pad(x, ((0, 0), (high, high), (wide, wide))), weight)
    np.testing.assert_array_equal(found, expected)


DATA = data(2, 3, 6, 7)
_FOUR = "inner_product_param { num_output: 4 }"
_BIASED = "scale_param { bias_term: true }"
_GROUPED = "num_output: 6 group: 3 kernel_size: 2 dilation: 2"
#: One net a converter, or a way of it. Compared in both embedded engines.
CONVERTS = {
    "PReLU": [DATA, layer("p", "PReLU", "data")],
    "PReLU in place": [DATA, conv("c", "data", 4), layer("p", "PReLU", "c", "c")],
    "PReLU of one slope": [DATA, layer("p", "PReLU", "data", "p", "prelu_param { channel_shared: true }")],
    "PReLU of features": [data(2, 5), layer("p", "PReLU", "data")],
    "PReLU in an arm": [DATA, layer("p", "PReLU", "data"), layer("j", "Concat", "p data"), conv("c", "j", 2)],
    "Clip": [DATA, layer("c", "Clip", "data", "c", "clip_param { min: -0.5 max: 0.25 }")],
    "Clip as ReLU6": [data(2, 5), layer("c", "Clip", "data", "c", "clip_param { min: 0 max: 6 }")],
    "AbsVal": [DATA, layer("a", "AbsVal", "data")],
    "ELU": [DATA, layer("e", "ELU", "data", "e", "elu_param { alpha: 0.7 }")],
    "LRN": [DATA, layer("n", "LRN", "data", "n", "lrn_param { alpha: 0.9 }")],
    "LRN with k": [DATA, layer("n", "LRN", "data", "n", "lrn_param { k: 2.5 alpha: 3 beta: 0.6 local_size: 3 }")],
    "LRN within a pixel": [
        DATA,
        layer("n", "LRN", "data", "n", "lrn_param { k: 2.5 alpha: 3 local_size: 1 norm_region: WITHIN_CHANNEL }"),
    ],
    "BatchNorm and Scale": [DATA, layer("b", "BatchNorm", "data"), layer("s", "Scale", "b", "s", _BIASED)],
    "BatchNorm and Scale in place": [DATA, conv("c", "data", 4), layer("b", "BatchNorm", "c", "c"), layer("s", "Scale", "c", "c")],
    "BatchNorm that others read, too": [
        *[DATA, layer("b", "BatchNorm", "data"), layer("s", "Scale", "b"), layer("j", "Eltwise", "b s")],
    ],
    "BatchNorm and a Scale of one factor": [
        DATA,
        layer("b", "BatchNorm", "data"),
        layer("s", "Scale", "b", "s", "scale_param { num_axes: 0 bias_term: true }"),
    ],
    "BatchNorm of features": [data(2, 5), layer("b", "BatchNorm", "data"), layer("s", "Scale", "b")],
    "Scale twice": [DATA, layer("s", "Scale", "data"), layer("t", "Scale", "s", "t", "scale_param { bias_term: true }")],
    "Bias": [DATA, layer("b", "Bias", "data")],
    "Bias of one value": [DATA, layer("b", "Bias", "data", "b", "bias_param { num_axes: 0 }")],
    "Power that scales and shifts": [DATA, layer("p", "Power", "data", "p", "power_param { scale: -2 shift: 3 }")],
    "Power that shifts": [DATA, layer("p", "Power", "data", "p", "power_param { shift: 3 }"), conv("c", "p", 2)],
    "Power without effect": [DATA, layer("p", "Power", "data"), conv("c", "p", 2)],
    "InnerProduct of a transposed matrix": [
        DATA,
        layer("f", "InnerProduct", "data", "f", "inner_product_param { num_output: 4 transpose: true }"),
    ],
    "InnerProduct by a negative axis": [
        data(2, 9),
        layer("f", "InnerProduct", "data", "f", "inner_product_param { num_output: 4 axis: -1 bias_term: false }"),
    ],
    "Convolution, dilated by a number an axis": [
        *[DATA, conv("c", "data", 2, "kernel_size: 2 dilation: 2 dilation: 3 pad: 1 pad: 2")],
    ],
    "Convolution padded beyond its window": [DATA, conv("c", "data", 2, "kernel_size: 1 pad: 3 stride: 2")],
    "Convolution padded by a window": [DATA, conv("c", "data", 2, "kernel_size: 2 pad: 2")],
    "Convolution padded beyond its window one way": [DATA, conv("c", "data", 2, "kernel_h: 3 kernel_w: 1 pad_w: 4 dilation: 2")],
    "Deconvolution padded beyond its window": [
        DATA,
        layer("d", "Deconvolution", "data", "d", "convolution_param { num_output: 2 kernel_size: 1 stride: 3 pad: 2 }"),
    ],
    "Deconvolution, grouped and dilated": [
        DATA,
        layer("d", "Deconvolution", "data", "d", f"convolution_param {{ {_GROUPED} stride: 2 pad: 1 }}"),
    ],
    "Concat of maps and features, flattened": [
        *[DATA, layer("a", "Flatten", "data"), layer("f", "InnerProduct", "data", "f", _FOUR)],
        layer("j", "Concat", "a f"),
        layer("g", "InnerProduct", "j", "g", _FOUR),
    ],
    "Concat of flattened maps of two sizes": [
        *[DATA, conv("c", "data", 2, "kernel_size: 3"), layer("a", "Flatten", "data"), layer("b", "Flatten", "c")],
        layer("j", "Concat", "a b"),
    ],
    "Eltwise of flattened maps and features": [
        *[DATA, layer("a", "Flatten", "data"), layer("f", "InnerProduct", "data", "f", "inner_product_param { num_output: 126 }")],
        layer("j", "Eltwise", "a f", "j", "eltwise_param { coeff: 2 coeff: -1 }"),
    ],
    "Eltwise of a blob with itself": [DATA, layer("j", "Eltwise", "data data", "j", "eltwise_param { coeff: 2 coeff: -0.5 }")],
    "Flatten and back": [
        DATA,
        layer("f", "Flatten", "data"),
        layer("r", "Reshape", "f", "r", "reshape_param { shape { dim: 0 dim: 3 dim: 6 dim: 7 } }"),
        conv("c", "r", 2),
    ],
    "Slice of rows": [DATA, layer("s", "Slice", "data", "a b c", "slice_param { axis: 2 }"), layer("j", "Eltwise", "a b c")],
    "Slice of columns, one top an output": [DATA, layer("s", "Slice", "data", "a b", "slice_param { axis: -1 slice_point: 2 }")],
    "Slice by slice_dim": [DATA, layer("s", "Slice", "data", "a b", "slice_param { slice_dim: 1 slice_point: 2 }")],
    "Crop of all axes but the batch": [
        *[DATA, data(2, 2, 3, 4, name="like")],
        layer("c", "Crop", "data like", "c", "crop_param { axis: 1 offset: 1 offset: 2 offset: 3 }"),
    ],
    "Crop of columns": [
        *[DATA, data(2, 3, 6, 4, name="like"), layer("c", "Crop", "data like", "c", "crop_param { axis: 3 offset: 2 }")],
    ],
    "Tile": [DATA, layer("t", "Tile", "data", "t", "tile_param { tiles: 3 }")],
    "Softmax of maps of one pixel": [data(2, 5, 1, 1), layer("s", "Softmax", "data")],
    "Softmax of one map along its rows": [data(2, 1, 7, 1), layer("s", "Softmax", "data", "s", "softmax_param { axis: 2 }")],
    "Dropout": [DATA, conv("c", "data", 2), layer("d", "Dropout", "c", "c", "dropout_param { dropout_ratio: 0.3 }")],
    "Sigmoid and TanH": [DATA, layer("s", "Sigmoid", "data"), layer("t", "TanH", "s", "s")],
    "ReLU of a slope": [DATA, layer("r", "ReLU", "data", "r", "relu_param { negative_slope: 1.5 }")],
    "input of three axes": [data(2, 4, 5), layer("r", "ReLU", "data"), layer("f", "InnerProduct", "r", "f", _FOUR)],
}


@pytest.mark.parametrize("name", CONVERTS)
def test_computes_what_caffe_does(name: str) -> None:
    assert_converts(parse(*CONVERTS[name]))


#: Nets that neon cannot express: the layers in the way, and words of the reason.
REFUSED = {
    "Clip of nothing": ([layer("L", "Clip", "data", "L", "clip_param { min: 1 max: 0 }")], "which is empty"),
    "Clip far apart": ([layer("L", "Clip", "data", "L", "clip_param { min: 0 max: 1000 }")], "lose digits"),
    "LRN of a negative k": ([layer("L", "LRN", "data", "L", "lrn_param { k: -1 }")], "positive k"),
    "Scale along rows": ([layer("L", "Scale", "data", "L", "scale_param { axis: 2 }")], "axis 2"),
    "Bias along all axes": ([layer("L", "Bias", "data", "L", "bias_param { num_axes: -1 }")], "126 parameters"),
    "Scale along rows behind a BatchNorm of as many channels": (
        [conv("c", "data", 6), layer("b", "BatchNorm", "c"), layer("L", "Scale", "b", "L", "scale_param { axis: 2 }")],
        "axis 2",
    ),
    "BatchNorm of flattened maps": ([layer("f", "Flatten", "data"), layer("L", "BatchNorm", "f")], "126 parameters"),
    "Slice of the batch": ([layer("L", "Slice", "data", "a b", "slice_param { axis: 0 }")], "slices the batch"),
    "Slice of features": ([layer("f", "Flatten", "data"), layer("L", "Slice", "f", "a b")], "flat blob"),
    "Concat of the batch": ([layer("L", "Concat", "data data", "L", "concat_param { axis: 0 }")], "axis 0"),
    "Concat of one": ([layer("L", "Concat", "data")], "needs at least two bottoms"),
    "Tile of rows": ([layer("L", "Tile", "data", "L", "tile_param { axis: 2 tiles: 2 }")], "along axis 2"),
    "Softmax of the batch": ([layer("L", "Softmax", "data", "L", "softmax_param { axis: 0 }")], "along axis 0"),
    "Reshape of the batch": ([layer("L", "Reshape", "data", "L", "reshape_param { shape { dim: -1 } }")], "blob of 252"),
    "Dropout of everything": ([layer("L", "Dropout", "data", "L", "dropout_param { dropout_ratio: 1 }")], "outside [0, 1)"),
    "two bottoms of a Scale": ([conv("c", "data", 3), layer("L", "Scale", "data c")], "factors from a second bottom"),
    "a window larger than its map, which Caffe pads": ([conv("L", "data", 2, "kernel_size: 8 stride: 4")], "1×1 in Caffe"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name: str) -> None:
    layers, words = REFUSED[name]
    with pytest.raises(UnsupportedError) as caught:
        converted(parse(DATA, *layers), CaffeWeights({}))
    assert {finding.where.layer for finding in caught.value.findings} == {"L"}
    assert words in str(caught.value)


def test_a_convolution_of_one_axis_is_refused_by_its_axes() -> None:
    with pytest.raises(UnsupportedError, match="convolves over 1 spatial axes"):
        converted(parse(data(2, 3, 9), conv("c", "data", 2, "kernel_size: 3")), CaffeWeights({}))


@pytest.mark.parametrize("factor", [0.0, 1.0, 999.982])
@pytest.mark.parametrize("scaled", [True, False], ids=["with Scale", "alone"])
def test_batch_norm_divides_by_its_factor(factor: float, scaled: bool) -> None:
    """As Caffe: of a factor of 0, mean and variance are 0. Against the formula in float64, at the project's tolerance."""
    net = parse(DATA, layer("b", "BatchNorm", "data"), *[layer("s", "Scale", "b", "s", "scale_param { bias_term: true }")] * scaled)
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=3) * factor, rng.uniform(0.5, 2, 3) * factor
    gamma, beta = (rng.normal(size=3), rng.normal(size=3)) if scaled else (np.ones(3), np.zeros(3))
    blobs = {"b": (mean, variance, np.array([factor])), "s": (gamma, beta)}
    weights = CaffeWeights({name: tuple(blob.astype(np.float32) for blob in each) for name, each in blobs.items()})
    x = noise((2, 3, 6, 7))
    model = assert_converts(net, weights, x=x)

    (written,) = [item for item in model.root.walk() if item.kind == "BatchNorm"]
    values = {name: materialize(value).astype(np.float64).reshape(-1, 1, 1) for name, value in written.params.items()}
    found = values["gamma"] * (x - values["gmean"]) / np.sqrt(values["gvar"] + written.config["eps"]) + values["beta"]
    f = 1 / factor if factor else 0
    wanted = [value.reshape(-1, 1, 1) for value in (mean * f, variance * f, gamma, beta)]
    expected = wanted[2] * (x - wanted[0]) / np.sqrt(wanted[1] + 1e-5) + wanted[3]
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_pooling_of_any_window(draw: st.DataObject) -> None:
    """Padding, clipping, FLOOR: as ``caffe-embedded`` computes it, or refused because Caffe computes nothing there."""

    def two(low: int, high: int) -> tuple[int, int]:
        return draw.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    size, kernel, stride = two(1, 9), two(1, 5), two(1, 4)
    pad = tuple(draw.draw(st.integers(0, k - 1)) for k in kernel)
    way, rounding = draw.draw(st.sampled_from(["MAX", "AVE"])), draw.draw(st.sampled_from(["CEIL", "FLOOR"]))
    window = " ".join(f"{what}_h: {h} {what}_w: {w}" for what, (h, w) in [("kernel", kernel), ("stride", stride), ("pad", pad)])
    more = f"pooling_param {{ pool: {way} {window} round_mode: {rounding} }}"
    net = parse(data(2, 2, *size), layer("p", "Pooling", "data", "p", more))
    try:
        (out,) = build_graph(net).outputs
    except GraphError:
        assume(False)
    last = [(count - 1) * s - p for count, s, p in zip(out.shape[2:], stride, pad, strict=True)]
    if any(start >= n for start, n in zip(last, size, strict=True)):
        with pytest.raises(UnsupportedError, match="wholly outside the image"):
            converted(net, CaffeWeights({}))
        return
    model = assert_converts(net, CaffeWeights({}))
    assert [item.kind for item in model.root.walk()].count("Pooling") == 1


def test_average_pooling_whose_padding_is_cropped_again() -> None:
    """The window sees a row of padding and the first row; the second row is dropped."""
    more = "pooling_param { pool: AVE kernel_size: 2 stride: 3 pad: 1 }"
    assert_converts(parse(data(2, 2, 2, 2), layer("p", "Pooling", "data", "p", more)))


def test_how_much_larger_dense_weights_are_is_noted() -> None:
    net = parse(DATA, conv("c", "data", 6, "kernel_size: 3 group: 3 dilation: 2"))
    # 3 groups, and a window of 25 taps for 9
    assert converted(net, random_weights(net)).meta["notes"] == [
        "c: group 3 and dilation 2×2 written as dense weights, 8.333 times as large"
    ]
