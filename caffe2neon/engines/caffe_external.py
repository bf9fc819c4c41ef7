"""The engine ``caffe``: a net in real pycaffe, under an interpreter of its own; see ``caffe_worker`` for the protocol."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from caffe2neon.engines.base import Engine
from caffe2neon.engines.caffe_lower import Dialect, Lowered, lower
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
from caffe2neon.records import Array, CaffeNet, CaffeWeights, Shape

#: Names the Python that can import pycaffe.
VARIABLE = "CAFFE2NEON_CAFFE_PYTHON"

_SETUP = f"set {VARIABLE} to a Python that can import pycaffe, or use the embedded engine"
#: glog's letter, date, time, thread and place before a message; libprotobuf's.
_FATAL = re.compile(r"^F\d{4,8} .*?\] (.*)")
_PARSE = re.compile(r"^\[libprotobuf ERROR .*?\] (.*)")


def last_words(errors: str) -> str:
    """Why Caffe aborted: glog's fatal line; before it, where a file could not be read, what the parser said."""
    lines = errors.splitlines()
    fatal = [match[1].strip() for match in map(_FATAL.match, lines) if match]
    parse = [match[1].strip() for match in map(_PARSE.match, lines) if match]
    if not fatal:
        return last_line(errors)
    return f"{fatal[-1]} ({parse[-1]})" if parse else fatal[-1]


PROGRAM = Program(
    name="caffe",
    refuses="real Caffe cannot run this net",
    variable=VARIABLE,
    worker=Path(__file__).with_name("caffe_worker.py"),
    setup=_SETUP,
    environment={"GLOG_minloglevel": "2"},  # it would tell the whole net, layer by layer
    last_words=last_words,
)


def probe_caffe(interpreter: str | None = None, *, runner: Runner = run_limited) -> Dialect:
    """What the Caffe that ``interpreter`` imports is, and knows.

    Raises:
        EngineError: there is no such interpreter, it cannot import caffe, or that Caffe is too old.
    """
    return _probe(WorkerProcess(PROGRAM, interpreter, timeout=PROBE_TIMEOUT, runner=runner))


def open_caffe_external(
    net: CaffeNet,
    weights: CaffeWeights,
    *,
    batch: int | None = None,
    interpreter: str | None = None,
    timeout: float = TIMEOUT,
    memory: int = 0,
    threads: int = 0,
    runner: Runner = run_limited,
) -> Engine:
    """Open a net; every ``run`` is a process of its own, since whatever Caffe refuses ends its process.

    Caffe reads the weights from the caffemodel itself where there is one, and the net from a text written for it: inputs as fields,
    Scale, Bias and BatchNorm as convolutions where it does
    not know them; ``version`` says so. Outputs and taps are blob keys, as the embedded engine has them.

    Args:
        batch: replaces the first axis of every input; None keeps what the net says.
        interpreter: None takes CAFFE2NEON_CAFFE_PYTHON.
        timeout: seconds for one run.
        memory: limit of the process's address space in bytes; 0 means none.
        threads: of linear algebra; 0 leaves it to Caffe.

    Raises:
        EngineError: Caffe is not there, or cannot express this net.
    """
    worker = WorkerProcess(PROGRAM, interpreter, timeout=timeout, memory=memory, threads=threads, runner=runner)
    dialect = _probe(worker)
    return _CaffeExternal(net.path, weights, lower(net, weights, dialect, batch), dialect, worker)


class _CaffeExternal:
    """Implements :class:`caffe2neon.engines.base.Engine`."""

    def __init__(self, path: str, weights: CaffeWeights, lowered: Lowered, dialect: Dialect, worker: WorkerProcess) -> None:
        self._path, self._weights, self._lowered, self._dialect, self._worker = path, weights, lowered, dialect, worker

    @property
    def name(self) -> str:
        return "caffe"

    @property
    def version(self) -> str:
        replaced = self._lowered.replaced
        return self._dialect.version + (f" ({', '.join(replaced)} as convolutions)" if replaced else "")

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {name: shape[1:] for name, shape in self._lowered.inputs.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._lowered.outputs

    @property
    def taps(self) -> tuple[str, ...]:
        return tuple(self._lowered.versions)

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        """See :class:`caffe2neon.engines.base.Engine`. Scalars (losses, accuracies) have no axis."""
        versions = self._lowered.versions
        for tap in taps:
            if tap not in versions:
                near = ", ".join(difflib.get_close_matches(tap, versions))
                raise EngineError(f"the net has no blob {tap!r}", remedy=f"near it: {near}" if near else "")
        wanted = list(dict.fromkeys([*self.outputs, *taps]))
        with located(path=self._path), exchange_folder() as folder:
            response = self._worker.exchange(folder, self._request(folder, self._checked(inputs), wanted))
            values = response.get("values")
            if not isinstance(values, dict) or set(values) != set(wanted):
                raise self._worker.garbage("it has other blobs than were asked for")
            return {key: self._worker.load(folder, values[key]) for key in wanted}

    def _request(self, folder: Path, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Any]:
        lowered = self._lowered
        (folder / "net.prototxt").write_text(lowered.text, encoding="utf-8")
        caffemodel = Path(self._weights.path).absolute() if self._weights.path else None
        from_file = caffemodel is not None and caffemodel.is_file()
        blobs = lowered.params if from_file else {**self._weights.blobs, **lowered.params}
        return {
            "task": "run",
            "net": str(folder / "net.prototxt"),
            "layers": list(lowered.layers),
            "weights": str(caffemodel) if from_file else None,
            "known": list(self._weights.blobs) if from_file else [],
            "params": {
                layer: [_save(folder, f"p{number}_{index}.npy", blob) for index, blob in enumerate(blobs[layer])]
                for number, layer in enumerate(lowered.layers)
                if layer in blobs
            },
            "inputs": {name: _save(folder, f"in{number}.npy", value) for number, (name, value) in enumerate(inputs.items())},
            "wanted": [[key, *lowered.versions[key]] for key in wanted],
            "memory": self._worker.memory,
        }

    def _checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        shapes = self._lowered.inputs
        if set(inputs) != set(shapes):
            raise EngineError(f"the net's inputs are {', '.join(shapes)}; given are {', '.join(inputs) or 'none'}")
        for name, shape in shapes.items():
            given = np.shape(inputs[name])
            if len(given) != len(shape) or given[1:] != shape[1:] or 0 in given:
                raise EngineError(f"input {name!r} has shape {given}; the net takes {shape}, or another batch of them")
        return {name: inputs[name] for name in shapes}


def _save(folder: Path, name: str, value: Array) -> str:
    np.save(folder / name, np.asarray(value, dtype=np.float32))
    return name


def _probe(worker: WorkerProcess) -> Dialect:
    with exchange_folder() as folder:
        response = worker.exchange(folder, {"task": "probe"}, PROBE_TIMEOUT)
        version, types, schema = response.get("caffe"), response.get("layer_types"), response.get("schema")
        if not isinstance(version, str | None) or not isinstance(types, list) or schema != "caffe.desc":
            raise worker.garbage("it lacks Caffe's version, layer types or schema")
        try:
            dialect = Dialect.of(_short(version), [str(kind) for kind in types], (folder / schema).read_bytes())
        except (OSError, DecodeError) as error:
            raise worker.garbage("Caffe's schema cannot be read") from error
    if "BatchNorm" not in dialect.layer_types:
        raise EngineError(f"{worker.interpreter!r} has a Caffe without BatchNorm, older than ca4e3428b", remedy=_SETUP)
    return dialect


def _short(version: str | None) -> str:
    """A commit as git shortens it; Caffe said no version of itself before 1.0.0-rc3."""
    if version is None:
        return "of unknown version"
    return version[:9] if re.fullmatch(r"[0-9a-f]{40}", version) else version
