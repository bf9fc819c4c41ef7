"""What a build's provenance says of its entry: the manifest's words, the options, the files; nothing of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from caffe2neon import __version__
from caffe2neon.publish import Dependency, provenance
from caffe2neon.records import JSON, FetchedFile, FetchedModel, ModelSpec, PinnedFile
from caffe2neon.report import to_json


def statement(
    spec: ModelSpec, fetched: FetchedModel, options: Mapping[str, JSON], root: Path
) -> Callable[[Mapping[str, str]], JSON]:
    """What :meth:`~caffe2neon.publish.StagedBuild.commit` makes ``provenance.json`` with.

    ``options`` are those that decide what is in the build; ``root`` is the manifest's folder.
    """
    entry = replace(spec, prototxt=_public(spec.prototxt), caffemodel=_public(spec.caffemodel))
    parameters: JSON = {"entry": to_json(entry, root), "options": dict(options)}
    files = (_dependency(spec.prototxt, fetched.prototxt), _dependency(spec.caffemodel, fetched.caffemodel))
    return lambda subject: provenance(subject, parameters=parameters, dependencies=files, version=__version__)


def _public(pinned: PinnedFile) -> PinnedFile:
    """As others may know it: of an address on this machine, the file's name alone."""
    return replace(pinned, url=_shown(pinned.url), mirrors=tuple(mirror for mirror in pinned.mirrors if _remote(mirror)))


def _dependency(pinned: PinnedFile, file: FetchedFile) -> Dependency:
    name = (pinned.member or pinned.url).rpartition("/")[2]
    return Dependency(name, file.sha256, pinned.url if _remote(pinned.url) else "", pinned.member)


def _remote(url: str) -> bool:
    return urlsplit(url).scheme not in ("", "file")


def _shown(url: str) -> str:
    local = urlsplit(url).scheme == "file" or Path(url).is_absolute()
    return url.rpartition("/")[2] if local else url
