"""Chains and forks become neon containers, within the limits of what neon v1.4.0 builds.

neon's rules, measured: a Sequential begins with a layer that owns its output; Bias, Activation and Dropout work in their input's
buffer; a layer that adds to a sum must take ``beta``. A SkipNode owns its output, takes ``beta``, and copies: put before or behind,
it makes the rest fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from caffe2neon.convert.neon_layers import branch_node, sequential, skip_node, tree
from caffe2neon.convert.registry import Item, Joint
from caffe2neon.records import Blob, Chain, Fork, Layout, NeonContainer, NeonLayer, Node

#: Layers that write into their input's buffer. Dropout may begin a Sequential all the same, and then spoils what other arms read.
_IN_PLACE = frozenset({"Bias", "Activation", "Dropout", "BranchNode", "DataTransform"})
#: Layers that can add to what is in their output already.
_TAKES_BETA = frozenset({"Convolution", "Linear", "Pooling", "BatchNorm", "SkipNode"})


@dataclass(frozen=True)
class Made:
    """What the converters made of the graph's nodes: layers of plain nodes, joints of joins."""

    layers: Mapping[Node, Sequence[Item]]
    joints: Mapping[Node, Joint]


class Assembler:
    """Puts the made layers together; remembers which names are taken and which blob each layer's output is."""

    def __init__(self, made: Made, fingerprint: str) -> None:
        self._made = made
        self._fingerprint = fingerprint
        self._emitted: dict[Node, int] = {}
        self.trace: list[tuple[str, str]] = []

    def root(self, layout: Layout, name: str) -> NeonContainer:
        """The top container: a Sequential, or a Tree where the net has several outputs.

        neon's BranchNode hands out the buffer itself, so what follows it in place, on the trunk or on the side, works on a copy.
        A training net gets a SingleOutputTree, whose sides compute in training alone. A Tree runs its sides in training mode even
        at inference: Dropout would be live there, and is left out.
        """
        training = bool(layout.graph.net.losses)
        sources = {side.source for side in layout.sides}
        main = _own_buffers(self._trunk_items(layout.trunk, sources, name), name)
        if not layout.sides:
            return sequential(main, name)
        trees = [sequential(main, f"{name}_trunk")]
        for index, side in enumerate(layout.sides, 1):
            items = [item for item in self.items(side) if training or item.kind != "Dropout"]
            node = branch_node(self._branch_name(side.source))
            trees.append(sequential(_own_buffers([node, *items], f"{name}_side{index}"), f"{name}_side{index}"))
        return tree(trees, name, single_output=training)

    def items(self, chain: Chain) -> list[Item]:
        """Layers and containers one after the other."""
        return [layer for part in chain.items for layer in self._part(part)]

    def _trunk_items(self, chain: Chain, sources: Collection[Blob], name: str) -> list[Item]:
        """The same, with a BranchNode behind each blob where a side begins."""
        items: list[Item] = []
        if chain.source in sources:
            items += [skip_node(f"{name}_skip"), branch_node(self._branch_name(chain.source))]
        for part in chain.items:
            items += self._part(part)
            blob = (part.join if isinstance(part, Fork) else part).tops[0]
            if blob in sources:
                items.append(branch_node(self._branch_name(blob)))
        return items

    def _branch_name(self, blob: Blob) -> str:
        """neon keeps one BranchNode a name and process, so two models must not share a name."""
        return f"{blob.key}@{self._fingerprint}"

    def _part(self, part: Node | Fork) -> Sequence[Item]:
        return [self._merge(part)] if isinstance(part, Fork) else self._plain(part)

    def _plain(self, node: Node) -> Sequence[Item]:
        layers = self._made.layers[node]
        count = self._count(node, layers[-1].name if layers else "")
        return layers if count == 1 else [_renamed(layer, str(count)) for layer in layers]

    def _merge(self, fork: Fork) -> NeonContainer:
        joint = self._made.joints[fork.join]
        name, adds = joint.container.name, joint.container.kind == "MergeSum"
        count = self._count(fork.join, name)
        if count > 1:
            name = f"{name}@{count}"
        arms = []
        for index, (arm, tail) in enumerate(self._arms(fork)):
            content = finish([*self.items(arm), *tail], f"{name}_arm{index}", adds=adds and index > 0)
            arms.append(sequential(content, f"{name}_arm{index}"))
        return replace(joint.container, config={**joint.container.config, "name": name}, layers=tuple(arms))

    def _arms(self, fork: Fork) -> Iterator[tuple[Chain, Sequence[Item]]]:
        """Each arm, and what to put at its end. An arm that ends in a fork of the same kind gives that one's arms instead.

        The nodes before the inner fork are repeated then; where there are such nodes, this is done only for a Pooling's sake, which
        neon can hold nowhere else.
        """
        joint = self._made.joints[fork.join]
        for index, (arm, tail) in enumerate(zip(fork.arms, joint.tails, strict=True)):
            inner = arm.items[-1] if arm.items else None
            if isinstance(inner, Fork) and self._alike(inner, fork) and (len(arm.items) == 1 or self._pools(arm)):
                for part, (chain, ending) in enumerate(self._arms(inner)):
                    again = [_renamed(layer, f"{index}.{part}") for layer in tail]
                    yield Chain(arm.source, (*arm.items[:-1], *chain.items)), [*ending, *again]
            else:
                yield arm, tail

    def _alike(self, inner: Fork, outer: Fork) -> bool:
        """Whether a concatenation of concatenations, or a sum of sums, is one."""
        one, other = (self._made.joints[fork.join].container for fork in (inner, outer))
        return (one.kind, one.config.get("merge")) == (other.kind, other.config.get("merge"))

    def _pools(self, chain: Chain) -> bool:
        for part in chain.items:
            if isinstance(part, Fork):
                if any(self._pools(arm) for arm in part.arms):
                    return True
            elif any(layer.kind == "Pooling" for layer in self._made.layers[part]):
                return True
        return False

    def _count(self, node: Node, name: str) -> int:
        """How often ``node`` has been written by now; the first time, its layer's output is noted as its blob."""
        count = self._emitted[node] = self._emitted.get(node, 0) + 1
        if count == 1 and name:
            self.trace.append((node.tops[0].key, name))
        return count


def _renamed(item: Item, suffix: str) -> Item:
    """neon finds layers by name, so a repeated one gets a name of its own."""
    config = {**item.config, "name": f"{item.name}@{suffix}"}
    if isinstance(item, NeonContainer):
        return replace(item, config=config, layers=tuple(_renamed(layer, suffix) for layer in item.layers))
    return replace(item, config=config)


def begin(items: Sequence[Item], name: str) -> list[Item]:
    """What begins with a layer that owns its output: a SkipNode goes first where the items do not."""
    if not items or (isinstance(items[0], NeonLayer) and items[0].kind in _IN_PLACE):
        return [skip_node(f"{name}_skip"), *items]
    return list(items)


def finish(items: Sequence[Item], name: str, *, adds: bool) -> list[Item]:
    """The content of an arm: begins as it must, ends in a layer that takes ``beta`` where the arm adds to a sum."""
    content = begin(items, name)
    last = content[-1]
    if isinstance(last, NeonContainer) or (adds and last.kind not in _TAKES_BETA):
        content.append(skip_node(f"{name}_end"))
    return content


def _own_buffers(items: Sequence[Item], name: str) -> list[Item]:
    """Begin with a layer that owns its output, and never work in place in a buffer that a BranchNode has handed out.

    A container at the very start gets a SkipNode before it: neon counts the inputs of the layers after the first for its buffers.
    """
    result: list[Item] = []
    if items and items[0].kind == "BranchNode":
        result.append(items[0])
        items = items[1:]
    elif items and isinstance(items[0], NeonContainer):
        result.append(skip_node(f"{name}_skip"))
    else:
        items = begin(items, name)
    for item in items:
        if result and result[-1].kind == "BranchNode" and item.kind in _IN_PLACE:
            result.append(skip_node(f"{result[-1].name}_copy"))
        result.append(item)
    if result[-1].kind == "BranchNode":
        result.append(skip_node(f"{result[-1].name}_copy"))
    return result
