"""Which chain is the trunk, and where the sides leave it."""

from __future__ import annotations

from caffe2neon.errors import Finding, UnsupportedError, Where
from caffe2neon.graph.regions import Regions
from caffe2neon.records import Blob, Chain, Fork, Graph, Layout


def lay_out(graph: Graph) -> Layout:
    """Take a simplified graph apart; see :class:`Layout`.

    Raises:
        UnsupportedError: outputs that depend on several inputs, which no neon container takes; a net of inputs only.
    """
    regions = Regions(graph)
    order = {blob: index for index, node in enumerate(graph.nodes) for blob in node.tops}
    outputs = sorted((blob for blob in graph.outputs if blob not in graph.inputs), key=order.__getitem__)
    if not outputs:
        raise UnsupportedError([Finding(Where(path=graph.net.path), "the net has no output but its inputs")])
    weights = {loss.output: loss.weight for loss in graph.net.losses}
    main = max(outputs, key=lambda blob: (weights.get(blob.name, 0.0), order[blob]))
    sources = {regions.input_of(output) for output in outputs}
    if len(sources) > 1:
        names = ", ".join(blob.name for blob in graph.inputs)
        reason = f"its outputs depend on several inputs ({names}); a neon model has one"
        raise UnsupportedError([Finding(Where(path=graph.net.path), reason)])
    trunk = regions.chain(sources.pop(), main)
    passed = _blobs(trunk)
    sides = [regions.chain(regions.common(main, output), output) for output in outputs if output != main]
    return Layout(graph, trunk, tuple(sorted(sides, key=lambda side: passed.index(side.source))))


def _blobs(chain: Chain) -> list[Blob]:
    """The blobs at a chain's top level, in order."""
    return [chain.source, *(top for item in chain.items for top in (item.join if isinstance(item, Fork) else item).tops)]
