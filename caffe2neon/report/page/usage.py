"""How to use a model in neon v1.4.0, as Python 2.7 code and as words."""

from __future__ import annotations

from math import prod

from caffe2neon.records import Preprocess
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
    shape = model.said.input.shape if model.said.input else ()
    if not model.weights or not shape:
        return ""
    words = " ".join(preprocessing(model.said.preprocess).split()) or "the input as the model's authors prepare it"
    return _CODE.format(file=_python2(model.weights.name), features=prod(shape), shape=shape, words=words)


def preprocessing(preprocess: Preprocess | None) -> str:
    """``BGR, resized to 256×256, centre crop 227×227, minus 104, 117, 123``, in the order in which it is done."""
    if preprocess is None:
        return ""
    parts = [preprocess.channel_order]
    if preprocess.resize:
        parts.append(f"resized to {'×'.join(map(str, preprocess.resize))}")
    if preprocess.crop:
        parts.append(f"centre crop {'×'.join(map(str, preprocess.crop))}")
    if preprocess.mean:
        parts.append(f"minus {', '.join(f'{mean:g}' for mean in preprocess.mean)}")
    if preprocess.scale != 1:
        parts.append(f"times {preprocess.scale:g}")
    return ", ".join(filter(None, parts))


def _python2(name: str) -> str:
    """A file name that Python 2 source can hold: bytes in UTF-8, escaped."""
    return name if name.isascii() else "".join(chr(byte) if byte < 0x80 else f"\\x{byte:02x}" for byte in name.encode())
