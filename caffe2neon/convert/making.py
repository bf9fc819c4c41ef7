"""Every node's converter, run in the graph's order: what neon layers it becomes, or why it cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from caffe2neon.convert.names import Names
from caffe2neon.convert.registry import Item, Joint, Refused, Site, find_converter, find_joiner
from caffe2neon.convert.shapes import features, out_shape
from caffe2neon.convert.structure import Made
from caffe2neon.convert.weights import Blobs
from caffe2neon.errors import Finding, Where
from caffe2neon.records import Blob, CaffeLayer, CaffeNet, Graph, Node, Shape


@dataclass(frozen=True)
class Making:
    """What became of each node: layers or a joint in ``made``, or a refusal; sentences for people beside it."""

    made: Made
    notes: Mapping[Node, Sequence[str]]
    refused: Mapping[Node, Refused]

    def findings(self, net: CaffeNet) -> list[Finding]:
        return [finding(net, node.layer, refused) for node, refused in self.refused.items()]


def make_layers(graph: Graph, blobs: Blobs) -> Making:
    """Run every node's converter; follow neon's shapes from the inputs on."""
    shapes: dict[Blob, Shape] = {}
    layers: dict[Node, Sequence[Item]] = {}
    joints: dict[Node, Joint] = {}
    notes: dict[Node, Sequence[str]] = {}
    refusals: dict[Node, Refused] = {}
    readers: dict[Blob, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for blob in node.bottoms:
            readers[blob].append(node)
    sites: dict[Blob, Site] = {}
    names, ties = Names(graph), _ties(graph)
    training = graph.net.phase == "TRAIN"
    for node in graph.nodes:
        if not node.bottoms:
            continue
        try:
            bottoms = tuple(shapes.get(blob, _natural(blob)) for blob in node.bottoms)
            if len(bottoms) > 1:
                joint = find_joiner(node.layer.type)(node, names.of(node.layer), bottoms)
                joints[node] = joint = replace(joint, tails=tuple(tuple(names.apart(tail, node.layer)) for tail in joint.tails))
                notes[node] = joint.notes
                shape = joint.shape
            else:
                before = sites.get(node.bottoms[0]) if len(readers[node.bottoms[0]]) == 1 else None
                following = readers[node.tops[0]]
                after = following[0] if len(following) == 1 and len(following[0].bottoms) == 1 else None
                site = Site(node, names.of(node.layer), bottoms[0], blobs.get(node, ()), before, after, training=training)
                layers[node] = names.apart(find_converter(node.layer.type)(site), node.layer)
                notes[node] = [*site.notes, *ties.get(node.layer, ())]
                sites[node.tops[0]] = site
                shape = bottoms[0]
                for item in layers[node]:
                    shape = out_shape(item, shape)
            _same_count(node, shape)
            shapes.update((top, shape) for top in node.tops)
        except Refused as refused:
            refusals[node] = refused
    return Making(Made(layers, joints), notes, refusals)


def _ties(graph: Graph) -> dict[CaffeLayer, list[str]]:
    """Notes on layers that share a parameter by name with an earlier one: neon's layers own theirs, so that training parts them."""
    owners: dict[str, str] = {}
    notes: dict[CaffeLayer, list[str]] = {}
    for layer in dict.fromkeys(node.layer for node in graph.nodes if node.params):
        others = {owners.setdefault(spec.name, layer.name) for spec in layer.param.param if spec.name} - {layer.name}
        if others:
            names = ", ".join(sorted(others))
            notes[layer] = [f"{layer.name}: a copy of the weights it shares with {names}, which serves inference only"]
    return notes


def finding(net: CaffeNet, layer: CaffeLayer, refused: Refused) -> Finding:
    where = Where(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type)
    return Finding(where, refused.reason, refused.remedy)


def _natural(blob: Blob) -> Shape:
    """The neon shape of an input, or of a blob whose own layer was refused, so that layers behind it can still be judged."""
    return blob.shape[1:] if len(blob.shape) == 4 else (features(blob.shape[1:]), 1)


def _same_count(node: Node, shape: Shape) -> None:
    wanted = node.tops[0].shape[1:]
    # a flat blob keeps the maps it came from in neon, whose layers see features only
    if shape != wanted if len(wanted) == 3 else features(shape) != features(wanted):
        made, asked = ("×".join(map(str, s)) for s in (shape, wanted))
        raise Refused(f"gives {asked} in Caffe, {made} in neon")
