"""Passes: a graph in, a changed graph out. They take away what has no effect on numbers."""

from __future__ import annotations

from dataclasses import replace

from caffe2neon.records import Blob, Graph, Node


def simplify(graph: Graph) -> Graph:
    """All passes, in their order."""
    return _drop_dead(_part_slices(_drop_references(_drop_splits(graph))))


def _drop_splits(graph: Graph) -> Graph:
    """Let every reader of a Split's top read its bottom: in neon a value may have any number of readers in a container.

    A top that nobody reads is an output, and keeps its name: the Split stays, with that one top.
    """
    alias: dict[Blob, Blob] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        bottoms = tuple(alias.get(blob, blob) for blob in node.bottoms)
        if node.layer.type == "Split":
            alias.update((top, bottoms[0]) for top in node.tops if top not in graph.outputs)
            kept += [replace(node, bottoms=bottoms, tops=(top,)) for top in node.tops if top in graph.outputs]
        else:
            kept.append(replace(node, bottoms=bottoms))
    return replace(graph, nodes=tuple(kept))


def _drop_references(graph: Graph) -> Graph:
    """Take away a Crop's second bottom: it gives a size, which is known by now, and no values."""
    nodes = tuple(replace(node, bottoms=node.bottoms[:1]) if node.layer.type == "Crop" else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _part_slices(graph: Graph) -> Graph:
    """Make a node of each top of a Slice, so that every node but an input has one top that counts."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += [replace(node, tops=(top,)) for top in node.tops] if node.layer.type == "Slice" else [node]
    return replace(graph, nodes=tuple(nodes))


def _drop_dead(graph: Graph) -> Graph:
    """Take out the nodes that no output needs: Silence, and whatever only it reads."""
    nodes = [node for node in graph.nodes if node.layer.type != "Silence"]
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if not node.bottoms or needed.intersection(node.tops):
            needed.update(node.bottoms)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))
