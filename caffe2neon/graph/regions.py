"""Regions found by structure: what lies between two blobs is a chain of nodes and forks, whatever the architecture.

The rule is dominance, not pattern. A node with several bottoms is a join; the blob that every path to it must pass last is where
its fork begins. Each arm is again a chain, from the fork's blob to one of the join's bottoms. Where two arms share their first
nodes, each arm gets them: a chain says what a value is, not how often it is computed. That can double with every layer (a ladder
of sums), so there is a limit.
"""

from __future__ import annotations

from caffe2neon.errors import Finding, UnsupportedError, Where
from caffe2neon.records import Blob, Chain, Fork, Graph, Node

#: How many times larger than the graph its chains may become; where each arm repeats what the others hold, they grow exponentially.
_GROWTH = 16
#: How deep forks may lie in forks; each level costs neon, and us, some of Python's recursion limit.
_DEPTH = 64


class Regions:
    """Look-ups over one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producer = {blob: node for node in graph.nodes for blob in node.tops}
        self._dominator: dict[Blob, Blob | None] = {}
        self._depth: dict[Blob, int] = {}
        self._left = 100 + _GROWTH * len(graph.nodes)
        for node in graph.nodes:
            dominator = self._nearest_common(node.bottoms) if node.bottoms else None
            for blob in node.tops:
                self._dominator[blob] = dominator
                self._depth[blob] = self._depth[dominator] + 1 if dominator is not None else 0

    def chain(self, source: Blob, target: Blob, *, level: int = 0) -> Chain:
        """How ``target`` is computed from ``source``, which must dominate it.

        Raises:
            UnsupportedError: a join on the way depends on several inputs of the net, or forks nest or repeat each other too much.
        """
        items: list[Node | Fork] = []
        blob = target
        while blob != source:
            node = self._producer[blob]
            start = self._dominator[blob]
            if start is None:
                raise self._several_inputs(node)
            self._left -= 1
            if self._left < 0 or level > _DEPTH:
                raise self._too_large(node, start)
            if len(node.bottoms) == 1:
                items.append(node)
            else:
                items.append(Fork(start, tuple(self.chain(start, bottom, level=level + 1) for bottom in node.bottoms), node))
            blob = start
        return Chain(source, tuple(reversed(items)))

    def input_of(self, blob: Blob) -> Blob:
        """The input of the net that ``blob`` is computed from.

        Raises:
            UnsupportedError: it is computed from several.
        """
        while (dominator := self._dominator[blob]) is not None:
            blob = dominator
        if self._producer[blob].bottoms:
            raise self._several_inputs(self._producer[blob])
        return blob

    def common(self, *blobs: Blob) -> Blob:
        """The last blob that all paths to ``blobs`` pass; they must have one input."""
        blob = self._nearest_common(blobs)
        assert blob is not None, "callers have compared the inputs"
        return blob

    def _nearest_common(self, blobs: tuple[Blob, ...]) -> Blob | None:
        """The last blob that all paths to ``blobs`` pass; None where they start from different inputs."""
        common: Blob | None = blobs[0]
        for other in blobs[1:]:
            blob: Blob | None = other
            while common != blob:
                if common is None or blob is None:
                    return None
                if self._depth[common] >= self._depth[blob]:
                    common = self._dominator[common]
                else:
                    blob = self._dominator[blob]
        return common

    def _several_inputs(self, node: Node) -> UnsupportedError:
        return self._refuse(node, "joins values of different inputs of the net; a neon model has one input")

    def _too_large(self, node: Node, start: Blob) -> UnsupportedError:
        return self._refuse(
            node,
            f"between {start.key!r} and here, arms share so many layers, or nest so deep, that neon's containers, which hold each "
            f"arm on its own, would be over {_GROWTH} times the net, or over {_DEPTH} levels deep",
        )

    def _refuse(self, node: Node, reason: str) -> UnsupportedError:
        where = Where(path=self._graph.net.path, line=node.layer.line, layer=node.layer.name, layer_type=node.layer.type)
        return UnsupportedError([Finding(where, reason)])
