"""Entries built on a Dask cluster that runs already: the same tasks, and the same bytes, as in this process."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import secrets
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from caffe2neon import __version__
from caffe2neon.building import calm
from caffe2neon.errors import Caffe2NeonError, ClusterError, UsageError
from caffe2neon.files import cannot_write
from caffe2neon.parts import CountPart, Tell, measure_together
from caffe2neon.pipeline import build_model
from caffe2neon.planning import Options, unchanged
from caffe2neon.records import (
    Counts,
    DatasetSpec,
    Evaluation,
    Event,
    ModelSpec,
    Outcome,
    Preprocess,
    Progress,
    Report,
    no_report,
)
from caffe2neon.single import MeasureOptions

#: Seconds to wait for the scheduler, and for what its workers say of themselves.
_TIMEOUT = 30
#: Tries of an entry whose worker died, beyond those that Dask itself makes by its setting allowed-failures.
_RETRIES = 2


def build_on_cluster(
    specs: Sequence[ModelSpec], options: Options, *, scheduler: str, report: Report = no_report
) -> Generator[Outcome, None, None]:
    """Build entries on the workers of ``scheduler`` ("tcp://host:8786"); outcomes come as they are reached.

    A task is :func:`build_entry` of one entry, and what it gives back is small: artifacts go to ``options.output``, which the
    client and all workers see under the same path, as they do the cache, the manifest's folder, mirrors and data sets. That is
    tried before anything is built. An entry whose worker dies is built by another. Tasks are keyed by a number of this run, so
    that two runs on one cluster never take each other's outcomes; that they do no harm to each other's files is the publishing's
    care.

    Raises:
        UsageError: Dask is not installed.
        ClusterError: nothing answers at ``scheduler``; it has no workers; or they have another version of caffe2neon, or do not
            see the output folder.
    """
    left = []
    for spec in specs:
        if not options.upstream and unchanged(spec, options):
            yield build_model(spec, options)
        else:
            left.append(spec)
    if not left:
        return
    options = _absolute(options)
    with _client(scheduler) as client:
        _check_workers(client, options.output)
        yield from _outcomes(client, [_at_its_place(spec) for spec in left], options, report)


def build_entry(spec: ModelSpec, options: Options, topic: str) -> Outcome:
    """The task: a function of its arguments, told of by events under ``topic``.

    One thread computes, as a Dask worker has one for each task.
    """
    from distributed import get_worker

    worker = get_worker()

    def send(event: Event) -> None:
        worker.log_event(topic, {"event": asdict(event)})  # Dask adds keys of its own

    options = replace(options, threads=options.threads or 1, workers=options.workers or 1)
    return build_model(spec, options, calm(send), measure=_measure_together)


def _measure_together(
    prm: Path, dataset: DatasetSpec, preprocess: Preprocess, how: MeasureOptions, progress: Progress
) -> Evaluation:
    """:func:`~caffe2neon.single.measure` by all workers, each a part of the data set."""
    from distributed import worker_client

    with worker_client() as client:  # this thread's place is free for a part meanwhile
        places = len(client.scheduler_info(-1)["workers"])
        count_all = partial(_count_all, client)
        return measure_together(prm, dataset, preprocess, how, progress, places=places, share=lambda _: how, count_all=count_all)


def _count_all(client: Any, count: CountPart, parts: Sequence[range], tell: Tell) -> Iterator[Counts]:
    from distributed import as_completed

    # Before other entries, so that what has begun ends.
    futures = client.map(partial(_kept, count), parts, priority=1, retries=_RETRIES, pure=False)
    for _, counts in as_completed(futures, with_results=True):  # type: ignore[no-untyped-call]
        if isinstance(counts, Caffe2NeonError):
            raise counts
        tell(range(counts.start, counts.stop), counts.stop - counts.start)
        yield counts


def _kept(count: CountPart, part: range) -> Counts | Caffe2NeonError:
    """An error of ours as a value: Dask does anew what raises, and this would only fail again."""
    try:
        return count(part)
    except Caffe2NeonError as error:
        return error


def _outcomes(client: Any, specs: Sequence[ModelSpec], options: Options, report: Report) -> Iterator[Outcome]:
    """Events and results come in threads of Dask's; they are told and yielded in the caller's."""
    run = secrets.token_hex(4)
    topic = f"caffe2neon-{run}"
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.subscribe_topic(topic, lambda stamped: messages.put(_event(stamped)))
    futures = {}
    try:
        for spec in specs:
            future = client.submit(build_entry, spec, options, topic, key=f"{topic}-{spec.name}", retries=_RETRIES, pure=False)
            futures[future.key] = spec
            future.add_done_callback(messages.put)
        building = {spec.name for spec in specs}
        while building:
            message = messages.get()
            if not isinstance(message, Event):
                spec = futures[message.key]
                building.discard(spec.name)
                yield _result(spec, message)
            elif message.model in building:  # results overtake events
                report(message)
    finally:
        client.cancel(list(futures), force=True)
        client.unsubscribe_topic(topic)


def _event(stamped: tuple[float, dict[str, Any]]) -> Event:
    return Event(**stamped[1]["event"])


def _result(spec: ModelSpec, future: Any) -> Outcome:
    try:
        outcome: Outcome = future.result()
    except Exception as error:  # Dask's errors share no root: KilledWorker, CancelledError, and what happens while it moves things
        reason = f"the cluster could not build it: {type(error).__name__}: {error}"
        return Outcome(spec.name, "failed", f"{reason}\nthe workers' logs say more", "build")
    return outcome


@contextlib.contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        remedy = "install it: pip install 'caffe2neon[distributed]'"
        raise UsageError("--scheduler needs Dask, which is not installed", remedy=remedy) from error
    try:
        asyncio.run(_greet(scheduler))
        client: Any = Client(scheduler, timeout=_TIMEOUT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        remedy = "start one: dask scheduler, and on each machine: dask worker tcp://HOST:8786"
        raise ClusterError(f"no Dask scheduler answers at {scheduler}: {error}", remedy=remedy) from error
    try:
        yield client
    finally:
        client.close()


async def _greet(scheduler: str) -> None:
    """A ``Client`` that found nobody would go on trying for a minute when it is thrown away, and end in a traceback."""
    from distributed import Security
    from distributed.comm.core import connect

    credentials = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
    comm = await connect(scheduler, timeout=_TIMEOUT, **credentials)  # type: ignore[no-untyped-call]
    comm.abort()


def _check_workers(client: Any, output: Path) -> None:
    """Before hours of work: every worker is asked for its version, and whether it sees a file that was just written."""
    mark = output / f".cluster-{secrets.token_hex(4)}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise cannot_write(mark, error) from error
    try:
        answers: dict[str, tuple[str, bool]] = client.run(_probe, mark)
    except Caffe2NeonError:
        raise
    except Exception as error:  # whatever a worker without caffe2neon, or with another Python, makes of it
        remedy = f"install caffe2neon {__version__} for every worker"
        raise ClusterError(f"the workers cannot run caffe2neon: {type(error).__name__}: {error}", remedy=remedy) from error
    finally:
        mark.unlink(missing_ok=True)
    if not answers:
        raise ClusterError("the Dask cluster has no workers", remedy="start some: dask worker tcp://HOST:8786")
    for worker, (version, sees) in answers.items():
        if version != __version__:
            remedy = "install the same version everywhere, as it decides what is built"
            raise ClusterError(f"worker {worker} has caffe2neon {version}, here is {__version__}", remedy=remedy)
        if not sees:
            remedy = "workers publish into it themselves: mount it under the same path on every machine"
            raise ClusterError(f"worker {worker} does not see the output folder", path=str(output), remedy=remedy)


def _probe(mark: Path) -> tuple[str, bool]:
    return __version__, mark.exists()


def _absolute(options: Options) -> Options:
    """Workers have working directories of their own."""
    return replace(
        options,
        root=options.root.absolute(),
        output=options.output.absolute(),
        cache=options.cache.absolute(),
        mirrors=tuple(mirror.absolute() for mirror in options.mirrors),
    )


def _at_its_place(spec: ModelSpec) -> ModelSpec:
    if spec.dataset is None:
        return spec
    labels = spec.dataset.labels.absolute() if spec.dataset.labels else None
    return replace(spec, dataset=replace(spec.dataset, path=spec.dataset.path.absolute(), labels=labels))
