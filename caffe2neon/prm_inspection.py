"""What is in a .prm: containers and layers as they nest, with the shapes that neon would give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from caffe2neon.errors import EngineError, PrmError
from caffe2neon.labels import class_order
from caffe2neon.neon import check_classes
from caffe2neon.records import JSON, PRM, Inspection, LayerFacts, NeonContainer, NeonLayer, NeonModel, Shape, materialize
from caffe2neon.report import to_json

if TYPE_CHECKING:
    from caffe2neon.engines.neon_embedded.base import Layer as BuiltLayer
    from caffe2neon.engines.neon_embedded.base import NeonShape


def inspect_prm(model: NeonModel, path: str, size: int) -> Inspection:
    """
    Raises:
        PrmError: what the file records of itself is damaged.
    """
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
        total(layer.parameters for layer in layers),
        total(layer.multiply_adds for layer in layers),
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


def total(counts: Iterable[int | None]) -> int | None:
    """The sum; None as soon as one of them is."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)
