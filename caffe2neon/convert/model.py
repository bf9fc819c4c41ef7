"""The whole way from a layout to a neon model description."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from caffe2neon import __version__
from caffe2neon.convert.buffers import within_buffers
from caffe2neon.convert.names import Names
from caffe2neon.convert.neon_layers import cost
from caffe2neon.convert.registry import Item, Joint, Refused, Site, find_converter, find_joiner
from caffe2neon.convert.shapes import features, out_shape
from caffe2neon.convert.sides import frozen_sides
from caffe2neon.convert.structure import Assembler, Made
from caffe2neon.convert.weights import Blobs, fit, pending
from caffe2neon.errors import Finding, UnsupportedError, Where
from caffe2neon.records import (
    META,
    Blob,
    CaffeLayer,
    CaffeNet,
    CaffeWeights,
    Chain,
    Fork,
    Graph,
    Layout,
    Loss,
    NeonContainer,
    NeonModel,
    Node,
    Preprocess,
    Shape,
)

#: Inputs, whose values come from outside, and what the graph's passes take away.
_NEEDS_NOTHING = frozenset({"Input", "DummyData", "Split", "Silence"})

#: The version of neon whose serialization this is.
NEON_VERSION = "1.4.0"


def check_types(net: CaffeNet) -> list[Finding]:
    """Every layer whose type alone rules it out; needs no shapes, so it works where the graph cannot be built."""
    findings = []
    for layer in net.layers:
        if layer.type in _NEEDS_NOTHING:
            continue
        try:
            (find_joiner if len(layer.bottoms) > 1 else find_converter)(layer.type)
        except Refused as refused:
            findings.append(_finding(net, layer, refused))
    return findings


def check(graph: Graph) -> list[Finding]:
    """Every layer that neon has no exact form for; ``graph`` is simplified."""
    return _make_layers(graph, pending(graph))[2]


def convert(
    layout: Layout,
    weights: CaffeWeights | None = None,
    *,
    source: Mapping[str, Any] | None = None,
    preprocess: Preprocess | None = None,
) -> NeonModel:
    """The neon model that computes the same numbers. Nothing is read from ``weights`` but shapes: arrays are made when written.

    Args:
        weights: None gives a model with zeros, to see what would convert.
        source: names and hashes of the files, recorded in the model.
        preprocess: recorded in the model; None records what the net's own data layer did.

    Raises:
        UnsupportedError: all layers, or else structures, that neon has no exact form for, at once.
        WeightsError: the caffemodel does not fit the net.
    """
    graph = layout.graph
    name = graph.net.name or "net"
    blobs = pending(graph) if weights is None else fit(graph, weights)
    made, notes, findings = _make_layers(graph, blobs)
    if findings:
        raise UnsupportedError(findings)
    assembler = Assembler(made, graph.net.sha256[:12])
    shape = _input_shape(layout.trunk.source)
    try:
        root = within_buffers(frozen_sides(assembler.root(layout, name), shape, notes), shape)
    except Refused as refused:
        raise UnsupportedError([Finding(Where(path=graph.net.path), refused.reason, refused.remedy)]) from None
    outputs = [_end(chain) for chain in (layout.trunk, *layout.sides)]
    losses = _losses(graph.net, outputs)
    meta: dict[str, Any] = {
        "version": __version__,
        "inputs": [layout.trunk.source.name],
        "outputs": [blob.key for blob in outputs],
        "trace": [list(pair) for pair in assembler.trace],
        "source": dict(source or {}),
        "notes": list(dict.fromkeys((*graph.net.notes, *notes))),
    }
    if losses:
        meta["losses"] = [asdict(loss) for loss in losses]
        root = _with_shortcut(root)
    if preprocess := preprocess or graph.net.preprocess:
        meta["preprocess"] = asdict(preprocess)
    header = {
        "backend": {"compat_mode": "caffe"},
        "cost": cost(losses) if losses else None,
        "neon_version": NEON_VERSION,
        "epoch_index": 0,
        "train_input_shape": shape,
        META: meta,
    }
    return NeonModel(root, header)


def _make_layers(graph: Graph, blobs: Blobs) -> tuple[Made, list[str], list[Finding]]:
    """Run every node's converter; follow neon's shapes from the inputs on."""
    shapes: dict[Blob, Shape] = {}
    layers: dict[Node, Sequence[Item]] = {}
    joints: dict[Node, Joint] = {}
    notes: list[str] = []
    findings: list[Finding] = []
    readers: dict[Blob, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for blob in node.bottoms:
            readers[blob].append(node)
    sites: dict[Blob, Site] = {}
    names = Names(graph)
    for node in graph.nodes:
        if not node.bottoms:
            continue
        try:
            bottoms = tuple(shapes.get(blob, _natural(blob)) for blob in node.bottoms)
            if len(bottoms) > 1:
                joint = find_joiner(node.layer.type)(node, names.of(node.layer), bottoms)
                joints[node] = joint = replace(joint, tails=tuple(tuple(names.apart(tail, node.layer)) for tail in joint.tails))
                shape = joint.shape
            else:
                before = sites.get(node.bottoms[0]) if len(readers[node.bottoms[0]]) == 1 else None
                following = readers[node.tops[0]]
                after = following[0] if len(following) == 1 and len(following[0].bottoms) == 1 else None
                site = Site(node, names.of(node.layer), bottoms[0], blobs.get(node, ()), before, after, notes)
                layers[node] = names.apart(find_converter(node.layer.type)(site), node.layer)
                sites[node.tops[0]] = site
                shape = bottoms[0]
                for item in layers[node]:
                    shape = out_shape(item, shape)
            _same_count(node, shape)
            shapes.update((top, shape) for top in node.tops)
        except Refused as refused:
            findings.append(_finding(graph.net, node.layer, refused))
    return Made(layers, joints), notes, findings


def _losses(net: CaffeNet, outputs: Sequence[Blob]) -> list[Loss]:
    """The net's losses in the order of its outputs.

    Raises:
        UnsupportedError: two losses judge one output, or an output has none: neon pairs them one to one.
    """
    if not net.losses:
        return []
    by_output = {loss.output: loss for loss in net.losses}
    names = [blob.name for blob in outputs]
    if len(by_output) != len(net.losses) or sorted(by_output) != sorted(names):
        reason = f"outputs ({', '.join(names)}) and losses ({', '.join(loss.output for loss in net.losses)}) do not pair one to one"
        raise UnsupportedError([Finding(Where(path=net.path), reason)])
    return [by_output[name] for name in names]


def _with_shortcut(item: NeonContainer) -> NeonContainer:
    """Let a Logistic at the end of a head hand its error on as it is: CrossEntropyBinary has differentiated it already.

    (Softmax needs no telling: neon's never differentiates itself.)
    """
    if item.kind != "Sequential":
        heads = (_with_shortcut(head) for head in item.layers if isinstance(head, NeonContainer))
        return replace(item, layers=tuple(heads))
    last = item.layers[-1]
    transform = last.config.get("transform", {})
    if not str(transform.get("type", "")).endswith(".Logistic"):
        return item
    config = {**last.config, "transform": {**transform, "config": {"shortcut": True}}}
    return replace(item, layers=(*item.layers[:-1], replace(last, config=config)))


def _end(chain: Chain) -> Blob:
    last = chain.items[-1] if chain.items else None
    if last is None:
        return chain.source
    return (last.join if isinstance(last, Fork) else last).tops[0]


def _natural(blob: Blob) -> Shape:
    """The neon shape of an input, or of a blob whose own layer was refused, so that layers behind it can still be judged."""
    return blob.shape[1:] if len(blob.shape) == 4 else (features(blob.shape[1:]), 1)


def _input_shape(blob: Blob) -> Shape:
    """What neon is told of its data: (C, H, W), or (F,) for flat input."""
    return blob.shape[1:] if len(blob.shape) == 4 else (features(blob.shape[1:]),)


def _same_count(node: Node, shape: Shape) -> None:
    wanted = node.tops[0].shape[1:]
    # a flat blob keeps the maps it came from in neon, whose layers see features only
    if shape != wanted if len(wanted) == 3 else features(shape) != features(wanted):
        made, asked = ("×".join(map(str, s)) for s in (shape, wanted))
        raise Refused(f"gives {asked} in Caffe, {made} in neon")


def _finding(net: CaffeNet, layer: CaffeLayer, refused: Refused) -> Finding:
    where = Where(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type)
    return Finding(where, refused.reason, refused.remedy)
