"""Who computes: engines that run a Caffe net or a neon model, real or embedded, all behind one protocol (``base.Engine``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from caffe2neon.errors import EngineError
from caffe2neon.records import CaffeNet, CaffeWeights, Shape

if TYPE_CHECKING:
    from caffe2neon.engines.base import Engine

__all__ = ["open_caffe", "open_neon", "resolved"]

#: Name the interpreters of the real programs.
_CAFFE, _NEON = "CAFFE2NEON_CAFFE_PYTHON", "CAFFE2NEON_NEON_PYTHON"


def resolved(engine: str, reference: str) -> tuple[str, str]:
    """What the engines ``engine`` for neon and ``reference`` for Caffe are on this machine, where they are ``auto``.

    A build by the real programs is another than one by the embedded engines, so a build's id needs to know. Where there is a real
    Caffe, ``auto`` stays: each net decides whether it can be the one. Which backend neon has is its machine's affair: a build does
    not become another one because a GPU computed it.
    """
    if engine == "auto":
        engine = "neon" if os.environ.get(_NEON) else "embedded"
    if reference == "auto" and not os.environ.get(_CAFFE):
        reference = "embedded"
    return engine, reference


def open_caffe(net: CaffeNet, weights: CaffeWeights, *, engine: str = "auto", batch: int | None = None, threads: int = 0) -> Engine:
    """Open a Caffe net with its weights.

    Args:
        engine: ``embedded``, ``caffe`` (the real one, under the interpreter that CAFFE2NEON_CAFFE_PYTHON names), or ``auto``: the
            real one where it works and can express this net, else the embedded, whose version then says why.
        batch: replaces the first axis of every input; None keeps what the net says.
        threads: for computing; 0 means one a core.

    Raises:
        GraphError: Caffe would refuse this net.
        WeightsError: the weights do not fit the net.
        EngineError: the engine is not there, or does not know a layer type of this net.
    """
    if engine not in ("auto", "embedded", "caffe"):
        raise EngineError(f"there is no Caffe engine {engine!r}", remedy="the engines are auto, embedded and caffe")
    reason = ""
    if engine == "caffe" or (engine == "auto" and os.environ.get(_CAFFE)):
        from caffe2neon.engines.caffe_external import open_caffe_external

        try:
            return open_caffe_external(net, weights, batch=batch, threads=threads)
        except EngineError as error:
            if engine == "caffe":
                raise
            reason = error.message
    from caffe2neon.engines.caffe_embedded import open_caffe_embedded
    from caffe2neon.engines.substitute import Substitute

    embedded = open_caffe_embedded(net, weights, batch=batch, threads=threads)
    return Substitute(embedded, reason) if reason else embedded


def open_neon(path: Path, *, engine: str = "auto", input_shape: Shape | None = None, threads: int = 0) -> Engine:
    """Open a .prm file.

    Args:
        engine: ``embedded``, ``neon`` (the real one, under the interpreter that CAFFE2NEON_NEON_PYTHON names), or ``auto``: the
            real one where that is set, which then must work, else the embedded.
        input_shape: (C, H, W), or (n,); None takes what the file records.
        threads: for computing; 0 means one a core.

    Raises:
        PrmError: the file is damaged, hostile, or no neon model.
        EngineError: the engine is not there, or cannot run this model; or nobody says the input's shape.
    """
    if engine not in ("auto", "embedded", "neon"):
        raise EngineError(f"there is no neon engine {engine!r}", remedy="the engines are auto, embedded and neon")
    if resolved(engine, "")[0] == "neon":
        from caffe2neon.engines.neon_external import open_neon_external

        return open_neon_external(path, input_shape=input_shape, threads=threads)
    from caffe2neon.engines.neon_embedded import open_neon_embedded

    return open_neon_embedded(path, input_shape=input_shape, threads=threads)
