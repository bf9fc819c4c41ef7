"""How to use a model in neon v1.4.0, as Python 2.7 code and as words."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from caffe2neon.report.page.zoo import Model

_CODE = """\
# -*- coding: utf-8 -*-
import numpy as np
from neon.backends import gen_backend
from neon.data import ArrayIterator
from neon.models import Model
from neon.util.persist import load_obj

be = gen_backend(backend='cpu', batch_size=1)
model = Model(load_obj({file!r}))
# {words}
images = np.zeros((1, {features}), np.float32)
outputs = model.get_outputs(ArrayIterator(images, lshape={shape}))
"""


def neon_code(model: Model) -> str:
    """Loading the model and computing one output; empty where the record does not say what goes in."""
    shape = (model.record.get("input") or {}).get("shape")
    if not model.weights or not isinstance(shape, list) or not all(isinstance(size, int) for size in shape):
        return ""
    lshape = tuple(shape) if len(shape) > 1 else (shape[0],)
    words = " ".join(preprocessing(model.record.get("preprocess")).split()) or "the input as the model's authors prepare it"
    return _CODE.format(file=_python2(model.weights.name), features=prod(shape), shape=lshape, words=words)


def preprocessing(record: Mapping[str, Any] | None) -> str:
    """``BGR, resized to 256×256, centre crop 227×227, minus 104, 117, 123``, in the order in which it is done."""
    if not isinstance(record, Mapping):
        return ""
    parts = [str(record.get("channel_order") or "")]
    if record.get("resize"):
        parts.append(f"resized to {'×'.join(map(str, record['resize']))}")
    if record.get("crop"):
        parts.append(f"centre crop {'×'.join(map(str, record['crop']))}")
    if record.get("mean"):
        parts.append(f"minus {', '.join(f'{mean:g}' for mean in record['mean'])}")
    if record.get("scale", 1) != 1:
        parts.append(f"times {record['scale']:g}")
    return ", ".join(filter(None, parts))


def _python2(name: str) -> str:
    """A file name that Python 2 source can hold: bytes in UTF-8, escaped."""
    return name if name.isascii() else "".join(chr(byte) if byte < 0x80 else f"\\x{byte:02x}" for byte in name.encode())
