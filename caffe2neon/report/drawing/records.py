"""What is drawn: layers and the edges between them, whatever they came from."""

from __future__ import annotations

from dataclasses import dataclass

#: Layer families in the order of the legend, with the words for people.
FAMILIES = {
    "data": "Data",
    "convolution": "Convolution",
    "product": "Inner product",
    "pooling": "Pooling",
    "normalization": "Normalization",
    "activation": "Activation",
    "arithmetic": "Scale, bias",
    "dropout": "Dropout",
    "join": "Join",
    "shape": "Shape",
    "output": "Output, loss",
    "other": "Other",
}

#: Families whose layers work on what the layer before made, value by value: they share its card.
COMPANIONS = frozenset({"normalization", "activation", "arithmetic", "dropout"})


@dataclass(frozen=True)
class Layer:
    """One layer. ``family`` is of :data:`FAMILIES`; ``detail`` is short ("3×3 /2"), ``shape`` what it makes ("64×56×56").

    ``facts`` are lines for the tooltip, which begins with type, detail and name.
    """

    name: str
    type: str
    family: str = "other"
    detail: str = ""
    shape: str = ""
    facts: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        return f"{self.type} {self.detail}".rstrip()


@dataclass(frozen=True)
class Drawing:
    """A net. ``edges`` are pairs of indices into ``layers``, which come in an order in which every edge leads forward."""

    title: str
    summary: str
    layers: tuple[Layer, ...]
    edges: tuple[tuple[int, int], ...]
