"""A fork inside an arm, moved out to the trunk, where neon has buffers for what it holds.

An arm that holds another fork must be wrapped (:mod:`.buffers`), and cannot pool then. Where the inner fork keeps height and width,
it need not stay inside: it runs on the trunk first, beside a copy of what the outer fork starts from, and the arms of the outer
fork take their part of the two by one-hot convolutions.

    x -> outer[ a(x), c(inner[p(x), q(x)]) ]    becomes    x -> [x, p(x), q(x)] -> outer[ a(take x), c(take inner) ]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from caffe2neon.convert.neon_layers import merge, mixer, sequential, skip_node
from caffe2neon.convert.registry import Item
from caffe2neon.convert.shapes import out_shape
from caffe2neon.records import NeonContainer, Shape


def hoisted(branch: NeonContainer, shape: Shape, notes: list[str]) -> NeonContainer:
    """The same branch, every inner fork that can and must be moved out moved out; the others stay, for the caller to judge."""
    items: list[Item] = []
    waiting = list(branch.layers)
    current = shape
    while waiting:
        item = waiting.pop(0)
        moved = _moved(item, current) if isinstance(item, NeonContainer) else None
        if moved is not None:
            notes.append(f"{item.name}: a fork inside an arm runs on the trunk first, and one-hot convolutions take it from there")
            waiting[:0] = moved
            continue
        items.append(item)
        current = out_shape(item, current)
    return replace(branch, layers=tuple(items))


def _moved(outer: NeonContainer, shape: Shape) -> Sequence[NeonContainer] | None:
    """The trunk's two containers in place of ``outer``; None where nothing must, or can, be moved."""
    for index, arm in enumerate(outer.layers):
        if isinstance(arm, NeonContainer) and any(layer.kind == "Pooling" for layer in arm.walk()):
            for position, item in enumerate(arm.layers):
                if isinstance(item, NeonContainer):
                    return _beside(outer, index, position, item, shape)
    return None


def _beside(outer: NeonContainer, index: int, position: int, inner: NeonContainer, shape: Shape) -> Sequence[NeonContainer] | None:
    """``inner`` stands at ``position`` in arm ``index`` of ``outer``; ``shape`` is what ``outer`` starts from."""
    arm = outer.layers[index]
    assert isinstance(arm, NeonContainer)
    prefix, suffix = arm.layers[:position], arm.layers[position + 1 :]
    start = shape
    for item in prefix:
        start = out_shape(item, start)
    parts = [out_shape(part, start) for part in inner.layers]
    if len(shape) != 3 or any(part[1:] != shape[1:] for part in parts):
        return None  # maps of other sizes cannot lie beside each other
    name = f"{inner.name}_beside"
    copy = sequential([skip_node(f"{name}_copy")], f"{name}_arm0")
    arms = [
        sequential([*(_again(item, number) for item in prefix), *_layers(part)], f"{name}_arm{number}")
        for number, part in enumerate(inner.layers, 1)
    ]
    beside = replace(merge(name, "depth"), layers=(copy, *arms))
    channels, total = shape[0], shape[0] + sum(part[0] for part in parts)
    inputs = [(k,) for k in range(channels)]
    if inner.kind == "MergeSum":
        computed = [tuple(channels + part * parts[0][0] + k for part in range(len(parts))) for k in range(parts[0][0])]
    else:
        computed = [(k,) for k in range(channels, total)]
    rest: list[Item] = []
    for number, other in enumerate(outer.layers):
        if number == index:
            content: Sequence[Item] = [mixer(inner.name, computed, total), *suffix]
        else:
            content = [mixer(f"{name}_input{number}", inputs, total), *_layers(other)]
        rest.append(replace(other, layers=tuple(content)) if isinstance(other, NeonContainer) else other)
    return [beside, replace(outer, layers=tuple(rest))]


def _layers(arm: Item) -> tuple[Item, ...]:
    assert isinstance(arm, NeonContainer)
    return arm.layers


def _again(item: Item, number: int) -> Item:
    """A layer before the inner fork, once for each of its arms."""
    if number == 1:
        return item
    config = {**item.config, "name": f"{item.name}@beside{number}"}
    if isinstance(item, NeonContainer):
        return replace(item, config=config, layers=tuple(_again(layer, number) for layer in item.layers))
    return replace(item, config=config)
