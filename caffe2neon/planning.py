"""What building an entry would do, decided before anything is done; and what makes two builds the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from caffe2neon import __version__
from caffe2neon.errors import Caffe2NeonError, DataError
from caffe2neon.evaluate import fingerprint, labels_file
from caffe2neon.fetch import Candidate, plan
from caffe2neon.publish import build_id, current_builds, find_build
from caffe2neon.records import JSON, DatasetSpec, ModelSpec, PinnedFile
from caffe2neon.report import to_json

#: Kinds of data sets that are spread over a folder's files.
_SPREAD = ("folder", "lmdb", "macrobatch")


@dataclass(frozen=True)
class Options:
    """How a zoo is built. ``root`` is the manifest's folder, ``output`` the published zoo.

    ``threads`` compute each model, and ``workers`` threads decode pictures for it; 0 and None mean one a core.
    ``skip_bad``: measure without the pictures that cannot be read. ``upstream``: ask where each file comes from whether it is
    still the pinned one, needed or not.
    """

    root: Path
    output: Path
    cache: Path
    mirrors: tuple[Path, ...] = ()
    engine: str = "auto"
    reference: str = "auto"
    topk: tuple[int, ...] = (1, 5)
    workers: int | None = None
    threads: int = 0
    evaluate: bool = True
    skip_bad: bool = False
    offline: bool = False
    upstream: bool = False


@dataclass(frozen=True)
class Forecast:
    """What building an entry would do: ``action`` is build, unchanged, fail where that can be told already, or refused or
    unpinned as the manifest says.

    ``files`` says for each file of a build where it comes from first.
    """

    name: str
    action: str
    reason: str
    files: tuple[tuple[PinnedFile, Candidate], ...] = ()


def forecast(specs: Sequence[ModelSpec], options: Options) -> tuple[Forecast, ...]:
    """Decide as :func:`~caffe2neon.pipeline.build_model` does, by what is known before a model's file is read. Nothing is written.

    Raises:
        PublishError: the index of the published zoo is damaged.
    """
    current = current_builds(options.output)
    return tuple(_forecast(spec, options, current.get(spec.name, "")) for spec in specs)


def _forecast(spec: ModelSpec, options: Options, current: str) -> Forecast:
    if spec.expect != "published":
        return Forecast(spec.name, spec.expect, spec.reason)
    try:
        require_dataset(spec, options)
        build = build_of(spec, options)
        if find_build(options.output, spec.name, build) is not None:
            return Forecast(spec.name, "unchanged", f"build {build} is published already")
        files = _files((spec.prototxt, spec.caffemodel), options)
    except Caffe2NeonError as error:
        return Forecast(spec.name, "fail", str(error))
    if not current:
        return Forecast(spec.name, "build", "not published yet", files)
    if current == build:
        return Forecast(spec.name, "build", f"files of build {build} are missing", files)
    return Forecast(spec.name, "build", f"the entry, an option or the converter differs from build {current}", files)


def _files(pinned: tuple[PinnedFile, ...], options: Options) -> tuple[tuple[PinnedFile, Candidate], ...]:
    found, missing = [], []
    for file in pinned:
        places = plan(file, root=options.root, cache=options.cache, mirrors=options.mirrors, offline=options.offline)
        place = next((place for place in places if place.action != "local" or place.path.is_file()), None)
        if place is None:
            missing.append(file.url)
        else:
            found.append((file, place))
    if missing:
        why = ", and --offline says not to ask the network" if options.offline else ""
        remedy = "put it into a folder that --mirror names" + (", or leave --offline out" if options.offline else "")
        raise DataError(f"not on this machine{why}: {', '.join(missing)}", remedy=remedy)
    return tuple(found)


def build_of(spec: ModelSpec, options: Options) -> str:
    """The build's id: a hash of all that decides what is in it.

    Pins decide what the files are, so no file of the model is read for it.

    Raises:
        DataError: the data set cannot be read.
    """
    data = spec.dataset if options.evaluate else None
    measured: JSON = [data.name, data.kind, data.class_order, _fingerprint(data), options.skip_bad] if data else None
    return build_id(
        {
            "version": __version__,
            "entry": to_json(replace(decisive(spec), dataset=None)),
            "dataset": measured,
            "engine": [options.engine, options.reference],
            "topk": list(options.topk),
        }
    )


def decisive(spec: ModelSpec) -> ModelSpec:
    """The entry without what changes no byte of a build: where else its files may be had from, groups, where the data set lies."""
    prototxt, caffemodel = (replace(file, mirrors=()) for file in (spec.prototxt, spec.caffemodel))
    data = spec.dataset
    if data is not None:
        data = replace(data, path=Path(data.path.name), labels=Path(data.labels.name) if data.labels else None)
    return replace(spec, groups=(), prototxt=prototxt, caffemodel=caffemodel, dataset=data)


def require_dataset(spec: ModelSpec, options: Options) -> None:
    """Before anything is downloaded: a model that cannot be measured is not published.

    Raises:
        DataError: a part of the data set is not here.
    """
    if spec.dataset is None or not options.evaluate:
        return
    for path in (spec.dataset.path, labels_file(spec.dataset)):
        if not path.exists():
            raise DataError(
                f"data set {spec.dataset.name!r} is not here, so the model cannot be measured",
                path=str(path),
                remedy="put it there, or point to it with --dataset NAME=PATH, or publish without accuracy: --no-evaluate",
            )


def unchanged(spec: ModelSpec, options: Options) -> bool:
    """Whether this very build is published. What keeps that from being known is for the build to say."""
    try:
        require_dataset(spec, options)
        return spec.expect == "published" and find_build(options.output, spec.name, build_of(spec, options)) is not None
    except Caffe2NeonError:
        return False


def _fingerprint(dataset: DatasetSpec) -> str:
    """Many entries have the same data set, so each process looks at it once, unless its files change meanwhile."""
    try:
        spread = sorted(dataset.path.iterdir()) if dataset.kind in _SPREAD else []
        states = [path.stat() for path in (dataset.path, labels_file(dataset), *spread)]
    except OSError:
        return fingerprint(dataset)  # which says what is wrong
    return _remembered(dataset, tuple((state.st_mtime_ns, state.st_size) for state in states))


@lru_cache(maxsize=64)
def _remembered(dataset: DatasetSpec, state: tuple[tuple[int, int], ...]) -> str:  # noqa: ARG001 - part of the key
    return fingerprint(dataset)
