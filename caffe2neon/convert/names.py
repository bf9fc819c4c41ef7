"""Names of neon layers: Caffe's where it has one of its own, unique always, since neon and we find layers by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from caffe2neon.convert.registry import Item
from caffe2neon.records import CaffeLayer, Graph, NeonContainer


class Names:
    """Who has which name. Caffe lets two layers of a net have the same; the second becomes ``name#2``."""

    def __init__(self, graph: Graph) -> None:
        # the tops of a Slice are nodes of one layer
        self._names: dict[CaffeLayer, str] = {}
        self._taken: set[str] = set()
        for layer in dict.fromkeys(node.layer for node in graph.nodes):
            self._names[layer] = self._claim(layer.name)

    def of(self, layer: CaffeLayer) -> str:
        return self._names[layer]

    def apart(self, items: Sequence[Item], layer: CaffeLayer) -> list[Item]:
        """What was made of ``layer``, its further layers (``conv1_bias``) renamed where the net has a layer of that name."""
        return [self._apart(item, self._names[layer]) for item in items]

    def _apart(self, item: Item, own: str) -> Item:
        name = item.name if item.name == own else self._claim(item.name)
        config = {**item.config, "name": name}
        if isinstance(item, NeonContainer):
            return replace(item, config=config, layers=tuple(self._apart(each, own) for each in item.layers))
        return replace(item, config=config)

    def _claim(self, name: str) -> str:
        free, count = name, 1
        while free in self._taken:
            count += 1
            free = f"{name}#{count}"
        self._taken.add(free)
        return free
