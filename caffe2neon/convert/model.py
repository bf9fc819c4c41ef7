"""The whole way from a layout to a neon model description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from caffe2neon import __version__
from caffe2neon.convert.buffers import within_buffers
from caffe2neon.convert.making import finding, make_layers
from caffe2neon.convert.neon_layers import cost
from caffe2neon.convert.registry import Refused, absent_types, find_converter, find_joiner
from caffe2neon.convert.shapes import features
from caffe2neon.convert.sides import frozen_sides
from caffe2neon.convert.structure import Assembler
from caffe2neon.convert.weights import fit, pending
from caffe2neon.errors import Finding, UnsupportedError, Where
from caffe2neon.records import (
    META,
    Blob,
    CaffeNet,
    CaffeWeights,
    Chain,
    Fork,
    Graph,
    Layout,
    Loss,
    NeonContainer,
    NeonLayer,
    NeonModel,
    Preprocess,
    Shape,
)

#: The version of neon whose serialization this is.
NEON_VERSION = "1.4.0"


def check_types(net: CaffeNet) -> list[Finding]:
    """Every layer whose type alone rules it out; needs no shapes, so it works where the graph cannot be built."""
    findings = []
    for layer in net.layers:
        if layer.type in absent_types():
            continue
        try:
            (find_joiner if len(layer.bottoms) > 1 else find_converter)(layer.type)
        except Refused as refused:
            findings.append(finding(net, layer, refused))
    return findings


def check(graph: Graph) -> list[Finding]:
    """Every layer that neon has no exact form for; ``graph`` is simplified."""
    return make_layers(graph, pending(graph)).findings(graph.net)


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
    making = make_layers(graph, blobs)
    if making.refused:
        raise UnsupportedError(making.findings(graph.net))
    notes = [note for said in making.notes.values() for note in said]
    assembler = Assembler(making.made, graph.net.sha256[:12])
    shape = _input_shape(layout.trunk.source)
    try:
        root = within_buffers(frozen_sides(assembler.root(layout, name), shape, notes), shape, notes)
    except Refused as refused:
        raise UnsupportedError([_structural(layout, refused)]) from None
    outputs = [_end(chain) for chain in (layout.trunk, *layout.sides)]
    losses = _losses(graph.net, outputs)
    computing = set(_computing(root))
    meta: dict[str, Any] = {
        "version": __version__,
        "inputs": [layout.trunk.source.name],
        "outputs": [blob.key for blob in outputs],
        "trace": [[blob, layer] for blob, layer in assembler.trace if layer in computing],
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


def _structural(layout: Layout, refused: Refused) -> Finding:
    """The finding on a structure, with its fork and its join where it is about one."""
    net = layout.graph.net
    # a repeated container has the name of the first, and a suffix
    name = refused.join.partition("@")[0]
    for chain in (layout.trunk, *layout.sides):
        for fork in _forks(chain):
            if fork.join.layer.name == name:
                reason = f"the fork from {fork.source.key!r} to {fork.join.tops[0].key!r} {refused.reason}"
                return finding(net, fork.join.layer, Refused(reason, refused.remedy))
    return Finding(Where(path=net.path), refused.reason, refused.remedy)


def _forks(chain: Chain) -> Iterator[Fork]:
    for item in chain.items:
        if isinstance(item, Fork):
            yield item
            for arm in item.arms:
                yield from _forks(arm)


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


def _computing(item: NeonLayer | NeonContainer, adds: bool = False) -> Iterator[str]:
    """Names of layers that leave what they compute, but for those that add it to what a sum's other arms have left there."""
    if not adds:
        yield item.name
    if isinstance(item, NeonContainer):
        last = len(item.layers) - 1
        for index, layer in enumerate(item.layers):
            yield from _computing(layer, adds=index > 0 if item.kind == "MergeSum" else adds and index == last)


def _end(chain: Chain) -> Blob:
    last = chain.items[-1] if chain.items else None
    if last is None:
        return chain.source
    return (last.join if isinstance(last, Fork) else last).tops[0]


def _input_shape(blob: Blob) -> Shape:
    """What neon is told of its data: (C, H, W), or (F,) for flat input."""
    return blob.shape[1:] if len(blob.shape) == 4 else (features(blob.shape[1:]),)
