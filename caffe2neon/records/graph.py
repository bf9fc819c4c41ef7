"""Nets as graphs, and verdicts on their layers: graph -> convert."""

from __future__ import annotations

from dataclasses import dataclass

from caffe2neon.records.basics import Shape
from caffe2neon.records.caffe import CaffeLayer, CaffeNet


@dataclass(frozen=True)
class Blob:
    """One version of a Caffe blob: an in-place layer makes the next version. ``shape`` has N first."""

    name: str
    version: int
    shape: Shape

    @property
    def key(self) -> str:
        """The name, with ``#version`` from the second version on."""
        return f"{self.name}#{self.version}" if self.version else self.name


@dataclass(frozen=True, eq=False)
class Node:
    """A layer between blob versions; ``params`` are the shapes Caffe would give its learnable blobs."""

    layer: CaffeLayer
    bottoms: tuple[Blob, ...]
    tops: tuple[Blob, ...]
    params: tuple[Shape, ...] = ()


@dataclass(frozen=True)
class Fork:
    """Arms that start from one blob and meet in one node; an arm without items hands the blob on unchanged.

    The arms are in the order of the join's bottoms.
    """

    source: Blob
    arms: tuple[Chain, ...]
    join: Node


@dataclass(frozen=True)
class Chain:
    """Nodes and forks one after the other, from ``source``."""

    source: Blob
    items: tuple[Node | Fork, ...]


@dataclass(frozen=True)
class Graph:
    """A net as a graph of blob versions. ``outputs`` are the blobs nobody reads, by name, as Caffe orders them."""

    net: CaffeNet
    nodes: tuple[Node, ...]
    inputs: tuple[Blob, ...]
    outputs: tuple[Blob, ...]


@dataclass(frozen=True)
class Layout:
    """How the outputs of a graph are computed, taken apart by structure.

    ``trunk`` leads from the input to the main output (of the largest loss weight, else the last); each of ``sides`` leads from a
    blob on the trunk to another output, in the order in which the trunk passes those blobs. Nodes that no output needs are gone.
    """

    graph: Graph
    trunk: Chain
    sides: tuple[Chain, ...] = ()


@dataclass(frozen=True)
class LayerRule:
    """What becomes of layers of one Caffe type, in words: ``docs/layers.md`` is made of these.

    ``becomes``: neon's layers, or what else; "" where every layer of the type is refused. ``condition``: when that is so, "" for
    always. ``reason``: why others are refused, or all.
    """

    type: str
    becomes: str = ""
    condition: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What becomes of one layer of a net.

    ``verdict``: exact (neon has this layer), rewritten (the same numbers, by other layers), dropped (nothing in the model is needed
    for it), refused, or open (an error before it keeps it from being judged). ``becomes``: neon's layers, in words. ``reason``:
    why it is refused or dropped; notes on what is rewritten. ``weights``: numbers in its learnable blobs, in Caffe and in neon.
    """

    layer: str
    type: str
    line: int
    verdict: str
    becomes: str = ""
    reason: str = ""
    remedy: str = ""
    weights: tuple[int, int] = (0, 0)
