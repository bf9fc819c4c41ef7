#!/usr/bin/env python3
"""Train the digit classifier that comes with caffe2neon, and write it as Caffe files.

The data are the 1797 digits of 8x8 pixels, 0..16, which scikit-learn ships; 360 of them are held out and never trained on. The net
is a small LeNet, trained in plain numpy. Weights, data and definitions come out the same, byte for byte, at every run.

    python scripts/train_digits.py --output DIR     write the four files into DIR
    python scripts/train_digits.py --check          train again, and compare with the files that are stored
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from caffe2neon.caffe import caffe_pb2
from caffe2neon.errors import Caffe2NeonError
from caffe2neon.files import write_bytes

Array = NDArray[Any]
Weights = dict[str, tuple[Array, Array]]
Grads = dict[str, tuple[Array, Array]]

BUNDLED = Path(__file__).resolve().parents[1] / "caffe2neon" / "bundled" / "digits"

HELD_OUT = 360
MEAN, SCALE = 8.0, 0.125

SEED = 1998
EPOCHS = 60
BATCH = 32
RATE = 2e-3
SHIFT = 0.5  # pixels
ZOOM = 0.1
SLANT = 0.2  # pixels a row
GRID = 2.0**-12

MAPS1, MAPS2, HIDDEN, CLASSES = 24, 48, 64, 10


# ---- data ----


def load() -> tuple[Array, Array]:
    """All digits: images (1797, 8, 8) and labels (1797,), uint8."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target.astype(np.uint8)


def split(count: int) -> tuple[Array, Array]:
    """Indices to train on and indices held out, drawn at random.

    The generator is numpy's ``RandomState``, whose numbers are promised never to change.
    """
    order = np.random.RandomState(SEED).permutation(count)
    return np.sort(order[HELD_OUT:]), np.sort(order[:HELD_OUT])


def normalize(images: Array) -> Array:
    """(N, 8, 8) pixels -> (N, 1, 8, 8) inputs, as Caffe's transform_param does."""
    return (images[:, None].astype(np.float64) - MEAN) * SCALE


def warp(images: Array, random: np.random.RandomState) -> Array:
    """Every image moved, zoomed and slanted a little, at random; (N, 8, 8) -> (N, 8, 8), linear between pixels."""
    count, size = images.shape[:2]
    positions = np.arange(size) - (size - 1) / 2

    def shares(slant: float) -> Array:
        """(N, line, new pixel, old pixel): how much of each old pixel is in each new one."""
        zoom, shift, lean = (random.uniform(-limit, limit, (count, 1, 1, 1)) for limit in (ZOOM, SHIFT, slant))
        sources = (1 + zoom) * positions[:, None] + shift + lean * positions[:, None, None]
        result: Array = np.maximum(0, 1 - np.abs(sources - positions))
        return result

    upright = shares(0.0)[:, 0] @ images
    warped: Array = (shares(SLANT) @ upright[..., None])[..., 0]
    return warped


# ---- layers: each returns its output and the function that turns the output's gradient into those of its input and weights ----


def convolve(x: Array, w: Array, b: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """3x3 windows, padded by 1: (N, C, H, W), (K, C, 3, 3), (K,) -> (N, K, H, W)."""
    n, c, h, wide = x.shape
    k = len(w)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    # (N, C, H, W, 3, 3) -> (N·H·W, C·3·3)
    columns = sliding_window_view(padded, (3, 3), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5).reshape(n * h * wide, c * 9)
    y = (columns @ w.reshape(k, -1).T + b).reshape(n, h, wide, k).transpose(0, 3, 1, 2)

    def backward(dy: Array) -> tuple[Array, Array, Array]:
        rows = dy.transpose(0, 2, 3, 1).reshape(-1, k)
        windows = (rows @ w.reshape(k, -1)).reshape(n, h, wide, c, 3, 3).transpose(0, 3, 1, 2, 4, 5)
        dx = np.zeros_like(padded)
        for i in range(3):
            for j in range(3):
                dx[:, :, i : i + h, j : j + wide] += windows[..., i, j]
        return dx[:, :, 1:-1, 1:-1], (rows.T @ columns).reshape(w.shape), rows.sum(0)

    return y, backward


def pool(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Maximum of each 2x2 window; equal maxima share the gradient."""
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // 2, 2, w // 2, 2)
    y = windows.max((3, 5), keepdims=True)
    share = windows == y
    share = share / share.sum((3, 5), keepdims=True)
    return y[:, :, :, 0, :, 0], lambda dy: (share * dy[:, :, :, None, :, None]).reshape(x.shape)


def forward(weights: Weights, x: Array) -> tuple[Array, Callable[[Array], Grads]]:
    """Scores (N, 10) of inputs (N, 1, 8, 8), and the function from their gradient to that of the weights."""
    y, conv1 = convolve(x, *weights["conv1"])
    y, pool1 = pool(y)
    y, conv2 = convolve(y, *weights["conv2"])
    y, pool2 = pool(y)
    features = y.reshape(len(x), -1)
    w1, b1 = weights["ip1"]
    w2, b2 = weights["ip2"]
    hidden = np.maximum(features @ w1.T + b1, 0)

    def backward(dy: Array) -> Grads:
        dh = (dy @ w2) * (hidden > 0)
        d2, *conv2_grads = conv2(pool2((dh @ w1).reshape(y.shape)))
        _, *conv1_grads = conv1(pool1(d2))
        return {
            "conv1": (conv1_grads[0], conv1_grads[1]),
            "conv2": (conv2_grads[0], conv2_grads[1]),
            "ip1": (dh.T @ features, dh.sum(0)),
            "ip2": (dy.T @ hidden, dy.sum(0)),
        }

    return hidden @ w2.T + b2, backward


# ---- training ----


def initial(random: np.random.RandomState) -> Weights:
    """He's initialisation, biases zero."""
    shapes = {"conv1": (MAPS1, 1, 3, 3), "conv2": (MAPS2, MAPS1, 3, 3), "ip1": (HIDDEN, MAPS2 * 4), "ip2": (CLASSES, HIDDEN)}
    return {
        name: (random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])), np.zeros(shape[0]))
        for name, shape in shapes.items()
    }


def batches(count: int, random: np.random.RandomState) -> Iterator[Array]:
    """Indices of one epoch, shuffled, in full batches."""
    order = random.permutation(count)
    for start in range(0, count - BATCH + 1, BATCH):
        yield order[start : start + BATCH]


def gradient(weights: Weights, x: Array, labels: Array) -> tuple[float, Grads]:
    """Mean cross entropy of a batch, and its gradient."""
    scores, backward = forward(weights, x)
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(-np.log(p[rows, labels]).mean())
    p[rows, labels] -= 1
    return loss, backward(p / len(labels))


def train(images: Array, labels: Array, progress: Callable[[int, float], None]) -> Weights:
    """Adam with a rate that falls to zero in a straight line.

    Computed in double precision and rounded to a grid at the end, so that processors which add up in another order, and so differ
    in the last bits, still write the same file.
    """
    random = np.random.RandomState(SEED)
    weights = initial(random)
    flat = [array for pair in weights.values() for array in pair]
    first = [np.zeros_like(array) for array in flat]
    second = [np.zeros_like(array) for array in flat]
    step, steps = 0, EPOCHS * (len(images) // BATCH)
    for epoch in range(EPOCHS):
        losses = []
        for chosen in batches(len(images), random):
            loss, grads = gradient(weights, normalize(warp(images[chosen], random)), labels[chosen])
            losses.append(loss)
            step += 1
            rate = RATE * (1 - (step - 1) / steps) * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for array, grad, m, v in zip(flat, (g for pair in grads.values() for g in pair), first, second, strict=True):
                m += 0.1 * (grad - m)
                v += 0.001 * (grad * grad - v)
                array -= rate * m / (np.sqrt(v) + 1e-8)
        progress(epoch + 1, float(np.mean(losses)))
    return {name: (_rounded(w), _rounded(b)) for name, (w, b) in weights.items()}


def _rounded(array: Array) -> Array:
    return (np.round(array / GRID) * GRID).astype(np.float32)


def accuracy(weights: Weights, images: Array, labels: Array) -> float:
    """Top-1 in percent."""
    scores, _ = forward(weights, normalize(images))
    return 100 * float(np.mean(scores.argmax(1) == labels))


# ---- files ----

_INPUT = """\
layer {
  name: "data"
  type: "Input"
  top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } }
}
"""

_DATA = """\
layer {{
  name: "data"
  type: "Data"
  top: "data"
  top: "label"
  include {{ phase: {phase} }}
  transform_param {{ mean_value: {mean:g} scale: {scale:g} }}
  data_param {{ source: "digits_{folder}_lmdb" batch_size: {batch} backend: LMDB }}
}}
"""

_BODY = f"""\
layer {{
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  convolution_param {{ num_output: {MAPS1} kernel_size: 3 pad: 1 }}
}}
layer {{
  name: "pool1"
  type: "Pooling"
  bottom: "conv1"
  top: "pool1"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }}
}}
layer {{
  name: "conv2"
  type: "Convolution"
  bottom: "pool1"
  top: "conv2"
  convolution_param {{ num_output: {MAPS2} kernel_size: 3 pad: 1 }}
}}
layer {{
  name: "pool2"
  type: "Pooling"
  bottom: "conv2"
  top: "pool2"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }}
}}
layer {{
  name: "ip1"
  type: "InnerProduct"
  bottom: "pool2"
  top: "ip1"
  inner_product_param {{ num_output: {HIDDEN} }}
}}
layer {{
  name: "relu1"
  type: "ReLU"
  bottom: "ip1"
  top: "ip1"
}}
layer {{
  name: "ip2"
  type: "InnerProduct"
  bottom: "ip1"
  top: "ip2"
  inner_product_param {{ num_output: {CLASSES} }}
}}
"""

_PROB = """\
layer {
  name: "prob"
  type: "Softmax"
  bottom: "ip2"
  top: "prob"
}
"""

_LOSS = """\
layer {
  name: "accuracy"
  type: "Accuracy"
  bottom: "ip2"
  bottom: "label"
  top: "accuracy"
  include { phase: TEST }
}
layer {
  name: "loss"
  type: "SoftmaxWithLoss"
  bottom: "ip2"
  bottom: "label"
  top: "loss"
}
"""


def deploy() -> str:
    """The net as it is used: an Input layer, and class probabilities at the end."""
    return f'name: "digits"\n{_INPUT}{_BODY}{_PROB}'


def train_val() -> str:
    """The net as Caffe would train and test it, on LMDBs of the two parts of the data."""
    data = "".join(
        _DATA.format(phase=phase, mean=MEAN, scale=SCALE, folder=phase.lower(), batch=batch)
        for phase, batch in (("TRAIN", BATCH), ("TEST", HELD_OUT))
    )
    return f'name: "digits"\n{data}{_BODY}{_LOSS}'


def caffemodel(weights: Weights) -> bytes:
    """The deploy net with its blobs, in Caffe's newest binary form."""
    net = caffe_pb2.NetParameter()
    text_format.Parse(deploy(), net)
    for layer in net.layer:
        for array in weights.get(layer.name, ()):
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel().tolist())
    return net.SerializeToString(deterministic=True)


def npz(**arrays: Array) -> bytes:
    """What ``numpy.load`` reads, with a fixed date in it and without compression: the same bytes wherever it is written."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue())
    return stream.getvalue()


def build() -> dict[str, bytes]:
    """Train, and return all files by name."""
    from threadpoolctl import threadpool_limits

    images, labels = load()
    learned, held_out = split(len(images))
    with threadpool_limits(1):
        weights = train(images[learned], labels[learned], _show)
        print()
        for part, chosen in (("trained on", learned), ("held out", held_out)):
            print(f"top-1 of the {len(chosen)} digits {part}: {accuracy(weights, images[chosen], labels[chosen]):.2f} %")
    return {
        "digits.prototxt": deploy().encode(),
        "digits_train_val.prototxt": train_val().encode(),
        "digits.caffemodel": caffemodel(weights),
        "digits_heldout.npz": npz(images=images[held_out], labels=labels[held_out]),
    }


def _show(epoch: int, loss: float) -> None:
    print(f"\repoch {epoch:3d} of {EPOCHS}: loss {loss:.4f}", end="", flush=True)


def check(files: dict[str, bytes], folder: Path) -> list[str]:
    """Names of the files in ``folder`` that are missing or other than ``files``."""
    return [name for name, data in files.items() if not (folder / name).is_file() or (folder / name).read_bytes() != data]


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the bundled digit classifier and write it as Caffe files.")
    parser.add_argument("--output", type=Path, metavar="DIR", default=BUNDLED, help="of the files (default: the bundled ones)")
    parser.add_argument("--check", action="store_true", help="write nothing: train, and compare with the files in the folder")
    options = parser.parse_args()
    files = build()
    for name, data in files.items():
        print(f"{hashlib.sha256(data).hexdigest()}  {len(data):7d}  {name}")
    if options.check:
        if different := check(files, options.output):
            print(f"not the same as in {options.output}: {', '.join(different)}", file=sys.stderr)
            return 1
        print("all the same")
        return 0
    try:
        for name, data in files.items():
            write_bytes(options.output / name, data)
    except Caffe2NeonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
