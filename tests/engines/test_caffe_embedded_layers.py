"""Layers of the embedded Caffe engine against Caffe's own loops, written out in numpy, on random shapes. Tolerance 1e-5."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caffe2neon.caffe.caffe_pb2 import NetParameter
from caffe2neon.engines.caffe_embedded import open_caffe_embedded
from caffe2neon.errors import GraphError
from caffe2neon.records import Array, CaffeLayer, CaffeNet, CaffeWeights, Shape

few = settings(max_examples=40, deadline=None, derandomize=True)


def run_layer(text: str, bottoms: Sequence[Array], weights: Sequence[Array] = (), tops: int = 1) -> list[Array]:
    """Compute one layer, given as the inside of its ``layer { }`` without bottoms and tops."""
    layers = [
        f'layer {{ name: "in{i}" type: "Input" top: "b{i}" input_param {{ shape {{ {_dims(bottom.shape)} }} }} }}'
        for i, bottom in enumerate(bottoms)
    ]
    names = " ".join([f'bottom: "b{i}"' for i in range(len(bottoms))] + [f'top: "t{i}"' for i in range(tops)])
    parsed = text_format.Parse("\n".join([*layers, f'layer {{ name: "l" {names} {text} }}']), NetParameter())
    net = CaffeNet("", tuple(CaffeLayer(layer) for layer in parsed.layer))
    engine = open_caffe_embedded(net, CaffeWeights({"l": tuple(weights)}), threads=1)
    computed = engine.run({f"b{i}": bottom for i, bottom in enumerate(bottoms)})
    return [computed[f"t{i}"] for i in range(tops)]


def _dims(shape: Shape) -> str:
    return " ".join(f"dim: {size}" for size in shape)


def _random(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _close(computed: Array, reference: Array) -> None:
    assert computed.shape == reference.shape
    np.testing.assert_allclose(computed, reference, rtol=0, atol=1e-5 * max(1.0, float(np.nanmax(np.abs(reference), initial=0))))


@few
@given(st.data())
def test_convolution(data: st.DataObject) -> None:
    draw = data.draw
    group = draw(st.integers(1, 3))
    n, c, m = draw(st.integers(1, 2)), group * draw(st.integers(1, 2)), group * draw(st.integers(1, 2))
    (kh, kw), (sh, sw), (ph, pw) = (draw(st.tuples(st.integers(low, 3), st.integers(low, 3))) for low in (1, 1, 0))
    dilation = draw(st.integers(1, 2))
    extents = (dilation * (kh - 1) + 1, dilation * (kw - 1) + 1)
    h, w = (draw(st.integers(max(1, extent - 2 * pad), 9)) for extent, pad in zip(extents, (ph, pw), strict=True))
    x, weight, bias = _random(1, n, c, h, w), _random(2, m, c // group, kh, kw), _random(3, m)

    out = np.zeros((n, m, (h + 2 * ph - extents[0]) // sh + 1, (w + 2 * pw - extents[1]) // sw + 1))
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    for o in range(m):
        channels = slice(o // (m // group) * (c // group), (o // (m // group) + 1) * (c // group))
        for i, j in np.ndindex(*out.shape[2:]):
            rows, columns = i * sh + dilation * np.arange(kh), j * sw + dilation * np.arange(kw)
            window = padded[:, channels][:, :, rows][:, :, :, columns]
            out[:, o, i, j] = (window * weight[o]).sum(axis=(1, 2, 3)) + bias[o]

    param = f"num_output: {m} group: {group} kernel_h: {kh} kernel_w: {kw} stride: {sh} stride: {sw} pad_h: {ph} pad_w: {pw}"
    param += f" dilation: {dilation}"
    (top,) = run_layer(f'type: "Convolution" convolution_param {{ {param} }}', [x], [weight, bias])
    _close(top, out)


def test_convolution_larger_than_its_image_sees_zeros_beyond_it() -> None:
    # C++ rounds (2 - 3) / 2 to 0, so there is one output
    x, weight = _random(1, 1, 1, 2, 2), _random(2, 1, 1, 3, 3)
    (top,) = run_layer(
        'type: "Convolution" convolution_param { num_output: 1 kernel_size: 3 stride: 2 bias_term: false }', [x], [weight]
    )
    _close(top, (x * weight[:, :, :2, :2]).sum().reshape(1, 1, 1, 1))


@few
@given(st.data())
def test_deconvolution(data: st.DataObject) -> None:
    draw = data.draw
    group, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    c, m = group * draw(st.integers(1, 2)), group * draw(st.integers(1, 2))
    kernel, stride, pad, dilation = (draw(st.integers(low, high)) for low, high in ((1, 4), (1, 3), (0, 2), (1, 2)))
    extent = dilation * (kernel - 1) + 1
    height, width = stride * (h - 1) + extent - 2 * pad, stride * (w - 1) + extent - 2 * pad
    assume(height > 0 and width > 0)
    x, weight, bias = _random(1, 2, c, h, w), _random(2, c, m // group, kernel, kernel), _random(3, m)

    full = np.zeros((2, m, height + 2 * pad, width + 2 * pad))
    for channel in range(c):
        first = channel // (c // group) * (m // group)
        for i, j, p, q in np.ndindex(h, w, kernel, kernel):
            target = full[:, first : first + m // group, i * stride + p * dilation, j * stride + q * dilation]
            target += np.outer(x[:, channel, i, j], weight[channel, :, p, q])
    out = full[:, :, pad : pad + height, pad : pad + width] + bias[:, None, None]

    param = f"num_output: {m} group: {group} kernel_size: {kernel} stride: {stride} pad: {pad} dilation: {dilation}"
    (top,) = run_layer(f'type: "Deconvolution" convolution_param {{ {param} }}', [x], [weight, bias])
    _close(top, out)


def _pool(x: Array, kernel: Shape, stride: Shape, pad: Shape, average: bool, up: bool) -> tuple[Array, Array]:
    """Caffe's PoolingLayer::Forward_cpu: values, and for MAX the index in the plane."""
    sizes = []
    for size, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        room = (size + 2 * p - k) / s
        windows = int(np.ceil(room) if up else np.floor(room)) + 1
        sizes.append(windows - 1 if any(pad) and (windows - 1) * s >= size + p else windows)
    assume(min(sizes) > 0)
    out, mask = np.zeros((*x.shape[:2], *sizes)), np.full((*x.shape[:2], *sizes), -1.0)
    height, width = x.shape[2:]
    for n, c, i, j in np.ndindex(*out.shape):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        area = (min(top + kernel[0], height + pad[0]) - top) * (min(left + kernel[1], width + pad[1]) - left)
        rows, columns = range(max(top, 0), min(top + kernel[0], height)), range(max(left, 0), min(left + kernel[1], width))
        if average:
            total = sum(float(x[n, c, a, b]) for a in rows for b in columns)
            out[n, c, i, j] = total / area if area else np.nan
            continue
        out[n, c, i, j] = np.finfo(np.float32).min
        for a in rows:
            for b in columns:
                if x[n, c, a, b] > out[n, c, i, j]:
                    out[n, c, i, j], mask[n, c, i, j] = x[n, c, a, b], a * width + b
    return out, mask


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_pooling(data: st.DataObject) -> None:
    draw = data.draw
    average, up = draw(st.booleans()), draw(st.booleans())
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))  # larger than the kernel too: windows wholly outside
    pad = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    x = np.round(_random(draw(st.integers(0, 9)), 2, 2, draw(st.integers(1, 9)), draw(st.integers(1, 9))), 1) - 1
    out, mask = _pool(x, kernel, stride, pad, average, up)
    with_mask = not average and bool(np.all(mask >= 0))

    param = f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]}"
    param += f" pad_h: {pad[0]} pad_w: {pad[1]} pool: {'AVE' if average else 'MAX'} round_mode: {'CEIL' if up else 'FLOOR'}"
    tops = run_layer(f'type: "Pooling" pooling_param {{ {param} }}', [x], tops=2 if with_mask else 1)
    np.testing.assert_array_equal(np.isnan(tops[0]), np.isnan(out))
    _close(tops[0], out)
    if with_mask:
        np.testing.assert_array_equal(tops[1], mask)


@few
@given(channels=st.integers(1, 7), half=st.integers(0, 3), within=st.booleans(), k=st.sampled_from([1.0, 2.0]))
def test_lrn(channels: int, half: int, within: bool, k: float) -> None:
    size, alpha, beta = 2 * half + 1, 0.7, 0.75
    x = _random(1, 2, channels, 4, 5)
    squares = x.astype(np.float64) ** 2
    sums = np.zeros_like(squares)
    for n, c, i, j in np.ndindex(*x.shape):
        if within:
            sums[n, c, i, j] = squares[n, c, max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1].sum()
        else:
            sums[n, c, i, j] = squares[n, max(c - half, 0) : c + half + 1, i, j].sum()
    scale = 1 + alpha / size**2 * sums if within else k + alpha / size * sums

    region = "WITHIN_CHANNEL" if within else "ACROSS_CHANNELS"
    param = f"local_size: {size} alpha: {alpha} beta: {beta} k: {k} norm_region: {region}"
    (top,) = run_layer(f'type: "LRN" lrn_param {{ {param} }}', [x])
    _close(top, x * scale**-beta)


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("transpose", [False, True])
def test_inner_product(axis: int, transpose: bool) -> None:
    x = _random(1, 2, 3, 4, 5)
    rows = x.reshape(int(np.prod(x.shape[: axis % 4])), -1)
    weight, bias = _random(2, 6, rows.shape[1]), _random(3, 6)
    text = f"num_output: 6 axis: {axis} transpose: {str(transpose).lower()}"
    (top,) = run_layer(f'type: "InnerProduct" inner_product_param {{ {text} }}', [x], [weight.T if transpose else weight, bias])
    _close(top, (rows @ weight.T + bias).reshape(*x.shape[: axis % 4], 6))


def test_argmax_takes_the_last_among_equals() -> None:
    x = np.array([[1, 3, 3, 2], [5, 5, 5, 5]], np.float32)
    (top,) = run_layer('type: "ArgMax" argmax_param { top_k: 2 }', [x])
    np.testing.assert_array_equal(top, [[[2, 1]], [[3, 2]]])


def test_accuracy_ignores_labels_and_counts_per_class() -> None:
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.0, 0.5, 0.5]], np.float32)
    labels = np.array([0, 1, 1, 255], np.float32)
    total, per_class = run_layer('type: "Accuracy" accuracy_param { ignore_label: 255 }', [scores, labels], tops=2)
    assert total == pytest.approx(2 / 3)
    np.testing.assert_allclose(per_class, [1, 0.5, 0])


def test_accuracy_counts_equals_against_the_prediction() -> None:
    scores, labels = np.array([[0.5, 0.5], [0.4, 0.6]], np.float32), np.array([0, 1], np.float32)
    assert run_layer('type: "Accuracy"', [scores, labels])[0] == 0.5


@pytest.mark.parametrize(("mode", "divisor"), [("FULL", 6), ("VALID", 5), ("BATCH_SIZE", 2), ("NONE", 1)])
def test_softmax_loss_normalization(mode: str, divisor: int) -> None:
    scores = _random(1, 2, 4, 3)
    labels = np.array([[0, 1, 2], [3, 9, 1]], np.float32)
    exps = np.exp(scores.astype(np.float64))
    logs = np.log(exps / exps.sum(axis=1, keepdims=True))
    expected = -sum(logs[n, int(labels[n, j]), j] for n in range(2) for j in range(3) if labels[n, j] != 9) / divisor
    text = f'type: "SoftmaxWithLoss" loss_param {{ ignore_label: 9 normalization: {mode} }}'
    assert run_layer(text, [scores, labels])[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_loss(norm: str) -> None:
    scores, labels = _random(1, 3, 4), np.array([0, 3, 1], np.float32)
    signs = np.where(np.arange(4) == labels[:, None], -1, 1)
    margins = np.maximum(0, 1 + signs * scores)
    expected = (margins if norm == "L1" else margins**2).sum() / 3
    top = run_layer(f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', [scores, labels])
    assert top[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_reduction(operation: str, axis: int) -> None:
    x = _random(1, 2, 3, 4)
    axes = tuple(range(axis % 3, 3))
    source = {"SUM": x, "ASUM": np.abs(x), "SUMSQ": x**2, "MEAN": x}[operation]
    expected = (source.mean(axis=axes) if operation == "MEAN" else source.sum(axis=axes)) * 0.5
    (top,) = run_layer(f'type: "Reduction" reduction_param {{ operation: {operation} axis: {axis} coeff: 0.5 }}', [x])
    _close(top, np.asarray(expected))


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("power_param { power: 0 scale: 3 }", lambda x: np.ones_like(x)),
        ("power_param { power: 2 scale: 0 shift: 3 }", lambda x: np.full_like(x, 9)),
        ("power_param { power: 3 scale: -2 shift: 1 }", lambda x: (1 - 2 * x) ** 3),
    ],
)
def test_power(text: str, function: object) -> None:
    x = _random(1, 2, 3)
    (top,) = run_layer(f'type: "Power" {text}', [x])
    _close(top, function(x))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "bottoms", "message"),
    [
        ('type: "Pooling" pooling_param { kernel_size: 5 }', [(1, 1, 2, 2)], "too small"),
        ('type: "Pooling" pooling_param { kernel_size: 2 }', [(1, 4)], "4 axes"),
        ('type: "Pooling" pooling_param { kernel_size: 2 pad_h: 1 }', [(1, 1, 4, 4)], "pad_h and pad_w"),
        ('type: "Convolution" convolution_param { num_output: 1 kernel_size: 9 }', [(1, 1, 4, 4)], "too small"),
        ('type: "Convolution" convolution_param { num_output: 1 kernel_size: 1 stride: 0 }', [(1, 1, 4, 4)], "strides"),
        ('type: "Softmax" softmax_param { axis: 2 }', [(2, 3)], "axis 2"),
        ('type: "Slice" slice_param { slice_point: 3 slice_point: 2 }', [(1, 4)], "1 tops need 0"),
        ('type: "Concat" concat_param { axis: 1 concat_dim: 1 }', [(1, 2), (1, 2)], "not both"),
        ('type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }', [(2, 3)], "more than once"),
        ('type: "Flatten" flatten_param { axis: 3 end_axis: 1 }', [(1, 2, 3, 4)], "before axis"),
        ('type: "ArgMax" argmax_param { top_k: 9 }', [(1, 4)], "top_k 9"),
        ('type: "Tile"', [(1, 4)], "tiles"),
        ('type: "Log" log_param { base: 1 }', [(1, 4)], "logarithm"),
        ('type: "Exp" exp_param { base: 0 }', [(1, 4)], "positive"),
        ('type: "EuclideanLoss"', [(2, 3), (3, 3)], "first axis"),
        ('type: "Eltwise"', [(2, 3)], "at least 2 bottom"),
        ('type: "Crop"', [(1, 1, 4, 4), (1, 4)], "does not say"),
        ('type: "ReLU" loss_weight: 1 loss_weight: 1', [(1, 2)], "loss_weight"),
    ],
    ids=lambda value: value if isinstance(value, str) and "{" not in value and "type" not in value else "",
)
def test_what_does_not_fit_is_refused(text: str, bottoms: list[Shape], message: str) -> None:
    with pytest.raises(GraphError, match=message) as caught:
        run_layer(text, [np.zeros(shape, np.float32) for shape in bottoms])
    assert caught.value.where.layer == "l"
