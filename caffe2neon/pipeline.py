"""One manifest entry from its files to its published build: a tuple of stages, and the only per-model try/except."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from caffe2neon.attestation import statement
from caffe2neon.bugs import place_of
from caffe2neon.caffe import net_text, read_weights, require_finite
from caffe2neon.convert import convert
from caffe2neon.description import model_json
from caffe2neon.errors import Caffe2NeonError, UsageError, located
from caffe2neon.expectation import net_of, unpublished
from caffe2neon.fetch import PATIENT, check_upstream, fetch, fetch_file
from caffe2neon.files import json_bytes, write_bytes
from caffe2neon.judging import check_input, judge, remarks
from caffe2neon.labels import builtin_map, remap
from caffe2neon.neon import write_prm
from caffe2neon.picture import draw_file
from caffe2neon.planning import Options, build_of, decisive, require_dataset
from caffe2neon.publish import StagedBuild, current_builds, find_build, read_measured, staged_build, update_index
from caffe2neon.records import (
    JSON,
    META,
    CaffeNet,
    CaffeWeights,
    Evaluation,
    Event,
    FetchedModel,
    ModelSpec,
    NeonModel,
    Outcome,
    Parity,
    Progress,
    Publication,
    Report,
    no_progress,
    no_report,
)
from caffe2neon.report import to_json
from caffe2neon.single import Measure, MeasureOptions, compare, lay_out_net, measure, source_record

__all__ = ["STAGES", "Options", "build_model"]


@dataclass(frozen=True)
class Job:
    """What is known of one entry so far; each stage gives back a fuller one.

    ``weights`` and ``model`` are the exception: as large as the model, they are let go of as soon as no stage needs them, since an
    entry may be measured for hours, by processes that read the file.
    """

    spec: ModelSpec
    options: Options
    stack: ExitStack = field(compare=False)
    progress: Progress = no_progress
    measure: Measure = measure
    fetched: FetchedModel | None = None
    net: CaffeNet | None = None
    weights: CaffeWeights | None = None
    stage: StagedBuild | None = None
    model: NeonModel | None = None
    description: JSON = None
    parity: Parity | None = None
    evaluation: Evaluation | None = None
    publication: Publication | None = None
    warnings: tuple[str, ...] = ()

    @property
    def prm(self) -> Path:
        assert self.stage is not None
        return self.stage.folder / f"{self.spec.name}.prm"


def _upstream(job: Job) -> Job:
    """A file that its publisher changed fails the entry, though the right one may be in the cache: a person has to look at it."""
    spec, options = job.spec, job.options
    if not options.upstream or options.offline:
        return job
    unknown = [(file.url, check_upstream(file, options.cache, PATIENT)) for file in (spec.prototxt, spec.caffemodel)]
    warnings = tuple(f"cannot tell whether {url} has changed: {reason}" for url, reason in unknown if reason)
    return replace(job, warnings=warnings)


def _look_up(job: Job) -> Job:
    """An entry whose build lies there already is done, whether its files are still here or not: its numbers are read back."""
    spec, options = job.spec, job.options
    require_dataset(spec, options)
    publication = find_build(options.output, spec.name, build_of(spec, options))
    if publication is None:
        return job
    parity, evaluation = read_measured(publication.path)
    # Looking into the index is quick; writing it anew to find that nothing changed is not, in a zoo of hundreds.
    if current_builds(options.output).get(spec.name) != publication.build:
        update_index(options.output, publication)
    return replace(job, parity=parity, evaluation=evaluation, publication=publication)


def _fetch(job: Job) -> Job:
    options = job.options
    fetched = fetch(
        job.spec,
        root=options.root,
        cache=options.cache,
        mirrors=options.mirrors,
        progress=job.progress,
        offline=options.offline,
    )
    return replace(job, fetched=fetched)


def _prototxt(spec: ModelSpec, options: Options, progress: Progress) -> Path:
    """The net alone, of an entry whose weights nobody needs."""
    return fetch_file(
        spec.prototxt,
        root=options.root,
        cache=options.cache,
        mirrors=options.mirrors,
        progress=progress,
        offline=options.offline,
    ).path


def _convert(job: Job) -> Job:
    spec, fetched = job.spec, job.fetched
    assert fetched is not None
    net = net_of(spec, fetched.prototxt.path)
    layout = lay_out_net(net)
    check_input(spec, layout)
    weights = read_weights(fetched.caffemodel.path)
    require_finite(net, weights)
    source = source_record(
        replace(fetched.prototxt, url=spec.prototxt.url), replace(fetched.caffemodel, url=spec.caffemodel.url)
    )
    return replace(job, net=net, weights=weights, model=convert(layout, weights, source=source, preprocess=spec.preprocess))


def _remap(job: Job) -> Job:
    """Reorder the classes where the entry asks for it, then write the file that all later stages read."""
    assert job.fetched is not None
    assert job.model is not None
    model = remap(job.model, builtin_map()) if job.spec.label_remap else _with_order(job.model, job.spec.class_order)
    stage = job.stack.enter_context(staged_build(job.options.output, job.spec.name, build_of(job.spec, job.options)))
    job = replace(job, stage=stage, description=model_json(job.spec, job.fetched, model))
    write_prm(model, job.prm)
    return replace(job, model=None)


def _with_order(model: NeonModel, order: str) -> NeonModel:
    """The model, recording the class order that the manifest states; without one, as it is."""
    return replace(model, header={**model.header, META: {**model.meta, "class_order": order}}) if order else model


def _verify(job: Job) -> Job:
    assert job.net is not None
    assert job.weights is not None
    options = job.options
    tolerance = job.spec.tolerance.parity
    parity = compare(
        job.prm,
        job.net,
        job.weights,
        tolerance=tolerance,
        layers=True,
        engine=options.engine,
        reference=options.reference,
        threads=options.threads,
    )
    return replace(job, parity=parity, weights=None)


def _evaluate(job: Job) -> Job:
    spec, options = job.spec, job.options
    if spec.dataset is None or not options.evaluate:
        return job
    how = MeasureOptions(
        engine=options.engine,
        topk=tuple(sorted({*options.topk, *(spec.published.topk if spec.published else ())})),
        workers=options.workers,
        threads=options.threads,
        skip_bad=options.skip_bad,
    )
    return replace(job, evaluation=job.measure(job.prm, spec.dataset, spec.preprocess, how, job.progress))


def _publish(job: Job) -> Job:
    assert job.stage is not None
    assert job.net is not None
    folder, name = job.stage.folder, job.spec.name
    write_bytes(folder / f"{name}.prototxt", net_text(job.net).encode())
    with suppress(UsageError):  # too tangled to draw: the page does without
        write_bytes(folder / f"{name}.svg", draw_file(job.prm))
    write_bytes(folder / "model.json", json_bytes(job.description))
    write_bytes(folder / "parity.json", json_bytes(to_json(job.parity)))
    if job.evaluation is not None:
        write_bytes(folder / "evaluation.json", json_bytes(to_json(job.evaluation)))
    return replace(job, publication=job.stage.commit(_statement(job)))


#: The way of every entry, until it is published; a stage gets the job as the one before left it.
STAGES: tuple[tuple[str, Callable[[Job], Job]], ...] = (
    ("upstream", _upstream),
    ("look up", _look_up),
    ("fetch", _fetch),
    ("convert", _convert),
    ("remap", _remap),
    ("verify", _verify),
    ("evaluate", _evaluate),
    ("publish", _publish),
)


def build_model(
    spec: ModelSpec, options: Options, report: Report = no_report, *, measure: Measure = measure
) -> Outcome:
    """Build and publish one entry. Raises no error: what went wrong, be it a bug of ours, is the outcome's reason.

    ``measure`` stands for :func:`caffe2neon.single.measure`.
    """
    stage, job = "", Job(spec, options, ExitStack(), measure=measure)
    try:
        if spec.expect != "published":
            stage = "check"
            report(Event(spec.name, stage, "start"))
            outcome = unpublished(spec, lambda: _prototxt(spec, options, _progress(spec, stage, report)))
            report(Event(spec.name, stage, "end", ok=outcome.status != "failed"))
            return outcome
        with job.stack:
            for stage, run in STAGES:
                report(Event(spec.name, stage, "start"))
                with located(model=spec.name, stage=stage):
                    job = run(replace(job, progress=_progress(spec, stage, report)))
                    judge(spec, job.parity, job.evaluation)
                report(Event(spec.name, stage, "end"))
                if job.publication:
                    break
    except Exception as error:
        report(Event(spec.name, stage, "end", ok=False))
        return Outcome(spec.name, "failed", _failure(error), stage, job.parity, job.evaluation)
    publication = job.publication
    assert publication is not None
    unchanged = stage == "look up"
    return Outcome(
        spec.name,
        "unchanged" if unchanged else "published",
        f"build {publication.build}{' is published already' if unchanged else ''}",
        parity=job.parity,
        evaluation=job.evaluation,
        publication=publication,
        warnings=(*job.warnings, *remarks(spec, job.evaluation)),
    )


def _progress(spec: ModelSpec, stage: str, report: Report) -> Progress:
    return lambda step, done, total: report(Event(spec.name, stage, "progress", step, done, total))


def _failure(error: Exception) -> str:
    """What went wrong, for the report; a bug with its place, as nobody sees a traceback of a worker."""
    if isinstance(error, Caffe2NeonError):
        return _reason(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return "not enough memory"
    message = f"a bug in caffe2neon: {type(error).__name__}: {error} ({place_of(error)})"
    return f"{message}\nplease report it, with the manifest's entry"


def _reason(error: Caffe2NeonError) -> str:
    """The error without what the report has columns for."""
    where = replace(error.where, model="", stage="")
    text = f"{where}: {error.message}" if str(where) else error.message
    return f"{text}\n{error.remedy}" if error.remedy else text


def _statement(job: Job) -> Callable[[Mapping[str, str]], JSON]:
    assert job.fetched is not None
    options = job.options
    deciding: dict[str, JSON] = {
        "engine": options.engine,
        "reference": options.reference,
        "topk": list(options.topk),
        "evaluate": options.evaluate,
        "skip_bad": options.skip_bad,
    }
    return statement(decisive(job.spec), job.fetched, deciding, options.root)
