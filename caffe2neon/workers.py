"""Processes of this machine that do tasks of one kind, several at once, whatever dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, reduction, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import IO, Any, Generic, TypeVar

from caffe2neon.bugs import ElsewhereError, place_of, way_of

#: How often a task is begun whose worker died, as the system kills the largest process where memory is short.
_ATTEMPTS = 2
#: Seconds that a worker has to put things in order when all is to stop.
_GRACE = 5.0
#: Bytes at the end of a worker's log that its last line is looked for in.
_KEPT = 16_000

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Death:
    """The end of a task whose workers died; ``how`` goes on from "the process that did it"."""

    how: str


@dataclass(frozen=True)
class _Said:
    words: Any


@dataclass(frozen=True)
class _Raised:
    error: Exception
    place: str
    way: str


class Workers(Generic[Task, Result]):
    """The parent's side. Workers tell it what happens through a pipe each; they never write to the terminal.

    Each worker has one task at a time. To stop, close this; so end workers, and what they have started themselves.

    Args:
        work: done with each task and something to tell ``hear`` with, in a worker. All three are pickled, and so is what it gives.
        hear: is told what workers say, and of which task, in this process and thread.
    """

    def __init__(
        self,
        work: Callable[[Task, Callable[[Any], None]], Result],
        tasks: Sequence[Task],
        jobs: int,
        hear: Callable[[Task, Any], None],
    ) -> None:
        self._work = work
        self._waiting = deque((task, 1) for task in tasks)
        self._jobs = jobs
        self._hear = hear
        self._workers: dict[Connection, _Worker[Task]] = {}

    def results(self) -> Generator[tuple[Task, Result | Death], None, None]:
        """Of each task, as they come. What ``work`` raises is raised."""
        while self._waiting or self._workers:
            while self._waiting and len(self._workers) < self._jobs:
                self._start(*self._waiting.popleft())
            for pipe in connection.wait(list(self._workers)):
                assert isinstance(pipe, Connection)
                worker = self._workers[pipe]
                task = worker.task
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    if death := self._died(worker):
                        yield task, death
                    continue
                if isinstance(message, _Said):
                    self._hear(task, message.words)
                    continue
                if isinstance(message, _Raised):
                    raise message.error from ElsewhereError(message.place, message.way)
                self._next(worker)
                yield task, message

    def _next(self, worker: _Worker[Task]) -> None:
        if self._waiting:
            worker.task, worker.attempt = self._waiting.popleft()
            _empty(worker.log)
            with contextlib.suppress(OSError):  # died meanwhile: the next message is its end
                worker.pipe.send(worker.task)
        else:
            self._remove(worker)
            worker.log.close()

    def _died(self, worker: _Worker[Task]) -> Death | None:
        self._remove(worker)
        how = _manner_of_death(worker.process.exitcode)
        with worker.log:
            words = _last_words(worker.log)
        if worker.attempt < _ATTEMPTS:
            self._waiting.appendleft((worker.task, worker.attempt + 1))
            return None
        return Death(f"died {_ATTEMPTS} times, the last time {how}{f': {words}' if words else ''}")

    def _start(self, task: Task, attempt: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._work))
        # Without a name, so that nothing stays of processes that are killed.
        log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        # Ctrl-C goes to every process of the terminal. It is this one's to tell the others, and a worker that is still importing
        # would answer with a traceback; so workers are born deaf to it.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
            self._workers[ours] = _Worker(process, ours, log, task, attempt)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        with contextlib.suppress(OSError):
            reduction.send_handle(ours, log.fileno(), process.pid)
            ours.send(task)

    def _remove(self, worker: _Worker[Task]) -> None:
        """Closing the pipe tells a living one to go."""
        del self._workers[worker.pipe]
        worker.pipe.close()
        worker.process.join()

    def close(self) -> None:
        """Stop all that still run, first gently."""
        processes = [worker.process for worker in self._workers.values()]
        try:
            for process in processes:
                process.terminate()
            deadline = time.monotonic() + _GRACE
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:
            for process in processes:
                process.kill()
                process.join()
            for worker in self._workers.values():
                worker.log.close()


@dataclass
class _Worker(Generic[Task]):
    process: SpawnProcess
    pipe: Connection
    log: IO[bytes]
    task: Task
    attempt: int


def _manner_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"


def _empty(log: IO[bytes]) -> None:
    """For the next task. Worker and parent have one position in the file, as they have one open file."""
    log.seek(0)
    log.truncate()


def _last_words(log: IO[bytes]) -> str:
    """The last line, whatever there is before it."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _KEPT))
    lines = log.read(_KEPT).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _serve(pipe: Connection, work: Callable[[Any, Callable[[Any], None]], Any]) -> None:
    """A worker: a task comes in, words and a result go out, until the pipe ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        log = reduction.recv_handle(pipe)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.close(log)
        while True:
            task = pipe.recv()
            try:
                result = work(task, lambda words: pipe.send(_Said(words)))
            except Exception as error:
                result = _Raised(_portable(error), place_of(error), way_of(error))
            pipe.send(result)


def _portable(error: Exception) -> Exception:
    """``error``, or what it says where it would not arrive: classes of others may want more than pickle gives them back."""
    try:
        arrived = pickle.loads(pickle.dumps(error))
    except Exception:  # whatever their constructors do
        arrived = None
    return error if type(arrived) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """A parent that is killed cannot tell: nobody would hear of what is done from then on.

    First as when the parent says so itself, so that temporary folders go and programs that were started end; then at once, since
    compiled code may not return for hours.
    """
    parent = multiprocessing.parent_process()
    main = threading.main_thread().ident
    assert parent is not None
    assert main is not None
    parent.join()
    signal.pthread_kill(main, signal.SIGTERM)  # to this thread alone: it may be in a system call that lasts
    time.sleep(2 * _GRACE)  # its own workers may take that long
    os._exit(1)
