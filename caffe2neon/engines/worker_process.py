"""A real program under an interpreter of its own, as a process that reads a request file and writes a response file.

What is the same for every such worker: the interpreter, the limits, the exchange of files, an error for each way to fail. It is
called as ``INTERPRETER WORKER REQUEST RESPONSE``; both files are JSON with a ``"protocol"``; arrays lie beside them as ``.npy``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffe2neon.errors import EngineError
from caffe2neon.files import claim, remove_abandoned
from caffe2neon.records import Array

PROTOCOL = 1
#: Real programs on a CPU take minutes for large nets; this ends a process that hangs.
TIMEOUT = 3600.0
PROBE_TIMEOUT = 60.0

#: Runs a command under a time limit (in seconds) and an environment; returns its exit code and the end of its standard error.
#: Raises OSError where it cannot start, TimeoutError where it runs out of time.
Runner = Callable[[Sequence[str], float, Mapping[str, str]], "tuple[int, str]"]

#: Bytes of standard error that are kept: Caffe says why it aborts before a stack trace of some dozen lines.
_KEPT = 16_000


@dataclass(frozen=True)
class Program:
    """Which program, and how to speak of it.

    ``refuses`` begins the message when the program refuses a model. ``environment`` is for its process. ``last_words`` finds the
    reason of a death in what the process wrote to standard error; "" where there is none.
    """

    name: str
    refuses: str
    variable: str
    worker: Path
    setup: str
    environment: Mapping[str, str]
    last_words: Callable[[str], str]

    def configured_interpreter(self) -> str | None:
        """What the environment names, or None."""
        return os.environ.get(self.variable) or None


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
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _KEPT))
        return code, errors.read().decode("utf-8", "replace").strip()


def last_line(errors: str) -> str:
    """The ``last_words`` of a program in Python: its exception."""
    return errors.splitlines()[-1].strip() if errors else ""


#: Of the folders that files are exchanged in.
_PREFIX = "caffe2neon-"


@contextlib.contextmanager
def exchange_folder() -> Iterator[Path]:
    """A temporary folder for one exchange, gone afterwards.

    Whoever is killed leaves its folder, with hundreds of megabytes of pictures perhaps; it is removed before the next is made.
    """
    temporary = Path(tempfile.gettempdir())
    remove_abandoned(temporary, f"{_PREFIX}*")
    claimed = None
    while claimed is None:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=temporary))
        with contextlib.suppress(FileNotFoundError):  # another process took it for an abandoned one
            claimed = claim(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(claimed)


class WorkerProcess:
    """One way to a program: interpreter, limits, runner.

    Args:
        interpreter: None takes the one that the environment names.
        timeout: seconds for one run.
        memory: limit of the process's address space in bytes; 0 means none.
        threads: of linear algebra; 0 leaves it to the program.

    Raises:
        EngineError: there is no such interpreter.
    """

    def __init__(
        self, program: Program, interpreter: str | None, *, timeout: float, memory: int = 0, threads: int = 0, runner: Runner
    ) -> None:
        name = interpreter or program.configured_interpreter()
        if name is None:
            raise EngineError(f"no interpreter for the real {program.name}", remedy=program.setup)
        if shutil.which(name) is None:
            raise EngineError(f"no interpreter {name!r} for the real {program.name}", remedy=program.setup)
        self.program, self.interpreter, self.memory = program, name, memory
        self._timeout, self._runner = timeout, runner
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)) if threads else {}
        self._environment = {**os.environ, **limits, **program.environment, "PYTHONDONTWRITEBYTECODE": "1"}

    def exchange(self, folder: Path, request: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """One exchange of files in ``folder``; returns the response.

        Raises:
            EngineError: the worker did not start, died, ran out of time, answered garbage, or the program refused the model.
        """
        program, timeout = self.program, self._timeout if timeout is None else timeout
        asked, answered = folder / "request.json", folder / "response.json"
        asked.write_text(json.dumps({"protocol": PROTOCOL, **request}), encoding="ascii")
        command = [self.interpreter, str(program.worker), str(asked), str(answered)]
        try:
            code, errors = self._runner(command, timeout, self._environment)
        except TimeoutError as error:
            raise EngineError(
                f"{program.name} was stopped after {timeout:g} seconds",
                remedy="give it more time or fewer examples, or use the embedded engine",
            ) from error
        except OSError as error:
            raise EngineError(f"cannot start {self.interpreter!r}: {error.strerror or error}", remedy=program.setup) from error
        if code:
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            why = program.last_words(errors)
            remedy = program.setup if code > 0 else "" if why else "it may need more memory, or fewer examples"
            raise EngineError(f"{program.name}'s process ended {how}{f': {why}' if why else ''}", remedy=remedy)
        response = self._response(answered)
        if "error" in response:
            stage, message = response.get("stage"), response["error"]
            if stage == "import":
                raise EngineError(f"{self.interpreter!r} cannot import {program.name}: {message}", remedy=program.setup)
            raise EngineError(f"{program.refuses} ({stage}): {message}")
        return response

    def load(self, folder: Path, name: object) -> Array:
        """An array the worker wrote; it may hold nothing but float32."""
        if not isinstance(name, str) or name != Path(name).name:
            raise self.garbage(f"{name!r} is no file beside it")
        try:
            array = np.load(folder / name, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self.garbage(f"array {name!r} cannot be read") from error
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            raise self.garbage(f"array {name!r} is not of float32")
        return array

    def garbage(self, what: str) -> EngineError:
        return EngineError(f"the response of {self.program.name}'s process makes no sense: {what}", remedy=self.program.setup)

    def _response(self, path: Path) -> dict[str, Any]:
        try:
            response = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            message = f"{self.program.name}'s process ended well but wrote no response"
            raise EngineError(message, remedy=self.program.setup) from error
        except ValueError as error:
            raise self.garbage("it is no JSON") from error
        if not isinstance(response, dict) or response.get("protocol") != PROTOCOL:
            raise self.garbage(f"it is not of protocol {PROTOCOL}")
        return response
