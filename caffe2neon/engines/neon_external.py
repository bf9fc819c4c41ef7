"""The engine ``neon``: a .prm file in the real neon v1.4.0, under a Python 2.7 of its own; see ``neon_worker`` for the protocol."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe2neon.engines.base import Engine
from caffe2neon.engines.neon_io import check_taps, checked_input, input_name, output_count, output_names, resolve_shape, tap_names
from caffe2neon.errors import EngineError, located
from caffe2neon.neon import check_classes, read_prm
from caffe2neon.records import Array, Shape

#: Names the Python 2.7 that can import neon.
VARIABLE = "CAFFE2NEON_NEON_PYTHON"
PROTOCOL = 1
#: neon's CPU backend loops over pixels in Python, whatever the batch: large batches cost little more than small ones.
LARGEST_BATCH = 64
#: neon on a CPU takes minutes for large nets; this ends a process that hangs.
TIMEOUT = 3600.0
PROBE_TIMEOUT = 60.0

_WORKER = Path(__file__).with_name("neon_worker.py")
_SETUP = f"set {VARIABLE} to a Python 2.7 that can import neon v1.4.0, or use the embedded engine"

#: Runs a command under a time limit (in seconds) and an environment; returns its exit code and the end of its standard error.
#: Raises OSError where it cannot start, TimeoutError where it runs out of time.
Runner = Callable[[Sequence[str], float, Mapping[str, str]], "tuple[int, str]"]


def run_limited(command: Sequence[str], timeout: float, environment: Mapping[str, str]) -> tuple[int, str]:
    """The runner used unless a test gives another; ends the whole process group when time is up."""
    with tempfile.TemporaryFile() as errors:
        silent = subprocess.DEVNULL
        process = subprocess.Popen(
            command, stdin=silent, stdout=silent, stderr=errors, start_new_session=True, env=dict(environment)
        )
        try:
            code = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError from error
            raise
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 2000))
        return code, errors.read().decode("utf-8", "replace").strip()


def configured_interpreter() -> str | None:
    """What the environment names, or None."""
    return os.environ.get(VARIABLE) or None


def probe_neon(interpreter: str | None = None, *, runner: Runner = run_limited) -> str:
    """The version of the neon that ``interpreter`` imports.

    Raises:
        EngineError: there is no such interpreter, it cannot import neon, or neon is not 1.4.
    """
    return _Worker(interpreter, PROBE_TIMEOUT, 0, runner).probe()


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
        return _NeonExternal(path, input_shape, _Worker(interpreter, timeout, memory, runner, threads))


class _Worker:
    """One way to the worker: interpreter, limits, runner."""

    def __init__(self, interpreter: str | None, timeout: float, memory: int, runner: Runner, threads: int = 0) -> None:
        name = interpreter or configured_interpreter()
        if name is None:
            raise EngineError("no interpreter for the real neon", remedy=_SETUP)
        if shutil.which(name) is None:
            raise EngineError(f"no interpreter {name!r} for the real neon", remedy=_SETUP)
        self._interpreter, self._timeout, self._memory, self._runner = name, timeout, memory, runner
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)) if threads else {}
        self._environment = {**os.environ, **limits, "PYTHONDONTWRITEBYTECODE": "1"}

    def probe(self) -> str:
        with tempfile.TemporaryDirectory(prefix="caffe2neon-") as folder:
            return self._version(self._call(Path(folder), {"task": "probe"}, PROBE_TIMEOUT))

    def run(self, path: Path, data: Array, taps: Sequence[str]) -> tuple[list[Array], dict[str, Array]]:
        """Outputs and taps, (N, ...) float32."""
        with tempfile.TemporaryDirectory(prefix="caffe2neon-") as name:
            folder = Path(name)
            np.save(folder / "input.npy", data)
            batch = min(len(data), LARGEST_BATCH)
            request = {"task": "run", "model": str(path.absolute()), "input": str(folder / "input.npy"), "batch": batch}
            response = self._call(folder, {**request, "taps": list(taps), "memory": self._memory}, self._timeout)
            self._version(response)
            outputs, tapped = response.get("outputs"), response.get("taps")
            if not isinstance(outputs, list) or not isinstance(tapped, dict):
                raise _garbage("it lacks 'outputs' or 'taps'")
            load = [_load(folder, item, len(data)) for item in outputs]
            return load, {tap: _load(folder, item, len(data)) for tap, item in tapped.items()}

    def _call(self, folder: Path, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """One exchange of files; returns the response.

        Raises:
            EngineError: the worker did not start, died, ran out of time, answered garbage, or neon refused the model.
        """
        asked, answered = folder / "request.json", folder / "response.json"
        asked.write_text(json.dumps({"protocol": PROTOCOL, **request}), encoding="ascii")
        try:
            code, errors = self._runner([self._interpreter, str(_WORKER), str(asked), str(answered)], timeout, self._environment)
        except TimeoutError as error:
            raise EngineError(
                f"neon was stopped after {timeout:g} seconds",
                remedy="give it more time or fewer examples, or use the embedded engine",
            ) from error
        except OSError as error:
            raise EngineError(f"cannot start {self._interpreter!r}: {error.strerror or error}", remedy=_SETUP) from error
        if code:
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            remedy = _SETUP if code > 0 else "it may need more memory, or fewer examples"
            raise EngineError(f"neon's process ended {how}{_tail(errors)}", remedy=remedy)
        response = _response(answered)
        if "error" in response:
            stage, message = response.get("stage"), response["error"]
            if stage == "import":
                raise EngineError(f"{self._interpreter!r} cannot import neon: {message}", remedy=_SETUP)
            raise EngineError(f"neon v1.4.0 refuses this model ({stage}): {message}")
        return response

    def _version(self, response: Mapping[str, Any]) -> str:
        version = response.get("neon")
        if not isinstance(version, str):
            raise _garbage("it lacks neon's version")
        if version.split(".")[:2] != ["1", "4"]:
            raise EngineError(f"{self._interpreter!r} has neon {version}, not 1.4", remedy=_SETUP)
        return version


class _NeonExternal:
    """Implements :class:`caffe2neon.engines.base.Engine`."""

    def __init__(self, path: Path, input_shape: Shape | None, worker: _Worker) -> None:
        model = read_prm(path)
        check_classes(model)
        self._path, self._worker = path, worker
        self._shape, self._input = resolve_shape(model, input_shape), input_name(model)
        self._outputs = output_names(model, output_count(model.root))
        self._taps = tap_names(model.root)
        self._version = worker.probe()

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
            outputs, tapped = self._worker.run(self._path, checked_input(inputs, self._input, self._shape), taps)
            if len(outputs) != len(self._outputs) or set(tapped) != set(taps):
                raise _garbage("it has other outputs or taps than the model")
        return {**dict(zip(self._outputs, outputs, strict=True)), **{tap: tapped[tap] for tap in taps}}


def _response(path: Path) -> dict[str, Any]:
    try:
        response = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise EngineError("neon's process ended well but wrote no response", remedy=_SETUP) from error
    except ValueError as error:
        raise _garbage("it is no JSON") from error
    if not isinstance(response, dict) or response.get("protocol") != PROTOCOL:
        raise _garbage(f"it is not of protocol {PROTOCOL}")
    return response


def _load(folder: Path, name: object, count: int) -> Array:
    """An array the worker wrote; it may hold nothing but float32 and must have ``count`` rows."""
    if not isinstance(name, str) or name != Path(name).name:
        raise _garbage(f"{name!r} is no file beside it")
    try:
        array = np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _garbage(f"array {name!r} cannot be read") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim < 2 or len(array) != count:
        raise _garbage(f"array {name!r} is not {count} rows of float32")
    return array


def _garbage(what: str) -> EngineError:
    return EngineError(f"the response of neon's process makes no sense: {what}", remedy=_SETUP)


def _tail(errors: str) -> str:
    """The last line of a process's standard error, for a message of one line."""
    return f": {errors.splitlines()[-1].strip()}" if errors else ""
