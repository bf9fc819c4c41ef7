"""The zoo at work: zoo build."""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe2neon.cli.common import FILE, FOLDER, TOPK, WORKERS, LocalPath, engine_options, table_width
from caffe2neon.cli.zoo import _CACHE, _GROUP, _MANIFEST, _NAMES, _choose, zoo
from caffe2neon.errors import UsageError
from caffe2neon.files import cannot_write
from caffe2neon.records import Event, Manifest, ModelSpec, Outcome, Shift

if TYPE_CHECKING:
    from caffe2neon.cli.progress import Display
    from caffe2neon.planning import Options


@zoo.command()
@_NAMES
@_GROUP
@_MANIFEST
@click.option(
    "-o",
    "--output",
    type=LocalPath("build into a folder, then zoo publish"),
    default=Path("zoo"),
    show_default=True,
    help="The folder to publish to.",
)
@_CACHE
@click.option("--mirror", "mirrors", type=FOLDER, multiple=True, help="A folder to look for files in before the network is asked.")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME=PATH", help="Where a data set of the manifest lies.")
@click.option("--report", type=FILE, default=None, help="Write the outcomes as JSON. Default: report.json in the output folder.")
@click.option("--summary", type=FILE, default=None, help="Write the outcomes as Markdown, too.")
@click.option("--against", default="", metavar="URL", help="A published zoo: accuracy or parity worse than there is a failure.")
@click.option("--upstream", is_flag=True, help="Ask where each file comes from whether it is still the pinned one.")
@click.option("--no-evaluate", is_flag=True, help="Publish without measuring accuracy.")
@click.option("--skip-bad", is_flag=True, help="Measure without the pictures that cannot be read, and name them.")
@TOPK
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes: a model each, or parts to measure.")
@click.option("--threads", type=click.IntRange(1), default=None, help="Threads that compute a model. Default: its share of cores.")
@WORKERS
@click.option("--scheduler", default="", metavar="ADDRESS", help="Build on the Dask cluster of this scheduler: tcp://host:8786.")
@click.option("--offline", is_flag=True, help="Never ask the network.")
@click.option("--dry-run", is_flag=True, help="Say what would be done with each model and why; 1 if one must fail.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "json"]),
    default="auto",
    show_default=True,
    help="Bars on a terminal, else lines; or JSON, a line each, on standard output.",
)
@engine_options
def build(
    names: tuple[str, ...],
    groups: tuple[str, ...],
    manifest: Path,
    output: Path,
    cache: Path,
    mirrors: tuple[Path, ...],
    datasets: tuple[str, ...],
    report: Path | None,
    summary: Path | None,
    against: str,
    upstream: bool,
    no_evaluate: bool,
    skip_bad: bool,
    topk: tuple[int, ...],
    jobs: int,
    threads: int | None,
    workers: int | None,
    scheduler: str,
    offline: bool,
    dry_run: bool,
    progress: str,
    engine: str,
    reference: str,
) -> None:
    """Fetch, convert, remap, verify, evaluate and publish models: all, or NAMES (globs such as 'vgg*').

    One model that fails does not stop the others; the report says why, and the exit code is 1. What is published already is not
    built again, so a build that was interrupted (Ctrl-C, exit code 130) goes on where it stopped.

    \b
    Examples:
      caffe2neon zoo build digits
      caffe2neon zoo build --group ilsvrc12 --jobs 4 --mirror downloads/ --dataset ilsvrc12=val/
    """
    from caffe2neon.cli.progress import display_for, show_forecast
    from caffe2neon.engines import resolved
    from caffe2neon.planning import Options, forecast

    if scheduler and jobs != 1:
        raise UsageError("--jobs is for this machine; on a cluster its workers decide", remedy="leave out --jobs or --scheduler")
    read, chosen = _choose(manifest, names, groups)
    places = _parse_datasets(datasets, read)
    chosen = tuple(_placed(spec, places) for spec in chosen)
    engine, reference = resolved(engine, reference)
    options = Options(
        root=read.path.parent,
        output=output,
        cache=cache,
        mirrors=mirrors,
        engine=engine,
        reference=reference,
        topk=topk,
        workers=workers,
        threads=threads or 0,
        evaluate=not no_evaluate,
        skip_bad=skip_bad,
        offline=offline,
        upstream=upstream,
    )
    if dry_run:
        plan = forecast(chosen, options)
        for seen in plan:
            show_forecast(seen, as_json=progress == "json")
        sys.exit(any(seen.action == "fail" for seen in plan))
    report = report or output / "report.json"
    _make_folders(output, report.parent, *([summary.parent] if summary else []))
    outcomes = _run(chosen, options, jobs, scheduler, report, display_for(progress))
    _show(outcomes, chosen, to_stderr=progress == "json")
    moved = _compare(chosen, output, against) if against else ()
    if summary:
        from caffe2neon.files import write_bytes
        from caffe2neon.report import summary_markdown

        write_bytes(summary, summary_markdown(outcomes, moved, chosen).encode())
    sys.exit(any(outcome.status == "failed" for outcome in outcomes) or any(shift.worse for shift in moved))


def _run(
    chosen: Sequence[ModelSpec], options: Options, jobs: int, scheduler: str, report: Path, display: Display
) -> list[Outcome]:
    """Build, and write the report whatever happens: whoever presses Ctrl-C still learns what became of the others."""
    from caffe2neon.building import build_models
    from caffe2neon.publish import INDEX
    from caffe2neon.report import write_report
    from caffe2neon.report.page import write_page

    reached: dict[str, Outcome] = {}
    interrupted, begun = True, False

    def hear(event: Event) -> None:
        nonlocal begun
        begun = True
        display.event(event)

    display.begin(len(chosen), jobs)
    with _terminated_like_interrupted():
        try:
            if scheduler:
                from caffe2neon.scheduling import build_on_cluster

                outcomes = build_on_cluster(chosen, options, scheduler=scheduler, report=hear)
            else:
                outcomes = build_models(chosen, options, jobs=jobs, report=hear)
            with closing(outcomes):
                for outcome in outcomes:
                    reached[outcome.name] = outcome
                    display.outcome(outcome)
            interrupted = False
        finally:
            display.end(Counter(outcome.status for outcome in reached.values()), interrupted=interrupted)
            ordered = [reached[spec.name] for spec in chosen if spec.name in reached]
            write_report(ordered, report, root=options.output)
            if (options.output / INDEX).exists():
                write_page(options.output)
            if interrupted and (begun or reached):
                left = "the same command goes on with the others"
                click.echo(f"{len(reached)} of {len(chosen)} models are done; {left}", err=True)
    return ordered


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A service that is stopped ends as tidily as by Ctrl-C, with the exit code that says so.

    The first signal counts: a service manager may tell each process, and a script hand on its own, and the second must not break
    off the tidying, nor the process's end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise _Terminated(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:
            signal.signal(signal.SIGTERM, before)


class _Terminated(SystemExit):
    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def _compare(chosen: Sequence[ModelSpec], output: Path, against: str) -> tuple[Shift, ...]:
    """Numbers that are not as published; those that are worse are said at once."""
    from caffe2neon.comparing import shifts
    from caffe2neon.publish import Folder, open_place

    moved = shifts(chosen, Folder(output), open_place(against))
    for shift in moved:
        if shift.worse:
            click.echo(f"{shift.model}: {shift.measure} was {shift.before}, is {shift.after}", err=True)
    return moved


def _show(outcomes: Sequence[Outcome], chosen: Sequence[ModelSpec], *, to_stderr: bool) -> None:
    from caffe2neon.report import summary as table

    stream = sys.stderr if to_stderr else sys.stdout
    click.echo(table(outcomes, chosen, width=max(80, table_width(stream))), err=to_stderr)


def _make_folders(*folders: Path) -> None:
    """Before hours of work, not after."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error


def _placed(spec: ModelSpec, datasets: dict[str, Path]) -> ModelSpec:
    """The entry with its data set where ``--dataset`` says it lies; labels in a file of their own lie in it or beside it."""
    if spec.dataset is None or spec.dataset.name not in datasets:
        return spec
    path, labels = datasets[spec.dataset.name], spec.dataset.labels
    if labels is not None:
        beside = path.parent / labels.name
        labels = beside if path.is_file() or (beside.is_file() and not (path / labels.name).is_file()) else path / labels.name
    return replace(spec, dataset=replace(spec.dataset, path=path, labels=labels))


def _parse_datasets(values: tuple[str, ...], manifest: Manifest) -> dict[str, Path]:
    datasets = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not path:
            raise UsageError(f"--dataset {value!r} is not NAME=PATH")
        if name not in manifest.datasets:
            known = ", ".join(manifest.datasets) or "none"
            raise UsageError(f"the manifest has no data set {name!r}", remedy=f"it has: {known}")
        datasets[name] = Path(path)
    return datasets
