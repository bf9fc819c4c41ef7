"""A prototxt or a .prm as a drawing: which layer reads which, in words short enough for a box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe2neon.caffe import caffe_pb2, read_net
from caffe2neon.errors import GraphError, UsageError
from caffe2neon.graph.shapes.vision import Window, convolution_window
from caffe2neon.inspection import inspect_file
from caffe2neon.neon import read_prm
from caffe2neon.records import (
    CAFFEMODEL,
    PRM,
    CaffeLayer,
    CaffeNet,
    Inspection,
    LayerFacts,
    NeonContainer,
    NeonLayer,
    NeonModel,
    Shape,
)
from caffe2neon.report.drawing import Drawing, Layer, draw

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter

_FAMILY_OF = {
    kind: family
    for family, kinds in {
        "data": "Input Data DummyData HDF5Data ImageData MemoryData WindowData Parameter Python missing",
        "convolution": "Convolution Deconvolution",
        "product": "InnerProduct Linear Embed LookupTable Recurrent RNN LSTM GRU BiRNN BiLSTM",
        "pooling": "Pooling SPP RoiPooling RecurrentLast RecurrentMean RecurrentSum",
        "normalization": "BatchNorm BatchNormAutodiff LRN MVN",
        "activation": "Activation AbsVal BNLL Clip ELU Exp Log PReLU ReLU Sigmoid Swish TanH Threshold",
        "arithmetic": "Scale Bias Power DataTransform ColorNoise",
        "dropout": "Dropout",
        "join": "Concat Eltwise MergeBroadcast MergeSum MergeMultistream",
        "shape": "BatchReindex Crop Filter Flatten Im2col Reduction Reshape Silence SkipNode Slice Split Tile",
        "output": "Accuracy ArgMax ContrastiveLoss EuclideanLoss HDF5Output HingeLoss InfogainLoss MultinomialLogisticLoss"
        " SigmoidCrossEntropyLoss Softmax SoftmaxWithLoss cost",
    }.items()
    for kind in kinds.split()
}


def draw_file(path: Path, *, phase: str = "TEST", shape: Shape | None = None) -> bytes:
    """The SVG of a net definition or a .prm; for the arguments see :func:`~caffe2neon.inspection.inspect_file`.

    Raises:
        UsageError: a caffemodel, which says nothing of what reads what; or a net too tangled to draw.
        ParseError, PrmError: as :func:`~caffe2neon.inspection.inspect_file`.
    """
    inspection = inspect_file(path, phase=phase, shape=shape)
    if inspection.kind == CAFFEMODEL:
        raise UsageError(
            "a caffemodel's layers are drawn from its prototxt", path=str(path), remedy="name the prototxt, or the converted .prm"
        )
    if inspection.kind == PRM:
        return draw(_neon_drawing(read_prm(path), inspection, path.stem))
    return draw(_caffe_drawing(read_net(path, phase=phase), inspection, path.stem))


def _summary(kind: str, inspection: Inspection, layers: int) -> str:
    counts = [f"{kind}, {layers:,} layers"]
    if inspection.parameters is not None:
        counts.append(f"{_about(inspection.parameters)} parameters")
    if inspection.multiply_adds:
        counts.append(f"{_about(inspection.multiply_adds)} multiply-adds")
    return ", ".join(counts)


def _about(count: int) -> str:
    """Three digits: 6.99 M. The table of ``inspect`` has them all."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:#.3g}".rstrip(".") + f" {name}"
    return str(count)


def _layer(facts: LayerFacts, family: str, detail: str, shapes: Sequence[Shape], extra: Sequence[str] = ()) -> Layer:
    lines = list(extra)
    lines += [f"makes {shape}" for shape in dict.fromkeys(map(_shape, shapes))]
    lines += [f"{facts.parameters:,} parameters"] if facts.parameters else []
    lines += [f"{facts.multiply_adds:,} multiply-adds"] if facts.multiply_adds else []
    lines += [f"line {facts.line}"] if facts.line else []
    lines += [f"no shapes: {facts.reason}"] if facts.reason else []
    shown = ", ".join(dict.fromkeys(map(_shape, shapes)))
    return Layer(facts.name, facts.type, family, detail, shown, tuple(lines))


def _shape(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "scalar"


# ---- Caffe ----


def _caffe_drawing(net: CaffeNet, inspection: Inspection, stem: str) -> Drawing:
    layers: list[Layer] = []
    edges: list[tuple[int, int]] = []
    makers: dict[str, int] = {}
    beside: dict[str, Layer] = {}
    for layer, facts in zip(net.layers, inspection.layers, strict=True):
        for blob in dict.fromkeys(layer.bottoms):
            if blob not in makers:
                makers[blob] = len(layers)
                layers.append(beside.get(blob) or Layer(blob, "missing", "data", facts=("no layer makes this blob",)))
        edges += [(makers[blob], len(layers)) for blob in dict.fromkeys(layer.bottoms)]
        for blob in beside:
            makers.pop(blob, None)
        for blob, shape in zip(layer.tops, facts.outputs or (None,) * len(layer.tops), strict=False):
            beside.pop(blob, None)
            if layer.bottoms or blob == layer.tops[0]:
                makers[blob] = len(layers)
            else:  # labels go to each loss: a box beside each reader is clearer than a line through the whole net
                shown = _shape(shape[1:] or shape) if shape else ""
                beside[blob] = Layer(blob, layer.type, "data", shape=shown, facts=(layer.name,))
        layers.append(_caffe_layer(layer, facts))
    return Drawing(net.name or stem, _summary("Caffe net", inspection, len(inspection.layers)), tuple(layers), tuple(edges))


def _caffe_layer(layer: CaffeLayer, facts: LayerFacts) -> Layer:
    shapes = facts.outputs or ()
    detail, words = _caffe_detail(layer.param, shapes)
    shown = [shape[1:] or shape for shape in shapes]
    return _layer(facts, _FAMILY_OF.get(layer.type, "other"), detail, shown[:1] if not layer.bottoms else shown, words)


def _caffe_detail(param: LayerParameter, shapes: Sequence[Shape]) -> tuple[str, tuple[str, ...]]:
    """What tells a layer from others of its type, for the box and for the tooltip."""
    kind = param.type
    if kind in ("Convolution", "Deconvolution"):
        given = param.convolution_param
        try:
            window = convolution_window(given, len(shapes[0]) - 2 if shapes else 2)
        except GraphError:
            return "", ()
        detail, words = _window(window)
        groups = f" g{given.group}" if given.group > 1 else ""
        return detail + groups, (words, *([f"{given.group} groups"] if groups else []))
    if kind == "Pooling":
        pooling = param.pooling_param
        name = caffe_pb2.PoolingParameter.PoolMethod.Name(pooling.pool)
        if pooling.global_pooling:
            return f"{name} global", ()
        kernel = (pooling.kernel_h or pooling.kernel_size, pooling.kernel_w or pooling.kernel_size)
        stride = (pooling.stride_h or pooling.stride, pooling.stride_w or pooling.stride)
        pad = (pooling.pad_h or pooling.pad, pooling.pad_w or pooling.pad)
        detail, words = _window(Window(kernel, stride, pad, (1, 1)))
        return f"{name} {detail}", (words,)
    if kind == "Eltwise":
        return caffe_pb2.EltwiseParameter.EltwiseOp.Name(param.eltwise_param.operation), ()
    if kind == "Dropout":
        return f"{param.dropout_param.dropout_ratio:g}", ()
    if kind == "LRN":
        return f"{param.lrn_param.local_size}", ()
    return "", ()


def _window(window: Window) -> tuple[str, str]:
    """``3×3 /2`` and ``kernel 3×3, stride 2, pad 1``."""
    short, words = _shape(window.kernel), f"kernel {_shape(window.kernel)}"
    others = (("stride", "/", window.stride, 1), ("pad", "", window.pad, 0), ("dilation", "d", window.dilation, 1))
    for name, mark, values, usual in others:
        if set(values) != {usual}:
            text = str(values[0]) if len(set(values)) == 1 else _shape(values)
            words += f", {name} {text}"
            short += f" {mark}{text}" if mark else ""
    return short, words


# ---- neon ----


class _NeonDrawing:
    """Walks a model as :func:`~caffe2neon.inspection.inspect_file` does, so that each node meets its facts."""

    def __init__(self, facts: Sequence[LayerFacts]) -> None:
        self._facts: Iterator[LayerFacts] = iter(facts)
        self._branches: dict[str, tuple[int, ...]] = {}
        self.layers: list[Layer] = []
        self.edges: list[tuple[int, int]] = []
        self.ends: list[tuple[int, ...]] = []

    def add(self, layer: Layer, sources: tuple[int, ...]) -> tuple[int, ...]:
        self.edges += [(source, len(self.layers)) for source in dict.fromkeys(sources)]
        self.layers.append(layer)
        return (len(self.layers) - 1,)

    def node(self, node: NeonLayer | NeonContainer, sources: tuple[int, ...]) -> tuple[int, ...]:
        """Draw a node that reads ``sources``; what the next one reads."""
        facts = next(self._facts)
        if isinstance(node, NeonContainer):
            return self._container(node, facts, sources)
        if node.kind == "BranchNode":  # hands its input on, on the trunk and at the beginning of a side branch
            return self._branches.setdefault(node.name, sources)
        return self.add(_neon_layer(node, facts), sources)

    def _container(self, node: NeonContainer, facts: LayerFacts, sources: tuple[int, ...]) -> tuple[int, ...]:
        if node.kind in ("Tree", "SingleOutputTree"):
            self.ends = [self.node(child, sources if index == 0 else ()) for index, child in enumerate(node.layers)]
            return self.ends[0] if self.ends else sources
        if node.kind.startswith("Merge"):
            arms = [self._arm(child, sources) for child in node.layers]
            joined = tuple(source for arm in arms for source in arm)
            return self.add(_layer(facts, "join", facts.detail, facts.outputs or ()), joined)
        for child in node.layers:
            sources = self.node(child, sources)
        return sources

    def _arm(self, node: NeonLayer | NeonContainer, sources: tuple[int, ...]) -> tuple[int, ...]:
        """An arm that is a SkipNode alone is drawn as the line that it is."""
        layers = tuple(node.walk()) if isinstance(node, NeonContainer) else (node,)
        if [layer.kind for layer in layers] == ["SkipNode"]:
            for _ in _nodes(node):
                next(self._facts)
            return sources
        return self.node(node, sources)


def _nodes(node: NeonLayer | NeonContainer) -> Iterator[NeonLayer | NeonContainer]:
    yield node
    for child in node.layers if isinstance(node, NeonContainer) else ():
        yield from _nodes(child)


def _neon_drawing(model: NeonModel, inspection: Inspection, stem: str) -> Drawing:
    walk = _NeonDrawing(inspection.layers)
    names = inspection.header["inputs"] or ["input"]
    shape = model.input_shape
    source = walk.add(Layer(str(names[0]), "Input", "data", shape=_shape(shape) if shape else ""), ())
    end = walk.node(model.root, source)
    for cost, sources in zip(_costs(model.header.get("cost")), walk.ends or [end], strict=False):
        walk.add(cost, sources)
    count = sum(1 for _ in model.root.walk())
    return Drawing(stem, _summary("neon model", inspection, count), tuple(walk.layers), tuple(walk.edges))


def _neon_layer(node: NeonLayer, facts: LayerFacts) -> Layer:
    family = _FAMILY_OF.get(node.kind, "other")
    kind, detail, words = node.kind, facts.detail, list[str]()
    shape = node.config.get("fshape")
    if node.kind == "Activation" and detail:
        kind, detail = detail, ""
        family = "output" if kind == "Softmax" else family
    elif node.kind in ("Convolution", "Deconvolution", "Pooling"):
        strides, padding = _pair(node.config.get("strides", 1), "str"), _pair(node.config.get("padding", 0), "pad")
        if shape == "all":
            window = ("global", "")
        else:
            window = _window(Window(_kernel(shape), strides, padding, (1, 1)))
            words.append(window[1])
        detail = f"{detail} {window[0]}".strip()
    elif node.kind == "Dropout":
        detail = f"keep {node.config.get('keep', 0.5):g}"
    elif node.kind == "LRN":
        detail = str(node.config.get("depth", ""))
    return _layer(replace(facts, type=kind), family, detail, facts.outputs or (), words)


def _kernel(shape: Any) -> Shape:
    """Rows and columns of an fshape: ``(R, S, K)``, ``(R, S)``, one number, or a dict."""
    if isinstance(shape, Mapping):
        return (shape.get("R", 1), shape.get("S", 1))
    return tuple(shape[:2]) if isinstance(shape, tuple | list) else (shape, shape)


def _pair(value: Any, prefix: str) -> Shape:
    if isinstance(value, Mapping):
        usual = 1 if prefix == "str" else 0
        return (value.get(f"{prefix}_h", usual), value.get(f"{prefix}_w", usual))
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _costs(cost: Any) -> Iterator[Layer]:
    """The costs of a model in the order of its outputs: one, or those of a Multicost with their weights."""
    if not isinstance(cost, Mapping):
        return
    config = cost.get("config", {})
    parts, weights = config.get("costs"), config.get("weights")
    if parts:
        for index, part in enumerate(parts):
            for layer in _costs(part):
                yield replace(layer, name=f"weight {weights[index]:g}") if weights else layer
        return
    kind = str(config.get("costfunc", {}).get("type", cost.get("type", ""))).rpartition(".")[2]
    yield Layer("cost", kind, "output")
