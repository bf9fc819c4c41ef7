"""neon's delta buffers: which arms they hold, and the ways round for those they do not.

The arms of a container share buffers as large as the largest input of the trunk's layers after the first (``allocate_deltas``). An
arm that holds another container, or a layer with a larger input, does not build as such. Two ways round, both measured:

* one more Sequential around the arm's content: what is nested gets no buffers at all, which inference does not need. But a Pooling
  keeps its argmax beside them, so there must be none within;
* for arms that are only too large: a layer with an input as large as theirs at the start of the trunk, which copies the trunk's
  input several times and takes one of the copies.
"""

from __future__ import annotations

from dataclasses import replace

from caffe2neon.convert.hoist import hoisted
from caffe2neon.convert.neon_layers import merge, selector, sequential, skip_node
from caffe2neon.convert.registry import Item, Refused
from caffe2neon.convert.shapes import features, out_shape
from caffe2neon.records import NeonContainer, Shape

#: Layers that keep a delta buffer of their input's size.
_OWNS_DELTA = frozenset({"Convolution", "Deconvolution", "Linear", "Pooling", "BatchNorm", "LRN", "Activation", "SkipNode"})


def within_buffers(root: NeonContainer, shape: Shape, notes: list[str]) -> NeonContainer:
    """The same model, in a form that neon can allocate; ``notes`` is told what that costs.

    Raises:
        Refused: an arm that holds another container and a Pooling.
    """
    if root.kind == "Sequential":
        return _within(root, shape, notes)[0]
    shapes: dict[str, Shape] = {}
    branches: list[NeonContainer] = []
    for branch in root.layers:
        assert isinstance(branch, NeonContainer)
        fitted, passed = _within(branch, shapes[branch.layers[0].name] if branches else shape, notes)
        shapes.update(passed)
        branches.append(fitted)
    return replace(root, layers=tuple(branches))


def _within(branch: NeonContainer, shape: Shape, notes: list[str]) -> tuple[NeonContainer, dict[str, Shape]]:
    """``branch`` with arms that neon can allocate, and the shape at each of its BranchNodes."""
    branch = hoisted(branch, shape, notes)
    shapes = [shape]
    for item in branch.layers:
        shapes.append(out_shape(item, shapes[-1]))
    passed = {item.name: before for item, before in zip(branch.layers, shapes, strict=False) if item.kind == "BranchNode"}
    largest = max(map(features, shapes[1:-1]), default=0)
    fitted = [
        _fit_arms(item, before, largest, notes) if isinstance(item, NeonContainer) else item
        for item, before in zip(branch.layers, shapes, strict=False)
    ]
    needed = max((_widest(item, before) for item, before in zip(fitted, shapes, strict=False)), default=0)
    if needed > largest:
        notes.append(f"{branch.name}: its arms are wider than its trunk; neon gets buffers for them by copies of the trunk's input")
        first = 1 if fitted[0].kind in ("BranchNode", "SkipNode") else 0
        fitted[first:first] = _large_input(branch.name, shape, needed)
    return replace(branch, layers=tuple(fitted)), passed


def _fit_arms(container: NeonContainer, shape: Shape, largest: int, notes: list[str]) -> NeonContainer:
    arms = (_fit(arm, shape, largest, notes) for arm in container.layers if isinstance(arm, NeonContainer))
    return replace(container, layers=tuple(arms))


def _fit(arm: NeonContainer, shape: Shape, largest: int, notes: list[str]) -> NeonContainer:
    """Wrap the arm's content where it must be, or where that is the cheaper way round."""
    nests = any(isinstance(item, NeonContainer) for item in arm.layers)
    pools = any(layer.kind == "Pooling" for layer in arm.walk())
    if nests and pools:
        inner = next(item for item in arm.layers if isinstance(item, NeonContainer))
        raise Refused(
            f"lies inside an arm of another fork ({arm.name}) which also pools: neon has no buffer for a Pooling there",
            "end the net before that fork: --cut BLOB",
            join=inner.name,
        )
    if pools or not (nests or _widest_layer(arm, shape) > largest):
        return arm
    content = list(arm.layers)
    if isinstance(content[-1], NeonContainer):
        content.append(skip_node(f"{content[-1].name}_end"))
    notes.append(f"{arm.name}: wrapped in one more Sequential, which has no delta buffers and serves inference only")
    return replace(arm, layers=(sequential(content, f"{arm.name}_wrapped"),))


def _widest(item: Item, shape: Shape) -> int:
    """The largest buffer that the arms of a container need; 0 for a plain layer, or a nested Sequential, which gets none."""
    if not isinstance(item, NeonContainer) or item.kind == "Sequential":
        return 0
    return max(_widest_layer(arm, shape) for arm in item.layers if isinstance(arm, NeonContainer))


def _widest_layer(arm: NeonContainer, shape: Shape) -> int:
    """The largest input of a layer behind the arm's first that keeps a delta buffer."""
    widest, current = 0, shape
    for index, item in enumerate(arm.layers):
        if index and item.kind in _OWNS_DELTA:
            widest = max(widest, features(current))
        current = out_shape(item, current)
    return widest


def _large_input(name: str, shape: Shape, needed: int) -> list[Item]:
    """Layers that together do nothing, one of which has an input of at least ``needed`` features."""
    if len(shape) != 3:
        raise Refused("its arms are wider than its trunk, which starts from flat input: neon has no buffers for that")
    copies = -(-needed // features(shape))
    arms = tuple(sequential([skip_node(f"{name}_copy{i}")], f"{name}_copies_arm{i}") for i in range(copies))
    return [
        skip_node(f"{name}_start"),
        replace(merge(f"{name}_copies", "depth"), layers=arms),
        selector(f"{name}_large", range(shape[0]), copies * shape[0]),
    ]
