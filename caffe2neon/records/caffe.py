"""Nets and weights of Caffe: caffe -> graph, engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caffe2neon.records.basics import Array
from caffe2neon.records.zoo import Preprocess

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@dataclass(frozen=True, eq=False)
class CaffeLayer:
    """One layer in Caffe's newest form, whatever form its file had. ``line`` counts from 1; 0 where there is none (binary nets)."""

    param: LayerParameter
    line: int = 0

    @property
    def name(self) -> str:
        return self.param.name

    @property
    def type(self) -> str:
        return self.param.type

    @property
    def bottoms(self) -> tuple[str, ...]:
        return tuple(self.param.bottom)

    @property
    def tops(self) -> tuple[str, ...]:
        return tuple(self.param.top)


@dataclass(frozen=True)
class Loss:
    """A loss of a training net: the blob it judges, the neon cost that equals it, its weight, and the blob it compares with."""

    layer: str
    output: str
    cost: str
    weight: float
    target: str


@dataclass(frozen=True)
class CaffeNet:
    """A net definition, upgraded and filtered to one ``phase`` (TEST or TRAIN), layers in file order.

    ``path`` is the file as the user named it, for messages; ``sha256`` of its bytes. What ``deploy`` took out of a training net:
    its ``losses``, the ``preprocess`` of its data layer, and ``notes`` on both for people.
    """

    name: str
    layers: tuple[CaffeLayer, ...]
    path: str = ""
    sha256: str = ""
    losses: tuple[Loss, ...] = ()
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()
    phase: str = "TEST"


@dataclass(frozen=True)
class CaffeWeights:
    """Blobs by layer name, in Caffe's order, as float32 (or float64) views into the mapped file wherever its layout allows.

    Shapes are as the file declares them (legacy files: 4-D, ``(1, 1, N, K)``); the graph knows the shapes that a net expects.
    """

    blobs: Mapping[str, tuple[Array, ...]]
    path: str = ""
    size: int = 0
