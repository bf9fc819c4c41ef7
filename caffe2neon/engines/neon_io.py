"""What both neon engines say about a model's input and outputs, and how they check what they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from caffe2neon.errors import EngineError
from caffe2neon.records import Array, NeonContainer, NeonModel, Shape, float32


def resolve_shape(model: NeonModel, given: Shape | None) -> Shape:
    """The input's shape without the batch axis: the caller's word before the file's.

    Raises:
        EngineError: neither says it.
    """
    shape = given or model.input_shape
    if not shape:
        raise EngineError("the file does not record its input's shape", remedy="give it, as C,H,W: for example 3,224,224")
    if any(n < 1 for n in shape):
        raise EngineError(f"an input of shape {shape} holds nothing")
    return tuple(shape)


def input_name(model: NeonModel) -> str:
    """``data``, or the one name this project recorded."""
    names = model.meta.get("inputs")
    return names[0] if isinstance(names, list) and len(names) == 1 and isinstance(names[0], str) else "data"


def output_names(model: NeonModel, count: int) -> tuple[str, ...]:
    """The blobs this project recorded, where there are as many as outputs; else ``out0``, ``out1``..."""
    names = model.meta.get("outputs")
    if isinstance(names, list) and len(set(map(str, names))) == len(names) == count:
        return tuple(map(str, names))
    return tuple(f"out{index}" for index in range(count))


def checked_input(inputs: Mapping[str, Array], name: str, shape: Shape) -> Array:
    """The one input as C-ordered float32 with the batch axis first.

    Raises:
        EngineError: it is missing, another is given, or its shape is not (N, \\*shape).
    """
    if set(inputs) != {name}:
        raise EngineError(f"the input is {name!r}, given: {', '.join(map(repr, inputs)) or 'nothing'}")
    data = float32(inputs[name])
    if data.shape[1:] != shape or not len(data):
        raise EngineError(f"input {name!r} has shape {data.shape} where (N, {', '.join(map(str, shape))}) is needed, N at least 1")
    return np.ascontiguousarray(data)


def check_taps(known: Sequence[str], asked: Sequence[str]) -> None:
    """Raises:
    EngineError: a tap that no layer of the model has as its name.
    """
    for tap in asked:
        if tap not in known:
            raise EngineError(f"the model has no layer {tap!r}", remedy="its layers: " + ", ".join(known[:20]))


def output_count(container: NeonContainer) -> int:
    """How many outputs neon's ``Model.fprop`` gives at inference: a Tree has one a branch, a SingleOutputTree one."""
    if container.kind == "Tree":
        return len(container.layers)
    last = container.layers[-1] if container.layers else None
    return output_count(last) if container.kind == "Sequential" and isinstance(last, NeonContainer) else 1


def tap_names(container: NeonContainer) -> tuple[str, ...]:
    """The names of layers and containers that have one output at inference, in the order in which neon is done with them."""
    names: list[str] = []
    for item in container.layers[:1] if container.kind == "SingleOutputTree" else container.layers:
        names += tap_names(item) if isinstance(item, NeonContainer) else [item.name]
    if not _ends_in_tree(container):
        names.append(container.name)
    return tuple(dict.fromkeys(name for name in names if name))


def _ends_in_tree(container: NeonContainer) -> bool:
    if container.kind != "Sequential":
        return container.kind in ("Tree", "SingleOutputTree")
    last = container.layers[-1] if container.layers else None
    return isinstance(last, NeonContainer) and _ends_in_tree(last)
