"""What becomes of each layer, said for people; no weights are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod

from caffe2neon.convert.making import Making, make_layers
from caffe2neon.convert.registry import Item
from caffe2neon.convert.weights import pending
from caffe2neon.records import CaffeLayer, Graph, NeonContainer, NeonLayer, Node, Verdict


def judge(graph: Graph) -> Mapping[CaffeLayer, Verdict]:
    """A verdict for each layer of ``graph``, which is simplified. The tops of a Slice are nodes of one layer."""
    making = make_layers(graph, pending(graph))
    nodes: dict[CaffeLayer, list[Node]] = {}
    for node in graph.nodes:
        nodes.setdefault(node.layer, []).append(node)
    return {layer: _verdict(layer, found, making) for layer, found in nodes.items()}


def _verdict(layer: CaffeLayer, nodes: Sequence[Node], making: Making) -> Verdict:
    if refused := next((making.refused[node] for node in nodes if node in making.refused), None):
        return Verdict(layer.name, layer.type, layer.line, "refused", "", refused.reason, refused.remedy)
    if not nodes[0].bottoms:
        shape = "×".join(map(str, nodes[0].tops[0].shape[1:]))
        return Verdict(layer.name, layer.type, layer.line, "exact", f"the input, {shape}")
    items = [item for node in nodes for item in _items(node, making)]
    notes = [note.removeprefix(f"{layer.name}: ") for node in nodes for note in making.notes[node]]
    weights = (sum(prod(shape) for shape in nodes[0].params), sum(map(_numbers, items)))
    if not items and layer.type == "BatchNorm":
        return Verdict(layer.name, layer.type, layer.line, "exact", "one BatchNorm with its Scale", weights=weights)
    if not items:
        return Verdict(layer.name, layer.type, layer.line, "dropped", "", "changes no number")
    verdict, reason = ("rewritten", "; ".join(notes)) if notes else ("exact", "")
    return Verdict(layer.name, layer.type, layer.line, verdict, _words(items), reason, weights=weights)


def _items(node: Node, making: Making) -> Sequence[Item]:
    joint = making.made.joints.get(node)
    return making.made.layers[node] if joint is None else [joint.container, *(item for tail in joint.tails for item in tail)]


def _words(items: Sequence[Item]) -> str:
    """neon's classes: ``Convolution, Bias``; with ``3 × `` where there are several."""
    counts = Counter(map(_kind, items))
    return ", ".join(kind if count == 1 else f"{count} × {kind}" for kind, count in counts.items())


def _kind(item: Item) -> str:
    if isinstance(item, NeonContainer):
        return f"{item.kind} of {len(item.layers)} arms" if item.layers else item.kind
    transform = item.config.get("transform")
    return f"{item.kind}({transform['type'].rpartition('.')[2]})" if transform else item.kind


def _numbers(item: Item) -> int:
    layers = [item] if isinstance(item, NeonLayer) else item.walk()
    return sum(prod(param.shape) for layer in layers for param in layer.params.values())
