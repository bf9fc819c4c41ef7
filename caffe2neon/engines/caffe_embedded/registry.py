"""What a layer's function gets and returns, and the registry that finds it by Caffe's type name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from caffe2neon.caffe import caffe_pb2
from caffe2neon.engines.onnx_graph import OnnxGraph
from caffe2neon.errors import GraphError
from caffe2neon.records import Array, Shape


@dataclass(frozen=True)
class Tensor:
    """A blob version in the ONNX graph, its shape known. Blobs that share memory in Caffe have one ``storage``; 0 means its own."""

    name: str
    shape: Shape
    storage: int = 0

    @property
    def rank(self) -> int:
        return len(self.shape)

    def count(self, start: int = 0, end: int | None = None) -> int:
        """The number of elements in the axes from ``start`` to before ``end``."""
        return math.prod(self.shape[start:end])


@dataclass(frozen=True)
class Layer:
    """One layer while it is translated: its parameters and bottoms, and the graph to grow.

    ``tops`` is how many blobs it must produce; ``in_place`` says whether its first top overwrites its first bottom. ``declare``
    makes an input of the net out of a top; ``bind`` looks up learnable blobs.
    """

    param: caffe_pb2.LayerParameter
    bottoms: tuple[Tensor, ...]
    tops: int
    in_place: bool
    graph: OnnxGraph
    declare: Callable[[int, Shape | None], Tensor]
    bind: Callable[[tuple[Shape, ...]], tuple[Array, ...]]

    @property
    def training(self) -> bool:
        return self.param.phase == caffe_pb2.TRAIN if self.param.HasField("phase") else False

    def require(self, condition: object, message: str) -> None:
        """Caffe's CHECK.

        Raises:
            GraphError: ``condition`` is false.
        """
        if not condition:
            raise GraphError(message)

    def axis(self, index: int, tensor: Tensor | None = None) -> int:
        """``index`` counted from the front, as Caffe's CanonicalAxisIndex does; of the first bottom unless told otherwise."""
        shape = (tensor or self.bottoms[0]).shape
        self.require(-len(shape) <= index < len(shape), f"axis {index} is out of range for a blob of shape {shape}")
        return index % len(shape)

    def weights(self, *shapes: Shape) -> tuple[Array, ...]:
        """The learnable blobs as float32, in these shapes. To be called once.

        Raises:
            WeightsError: they are missing, or fewer, more, or of other shapes.
        """
        return self.bind(shapes)

    def op(self, operator: str, *inputs: Operand, shape: Shape | None = None, **attributes: Any) -> Tensor:
        """Add a node with one output; whatever is no tensor becomes a constant. ``shape`` defaults to the first input's."""
        names = [self.name(operand) for operand in inputs]
        if shape is None:
            shape = next(operand.shape for operand in inputs if isinstance(operand, Tensor))
        return Tensor(self.graph.add(operator, *names, **attributes), shape)

    def name(self, operand: Operand) -> str:
        return operand.name if isinstance(operand, Tensor) else self.graph.constant(operand)

    def reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        """The same elements in another shape; the tensor itself where it has that shape already."""
        if tensor.shape == shape:
            return tensor
        return self.op("Reshape", tensor, np.array(shape, np.int64), shape=shape)


Operand: TypeAlias = "Tensor | Array | Sequence[int] | float"
Translate: TypeAlias = Callable[[Layer], Sequence[Tensor]]

FINE = ""
FORBIDDEN = "Caffe does not allow this layer in place"
CLOBBERS = "in place, Caffe overwrites this layer's input while it still reads it, and computes what nobody means"


@dataclass(frozen=True)
class Kind:
    """How to translate a layer type, and how many blobs it takes (least, most; None: no limit).

    ``in_place`` is why it must not be in place, "" where it may. Loss layers have ``loss``: Caffe adds a top where none is named.
    """

    translate: Translate
    bottoms: tuple[int, int | None] = (1, 1)
    tops: tuple[int, int | None] = (1, 1)
    in_place: str = CLOBBERS
    pairs: bool = False
    loss: bool = False

    def check(self, bottoms: int, tops: int) -> None:
        """Caffe's CheckBlobCounts.

        Raises:
            GraphError: a wrong number of bottoms or tops.
        """
        for word, count, (least, most) in (("bottom", bottoms, self.bottoms), ("top", tops, self.tops)):
            if count < least or (most is not None and count > most):
                limits = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
                raise GraphError(f"this layer type takes {limits} {word} blob(s), not {count}")
        if self.pairs and bottoms != tops:
            raise GraphError(f"this layer type makes one top a bottom; there are {bottoms} bottoms and {tops} tops")


KINDS: dict[str, Kind] = {}


def layer(type_: str, **rules: Any) -> Callable[[Translate], Translate]:
    """Register the decorated function for a layer type; ``rules`` are the fields of :class:`Kind`.

    Raises:
        ValueError: the type is registered already.
    """

    def register(translate: Translate) -> Translate:
        if type_ in KINDS:
            raise ValueError(f"two functions for the layer type {type_!r}")
        KINDS[type_] = Kind(translate, **rules)
        return translate

    return register
