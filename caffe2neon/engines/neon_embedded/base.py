"""What the layers of the embedded engine share: neon's own phases, and neon's buffers, followed without running neon.

neon builds a model in five phases, and each can refuse it: construct, configure (shapes), allocate (outputs), set_deltas (the
buffers of backpropagation, which ``Model.initialize`` lays out even for inference), fprop. The classes here go through the same
phases, so that a model runs here where it runs there, and computes the same. Sources: ``neon/layers/layer.py`` and
``neon/layers/container.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar, TypeAlias, TypeVar

from caffe2neon.engines.onnx_graph import OnnxGraph
from caffe2neon.errors import EngineError
from caffe2neon.records import Array, NeonContainer, NeonLayer, Shape

#: neon's shapes: an integer (a vector), ``(n, 1)`` (a vector at one step), ``(C, H, W)``.
NeonShape: TypeAlias = "int | Shape"
#: The buffers a container hands down for backpropagation: how many, and how many values each has for one example.
Deltas: TypeAlias = "tuple[int, int]"


def size(shape: NeonShape) -> int:
    return shape if isinstance(shape, int) else prod(shape)


def axes(shape: NeonShape) -> Shape:
    """The axes of an ONNX tensor after the batch axis: a vector has one, whichever way neon writes its shape."""
    if isinstance(shape, int):
        return (shape,)
    return shape[:1] if len(shape) == 2 and shape[1] == 1 else shape


@dataclass
class Buffer:
    """A tensor of neon. ``value`` names the ONNX tensor it holds now; a layer that works in place gives it another."""

    value: str
    shape: NeonShape


@dataclass
class Emission:
    """The ONNX graph as it grows, and what each named layer put out when it had run. ``inference`` is neon's flag of that name."""

    graph: OnnxGraph
    inference: bool = True
    taps: dict[str, str] = field(default_factory=dict)

    def reshape(self, value: str, before: NeonShape, after: NeonShape) -> str:
        """Other axes for the same values, in C order."""
        old, new = axes(before), axes(after)
        if old == new:
            return value
        if len(new) == 1:
            return self.graph.add("Flatten", value, axis=1)
        return self.graph.add("Reshape", value, self.graph.constant((0, *new)))


class Layer:
    """One layer or container, by neon's phases. Subclasses say what :meth:`compute` emits."""

    #: False: works in its input's buffer.
    owns_output: ClassVar[bool] = True
    #: True: its fprop has an argument ``beta``, with which a MergeSum adds up its arms.
    takes_beta: ClassVar[bool] = False
    #: True: has a buffer of its own for backpropagation.
    has_delta: ClassVar[bool] = False
    #: "Unknown" becomes that of the layer before.
    default_parallelism: ClassVar[str] = "Unknown"

    def __init__(self, node: NeonLayer | NeonContainer, compat: str) -> None:
        self.name = node.name
        self.kind = node.kind
        self.config: Mapping[str, Any] = node.config
        self.caffe = compat == "caffe"
        self.parallelism = self.default_parallelism
        self.previous: Layer | None = None
        self.next: Layer | None = None
        self.in_shape: NeonShape = ()
        self.out_shape: NeonShape | None = None
        self.deltas_set = False

    def refuse(self, reason: str, remedy: str = "") -> EngineError:
        """The error for a model that neon itself would not run, or would compute nonsense for."""
        return EngineError(f"no model for neon v1.4.0: {reason}", remedy=remedy, layer=self.name, layer_type=self.kind)

    def unsupported(self, what: str) -> EngineError:
        """The error for what neon runs and this engine does not."""
        return EngineError(
            f"the embedded engine does not compute {what}",
            remedy="run it in the real neon (CAFFE2NEON_NEON_PYTHON)",
            layer=self.name,
            layer_type=self.kind,
        )

    def number(self, config: Mapping[str, Any], key: str, default: float) -> float:
        value = config.get(key, default)
        if not isinstance(value, (int, float)):
            raise self.refuse(f"{key} is {value!r}, not a number")
        return value

    def configure(self, source: Layer | NeonShape) -> None:
        """Learn the input's shape, from a layer or as such, and find the output's."""
        if isinstance(source, Layer):
            self.previous = source
            if source.out_shape is None:
                raise self.refuse(f"{source.kind} {source.name!r} before it has no single output")
            self.in_shape = source.out_shape
            if self.parallelism == "Unknown":
                self.parallelism = source.parallelism
        else:
            self.in_shape = source
        self.out_shape = self.output_shape()

    def output_shape(self) -> NeonShape | None:
        return self.in_shape

    def set_deltas(self, deltas: Deltas | None) -> None:
        """Take a buffer for backpropagation where neon does, and refuse where it would find it too small."""
        self.deltas_set = True
        wants = self.has_delta or (self.next is not None and self.next.parallelism != self.parallelism)
        if wants and self.previous is not None and self.previous.kind not in ("BranchNode", "ColorNoise"):
            self.check_delta(deltas)

    def check_delta(self, deltas: Deltas | None) -> None:
        if deltas is None:
            raise self.refuse("its container lays out no buffers for backpropagation, which neon wants even at inference")
        if size(self.in_shape) > deltas[1]:
            raise self.refuse(
                f"ValueError: its input has {size(self.in_shape):,} values, but neon's shared buffers have {deltas[1]:,}: as many"
                " as the largest input of the main container's layers after the first",
                remedy="wrap the arm's layers in one more Sequential that ends in a plain layer",
            )

    def terminal(self) -> Any:
        """The last layer; for containers with several ends a list of them."""
        return self

    def fprop(self, emission: Emission, source: Buffer, *, total: Buffer | None = None) -> Buffer:
        """Emit this layer; ``total`` is the buffer to add to (neon's ``beta=1``).

        Returns:
            The buffer with this layer's output.
        """
        if total is not None and not self.takes_beta:
            raise self.refuse(
                "TypeError: it ends an arm of a MergeSum other than the first, and its fprop has no argument 'beta'",
                remedy="move it behind the sum, or end the arm in a Convolution, Linear, Pooling, BatchNorm or SkipNode",
            )
        shape = self.in_shape if self.out_shape is None else self.out_shape
        value = self.compute(emission, source)
        if total is not None:
            value = emission.reshape(value, shape, total.shape)
            total.value = self.accumulate(emission, total.value, value)
            result = total
        elif self.owns_output:
            result = Buffer(value, shape)
        else:
            source.value = value
            result = source
        self.tap(emission, emission.reshape(result.value, result.shape, shape))
        return result

    def accumulate(self, emission: Emission, total: str, value: str) -> str:
        return emission.graph.add("Add", total, value)

    def tap(self, emission: Emission, value: str) -> None:
        """Note this layer's output; of several layers with one name the first to run counts."""
        if self.name:
            emission.taps.setdefault(self.name, value)

    def compute(self, emission: Emission, source: Buffer) -> str:
        """Emit the operators; returns the output's tensor, with the axes of ``out_shape``."""
        raise NotImplementedError


class ParameterLayer(Layer):
    """A layer with weights, which neon wants in the file."""

    def __init__(self, node: NeonLayer | NeonContainer, compat: str) -> None:
        super().__init__(node, compat)
        self.params: Mapping[str, Array] = node.params if isinstance(node, NeonLayer) else {}  # type: ignore[assignment]

    def param(self, name: str) -> Array:
        if name not in self.params:
            raise self.refuse(f"KeyError: the file has no parameter {name!r} for it", remedy="convert the model again")
        return self.params[name]


LAYERS: dict[str, type[Layer]] = {}

L = TypeVar("L", bound=type[Layer])


def neon_class(name: str) -> Callable[[L], L]:
    """Register a class under neon's own name."""

    def register(cls: L) -> L:
        if name in LAYERS:
            raise ValueError(f"{name} is registered twice")
        LAYERS[name] = cls
        return cls

    return register
