"""Many entries: one after the other in this process, or several at once, each in a worker process of its own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from caffe2neon.errors import EngineError
from caffe2neon.parts import CountPart, Tell, measure_together
from caffe2neon.pipeline import build_model
from caffe2neon.planning import Options, unchanged
from caffe2neon.publish import clear_abandoned
from caffe2neon.records import Counts, DatasetSpec, Evaluation, Event, ModelSpec, Outcome, Preprocess, Progress, Report, no_report
from caffe2neon.single import MeasureOptions
from caffe2neon.workers import Death, Workers

#: Seconds between two events of the same step: a download tells of every block.
_PACE = 0.1
#: What a death may mean.
_REMEDY = "if memory was short, use fewer at once: --jobs"


def build_models(
    specs: Sequence[ModelSpec], options: Options, *, jobs: int = 1, report: Report = no_report
) -> Generator[Outcome, None, None]:
    """Build entries, ``jobs`` at a time; outcomes come as they are reached.

    What is published already is said at once, without a worker. Each worker has one entry at a time and its share of the cores.
    Where there are fewer entries than half of ``jobs``, each is measured by several processes, at most one a core; the one that
    waits for them has let go of the model. So memory is bounded by the ``jobs`` largest entries. An entry whose worker dies is
    begun once more. To stop, close the generator, or let a KeyboardInterrupt come: workers end, and nothing half-made stays.

    Args:
        report: hears of all entries, in this process and thread.
    """
    left = []
    for spec in specs:
        if not options.upstream and unchanged(spec, options):
            yield build_model(spec, options)
        else:
            left.append(spec)
    running = max(1, min(jobs, len(left)))
    places = min(jobs // running, _cores())
    build = partial(_build, options=shared(options, running) if running > 1 else options, places=places)
    if running == 1:
        yield from (build(spec, report) for spec in left)
        return

    def hear(_: ModelSpec, event: Event) -> None:
        report(event)

    try:
        with contextlib.closing(Workers(build, left, running, hear)) as workers:
            for spec, result in workers.results():
                if isinstance(result, Death):
                    yield Outcome(spec.name, "failed", f"the process that built it {result.how}\n{_REMEDY}", "build")
                else:
                    yield result
    finally:
        clear_abandoned(options.output)


def _build(spec: ModelSpec, report: Report, *, options: Options, places: int) -> Outcome:
    return build_model(spec, options, calm(report), measure=partial(_measure, places=places))


def _measure(
    prm: Path, dataset: DatasetSpec, preprocess: Preprocess, how: MeasureOptions, progress: Progress, *, places: int
) -> Evaluation:
    """:func:`~caffe2neon.single.measure` by at most ``places`` processes, which divide the threads that one would have."""

    def share(parts: int) -> MeasureOptions:
        return replace(how, threads=_divided(how.threads, parts), workers=_divided(how.workers, parts))

    def count_all(count: CountPart, parts: Sequence[range], tell: Tell) -> Iterator[Counts]:
        with contextlib.closing(Workers(partial(_count, count), parts, len(parts), tell)) as pool:
            for part, result in pool.results():
                if isinstance(result, Death):
                    what = f"the process that measured examples {part.start} to {part.stop - 1}"
                    raise EngineError(f"{what} {result.how}", remedy=_REMEDY)
                yield result

    return measure_together(prm, dataset, preprocess, how, progress, places=places, share=share, count_all=count_all)


def _count(count: CountPart, part: range, say: Callable[[int], None]) -> Counts:
    return count(part, progress=lambda _, done, __: say(done))


def shared(options: Options, jobs: int) -> Options:
    """The options of each of ``jobs`` that run at once on this machine: they divide its cores."""
    return replace(options, threads=options.threads or _divided(0, jobs), workers=options.workers or _divided(0, jobs))


def _divided(threads: int | None, parts: int) -> int:
    """The share of each; 0 and None mean one thread a core."""
    return max(1, (threads or _cores()) // parts)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


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
