"""What is in a file: the layers of a prototxt, caffemodel or .prm, with shapes, parameters and multiply-adds.

Multiply-adds are those of one example in Convolution, Deconvolution and InnerProduct (neon: Linear), see
:func:`caffe2neon.graph.multiply_adds`; biases, pooling, normalization, scaling and element-wise layers count 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe2neon import wire
from caffe2neon.caffe import caffe_pb2, read_net, read_weights, source
from caffe2neon.errors import EngineError, GraphError, ParseError, PrmError, Where, located
from caffe2neon.graph import multiply_adds
from caffe2neon.graph.shapes import Shapes, infer
from caffe2neon.labels import class_order
from caffe2neon.neon import check_classes, read_prm
from caffe2neon.records import JSON, CaffeLayer, CaffeWeights, NeonContainer, NeonLayer, NeonModel, Shape, materialize
from caffe2neon.report import to_json

if TYPE_CHECKING:
    from caffe2neon.engines.neon_embedded.base import Layer as BuiltLayer
    from caffe2neon.engines.neon_embedded.base import NeonShape

PROTOTXT, CAFFEMODEL, PRM = "prototxt", "caffemodel", "prm"

#: How pickles begin: protocol 2 and later by a mark, older ones by the opcodes of a dict, a list, a tuple or a global.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|\(([dl]p|[dlt])|[]}][q(]|c[\w.]+\n")
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
#: Tags that a binary net can begin with: the number of a field and its wire type.
_TAGS = frozenset(
    number << 3 | (wire.LENGTH if field.cpp_type in (field.CPPTYPE_STRING, field.CPPTYPE_MESSAGE) else wire.VARINT)
    for number, field in caffe_pb2.NetParameter.DESCRIPTOR.fields_by_number.items()
)
_KINDS = "a prototxt, a caffemodel or a .prm"


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


def inspect_file(path: Path, *, phase: str = "TEST") -> Inspection:
    """Look into a file; what it is, its content says, not its name. Numbers of a caffemodel or .prm are not read.

    Args:
        phase: of a prototxt: TEST or TRAIN.

    Raises:
        ParseError: the file cannot be read, is damaged, or is none of the three kinds.
        PrmError: a damaged or hostile .prm.
    """
    path = Path(path)
    stream, size = source.open_file(path)
    with stream, located(path=str(path)):
        try:
            head = stream.read(source.HEAD)
        except OSError as error:
            raise source.cannot_read(path, error) from error
        if _PICKLE.match(head) or (head.startswith(_GZIP) and path.suffix == ".gz"):
            return _prm(read_prm(path), str(path), size)
        kind, remedy = source.foreign(head)
        if kind:
            raise ParseError(f"this is {kind}, not {_KINDS}", remedy=remedy)
        if not source.is_text(head) and not head.startswith(_UTF16):
            if wire.varint(head, 0, len(head))[0] not in _TAGS:
                raise ParseError(f"this is not {_KINDS}: it begins with bytes {head[:4].hex(' ')}", remedy="name another file")
            weights = read_weights(path)
            if any(weights.blobs.values()):
                return _caffemodel(weights)
        return _prototxt(path, size, phase)


# ---- Caffe ----


class _Unknown(Exception):
    """No shapes, because there are none of the layer before; the reason stands there."""


def _prototxt(path: Path, size: int, phase: str) -> Inspection:
    net = read_net(path, phase=phase)
    newest: dict[str, Shape | None] = {}
    unread: dict[str, Shape | None] = {}
    inputs: dict[str, Shape | None] = {}
    owned: set[str] = set()
    layers, notes, shared = [], list[str](), 0
    for layer in net.layers:
        facts = LayerFacts(layer.name, layer.type, line=layer.line)
        tops: Sequence[Shape | None] = (None,) * len(layer.tops)
        try:
            bottoms = [_known(newest, name) for name in layer.bottoms]
            shapes = _infer(layer, bottoms)
            facts = replace(
                facts,
                outputs=shapes.tops[: len(layer.tops)],
                parameters=sum(map(prod, shapes.params)),
                multiply_adds=multiply_adds(layer.param, bottoms, shapes),
                blobs=shapes.params,
            )
            shared += _already(layer, shapes.params, owned)
            tops = shapes.tops
        except GraphError as error:
            facts = replace(facts, reason=error.message)
            line = f"line {layer.line}, " if layer.line else ""
            notes.append(f"no shapes from {line}{Where(layer=layer.name, layer_type=layer.type)} on: {error.message}")
        except _Unknown as unknown:
            facts = replace(facts, reason=str(unknown))
        layers.append(facts)
        made = dict(zip(layer.tops, tops, strict=False))
        newest.update(made)
        # As Caffe does (net.cpp): what is read is no output, unless a layer makes it again, in place.
        for name in layer.bottoms:
            unread.pop(name, None)
        unread.update(made)
        if not layer.bottoms:
            inputs.update(made)
    if shared:
        notes.append(f"{shared:,} parameters are shared between layers and counted once")
    header = {"name": net.name, "inputs": inputs, "outputs": dict(sorted(unread.items())), "sha256": net.sha256}
    parameters = _total(facts.parameters for facts in layers)
    return Inspection(
        PROTOTXT,
        net.path,
        size,
        header,
        tuple(layers),
        None if parameters is None else parameters - shared,
        _total(facts.multiply_adds for facts in layers),
        tuple(notes),
    )


def _known(newest: Mapping[str, Shape | None], name: str) -> Shape:
    if name not in newest:
        raise GraphError(f"unknown bottom blob {name!r}")
    shape = newest[name]
    if shape is None:
        raise _Unknown(f"the shape of its bottom {name!r} is not known")
    return shape


def _infer(layer: CaffeLayer, bottoms: Sequence[Shape]) -> Shapes:
    shapes = infer(layer.param, bottoms)
    if len(shapes.tops) < len(layer.tops):
        raise GraphError(f"has {len(layer.tops)} tops, makes {len(shapes.tops)}")
    return shapes


def _already(layer: CaffeLayer, params: Sequence[Shape], owned: set[str]) -> int:
    """How many of a layer's parameters another layer owns: those under a name that came before, which is noted in ``owned``."""
    count = 0
    for spec, shape in zip(layer.param.param, params, strict=False):
        count += prod(shape) if spec.name in owned else 0
        owned.update({spec.name} - {""})
    return count


def _caffemodel(weights: CaffeWeights) -> Inspection:
    layers = tuple(
        LayerFacts(
            name,
            parameters=sum(blob.size for blob in blobs),
            blobs=tuple(blob.shape for blob in blobs),
            dtypes=tuple(str(blob.dtype) for blob in blobs),
        )
        for name, blobs in weights.blobs.items()
    )
    return Inspection(CAFFEMODEL, weights.path, weights.size, {}, layers, _total(layer.parameters for layer in layers), None)


# ---- neon ----


def _prm(model: NeonModel, path: str, size: int) -> Inspection:
    from caffe2neon.engines.neon_embedded.build import build

    try:
        header = _prm_header(model)
    except (TypeError, ValueError) as error:
        raise PrmError(f"what it records of itself is damaged: {error}", remedy="convert the model again") from error
    built: BuiltLayer | None = None
    notes: tuple[str, ...] = ()
    try:
        check_classes(model)
        if model.input_shape is None:
            raise EngineError("the file does not record its input's shape")
        built = build(model, model.input_shape)
    except (EngineError, PrmError) as error:
        where = f"{error.where}: " if str(error.where) else ""
        notes = (f"no shapes: {where}{' '.join(error.message.split())}",)
    layers = tuple(_walk(model.root, built, 0))
    return Inspection(
        PRM,
        path,
        size,
        header,
        layers,
        _total(layer.parameters for layer in layers),
        _total(layer.multiply_adds for layer in layers),
        notes,
    )


def _walk(node: NeonLayer | NeonContainer, built: BuiltLayer | None, depth: int) -> Iterator[LayerFacts]:
    """A node, then what it holds. ``built`` is the same node as the embedded engine configured it by neon's shape rules."""
    shape = None if built is None or built.out_shape is None else _shape(built.out_shape)
    outputs = None if shape is None else (shape,)
    facts = LayerFacts(node.name, node.kind, outputs, 0, 0, depth=depth, detail=_detail(node))
    if isinstance(node, NeonContainer):
        yield facts
        inner: Sequence[BuiltLayer | None] = getattr(built, "layers", (None,) * len(node.layers))
        for child, built_child in zip(node.layers, inner, strict=True):
            yield from _walk(child, built_child, depth + 1)
        return
    params = [materialize(param) for param in node.params.values()]
    yield replace(
        facts,
        parameters=sum(param.size for param in params),
        multiply_adds=_neon_multiply_adds(node, built),
        blobs=tuple(param.shape for param in params),
        dtypes=tuple(str(param.dtype) for param in params),
    )


def _detail(node: NeonLayer | NeonContainer) -> str:
    transform = node.config.get("transform")
    if isinstance(transform, Mapping):
        return str(transform.get("type", "")).rpartition(".")[2]
    return str(node.config.get("op", node.config.get("merge", "")))


def _neon_multiply_adds(node: NeonLayer, built: BuiltLayer | None) -> int | None:
    """As neon computes them: a grouped or dilated convolution of Caffe's is a dense one here, zeros included."""
    if node.kind not in ("Convolution", "Deconvolution", "Linear"):
        return 0 if not node.params or node.kind in ("Bias", "BatchNorm") else None
    if "W" not in node.params or built is None or built.out_shape is None:
        return None
    # W is (C·R·S, K) of a convolution, once for each place of the map it makes; of a deconvolution, of the map it takes
    places = {"Convolution": built.out_shape, "Deconvolution": built.in_shape}.get(node.kind, 1)
    return prod(node.params["W"].shape) * prod(_shape(places)[1:])


def _shape(shape: NeonShape) -> Shape:
    """neon writes a vector as n or (n, 1)."""
    if isinstance(shape, int):
        return (shape,)
    return shape[:1] if shape[1:] == (1,) else shape


def _prm_header(model: NeonModel) -> Mapping[str, JSON]:
    meta, backend = model.meta, model.header.get("backend")
    header = {
        "neon_version": model.header.get("neon_version"),
        "compat_mode": backend.get("compat_mode") if isinstance(backend, Mapping) else None,
        "input_shape": model.input_shape,
        "inputs": meta.get("inputs", []),
        "outputs": meta.get("outputs", []),
        "class_order": class_order(model) or None,
        "remapped": "remap" in meta,
        "preprocess": meta.get("preprocess"),
        "source": meta.get("source", {}),
        "notes": meta.get("notes", []),
        "caffe2neon": meta.get("version"),
    }
    return {name: to_json(value) for name, value in header.items()}


def _total(counts: Iterator[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)
