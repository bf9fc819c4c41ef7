"""Inputs to compare on: seeded noise in the range that the model's preprocessing yields."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from caffe2neon.errors import VerificationError
from caffe2neon.records import Array, Shape

SEED = 1

#: A colour picture less a middling mean, for models that do not say how their inputs are made.
_MIDDLE = 128.0


def noise(shapes: Mapping[str, Shape], batch: int, preprocess: Mapping[str, Any] | None = None) -> tuple[dict[str, Array], str]:
    """``batch`` float32 examples for each input (shapes without the batch axis), and a sentence that says what they are.

    With ``preprocess`` (the fields of :class:`~caffe2neon.records.Preprocess`) the examples are pictures of noise, whole pixels
    0..255 at random, preprocessed: ``(pixel - mean) * scale``. Without it, inputs of three axes whose first is 3 are such pictures
    less 128, and any other input is noise of a normal distribution with deviation 1. Each input's numbers depend on its name, its
    shape and the seed alone.

    Raises:
        VerificationError: the mean has neither one value nor one per channel.
    """
    values: dict[str, Array] = {}
    kinds: dict[str, None] = {}
    for name, shape in shapes.items():
        random = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
        full = (batch, *shape)
        if preprocess is not None:
            mean = np.asarray(preprocess.get("mean") or (0.0,), np.float32)
            scale = float(preprocess.get("scale", 1.0))
            if len(mean) not in (1, *shape[:1]):
                raise VerificationError(f"the model's mean has {len(mean)} values, its input {name!r} has the shape {tuple(shape)}")
            pixels = random.integers(0, 256, full).astype(np.float32)
            values[name] = (pixels - mean.reshape(-1, *(1,) * (len(shape) - 1))) * np.float32(scale)
            kinds[f"(pixel - {'/'.join(f'{value:g}' for value in mean)}) * {scale:g}, pixels 0..255"] = None
        elif len(shape) == 3 and shape[0] == 3:
            values[name] = random.integers(0, 256, full).astype(np.float32) - np.float32(_MIDDLE)
            kinds[f"pixel - {_MIDDLE:g}, pixels 0..255"] = None
        else:
            values[name] = random.standard_normal(full, np.float32)
            kinds["normal distribution, deviation 1"] = None
    examples = "1 example" if batch == 1 else f"{batch} examples"
    return values, f"{examples} of seeded noise, seed {SEED}: {'; '.join(kinds)}"
