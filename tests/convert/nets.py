"""Seeded weights, and the two embedded engines side by side: what the tests of converting share."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from caffe2neon.convert import convert
from caffe2neon.engines import open_caffe, open_neon
from caffe2neon.graph import build_graph
from caffe2neon.neon import write_prm
from caffe2neon.records import Array, CaffeNet, CaffeWeights, NeonModel, Shape
from caffe2neon.single import lay_out_net

#: max |difference| / max(1, max |reference|): the project's tolerance
TOLERANCE = 1e-5


def random_weights(net: CaffeNet, seed: int = 0) -> CaffeWeights:
    """Seeded weights for every layer that has some, scaled so that values stay around 1."""
    rng = np.random.default_rng(seed)
    return CaffeWeights(
        {node.layer.name: _blobs(rng, node.layer.type, node.params) for node in build_graph(net).nodes if node.params}
    )


def _blobs(rng: np.random.Generator, type_: str, shapes: tuple[Shape, ...]) -> tuple[Array, ...]:
    if type_ == "BatchNorm":
        factor = rng.choice([1.0, 999.982])
        mean, variance = rng.normal(0, 0.5, shapes[0]) * factor, rng.uniform(0.5, 2, shapes[1]) * factor
        return tuple(np.asarray(blob, np.float32) for blob in (mean, variance, np.full(1, factor)))
    if type_ in ("Convolution", "Deconvolution", "InnerProduct"):
        # a fan-in of any axis but the first, which is right up to a factor for the layers that transpose
        scales = [1 / np.sqrt(max(1, float(np.prod(shape[1:])))) for shape in shapes[:1]] + [0.3]
        return tuple(np.asarray(rng.normal(0, scale, shape), np.float32) for scale, shape in zip(scales, shapes, strict=False))
    return tuple(np.asarray(rng.uniform(-1.5, 1.5, shape), np.float32) for shape in shapes)


def noise(shape: Shape, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def converted(net: CaffeNet, weights: CaffeWeights) -> NeonModel:
    return convert(lay_out_net(net), weights)


def reference(net: CaffeNet, weights: CaffeWeights, x: Array) -> dict[str, Array]:
    """What Caffe computes for the one input that any output needs; others (sizes to crop to) are fed zeros."""
    engine = open_caffe(net, weights, engine="embedded", threads=1)
    first, *others = engine.inputs
    return engine.run({first: x, **{name: np.zeros((len(x), *engine.inputs[name]), np.float32) for name in others}})


def neon_outputs(model: NeonModel, x: Array) -> dict[str, Array]:
    """What the written file computes, by neon's rules."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prm")
        write_prm(model, path)
        engine = open_neon(path, engine="embedded", threads=1)
        ((name, shape),) = engine.inputs.items()
        return engine.run({name: x.reshape(-1, *shape)})


def assert_close(computed: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float = TOLERANCE) -> None:
    """All outputs, by name; features in Caffe's order, whatever axes they have."""
    assert set(computed) == set(expected)
    for name, wanted in expected.items():
        found = computed[name].reshape(wanted.shape)
        error = np.abs(found.astype(np.float64) - wanted).max() / max(1.0, np.abs(wanted).max())
        assert error <= tolerance, f"{name}: {error:.3g}"


def assert_converts(net: CaffeNet, weights: CaffeWeights | None = None, *, x: Array | None = None) -> NeonModel:
    """Convert, compute in both engines, compare; returns the model for further questions."""
    weights = weights or random_weights(net)
    x = noise(build_graph(net).inputs[0].shape) if x is None else x
    model = converted(net, weights)
    assert_close(neon_outputs(model, x), reference(net, weights, x))
    return model
