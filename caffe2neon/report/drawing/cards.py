"""Layers that belong together, on one card: a convolution with its bias, normalization and activation."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from caffe2neon.report.drawing.records import COMPANIONS, Drawing, Layer


@dataclass(frozen=True)
class Card:
    """A layer and the companions that follow it; ``shape`` is the last one's."""

    layers: tuple[Layer, ...]

    @property
    def shape(self) -> str:
        return self.layers[-1].shape


def stack(drawing: Drawing) -> tuple[list[Card], list[tuple[int, int]]]:
    """Cards and the edges between them. A companion joins the card of the one layer it reads, if nobody else reads that."""
    readers: dict[int, list[int]] = defaultdict(list)
    sources: dict[int, list[int]] = defaultdict(list)
    for tail, head in drawing.edges:
        readers[tail].append(head)
        sources[head].append(tail)
    groups: list[list[int]] = []
    card_of: dict[int, int] = {}
    for index, layer in enumerate(drawing.layers):
        tails = sources[index]
        if layer.family in COMPANIONS and len(tails) == 1 and len(readers[tails[0]]) == 1 and layer_fits(drawing, tails[0], layer):
            card_of[index] = card_of[tails[0]]
            groups[card_of[index]].append(index)
        else:
            card_of[index] = len(groups)
            groups.append([index])
    cards = [Card(tuple(drawing.layers[index] for index in group)) for group in groups]
    edges = [(card_of[tail], card_of[head]) for tail, head in drawing.edges if card_of[tail] != card_of[head]]
    return cards, list(dict.fromkeys(edges))


def layer_fits(drawing: Drawing, tail: int, layer: Layer) -> bool:
    """Data stay apart, so that a net's beginning is seen; so does what changes the shape."""
    before = drawing.layers[tail]
    return before.family != "data" and layer.shape in (before.shape, "")
