"""Data layers become inputs: the shape of what they hand to the net, and what they do to it on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from caffe2neon.caffe.caffe_pb2 import BlobShape, LayerParameter
from caffe2neon.errors import GraphError, Where, located
from caffe2neon.records import CaffeLayer, CaffeNet, LayerRule, Preprocess, Shape, shortest

#: Data layer types, and the message that has their batch size.
DATA_TYPES = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "HDF5Data": "hdf5_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
    "DummyData": "",
}


_SHAPES = {
    "Data": "`crop_size`, else `--input`",
    "ImageData": "`crop_size` or `new_height` and `new_width`, else `--input`",
    "HDF5Data": "`--input`",
    "MemoryData": "its own parameters",
    "WindowData": "`crop_size`, else `--input`",
    "DummyData": "its own parameters",
}


def data_rules() -> list[LayerRule]:
    """What becomes of data layers."""
    becomes = "the model's input; `transform_param` is recorded as its preprocessing; labels go"
    return [LayerRule(name, becomes, f"shape from {_SHAPES[name]}") for name in DATA_TYPES]


@dataclass(frozen=True)
class Fed:
    """Layers, of which no one brings data of its own; what the first data layer did to its pictures; and notes on that."""

    layers: tuple[CaffeLayer, ...]
    preprocess: Preprocess | None
    notes: tuple[str, ...]


def with_inputs(net: CaffeNet, layers: Sequence[CaffeLayer], outputs: Collection[str], shape: Shape | None) -> Fed:
    """Input layers in place of data layers, with those tops that a layer reads or ``outputs`` names.

    A net in which nothing at all brings data (its data layers belong to another phase or stage) gets an Input of ``shape``.

    Args:
        shape: (C, H, W) of the first source of data; replaces what it says, and is needed where it does not say it.

    Raises:
        GraphError: nobody says the shape.
    """
    read = {name for layer in layers for name in layer.bottoms} | set(outputs)
    kept: list[CaffeLayer] = []
    preprocess: Preprocess | None = None
    notes: list[str] = []
    sources = 0
    for layer in layers:
        used = not read.isdisjoint(layer.tops)
        if layer.type not in DATA_TYPES and not (layer.type == "Input" and used):
            kept.append(layer)
            continue
        if not used:
            continue
        with located(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type):
            param = _input(layer.param, shape if sources == 0 else None, read)
        sources += 1
        if sources == 1:
            preprocess, notes = _recorded_preprocess(layer.param, list(param.input_param.shape[0].dim[1:]))
        kept.append(layer if param == layer.param else replace(layer, param=param))
    if not sources and not any(layer.type == "Input" for layer in layers):
        kept = [*_missing_input(net, layers, shape), *kept]
    return Fed(tuple(kept), preprocess, tuple(notes))


def _input(param: LayerParameter, shape: Shape | None, read: Collection[str]) -> LayerParameter:
    """The Input layer of the tops that are read. A batch size stays as it is."""
    wanted = [index for index, top in enumerate(param.top) if top in read]
    if param.type == "Input" and shape is None and len(wanted) == len(param.top):
        return param
    result = LayerParameter(name=param.name, type="Input", top=[param.top[index] for index in wanted], phase=param.phase)
    result.input_param.shape.extend(_top_shape(param, index, shape) for index in wanted)
    return result


def brings_data(layer: CaffeLayer) -> bool:
    """Whether blobs come into a net here."""
    return layer.type == "Input" or layer.type in DATA_TYPES


def source_shape(param: LayerParameter, index: int, shape: Shape | None) -> Shape:
    """The shape of one top of a layer that :func:`brings_data`, batch first; ``shape``, (C, H, W), is that of the first top.

    Raises:
        GraphError: nobody says it.
    """
    return tuple(_top_shape(param, index, shape).dim)


def unfed(layers: Sequence[CaffeLayer]) -> dict[str, CaffeLayer]:
    """Blobs that are read before any layer makes them, and their first readers."""
    made: set[str] = set()
    missing: dict[str, CaffeLayer] = {}
    for layer in layers:
        for name in layer.bottoms:
            if name not in made:
                missing.setdefault(name, layer)
        made.update(layer.tops)
    return missing


def _top_shape(param: LayerParameter, index: int, shape: Shape | None) -> BlobShape:
    """The shape of one top. ``shape`` is the first one's; in data sets of pictures, what follows is a label an example."""
    if param.type in ("Input", "DummyData"):
        stated = _input_shape(param, index) if param.type == "Input" else _dummy_shape(param, index)
        if not shape or index:
            return stated
        if len(stated.dim) > 1 and len(stated.dim) != len(shape) + 1:
            given, wanted = ",".join(map(str, shape)), ",".join(map(str, stated.dim[1:]))
            message = f"has {len(stated.dim) - 1} axes, the given shape {given} has {len(shape)}"
            raise GraphError(message, remedy=f"give as many, as in {wanted}")
        return BlobShape(dim=(stated.dim[0] if stated.dim else 1, *shape))
    batch = getattr(param, DATA_TYPES[param.type]).batch_size or 1
    if index and param.type != "HDF5Data":
        return BlobShape(dim=(batch,))
    shape = None if index else shape or _stated_shape(param)
    if shape is None:
        raise GraphError(
            f"does not say the shape of {param.top[index]!r}, which lies in its source",
            remedy="" if index else "give the shape: --input C,H,W",
        )
    return BlobShape(dim=(batch, *shape))


def _input_shape(param: LayerParameter, index: int) -> BlobShape:
    shapes = param.input_param.shape
    if len(shapes) not in (1, len(param.top)):
        raise GraphError(f"has {len(shapes)} shapes for {len(param.top)} top(s): needs one, or one per top")
    return shapes[index if len(shapes) > 1 else 0]


def _dummy_shape(param: LayerParameter, index: int) -> BlobShape:
    dummy, tops = param.dummy_data_param, len(param.top)
    if dummy.shape:
        if len(dummy.shape) not in (1, tops):
            raise GraphError(f"has {len(dummy.shape)} shapes for {tops} top(s)")
        return dummy.shape[index if len(dummy.shape) > 1 else 0]
    sizes = (dummy.num, dummy.channels, dummy.height, dummy.width)
    if any(len(values) not in (1, tops) for values in sizes):
        raise GraphError(f"needs num, channels, height and width once, or once for each of {tops} top(s)")
    return BlobShape(dim=(values[index if len(values) > 1 else 0] for values in sizes))


def _stated_shape(param: LayerParameter) -> Shape | None:
    """(C, H, W) where the layer says it. Pictures have 3 channels, unless it says that they are gray."""
    crop = param.transform_param.crop_size
    memory, images = param.memory_data_param, param.image_data_param

    def image() -> Shape | None:
        height, width = (crop, crop) if crop else (images.new_height, images.new_width)
        return (3 if images.is_color else 1, height, width) if height and width else None

    stated: dict[str, Callable[[], Shape | None]] = {
        "MemoryData": lambda: (memory.channels, *((crop, crop) if crop else (memory.height, memory.width))),
        "ImageData": image,
        "Data": lambda: (1 if param.transform_param.force_gray else 3, crop, crop) if crop else None,
        "WindowData": lambda: (3, crop, crop) if crop else None,
    }
    return stated[param.type]() if param.type in stated else None


def _missing_input(net: CaffeNet, layers: Sequence[CaffeLayer], shape: Shape | None) -> list[CaffeLayer]:
    """An Input for the one blob that nothing makes; none where there are several, or all are made."""
    missing = unfed(layers)
    if len(missing) != 1:
        return []
    ((name, reader),) = missing.items()
    if shape is None:
        raise GraphError(
            f"nothing brings {name!r}: the net has no data layer and no input in this phase and stage",
            remedy="give its shape: --input C,H,W; or name the stage of a data layer: --stage",
            where=Where(path=net.path, line=reader.line, layer=reader.name, layer_type=reader.type),
        )
    param = LayerParameter(name=name, type="Input", top=[name], phase=reader.param.phase)
    param.input_param.shape.append(BlobShape(dim=(1, *shape)))
    return [CaffeLayer(param, reader.line)]


def _recorded_preprocess(param: LayerParameter, shape: Sequence[int]) -> tuple[Preprocess | None, list[str]]:
    """What ``transform_param`` does to a picture at TEST, and notes on what :class:`Preprocess` has no field for."""
    if not param.HasField("transform_param"):
        return None, []
    transform, images = param.transform_param, param.image_data_param
    crop = transform.crop_size or 0
    notes = []
    if transform.mean_file:
        name = transform.mean_file.rpartition("/")[2]
        notes.append(f"{param.name}: subtracts the mean image {name}, which is not in the model")
    resize = (images.new_height, images.new_width) if images.new_height and images.new_width else None
    return (
        Preprocess(
            channel_order="GRAY" if shape and shape[0] == 1 else "BGR",
            resize=resize,
            crop=(crop, crop) if crop else None,
            mean=tuple(map(shortest, transform.mean_value)),
            scale=shortest(transform.scale),
        ),
        notes,
    )
