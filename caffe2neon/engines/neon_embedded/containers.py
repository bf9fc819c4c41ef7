"""Sequential, Tree, SingleOutputTree, MergeSum, MergeBroadcast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, ClassVar

from caffe2neon.engines.neon_embedded.base import Buffer, Deltas, Emission, Layer, NeonShape, axes, neon_class, size
from caffe2neon.engines.neon_embedded.elementwise import BranchNode
from caffe2neon.records import NeonContainer


class Container(Layer):
    def __init__(self, node: NeonContainer, compat: str, layers: Sequence[Layer]) -> None:
        super().__init__(node, compat)
        self.layers = tuple(layers)
        if not self.layers:
            raise self.refuse("IndexError: it holds no layers")

    def propagate_parallelism(self, parallelism: str) -> None:
        """As neon, which looks for the last layer behind a merge, and fails where that is a merge again."""
        for layer in self.layers:
            if isinstance(layer, Container):
                layer.parallelism = parallelism
                layer.propagate_parallelism(parallelism)
                last = layer.terminal()
                last = last[0] if isinstance(last, list) else last
                if isinstance(last, list):
                    raise layer.refuse(
                        "AttributeError: 'list' object has no attribute 'parallelism': a merge or Tree ends its arm",
                        remedy="wrap the arm's layers in one more Sequential that ends in a plain layer",
                    )
                parallelism = last.parallelism
            else:
                layer.parallelism = parallelism if layer.parallelism == "Unknown" else layer.parallelism
                parallelism = layer.parallelism


@neon_class("Sequential")
class Sequential(Container):
    takes_beta = True

    def __init__(self, node: NeonContainer, compat: str, layers: Sequence[Layer]) -> None:
        super().__init__(node, compat, layers)
        self._plain = [layer for layer in self.layers if not isinstance(layer, BranchNode)]
        if not self._plain:
            raise self.refuse("IndexError: it holds nothing but BranchNodes")
        root = self._plain[0]
        if not root.owns_output and root.kind not in ("Dropout", "DataTransform"):
            raise root.refuse(
                "AssertionError: Sequential root must own outputs, and it works in its input's buffer",
                remedy="put a SkipNode before it",
            )

    def terminal(self) -> Any:
        return self.layers[-1].terminal()

    def configure(self, source: Layer | NeonShape | None) -> None:
        """``None``: a side branch of a Tree, which starts from its BranchNode."""
        side = source is None
        first = self.layers[0] if source is None else source
        if side and not (isinstance(first, BranchNode) and first.out_shape is not None):
            raise self.refuse("a side branch must begin with a BranchNode that the trunk has passed")
        super().configure(first)
        before: Layer | None = None
        current = first
        for layer in self._plain if side else self.layers:
            layer.configure(current)
            if before is not None:
                before.next = layer
            before = current = layer
        self.out_shape = self.layers[-1].out_shape
        if before is not None:
            self.parallelism = before.parallelism
        if not any(layer.owns_output for layer in self.layers):
            raise self.refuse("IndexError: none of its layers has an output of its own")

    def allocate_deltas(self, deltas: Deltas | None = None) -> None:
        """Two shared buffers, four with a merge among the layers, as large as the largest input after the first layer."""
        if deltas is None:
            largest = max((size(layer.in_shape) for layer in self.layers[1:]), default=0)
            count = 4 if any(isinstance(layer, Merge) for layer in self.layers) else 2
            deltas = (count, largest) if largest else None
        for layer in self.layers:
            layer.set_deltas(deltas)

    def fprop(self, emission: Emission, source: Buffer | None, *, total: Buffer | None = None) -> Buffer:
        x = source
        for layer in self.layers[:-1]:
            x = layer.fprop(emission, x)  # type: ignore[arg-type]  # None: the BranchNode it starts with knows
        x = self.layers[-1].fprop(emission, x, total=total)  # type: ignore[arg-type]
        if self.out_shape is not None:
            self.tap(emission, x.value)
        return x


@neon_class("Tree")
class Tree(Container):
    """A trunk and side branches. neon forgets to tell the side branches that this is inference: they run in training mode."""

    def __init__(self, node: NeonContainer, compat: str, layers: Sequence[Layer]) -> None:
        super().__init__(node, compat, layers)
        self.branches = _sequentials(self)
        self.outputs: list[Buffer] = []

    def terminal(self) -> Any:
        return [layer.terminal() for layer in self.layers]

    def configure(self, source: Layer | NeonShape) -> None:
        super().configure(source)
        self.branches[0].configure(source)
        for branch in self.branches[1:]:
            branch.configure(None)

    def output_shape(self) -> None:
        """A list of outputs has no shape: nothing can follow."""
        return

    def allocate_deltas(self) -> None:
        for branch in reversed(self.branches):
            branch.allocate_deltas()

    def fprop(self, emission: Emission, source: Buffer, *, total: Buffer | None = None) -> Buffer:
        if total is not None:
            raise self.refuse("TypeError: its fprop has no argument 'beta'")
        first = self.branches[0].fprop(emission, source)
        training = replace(emission, inference=False)
        self.outputs = [first, *(branch.fprop(training, None) for branch in self.computed_sides())]
        return first

    def computed_sides(self) -> Sequence[Sequential]:
        return self.branches[1:]


@neon_class("SingleOutputTree")
class SingleOutputTree(Tree):
    """At inference the trunk alone."""

    def computed_sides(self) -> Sequence[Sequential]:
        return ()


class Merge(Container):
    """neon's Broadcast: every arm gets the same input."""

    def __init__(self, node: NeonContainer, compat: str, layers: Sequence[Layer]) -> None:
        super().__init__(node, compat, layers)
        self.arms = _sequentials(self)

    def terminal(self) -> Any:
        return [arm.terminal() for arm in self.arms]

    def configure(self, source: Layer | NeonShape) -> None:
        for arm in self.arms:
            arm.configure(source)
        super().configure(source)

    def set_deltas(self, deltas: Deltas | None) -> None:
        if deltas is None or deltas[0] != 4:
            raise self.refuse(
                "AssertionError: Need extra delta buffer pool for broadcast layers: a merge directly in an arm of a merge, or with"
                " nothing after it",
                remedy="wrap the arm's layers in one more Sequential that ends in a plain layer",
            )
        for arm in self.arms:
            arm.allocate_deltas((2, deltas[1]))
            arm.layers[0].set_deltas((1, deltas[1]))
        if not isinstance(self.previous, BranchNode):
            self.check_delta(deltas)

    def arm_shapes(self) -> list[NeonShape]:
        shapes = []
        for arm in self.arms:
            if arm.out_shape is None:
                raise arm.refuse("an arm that ends in a Tree has no single output")
            if not any(layer.owns_output for layer in arm.layers[_last_branch(arm) :]):
                raise arm.unsupported("a BranchNode on the output of a merge's arm")
            shapes.append(arm.out_shape)
        return shapes


@neon_class("MergeSum")
class MergeSum(Merge):
    def output_shape(self) -> NeonShape:
        first, *rest = self.arm_shapes()
        for arm, shape in zip(self.arms[1:], rest, strict=True):
            if size(shape) != size(first):
                raise arm.refuse(f"the arms of a MergeSum differ: {shape} and {first}")
        return first

    def fprop(self, emission: Emission, source: Buffer, *, total: Buffer | None = None) -> Buffer:
        if total is not None:
            raise self.refuse("TypeError: its fprop has no argument 'beta'")
        result = self.arms[0].fprop(emission, source)
        for arm in self.arms[1:]:
            arm.fprop(emission, source, total=result)
        self.tap(emission, result.value)
        return result


@neon_class("MergeBroadcast")
class MergeBroadcast(Merge):
    """``merge='depth'`` concatenates maps, ``'stack'`` flattened vectors."""

    _KINDS: ClassVar = ("recurrent", "depth", "stack")

    def __init__(self, node: NeonContainer, compat: str, layers: Sequence[Layer]) -> None:
        super().__init__(node, compat, layers)
        self._merge = self.config.get("merge")
        if self._merge not in self._KINDS:
            raise self.refuse(f"AssertionError: merge is {self._merge!r}", remedy="depth or stack")
        if self._merge == "recurrent":
            raise self.unsupported("sequences (merge='recurrent')")

    def output_shape(self) -> NeonShape:
        shapes = self.arm_shapes()
        if self._merge == "stack":
            return sum(map(size, shapes))
        maps = []
        for arm, shape in zip(self.arms, shapes, strict=True):
            if isinstance(shape, int):
                raise arm.refuse("TypeError: a merge by depth cannot take a flat vector")
            maps.append(shape)
        for arm, shape in zip(self.arms, maps, strict=True):
            if shape[1:] != maps[0][1:] and not prod(shape[1:]) == prod(maps[0][1:]) == 1:
                raise arm.refuse(
                    f"the arms of a merge by depth differ in height or width, {shape} and {maps[0]}: neon does not notice, and puts"
                    " rows in the wrong places"
                )
        return (sum(shape[0] for shape in maps), *maps[0][1:])

    def fprop(self, emission: Emission, source: Buffer, *, total: Buffer | None = None) -> Buffer:
        if total is not None:
            raise self.refuse("TypeError: its fprop has no argument 'beta'")
        assert self.out_shape is not None
        values = []
        for arm in self.arms:
            x = arm.fprop(emission, source)
            flat = isinstance(self.out_shape, int)
            values.append(emission.reshape(x.value, x.shape, size(x.shape) if flat else (axes(x.shape)[0], *self.out_shape[1:])))  # type: ignore[index]
        result = Buffer(emission.graph.add("Concat", *values, axis=1), self.out_shape)
        self.tap(emission, result.value)
        return result


def _sequentials(container: Container) -> list[Sequential]:
    arms = []
    for layer in container.layers:
        if not isinstance(layer, Sequential):
            raise layer.refuse(f"KeyError: 'layers': the elements of a {container.kind} are Sequentials")
        arms.append(layer)
    return arms


def _last_branch(arm: Sequential) -> int:
    """Index of the last BranchNode, 0 where there is none."""
    return max((index for index, layer in enumerate(arm.layers) if isinstance(layer, BranchNode)), default=0)
