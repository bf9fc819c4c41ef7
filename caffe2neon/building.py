"""Many entries: one after the other in this process, or several at once, each in a worker process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from caffe2neon.pipeline import build_model
from caffe2neon.planning import Options, unchanged
from caffe2neon.publish import clear_abandoned
from caffe2neon.records import Event, ModelSpec, Outcome, Report, no_report

#: Seconds between two events of the same step: a download tells of every block.
_PACE = 0.1
#: How often an entry is begun whose worker died, as the system kills the largest process where memory is short.
_ATTEMPTS = 2
#: Seconds that a worker has to put things in order when all is to stop.
_GRACE = 5.0


def build_models(
    specs: Sequence[ModelSpec], options: Options, *, jobs: int = 1, report: Report = no_report
) -> Generator[Outcome, None, None]:
    """Build entries, ``jobs`` at a time; outcomes come as they are reached.

    What is published already is said at once, without a worker. Each worker has one entry at a time, so that memory is bounded by
    the ``jobs`` largest ones, and its share of the cores. An entry whose worker dies is begun once more. To stop, close the
    generator, or let a KeyboardInterrupt come: workers end, and nothing half-made stays.

    Args:
        report: hears of all entries, in this process and thread.
    """
    left = []
    for spec in specs:
        if not options.upstream and unchanged(spec, options):
            yield build_model(spec, options)
        else:
            left.append(spec)
    jobs = min(jobs, len(left))
    if jobs <= 1:
        yield from (build_model(spec, options, calm(report)) for spec in left)
    else:
        with contextlib.closing(_Workers(left, shared(options, jobs), jobs, report)) as workers:
            yield from workers.outcomes()


def shared(options: Options, jobs: int) -> Options:
    """The options of each of ``jobs`` that run at once on this machine: they divide its cores."""
    cores = max(1, len(os.sched_getaffinity(0)) // jobs)
    return replace(options, threads=options.threads or cores, workers=options.workers or cores)


def calm(report: Report) -> Report:
    """``report``, told of a step's progress ten times a second; of its beginning and its end always."""
    last, told = (("", "", ""), 0.0)

    def pass_on(event: Event) -> None:
        nonlocal last, told
        if event.state == "progress":
            step, now = (event.model, event.stage, event.step), time.monotonic()
            if step == last and now - told < _PACE and event.done != event.total:
                return
            last, told = step, now
        report(event)

    return pass_on


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    log: Path
    spec: ModelSpec
    attempt: int


class _Workers:
    """The parent's side. Workers tell it what happens through a pipe each; they never write to the terminal."""

    def __init__(self, specs: Sequence[ModelSpec], options: Options, jobs: int, report: Report) -> None:
        self._waiting = deque((spec, 1) for spec in specs)
        self._options = options
        self._jobs = jobs
        self._report = report
        self._workers: dict[Connection, _Worker] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="caffe2neon-")
        self._started = 0

    def outcomes(self) -> Generator[Outcome, None, None]:
        while self._waiting or self._workers:
            while self._waiting and len(self._workers) < self._jobs:
                self._start(*self._waiting.popleft())
            for pipe in connection.wait(list(self._workers)):
                assert isinstance(pipe, Connection)
                if outcome := self._hear(self._workers[pipe]):
                    yield outcome

    def _hear(self, worker: _Worker) -> Outcome | None:
        """One message of a worker; with an outcome, the worker gets its next entry."""
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            return self._died(worker)
        if isinstance(message, Event):
            self._report(message)
            return None
        assert isinstance(message, Outcome)
        if self._waiting:
            worker.spec, worker.attempt = self._waiting.popleft()
            with contextlib.suppress(OSError):  # died meanwhile: the next message is its end
                worker.pipe.send(worker.spec)
        else:
            self._remove(worker)
        return message

    def _died(self, worker: _Worker) -> Outcome | None:
        self._remove(worker)
        how = _manner_of_death(worker.process.exitcode)
        if worker.attempt < _ATTEMPTS:
            self._waiting.appendleft((worker.spec, worker.attempt + 1))
            return None
        words = worker.log.read_text(errors="replace").strip().splitlines() if worker.log.exists() else []
        reason = f"the process that built it died {_ATTEMPTS} times, the last time {how}{f': {words[-1]}' if words else ''}"
        return Outcome(worker.spec.name, "failed", f"{reason}\nif memory was short, build fewer at once: --jobs", "build")

    def _start(self, spec: ModelSpec, attempt: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._started += 1
        log = Path(self._folder.name, f"{self._started}.log")
        process = context.Process(target=_work, args=(theirs, self._options, log), daemon=True)
        # Ctrl-C goes to every process of the terminal. It is this one's to tell the others, and a worker that is still importing
        # would answer with a traceback; so workers are born deaf to it.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
            self._workers[ours] = _Worker(process, ours, log, spec, attempt)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        with contextlib.suppress(OSError):
            ours.send(spec)

    def _remove(self, worker: _Worker) -> None:
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
            if processes:
                clear_abandoned(self._options.output)
            self._folder.cleanup()


def _manner_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"


def _work(pipe: Connection, options: Options, log: Path) -> None:
    """A worker: an entry comes in, events and an outcome go out, until the pipe ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with log.open("wb") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    with contextlib.suppress(EOFError, OSError):
        while True:
            spec = pipe.recv()
            pipe.send(build_model(spec, options, calm(pipe.send)))


def _end_with_parent() -> None:
    """A parent that is killed cannot tell: nobody would hear of what is built from then on."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
