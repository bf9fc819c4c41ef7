"""What is in a file, for people and programs: inspection -> report, cli."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caffe2neon.records.basics import Shape

PROTOTXT, CAFFEMODEL, PRM = "prototxt", "caffemodel", "prm"


@dataclass(frozen=True)
class LayerFacts:
    """One layer; None is what nobody knows.

    ``outputs``: a shape per top, N first in Caffe's (``(N, C, H, W)``), without N in neon's (``(C, H, W)``, a vector ``(n,)``).
    ``parameters``: numbers in its learnable blobs, those included that BatchNorm estimates. ``multiply_adds``: of one example.
    ``blobs``, ``dtypes``: of stored parameters, in the file's order, and as stored (legacy caffemodels: 4-D). ``depth``: how many
    containers it lies in. ``line``: in the prototxt, from 1; 0 elsewhere. ``reason``: why there are no shapes.
    ``detail``: in neon, the transform of an Activation, the ``op`` of a Pooling, the ``merge`` of a MergeBroadcast.
    """

    name: str
    type: str = ""
    outputs: tuple[Shape, ...] | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    blobs: tuple[Shape, ...] = ()
    dtypes: tuple[str, ...] = ()
    depth: int = 0
    line: int = 0
    detail: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Inspection:
    """A file. ``kind``: prototxt, caffemodel, prm; ``size`` in bytes; ``layers`` in the file's order, containers first.

    ``parameters`` counts shared ones (Caffe's ``param { name: ... }``) once. Totals are None as soon as one layer's is. ``header``
    has, of a prototxt: ``name, inputs, outputs`` (shapes by blob, null where not known), ``sha256``; of a .prm: ``neon_version,
    compat_mode, input_shape, inputs, outputs, class_order, remapped, preprocess, source, notes, caffe2neon`` (its version), null or
    empty where the file does not say.
    """

    kind: str
    path: str
    size: int
    header: Mapping[str, Any]
    layers: tuple[LayerFacts, ...]
    parameters: int | None
    multiply_adds: int | None
    notes: tuple[str, ...] = ()
