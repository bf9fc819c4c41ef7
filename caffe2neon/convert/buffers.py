"""neon's delta buffers: which arms they hold, and the way round for those they do not.

The arms of a container share buffers as large as the largest input of the trunk's layers after the first (``allocate_deltas``). An
arm that holds another container, or a layer with a larger input, does not build as such; wrapped in one more Sequential it does.
"""

from __future__ import annotations

from dataclasses import replace

from caffe2neon.convert.neon_layers import sequential, skip_node
from caffe2neon.convert.registry import Refused
from caffe2neon.convert.shapes import features, out_shape
from caffe2neon.records import NeonContainer, Shape

#: Layers that keep a delta buffer of their input's size.
_OWNS_DELTA = frozenset({"Convolution", "Deconvolution", "Linear", "Pooling", "BatchNorm", "LRN", "Activation", "SkipNode"})


def within_buffers(root: NeonContainer, shape: Shape) -> NeonContainer:
    """Wrap the content of every arm that neon's delta buffers would not hold, or that holds a container, in one more Sequential.

    A nested Sequential gets no delta buffers: it builds, and serves inference only.

    Raises:
        Refused: an arm that must be wrapped holds a Pooling, which needs a buffer for its argmax.
    """
    if root.kind != "Tree":
        return _within(root, shape)[0]
    shapes: dict[str, Shape] = {}
    branches: list[NeonContainer] = []
    for branch in root.layers:
        assert isinstance(branch, NeonContainer)
        first = branch.layers[0]
        start = shapes.get(first.name, shape) if branches else shape
        fitted, passed = _within(branch, start)
        shapes.update(passed)
        branches.append(fitted)
    return replace(root, layers=tuple(branches))


def _within(branch: NeonContainer, shape: Shape) -> tuple[NeonContainer, dict[str, Shape]]:
    """``branch`` with its arms wrapped where they must be, and the shape at each of its BranchNodes."""
    shapes = [shape]
    for item in branch.layers:
        shapes.append(out_shape(item, shapes[-1]))
    largest = max(map(features, shapes[1:-1]), default=0)
    layers = tuple(
        _wrap_arms(item, before, largest) if isinstance(item, NeonContainer) else item
        for item, before in zip(branch.layers, shapes, strict=False)
    )
    passed = {item.name: before for item, before in zip(branch.layers, shapes, strict=False) if item.kind == "BranchNode"}
    return replace(branch, layers=layers), passed


def _wrap_arms(container: NeonContainer, shape: Shape, largest: int) -> NeonContainer:
    arms = (_wrap(arm, shape, largest) for arm in container.layers if isinstance(arm, NeonContainer))
    return replace(container, layers=tuple(arms))


def _wrap(arm: NeonContainer, shape: Shape, largest: int) -> NeonContainer:
    current, fits = shape, True
    for index, item in enumerate(arm.layers):
        if isinstance(item, NeonContainer) or (index and item.kind in _OWNS_DELTA and features(current) > largest):
            fits = False
        current = out_shape(item, current)
    if fits:
        return arm
    if any(layer.kind == "Pooling" for layer in arm.walk()):
        raise Refused(
            f"{arm.name}: an arm that holds another fork, or is wider than the trunk, cannot hold a Pooling (neon has no buffer)"
        )
    content = list(arm.layers)
    if isinstance(content[-1], NeonContainer):
        content.append(skip_node(f"{content[-1].name}_end"))
    return replace(arm, layers=(sequential(content),))
