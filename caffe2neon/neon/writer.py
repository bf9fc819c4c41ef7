"""NeonModel -> .prm: the description neon's ``load_obj`` unpickles, streamed, with the same bytes for the same model."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from caffe2neon.errors import PrmError, located
from caffe2neon.files import atomic_write
from caffe2neon.neon.emitter import Emitter
from caffe2neon.records import Array, Deferred, NeonContainer, NeonLayer, NeonModel, Param

#: Blocks (of at most ``emitter.BLOCK`` bytes) that may wait for the hash.
_AHEAD = 8


def write_prm(model: NeonModel, path: Path) -> str:
    """Write ``path``, all or nothing; returns the file's sha256.

    ``Deferred`` parameters are made as they are written, and dropped: a large one before the next is made. Parameters become
    little-endian float32 in C order.

    Raises:
        PrmError: a value that the format cannot hold, an array of 2 GiB or more.
        PublishError: the file cannot be written.
    """
    with located(path=str(path)), atomic_write(path) as stream:
        return write_prm_stream(model, stream)


def write_prm_stream(model: NeonModel, stream: BinaryIO) -> str:
    """As :func:`write_prm`, to an open stream, which stays open."""
    with _HashingSink(stream) as sink:
        emitter = Emitter(sink, sink.settle)
        emitter.emit({"model": _container(model.root), **_without(model.header, "model", "the header")})
        emitter.finish()
    return sink.hexdigest()


class _HashingSink:
    """Passes blocks on to a stream while a thread hashes them: hashing and writing both let go of Python's lock."""

    def __init__(self, stream: BinaryIO) -> None:
        self._write = stream.write
        self._state = hashlib.sha256()
        self._queue: queue.Queue[bytes | bytearray | memoryview | None] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._hash, daemon=True)

    def __enter__(self) -> _HashingSink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()

    def __call__(self, block: bytes | bytearray | memoryview) -> None:
        self._queue.put(block)
        self._write(block)

    def settle(self) -> None:
        """Wait until everything is hashed, so that no block is held."""
        self._queue.join()

    def hexdigest(self) -> str:
        return self._state.hexdigest()

    def _hash(self) -> None:
        while (block := self._queue.get()) is not None:
            self._state.update(block)
            del block
            self._queue.task_done()


def _container(container: NeonContainer) -> dict[str, Any]:
    layers = [_container(item) if isinstance(item, NeonContainer) else _layer(item) for item in container.layers]
    config = {**_without(container.config, "layers", f"the config of {container.name!r}"), "layers": layers}
    return {"type": container.type, "config": config, "container": True, **container.extra}


def _layer(layer: NeonLayer) -> dict[str, Any]:
    params = {name: _float32(value, layer) for name, value in layer.params.items()}
    return {"type": layer.type, "config": layer.config, **({"params": params} if params else {}), **layer.extra}


def _float32(value: Param, layer: NeonLayer) -> Param:
    """The parameter as float32 once it is written; nothing is copied here."""
    if isinstance(value, Deferred) or value.dtype == np.dtype("<f4"):
        return value
    if value.dtype.kind not in "fiu":
        raise PrmError(f"a parameter of {value.dtype} is no number", layer=layer.name, layer_type=layer.kind)
    array: Array = value
    return Deferred(array.shape, lambda: array.astype("<f4"))


def _without(mapping: Mapping[str, Any], key: str, what: str) -> Mapping[str, Any]:
    if key in mapping:
        raise PrmError(f"{what} must not have a key {key!r} of its own")
    return mapping
