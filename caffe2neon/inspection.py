"""What is in a file: the layers of a prototxt, caffemodel or .prm, with shapes, parameters and multiply-adds.

Multiply-adds are those of one example in Convolution, Deconvolution and InnerProduct (neon: Linear), see
:func:`caffe2neon.graph.multiply_adds`; biases, pooling, normalization, scaling and element-wise layers count 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

from caffe2neon import wire
from caffe2neon.caffe import brings_data, caffe_pb2, deploy_rules, read_net, read_weights, source, source_shape, unfed
from caffe2neon.errors import GraphError, ParseError, UsageError, Where, located
from caffe2neon.graph import already_owned, multiply_adds
from caffe2neon.graph.shapes import check_sizes, infer
from caffe2neon.neon import read_prm
from caffe2neon.prm_inspection import inspect_prm, total
from caffe2neon.records import CAFFEMODEL, PROTOTXT, CaffeLayer, CaffeWeights, Inspection, LayerFacts, Shape

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


def inspect_file(path: Path, *, phase: str = "TEST", shape: Shape | None = None) -> Inspection:
    """Look into a file; what it is, its content says, not its name. Numbers of a caffemodel or .prm are not read.

    Args:
        phase: of a prototxt: TEST or TRAIN.
        shape: of a prototxt: (C, H, W) of its first source of data; replaces what that says.

    Raises:
        UsageError: a shape is given for what is no prototxt.
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
            _no_shape(shape, "a .prm records its input's shape")
            return inspect_prm(read_prm(path), str(path), size)
        kind, remedy = source.foreign(head)
        if kind:
            raise ParseError(f"this is {kind}, not {_KINDS}", remedy=remedy)
        if not source.is_text(head) and not head.startswith(_UTF16):
            if wire.varint(head, 0, len(head))[0] not in _TAGS:
                raise ParseError(f"this is not {_KINDS}: it begins with bytes {head[:4].hex(' ')}", remedy="name another file")
            weights = read_weights(path)
            if any(weights.blobs.values()):
                _no_shape(shape, "a caffemodel holds weights alone")
                return _caffemodel(weights)
        return _prototxt(path, size, phase, shape)


def _no_shape(shape: Shape | None, reason: str) -> None:
    if shape is not None:
        raise UsageError(f"--input is for a prototxt; {reason}", remedy="leave --input out, or name the prototxt")


class _Unknown(Exception):
    """A layer without shapes. ``begins``: they end here, not in a layer before; ``tops``: those that are known all the same."""

    def __init__(self, reason: str, tops: Sequence[Shape | None] = (), *, begins: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tops = tops
        self.begins = begins


def _prototxt(path: Path, size: int, phase: str, given: Shape | None) -> Inspection:
    net = read_net(path, phase=phase)
    newest = _fed_from_outside(net.layers, given)
    unread: dict[str, Shape | None] = {}
    inputs = dict(newest)
    owned: set[str] = set()
    layers, notes, shared = [], list[str](), 0
    tops: Sequence[Shape | None]
    for layer in net.layers:
        try:
            facts, tops = _facts(layer, newest, given)
            shared += already_owned(layer.param, facts.blobs, owned)
        except _Unknown as unknown:
            facts, tops = replace(_countless(layer), reason=unknown.reason), unknown.tops or (None,) * len(layer.tops)
            if unknown.begins:
                line = f"line {layer.line}, " if layer.line else ""
                notes.append(f"no shapes from {line}{Where(layer=layer.name, layer_type=layer.type)} on: {unknown.reason}")
        given = None if brings_data(layer) else given
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
    parameters = total(facts.parameters for facts in layers)
    return Inspection(
        PROTOTXT,
        net.path,
        size,
        header,
        tuple(layers),
        None if parameters is None else parameters - shared,
        total(facts.multiply_adds for facts in layers),
        tuple(notes),
    )


def _fed_from_outside(layers: Sequence[CaffeLayer], shape: Shape | None) -> dict[str, Shape | None]:
    """As ``deploy`` has it: where nothing brings data, ``shape`` is that of the one blob that nothing makes."""
    missing = () if shape is None or any(map(brings_data, layers)) else tuple(unfed(layers))
    return {missing[0]: (1, *shape)} if shape is not None and len(missing) == 1 else {}


def _countless(layer: CaffeLayer) -> LayerFacts:
    """What is known of a layer without shapes: data layers and losses have nothing to count."""
    count = 0 if brings_data(layer) or layer.type in deploy_rules() else None
    return LayerFacts(layer.name, layer.type, line=layer.line, parameters=count, multiply_adds=count)


def _facts(layer: CaffeLayer, newest: Mapping[str, Shape | None], given: Shape | None) -> tuple[LayerFacts, Sequence[Shape]]:
    """A layer, and the shapes of its tops."""
    try:
        if brings_data(layer) and (given is not None or layer.type != "Input"):
            tops = _brought(layer, given)
            return replace(_countless(layer), outputs=tops), tops
        bottoms = [_known(newest, name) for name in layer.bottoms]
        shapes = infer(layer.param, bottoms)
        if len(shapes.tops) < len(layer.tops):
            raise GraphError(f"has {len(layer.tops)} tops, makes {len(shapes.tops)}")
    except GraphError as error:
        raise _Unknown(_words(error), begins=True) from error
    facts = LayerFacts(
        layer.name,
        layer.type,
        outputs=shapes.tops[: len(layer.tops)],
        parameters=sum(map(prod, shapes.params)),
        multiply_adds=multiply_adds(layer.param, bottoms, shapes),
        blobs=shapes.params,
        line=layer.line,
    )
    return facts, shapes.tops


def _brought(layer: CaffeLayer, given: Shape | None) -> tuple[Shape, ...]:
    """What a data layer hands out; of labels in files of their own the shape is not known, of the data perhaps all the same."""
    tops: list[Shape | None] = []
    reasons = []
    for index in range(len(layer.tops)):
        try:
            shape = source_shape(layer.param, index, given)
            check_sizes("its output", [shape])
            tops.append(shape)
        except GraphError as error:
            tops.append(None)
            reasons.append(_words(error))
    if reasons:
        raise _Unknown(reasons[0], tops, begins=True)
    return tuple(top for top in tops if top is not None)


def _words(error: GraphError) -> str:
    return "; ".join(filter(None, (error.message, error.remedy)))


def _known(newest: Mapping[str, Shape | None], name: str) -> Shape:
    if name not in newest:
        raise GraphError(f"unknown bottom blob {name!r}")
    shape = newest[name]
    if shape is None:
        raise _Unknown(f"the shape of its bottom {name!r} is not known")
    return shape


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
    return Inspection(CAFFEMODEL, weights.path, weights.size, {}, layers, total(layer.parameters for layer in layers), None)
