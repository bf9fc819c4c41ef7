"""The engine ``neon-embedded``: a .prm file, computed by the rules of neon v1.4.0, without neon.

It reads the written file, never the converter's objects, or it would confirm the converter's mistakes. ``base`` holds neon's phases
and buffers; ``weights``, ``windows`` and ``elementwise`` the layers, ``containers`` what joins them; ``build`` makes them of a
description, ``engine`` runs the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from caffe2neon.errors import located
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.engines.base import Engine

__all__ = ["open_neon_embedded"]


def open_neon_embedded(path: Path, *, input_shape: Shape | None = None, threads: int = 0) -> Engine:
    """Open a .prm file.

    Args:
        input_shape: (C, H, W), or (n,); None takes what the file records.
        threads: of ONNX Runtime; 0 means one a core.

    Raises:
        PrmError: the file is damaged, hostile, or names classes or arguments that neon has not got.
        EngineError: neon would refuse the model, a layer is not supported here, or nobody says the input's shape.
    """
    from caffe2neon.engines.neon_embedded.engine import NeonEmbedded

    with located(path=str(path)):
        return NeonEmbedded(path, input_shape, threads)
