"""The engine ``neon``: a .prm file in the real neon v1.4.0, under a Python 2.7 of its own; see ``neon_worker`` for the protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffe2neon.engines.base import Measuring
from caffe2neon.engines.neon_io import check_taps, checked_input, input_name, output_count, output_names, resolve_shape, tap_names
from caffe2neon.engines.worker_process import (
    PROBE_TIMEOUT,
    TIMEOUT,
    Program,
    Runner,
    WorkerProcess,
    exchange_folder,
    last_line,
    run_limited,
)
from caffe2neon.errors import EngineError, located
from caffe2neon.neon import check_classes, read_prm
from caffe2neon.records import Array, MacrobatchPart, Shape

#: Names the Python 2.7 that can import neon.
VARIABLE = "CAFFE2NEON_NEON_PYTHON"
#: Says "gpu" where neon is to take a GPU that it has kernels for; else it computes on the CPU.
BACKEND = "CAFFE2NEON_NEON_BACKEND"
#: neon's CPU backend loops over pixels in Python, whatever the batch: large batches cost little more than small ones.
LARGEST_BATCH = 64
#: Examples that are worth a process: starting one costs seconds, a picture costs the CPU a second, a GPU milliseconds. More would
#: take too much memory while the next ones are decoded: 512 pictures of 3 x 224 x 224 are 308 MB.
_WORTH = {"cpu": LARGEST_BATCH, "gpu": 8 * LARGEST_BATCH}

_SETUP = f"set {VARIABLE} to a Python 2.7 that can import neon v1.4.0, or use the embedded engine"

PROGRAM = Program(
    name="neon",
    refuses="neon v1.4.0 refuses this model",
    variable=VARIABLE,
    worker=Path(__file__).with_name("neon_worker.py"),
    setup=_SETUP,
    environment={},
    last_words=last_line,
)


def probe_neon(interpreter: str | None = None, *, runner: Runner = run_limited) -> str:
    """The version of the neon that ``interpreter`` imports.

    Raises:
        EngineError: there is no such interpreter, it cannot import neon, or neon is not 1.4.
    """
    return _probe(WorkerProcess(PROGRAM, interpreter, timeout=PROBE_TIMEOUT, runner=runner)).version


def open_neon_external(
    path: Path,
    *,
    input_shape: Shape | None = None,
    interpreter: str | None = None,
    timeout: float = TIMEOUT,
    memory: int = 0,
    threads: int = 0,
    runner: Runner = run_limited,
) -> Measuring:
    """Open a .prm file; every ``run`` is a process of its own, since neon keeps its backend and its BranchNodes for a process.

    The file is first read safely here: what is damaged or hostile never reaches the unpickling interpreter.

    Args:
        input_shape: (C, H, W), or (n,); None takes what the file records.
        interpreter: None takes CAFFE2NEON_NEON_PYTHON.
        timeout: seconds for one run.
        memory: limit of the process's address space in bytes; 0 means none.
        threads: of numpy's linear algebra; 0 leaves it to numpy.

    Raises:
        PrmError: the file is damaged, hostile, or names classes or arguments that neon has not got.
        EngineError: neon is not there or is not 1.4; or nobody says the input's shape.
    """
    with located(path=str(path)):
        worker = WorkerProcess(PROGRAM, interpreter, timeout=timeout, memory=memory, threads=threads, runner=runner)
        return _NeonExternal(path, input_shape, worker)


class _Found(NamedTuple):
    """What a probe says: ``backend`` is cpu or gpu."""

    version: str
    backend: str
    loader: bool


def _probe(worker: WorkerProcess) -> _Found:
    with exchange_folder() as folder:
        response = worker.exchange(folder, {"task": "probe", "backend": _backend()}, PROBE_TIMEOUT)
    backend = "gpu" if response.get("backend") == "gpu" else "cpu"
    return _Found(_version(worker, response), backend, response.get("loader") is True)


def _rows(worker: WorkerProcess, folder: Path, name: object, count: int) -> Array:
    array = worker.load(folder, name)
    if array.ndim < 2 or len(array) != count:
        raise worker.garbage(f"array {name!r} is not {count} rows of float32")
    return array


def _version(worker: WorkerProcess, response: Mapping[str, Any]) -> str:
    version = response.get("neon")
    if not isinstance(version, str):
        raise worker.garbage("it lacks neon's version")
    if version.split(".")[:2] != ["1", "4"]:
        raise EngineError(f"{worker.interpreter!r} has neon {version}, not 1.4", remedy=_SETUP)
    return f"{version} on a GPU" if response.get("backend") == "gpu" else version


def _backend() -> str:
    return "gpu" if os.environ.get(BACKEND) == "gpu" else "cpu"


class _NeonExternal:
    """Implements :class:`caffe2neon.engines.base.Measuring`."""

    def __init__(self, path: Path, input_shape: Shape | None, worker: WorkerProcess) -> None:
        model = read_prm(path)
        check_classes(model)
        self._path, self._worker = path, worker
        self._shape, self._input = resolve_shape(model, input_shape), input_name(model)
        self._outputs = output_names(model, output_count(model.root))
        self._taps = tap_names(model.root)
        self._found = _probe(worker)

    @property
    def name(self) -> str:
        return "neon"

    @property
    def version(self) -> str:
        return self._found.version

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {self._input: self._shape}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def taps(self) -> tuple[str, ...]:
        return self._taps

    @property
    def at_once(self) -> int:
        return _WORTH[self._found.backend]

    @property
    def has_image_loader(self) -> bool:
        return self._found.loader

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        """See :class:`caffe2neon.engines.base.Engine`."""
        check_taps(self._taps, taps)
        worker = self._worker
        with located(path=str(self._path)), exchange_folder() as folder:
            data = checked_input(inputs, self._input, self._shape)
            response = self._ask(folder, "run", len(data), {"input": _saved(folder, "input", data), "taps": list(taps)})
            outputs, tapped = response.get("outputs"), response.get("taps")
            if not isinstance(outputs, list) or not isinstance(tapped, dict):
                raise worker.garbage("it lacks 'outputs' or 'taps'")
            if len(outputs) != len(self._outputs) or set(tapped) != set(taps):
                raise worker.garbage("it has other outputs or taps than the model")
            files = {**dict(zip(self._outputs, outputs, strict=True)), **{tap: tapped[tap] for tap in taps}}
            return {key: _rows(worker, folder, file, len(data)) for key, file in files.items()}

    def misclassified(
        self, data: Array, labels: NDArray[np.int64], classes: int, *, output: str, topk: Sequence[int]
    ) -> NDArray[np.float32]:
        """See :class:`caffe2neon.engines.base.Measuring`."""
        with located(path=str(self._path)), exchange_folder() as folder:
            checked = checked_input({self._input: data}, self._input, self._shape)
            files = {"input": _saved(folder, "input", checked), "labels": _saved(folder, "labels", labels.astype(np.int32))}
            return self._judged(folder, len(data), {"array": {**files, "classes": classes}}, output, topk)[1]

    def misclassified_macrobatches(
        self, part: MacrobatchPart, *, output: str, topk: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See :class:`caffe2neon.engines.base.Measuring`."""
        asked = {**asdict(part), "folder": str(part.folder.absolute())}
        with located(path=str(self._path)), exchange_folder() as folder:
            return self._judged(folder, part.count, {"macrobatches": asked}, output, topk)

    def _judged(
        self, folder: Path, count: int, source: Mapping[str, Any], output: str, topk: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Labels and misclassified of ``count`` examples."""
        worker = self._worker
        request = {**source, "output": self._outputs.index(output), "topk": list(topk)}
        response = self._ask(folder, "evaluate", count, request)
        labels, wrong = (_rows(worker, folder, response.get(key), count) for key in ("labels", "misclassified"))
        if labels.shape != (count, 1) or wrong.shape != (count, len(topk)):
            raise worker.garbage("it is not of as many examples and values of k as were asked for")
        return labels[:, 0].astype(np.int64), wrong

    def _ask(self, folder: Path, task: str, count: int, request: Mapping[str, Any]) -> dict[str, Any]:
        """One exchange about ``count`` examples."""
        whole = {
            "task": task,
            "backend": _backend(),
            "model": str(self._path.absolute()),
            "memory": self._worker.memory,
            "batch": min(count, LARGEST_BATCH),
            **request,
        }
        response = self._worker.exchange(folder, whole)
        _version(self._worker, response)
        return response


def _saved(folder: Path, name: str, array: NDArray[Any]) -> str:
    path = folder / f"{name}.npy"
    np.save(path, array)
    return str(path)
