"""The engine ``neon``: a .prm file in the real neon v1.4.0, under a Python 2.7 of its own; see ``neon_worker`` for the protocol."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe2neon.engines.base import Engine
from caffe2neon.engines.neon_io import check_taps, checked_input, input_name, output_count, output_names, resolve_shape, tap_names
from caffe2neon.engines.worker_process import PROBE_TIMEOUT, TIMEOUT, Program, Runner, WorkerProcess, last_line, run_limited
from caffe2neon.errors import EngineError, located
from caffe2neon.neon import check_classes, read_prm
from caffe2neon.records import Array, Shape

#: Names the Python 2.7 that can import neon.
VARIABLE = "CAFFE2NEON_NEON_PYTHON"
#: Says "gpu" where neon is to take a GPU that it has kernels for; else it computes on the CPU.
BACKEND = "CAFFE2NEON_NEON_BACKEND"
#: neon's CPU backend loops over pixels in Python, whatever the batch: large batches cost little more than small ones.
LARGEST_BATCH = 64

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
    return _probe(WorkerProcess(PROGRAM, interpreter, timeout=PROBE_TIMEOUT, runner=runner))


def open_neon_external(
    path: Path,
    *,
    input_shape: Shape | None = None,
    interpreter: str | None = None,
    timeout: float = TIMEOUT,
    memory: int = 0,
    threads: int = 0,
    runner: Runner = run_limited,
) -> Engine:
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


def _probe(worker: WorkerProcess) -> str:
    with tempfile.TemporaryDirectory(prefix="caffe2neon-") as folder:
        return _version(worker, worker.exchange(Path(folder), {"task": "probe", "backend": _backend()}, PROBE_TIMEOUT))


def _run(worker: WorkerProcess, path: Path, data: Array, taps: Sequence[str]) -> tuple[list[Array], dict[str, Array]]:
    """Outputs and taps, (N, ...) float32."""
    with tempfile.TemporaryDirectory(prefix="caffe2neon-") as name:
        folder = Path(name)
        np.save(folder / "input.npy", data)
        batch = min(len(data), LARGEST_BATCH)
        request = {
            "task": "run",
            "backend": _backend(),
            "model": str(path.absolute()),
            "input": str(folder / "input.npy"),
            "batch": batch,
            "taps": list(taps),
            "memory": worker.memory,
        }
        response = worker.exchange(folder, request)
        _version(worker, response)
        outputs, tapped = response.get("outputs"), response.get("taps")
        if not isinstance(outputs, list) or not isinstance(tapped, dict):
            raise worker.garbage("it lacks 'outputs' or 'taps'")
        load = [_rows(worker, folder, item, len(data)) for item in outputs]
        return load, {tap: _rows(worker, folder, item, len(data)) for tap, item in tapped.items()}


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
    """Implements :class:`caffe2neon.engines.base.Engine`."""

    def __init__(self, path: Path, input_shape: Shape | None, worker: WorkerProcess) -> None:
        model = read_prm(path)
        check_classes(model)
        self._path, self._worker = path, worker
        self._shape, self._input = resolve_shape(model, input_shape), input_name(model)
        self._outputs = output_names(model, output_count(model.root))
        self._taps = tap_names(model.root)
        self._version = _probe(worker)

    @property
    def name(self) -> str:
        return "neon"

    @property
    def version(self) -> str:
        return self._version

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {self._input: self._shape}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def taps(self) -> tuple[str, ...]:
        return self._taps

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        """See :class:`caffe2neon.engines.base.Engine`."""
        check_taps(self._taps, taps)
        with located(path=str(self._path)):
            outputs, tapped = _run(self._worker, self._path, checked_input(inputs, self._input, self._shape), taps)
            if len(outputs) != len(self._outputs) or set(tapped) != set(taps):
                raise self._worker.garbage("it has other outputs or taps than the model")
        return {**dict(zip(self._outputs, outputs, strict=True)), **{tap: tapped[tap] for tap in taps}}
