"""Layers that keep the shape and have no parameters: Activation, DataTransform, Dropout, SkipNode, BranchNode."""

from __future__ import annotations

from typing import Any

from caffe2neon.engines.neon_embedded.base import Buffer, Deltas, Emission, Layer, NeonShape, neon_class, size
from caffe2neon.engines.neon_embedded.geometry import vector_length


@neon_class("Activation")
class Activation(Layer):
    owns_output = False
    has_delta = True

    def output_shape(self) -> NeonShape:
        vector_length(self, self.in_shape)
        return self.in_shape

    def compute(self, emission: Emission, source: Buffer) -> str:
        """Sources: ``neon/transforms/activation.py``; Softmax runs over all features of an example, also on a map."""
        graph, x, transform = emission.graph, source.value, self.config["transform"]
        config = transform.get("config", {})
        match transform["type"].rpartition(".")[2]:
            case "Identity":
                return x
            case "Rectlin":
                slope = self.number(config, "slope", 0)
                return graph.add("LeakyRelu", x, alpha=float(slope)) if slope else graph.add("Relu", x)
            case "Explin":
                return graph.add("Elu", x, alpha=float(self.number(config, "alpha", 1.0)))
            case "Normalizer":
                return graph.add("Div", x, graph.constant(float(self.number(config, "divisor", 128.0))))
            case "Tanh":
                return graph.add("Tanh", x)
            case "Logistic":
                return graph.add("Sigmoid", x)
            case "Softmax":
                flat = size(self.in_shape)
                y = graph.add("Softmax", emission.reshape(x, self.in_shape, flat), axis=1)
                return emission.reshape(y, flat, self.in_shape)
            case other:
                raise self.unsupported(f"the transform {other}")


@neon_class("DataTransform")
class DataTransform(Activation):
    """Transforms the input itself."""

    has_delta = False


@neon_class("Dropout")
class Dropout(Layer):
    """Identity at inference in compat_mode caffe, else times ``keep``.

    In a side branch of a Tree neon drops at random even at inference; this computes the mean of that, which is the same formula.
    """

    owns_output = False

    def compute(self, emission: Emission, source: Buffer) -> str:
        if self.caffe:
            return source.value
        return emission.graph.add("Mul", source.value, emission.graph.constant(float(self.number(self.config, "keep", 0.5))))


@neon_class("SkipNode")
class SkipNode(Layer):
    """A copy of its input."""

    takes_beta = True
    has_delta = True

    def compute(self, _: Emission, source: Buffer) -> str:
        return source.value


@neon_class("BranchNode")
class BranchNode(Layer):
    """Hands out the buffer itself; the branches that begin with it see what was done in place to that buffer since.

    All BranchNodes of one name are one object.
    """

    owns_output = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._buffer: Buffer | None = None

    def set_deltas(self, deltas: Deltas | None) -> None:
        if not self.deltas_set:
            self.deltas_set = True
            if self.out_shape is None:
                raise self.refuse("no trunk leads to this BranchNode")
            self.check_delta(deltas)

    def fprop(self, emission: Emission, source: Buffer | None, *, total: Buffer | None = None) -> Buffer:
        if total is not None:
            raise self.refuse("TypeError: it ends an arm of a MergeSum other than the first, and its fprop has no argument 'beta'")
        if self._buffer is None:
            if source is None:
                raise self.refuse("no trunk leads to this BranchNode")
            self._buffer = source
        self.tap(emission, self._buffer.value)
        return self._buffer
