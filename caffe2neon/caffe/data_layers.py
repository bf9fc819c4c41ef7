"""Data layers: the shape of what they hand to the net, and what they do to it on the way."""

from __future__ import annotations

from collections.abc import Callable

from caffe2neon.caffe.caffe_pb2 import BlobShape, LayerParameter
from caffe2neon.errors import GraphError, Where
from caffe2neon.records import Preprocess, Shape, shortest

DATA_TYPES = frozenset(("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData"))


def input_layer(param: LayerParameter, shape: Shape | None, where: Where) -> LayerParameter:
    """The Input layer with the same tops. Tops after the first are labels, one number an example.

    Args:
        shape: (C, H, W) of the first top; None takes what the layer says.

    Raises:
        GraphError: nobody says the shape.
    """
    result = LayerParameter(name=param.name, type="Input", top=param.top, phase=param.phase)
    if param.type == "DummyData" and shape is None:
        result.input_param.shape.extend(_dummy_shapes(param))
        return result
    shape = shape or _stated_shape(param)
    if shape is None:
        raise GraphError(
            "does not say the shape of its data, which lies in its source",
            remedy="give the shape: --input C,H,W",
            where=where,
            layer=param.name,
            layer_type=param.type,
        )
    batch = getattr(param, _PARAMS[param.type]).batch_size if param.type in _PARAMS else 1
    result.input_param.shape.append(BlobShape(dim=(batch or 1, *shape)))
    result.input_param.shape.extend(BlobShape(dim=(batch or 1,)) for _ in param.top[1:])
    return result


def recorded_preprocess(param: LayerParameter) -> tuple[Preprocess | None, list[str]]:
    """What ``transform_param`` does to a picture at TEST, and notes on what :class:`Preprocess` has no field for."""
    if not param.HasField("transform_param"):
        return None, []
    transform, images = param.transform_param, param.image_data_param
    crop = transform.crop_size or 0
    notes = []
    if transform.mean_file:
        name = transform.mean_file.rpartition("/")[2]
        notes.append(f"{param.name}: subtracts the mean image {name}, which is not in the model")
    gray = transform.force_gray or (param.type == "ImageData" and not images.is_color)
    resize = (images.new_height, images.new_width) if images.new_height and images.new_width else None
    return (
        Preprocess(
            channel_order="GRAY" if gray else "BGR",
            resize=resize,
            crop=(crop, crop) if crop else None,
            mean=tuple(transform.mean_value),
            scale=shortest(transform.scale),
        ),
        notes,
    )


_PARAMS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "HDF5Data": "hdf5_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
}


def _stated_shape(param: LayerParameter) -> Shape | None:
    """(C, H, W) where the layer says it. Pictures have 3 channels, unless told that they are gray or given one mean for one."""
    crop = param.transform_param.crop_size
    stated: dict[str, Callable[[], Shape | None]] = {
        "MemoryData": lambda: (param.memory_data_param.channels, param.memory_data_param.height, param.memory_data_param.width),
        "ImageData": lambda: _image_shape(param),
        "Data": lambda: (1 if param.transform_param.force_gray else 3, crop, crop) if crop else None,
        "WindowData": lambda: (3, crop, crop) if crop else None,
    }
    return stated[param.type]() if param.type in stated else None


def _image_shape(param: LayerParameter) -> Shape | None:
    images, crop = param.image_data_param, param.transform_param.crop_size
    height, width = (crop, crop) if crop else (images.new_height, images.new_width)
    return (3 if images.is_color else 1, height, width) if height and width else None


def _dummy_shapes(param: LayerParameter) -> list[BlobShape]:
    dummy = param.dummy_data_param
    if dummy.shape:
        return list(dummy.shape)
    return [BlobShape(dim=dims) for dims in zip(dummy.num, dummy.channels, dummy.height, dummy.width, strict=True)]
