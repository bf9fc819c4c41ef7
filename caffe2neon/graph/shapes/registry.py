"""Rules by layer type."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from caffe2neon.errors import GraphError
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


class Shapes(NamedTuple):
    """Shapes of a layer's tops and of its learnable blobs, in Caffe's order."""

    tops: tuple[Shape, ...]
    params: tuple[Shape, ...] = ()


Rule: TypeAlias = "Callable[[LayerParameter, Sequence[Shape]], Shapes]"

_INT_MAX = 2**31 - 1

_RULES: dict[str, tuple[Rule, range]] = {}

#: Types of BVLC Caffe HEAD without a rule: data sources, whose shapes lie in their files, and layers that neon cannot express.
_SHAPELESS = frozenset(
    {"Data", "Filter", "HDF5Data", "HDF5Output", "ImageData", "LSTM", "LSTMUnit", "MemoryData", "Parameter", "Python", "RNN", "SPP"}
    | {"WindowData"}
)


def rule(*types: str, bottoms: int | range = 1) -> Callable[[Rule], Rule]:
    """Register the rule of one or more layer types that take ``bottoms`` (a number or a range of numbers) bottoms."""
    count = range(bottoms, bottoms + 1) if isinstance(bottoms, int) else bottoms

    def register(function: Rule) -> Rule:
        for name in types:
            if name in _RULES:
                raise ValueError(f"two shape rules for layer type {name}")
            _RULES[name] = (function, count)
        return function

    return register


def known_types() -> frozenset[str]:
    """Layer types of BVLC Caffe HEAD that have a rule here."""
    return frozenset(_RULES)


def infer(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    """Shapes of the tops and of the learnable blobs.

    Raises:
        GraphError: Caffe would refuse the layer; the message says why.
    """
    if layer.type in _SHAPELESS:
        raise GraphError("the shape of what it gives is not known from the net definition alone")
    if layer.type not in _RULES:
        raise GraphError("not a layer type of BVLC Caffe", remedy="it is of a branch of Caffe, which needs a converter of its own")
    function, count = _RULES[layer.type]
    if len(bottoms) not in count:
        takes = f"{count.start}" if len(count) == 1 else f"at least {count.start}"
        raise GraphError(f"takes {takes} bottom(s), has {len(bottoms)}")
    shapes = function(layer, bottoms)
    if len(layer.param) > len(shapes.params):  # net.cpp, "Too many params specified for layer"
        given, blobs = len(layer.param), len(shapes.params)
        raise GraphError(
            f"has {given} `param` (old formats: `blobs_lr`), but {blobs} learnable blob(s): Caffe refuses that",
            remedy="take out those that are too many; without bias_term, the one of the bias",
        )
    check_sizes("its output", shapes.tops)
    check_sizes("its learnable blob", shapes.params)
    if any(size < 1 for shape in shapes.tops for size in shape):
        raise GraphError(f"its output would be empty: {show(shapes.tops[0])} from {show(bottoms[0]) if bottoms else 'nothing'}")
    return shapes


def check_sizes(what: str, shapes: Iterable[Shape]) -> None:
    """Caffe counts a blob's values in an int, and refuses more (``Blob::Reshape``)."""
    for shape in shapes:
        if count(shape) > _INT_MAX:
            raise GraphError(
                f"{what} would be {show(shape)}: a blob of Caffe's holds at most {_INT_MAX:,} values",
                remedy="check its parameters and the shape of the input",
            )


#: For layers that take any number of bottoms, from so many on.
def at_least(count: int) -> range:
    return range(count, 1 << 20)


def axis(index: int, shape: Shape) -> int:
    """A canonical axis; Caffe counts negative ones from the end."""
    if not -len(shape) <= index < len(shape):
        raise GraphError(f"axis {index} is out of range for a blob of shape {show(shape)}")
    return index % len(shape)


def legacy_axis(index: int, shape: Shape) -> int:
    """An axis as ``concat_dim`` and ``slice_dim`` give it, unsigned."""
    require(index < len(shape), f"axis {index} is out of range for a blob of shape {show(shape)}")
    return index


def require(condition: bool, message: str) -> None:
    if not condition:
        raise GraphError(message)


def show(shape: Shape) -> str:
    """``1×3×8×9``"""
    return "×".join(map(str, shape)) or "scalar"


count = math.prod
